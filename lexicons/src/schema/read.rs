//! Reading a document: goes on after a fault, so that its author learns of all of them at once.
//! Keys that the language does not have are passed over.

mod definition;
mod field;
mod permission;

use std::collections::BTreeMap;
use std::sync::Arc;

use rochdale_protocol::data::{MAX_DEPTH, Map, Value};
use rochdale_protocol::syntax::Nsid;

use super::fault::{Fault, SchemaError, SchemaFault};
use super::field::{Limits, within};
use super::{Definition, Document};
use crate::SCHEMA_COLLECTION;

/// Faults that are reported of one document.
const MAX_FAULTS: usize = 100;

/// Reads a whole document.
pub(super) fn document(value: &Value) -> Result<Document, SchemaError> {
    let Some(map) = value.as_map() else {
        return Err(SchemaError::one("$", SchemaFault::Expected("an object")));
    };
    let id = match map.get("id") {
        None => Err(SchemaFault::Missing("id")),
        Some(Value::Text(text)) => text.parse::<Nsid>().map_err(SchemaFault::Id),
        Some(_) => Err(SchemaFault::Expected("a string")),
    };
    let id = id.map_err(|fault| {
        let path = if matches!(fault, SchemaFault::Missing(_)) {
            "$"
        } else {
            "id"
        };
        SchemaError::one(path, fault)
    })?;
    let mut reader = Reader {
        id,
        path: String::new(),
        depth: 0,
        faults: Vec::new(),
    };
    let definitions = reader.document(map);
    let Reader { id, faults, .. } = reader;
    if faults.is_empty() {
        Ok(Document { id, definitions })
    } else {
        Err(SchemaError { faults })
    }
}

/// What is known while a document is read.
pub(super) struct Reader {
    /// The document's NSID, which local references belong to.
    id: Nsid,
    /// Where the reader is.
    path: String,
    /// How many types deep.
    depth: usize,
    faults: Vec<Fault>,
}

impl Reader {
    fn document(&mut self, map: &Map) -> BTreeMap<Box<str>, Arc<Definition>> {
        if let Some(kind) = self.text(map, "$type")
            && kind != SCHEMA_COLLECTION
        {
            self.fault_at::<()>("$type", SchemaFault::RecordType(kind.to_owned()));
        }
        let version = self.needed(map, "lexicon").map(Value::as_integer);
        if version.is_some_and(|version| version != Some(1)) {
            self.fault_at::<()>("lexicon", SchemaFault::Version);
        }
        self.number(map, "revision");
        self.text(map, "description");
        let mut definitions = BTreeMap::new();
        let Some(declared) = self.needed(map, "defs") else {
            return definitions;
        };
        self.nested("defs", |reader| {
            let Some(declared) = reader.object(Some(declared)) else {
                return;
            };
            if declared.is_empty() {
                reader.fault::<()>(SchemaFault::NoDefinitions);
            }
            for (name, value) in declared.iter() {
                if name.is_empty() || name.contains(['#', '.']) {
                    reader.fault::<()>(SchemaFault::DefinitionName(name.to_owned()));
                    continue;
                }
                if let Some(definition) =
                    reader.nested(name, |reader| reader.definition(name, value))
                {
                    definitions.insert(name.into(), Arc::new(definition));
                }
            }
        });
        definitions
    }

    /// Notes a fault where the reader is.
    fn fault<T>(&mut self, fault: SchemaFault) -> Option<T> {
        if self.faults.len() < MAX_FAULTS {
            let path = self.path.trim_start_matches('.');
            let path = if path.is_empty() { "$" } else { path }.to_owned();
            self.faults.push(Fault { path, fault });
        }
        None
    }

    /// Notes a fault at a key of what is being read.
    fn fault_at<T>(&mut self, key: &str, fault: SchemaFault) -> Option<T> {
        self.nested(key, |reader| reader.fault(fault))
    }

    /// Reads what stands under a key.
    fn nested<T>(&mut self, key: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        let mut path = std::mem::take(&mut self.path);
        let outcome = within(&mut path, key, |path| {
            self.path = std::mem::take(path);
            let outcome = read(self);
            *path = std::mem::take(&mut self.path);
            outcome
        });
        self.path = path;
        outcome
    }

    /// Reads one more type inside of others, within the limit.
    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        if self.depth >= MAX_DEPTH {
            return self.fault(SchemaFault::Depth);
        }
        self.depth += 1;
        let outcome = read(self);
        self.depth -= 1;
        outcome
    }

    fn object<'v>(&mut self, value: Option<&'v Value>) -> Option<&'v Map> {
        match value.and_then(Value::as_map) {
            Some(map) => Some(map),
            None => self.fault(SchemaFault::Expected("an object")),
        }
    }

    /// The `type` of a definition.
    fn kind<'v>(&mut self, map: &'v Map) -> Option<&'v str> {
        self.needed_text(map, "type")
    }

    fn needed<'v>(&mut self, map: &'v Map, key: &'static str) -> Option<&'v Value> {
        match map.get(key) {
            Some(value) => Some(value),
            None => self.fault(SchemaFault::Missing(key)),
        }
    }

    fn needed_text<'v>(&mut self, map: &'v Map, key: &'static str) -> Option<&'v str> {
        self.needed(map, key)?;
        self.text(map, key)
    }

    fn scalar<'v, T>(
        &mut self,
        map: &'v Map,
        key: &str,
        expected: &'static str,
        take: impl Fn(&'v Value) -> Option<T>,
    ) -> Option<T> {
        let value = map.get(key)?;
        match take(value) {
            Some(taken) => Some(taken),
            None => self.fault_at(key, SchemaFault::Expected(expected)),
        }
    }

    fn text<'v>(&mut self, map: &'v Map, key: &str) -> Option<&'v str> {
        self.scalar(map, key, "a string", Value::as_text)
    }

    fn flag(&mut self, map: &Map, key: &str) -> Option<bool> {
        self.scalar(map, key, "true or false", Value::as_bool)
    }

    fn number(&mut self, map: &Map, key: &str) -> Option<i64> {
        self.scalar(map, key, "an integer", Value::as_integer)
    }

    /// A number that cannot be negative.
    fn length(&mut self, map: &Map, key: &str) -> Option<u64> {
        let number = self.number(map, key)?;
        match u64::try_from(number) {
            Ok(length) => Some(length),
            Err(_negative) => self.fault_at(key, SchemaFault::Negative),
        }
    }

    fn limits(&mut self, map: &Map, minimum: &str, maximum: &str) -> Limits {
        let limits = Limits {
            minimum: self.length(map, minimum),
            maximum: self.length(map, maximum),
        };
        if let (Some(minimum), Some(maximum)) = (limits.minimum, limits.maximum)
            && minimum > maximum
        {
            let number = |length| i64::try_from(length).unwrap_or(i64::MAX);
            let (minimum, maximum) = (number(minimum), number(maximum));
            self.fault::<()>(SchemaFault::Limits { minimum, maximum });
        }
        limits
    }

    fn list<'v, T>(
        &mut self,
        map: &'v Map,
        key: &str,
        expected: &'static str,
        take: impl Fn(&'v Value) -> Option<T>,
    ) -> Option<Vec<T>> {
        self.scalar(map, key, expected, |value| {
            value.as_array()?.iter().map(&take).collect()
        })
    }

    fn texts(&mut self, map: &Map, key: &str) -> Option<Vec<Box<str>>> {
        self.list(map, key, "a list of strings", |value| {
            Some(value.as_text()?.into())
        })
    }
}
