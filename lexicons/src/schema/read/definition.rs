//! Reading definitions.

use rochdale_protocol::data::{Map, Value};

use super::Reader;
use super::field::Place;
use crate::reference::MAIN;
use crate::schema::definition::{Body, Definition, Method, Record, RecordKeyType, Subscription};
use crate::schema::fault::SchemaFault;
use crate::schema::{MediaRange, Object, Type, Union};

/// Definitions that an NSID stands for, so that they can only be `main`.
const PRIMARY: [&str; 5] = [
    "record",
    "query",
    "procedure",
    "subscription",
    "permission-set",
];

impl Reader {
    /// The definition under `name`.
    pub(super) fn definition(&mut self, name: &str, value: &Value) -> Option<Definition> {
        let map = self.object(Some(value))?;
        let kind = self.kind(map)?;
        if name != MAIN && PRIMARY.contains(&kind) {
            return self.fault(SchemaFault::NotMain(kind.to_owned()));
        }
        if PRIMARY.contains(&kind) || kind == "token" {
            self.text(map, "description");
        }
        match kind {
            "record" => self.record(map).map(Definition::Record),
            "query" => Some(Definition::Query(self.method(map))),
            "procedure" => {
                let input = self.body(map, "input");
                let method = self.method(map);
                Some(Definition::Procedure(Method { input, ..method }))
            }
            "subscription" => self.subscription(map).map(Definition::Subscription),
            "permission-set" => self.permission_set(map).map(Definition::PermissionSet),
            "token" => Some(Definition::Token),
            _ => self.field(Some(value), Place::Named).map(Definition::Type),
        }
    }

    fn record(&mut self, map: &Map) -> Option<Record> {
        let key = self
            .needed_text(map, "key")
            .and_then(|text| match RecordKeyType::parse(text) {
                Some(key) => Some(key),
                None => self.fault_at("key", SchemaFault::KeyType(text.to_owned())),
            });
        let value = self.needed(map, "record");
        let object = value.and_then(|value| {
            self.nested("record", |reader| {
                let map = reader.object(Some(value))?;
                let kind = reader.kind(map)?;
                if kind != "object" {
                    let (kind, allowed) = (kind.to_owned(), "a record is an object");
                    return reader.fault(SchemaFault::Misplaced { kind, allowed });
                }
                reader.text(map, "description");
                Some(reader.properties(map, Place::Field))
            })
        });
        Some(Record {
            key: key?,
            object: object?,
        })
    }

    /// A method without its input, which only procedures have.
    fn method(&mut self, map: &Map) -> Method {
        Method {
            parameters: self.parameters(map),
            input: None,
            output: self.body(map, "output"),
            errors: self.errors(map),
        }
    }

    fn subscription(&mut self, map: &Map) -> Option<Subscription> {
        let (parameters, errors) = (self.parameters(map), self.errors(map));
        let message = self.needed(map, "message")?;
        let message = self.nested("message", |reader| {
            let map = reader.object(Some(message))?;
            reader.text(map, "description");
            let schema = reader.needed(map, "schema")?;
            reader.nested("schema", |reader| reader.message(schema))
        })?;
        Some(Subscription {
            parameters,
            message,
            errors,
        })
    }

    fn message(&mut self, schema: &Value) -> Option<Union> {
        let map = self.object(Some(schema))?;
        let kind = self.kind(map)?;
        if kind != "union" {
            let (kind, allowed) = (kind.to_owned(), "messages are a union");
            return self.fault(SchemaFault::Misplaced { kind, allowed });
        }
        Some(self.union(map))
    }

    fn parameters(&mut self, map: &Map) -> Option<Object> {
        let value = map.get("parameters")?;
        self.nested("parameters", |reader| {
            let map = reader.object(Some(value))?;
            let kind = reader.kind(map)?;
            if kind != "params" {
                let (kind, allowed) = (kind.to_owned(), "parameters are of type params");
                return reader.fault(SchemaFault::Misplaced { kind, allowed });
            }
            reader.text(map, "description");
            Some(reader.properties(map, Place::Parameter))
        })
    }

    fn body(&mut self, map: &Map, key: &'static str) -> Option<Body> {
        let value = map.get(key)?;
        self.nested(key, |reader| {
            let map = reader.object(Some(value))?;
            reader.text(map, "description");
            let encoding = reader.needed_text(map, "encoding");
            if let Some(text) = encoding
                && MediaRange::parse(text).is_none()
            {
                reader.fault_at::<()>("encoding", SchemaFault::MediaType(text.to_owned()));
            }
            let schema: Option<Type> = match map.get("schema") {
                None => None,
                Some(schema) => {
                    reader.nested("schema", |reader| reader.field(Some(schema), Place::Body))
                }
            };
            let encoding = encoding?.into();
            Some(Body { encoding, schema })
        })
    }

    fn errors(&mut self, map: &Map) -> Vec<Box<str>> {
        let Some(values) = self.scalar(map, "errors", "a list of objects", Value::as_array) else {
            return Vec::new();
        };
        let mut names = Vec::with_capacity(values.len());
        self.nested("errors", |reader| {
            for (place, value) in values.iter().enumerate() {
                reader.nested(&format!("[{place}]"), |reader| {
                    let Some(map) = reader.object(Some(value)) else {
                        return;
                    };
                    reader.text(map, "description");
                    names.extend(reader.needed_text(map, "name").map(Box::from));
                });
            }
        });
        names
    }
}
