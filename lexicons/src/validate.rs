//! Whether a value is what a schema says. Writes nothing: defaults are the reader's business.
//!
//! Touches each part of the value once, takes no lock, and builds a path only for a fault.

mod fault;
mod graphemes;
#[cfg(test)]
mod tests;
mod text;

pub use fault::{Invalid, KeyError, Reason};

use std::collections::HashMap;
use std::sync::Arc;

use rochdale_protocol::data::{MAX_DEPTH, Map, Value};
use rochdale_protocol::syntax::Nsid;

use crate::Reference;
use crate::schema::{Array, Blob, Boolean, Definition, Integer, Limits, Object, Type, Union};

/// The definitions that references can reach.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) targets: &'a HashMap<Reference, Arc<Definition>>,
}

impl Context<'_> {
    /// Checks a record of the collection `id`.
    pub(crate) fn record(
        self,
        id: &Nsid,
        definition: &Definition,
        record: &Value,
    ) -> Result<(), Invalid> {
        let Some(object) = definition.as_object() else {
            return Err(Invalid::new(Reason::NotAnObject));
        };
        let map = record
            .as_map()
            .ok_or_else(|| Invalid::new(Reason::NotAnObject));
        let checked = map.and_then(|map| match map.get("$type") {
            Some(Value::Text(kind)) if kind == id.as_str() => self.object(object, map, 0),
            _ => Err(Invalid::new(Reason::Type(id.to_string())).under("$type")),
        });
        checked.map_err(Invalid::at_record)
    }

    /// Checks a value inside of `depth` others.
    fn value(self, wanted: &Type, value: &Value, depth: usize) -> Result<(), Invalid> {
        let checked = match wanted {
            Type::Boolean(wanted) => boolean(wanted, value),
            Type::Integer(wanted) => integer(wanted, value),
            Type::Text(wanted) => text::check(wanted, value),
            Type::Bytes(limits) => bytes(*limits, value),
            Type::Link => match value {
                Value::Link(_) => Ok(()),
                _ => Err(Reason::NotALink),
            },
            Type::Blob(wanted) => blob(wanted, value),
            Type::Unknown => match value.as_map() {
                Some(map) if !is_blob(map) => Ok(()),
                _ => Err(Reason::NotAnObject),
            },
            Type::Array(wanted) => return self.array(wanted, value, depth),
            Type::Object(wanted) => match plain(value) {
                Some(map) => return self.object(wanted, map, depth),
                None => Err(Reason::NotAnObject),
            },
            Type::Reference(reference) => return self.referred(reference, value, depth),
            Type::Union(union) => return self.union(union, value, depth),
        };
        checked.map_err(Invalid::new)
    }

    fn object(self, wanted: &Object, map: &Map, depth: usize) -> Result<(), Invalid> {
        if depth >= MAX_DEPTH {
            return Err(Invalid::new(Reason::TooDeep));
        }
        for property in &wanted.properties {
            match map.get(&property.name) {
                None if property.required => {
                    return Err(Invalid::new(Reason::Missing(property.name.to_string())));
                }
                None => {}
                Some(Value::Null) if property.nullable => {}
                Some(value) => {
                    let checked = self.value(&property.value, value, depth + 1);
                    checked.map_err(|fault| fault.under(&property.name))?;
                }
            }
        }
        Ok(())
    }

    fn array(self, wanted: &Array, value: &Value, depth: usize) -> Result<(), Invalid> {
        let Some(elements) = value.as_array() else {
            return Err(Invalid::new(Reason::NotAnArray));
        };
        if depth >= MAX_DEPTH {
            return Err(Invalid::new(Reason::TooDeep));
        }
        let length = elements.len() as u64;
        if let Some(most) = wanted.length.maximum.filter(|most| length > *most) {
            return Err(Invalid::new(Reason::TooManyElements(most)));
        }
        if let Some(least) = wanted.length.minimum.filter(|least| length < *least) {
            return Err(Invalid::new(Reason::TooFewElements(least)));
        }
        for (place, element) in elements.iter().enumerate() {
            let checked = self.value(&wanted.items, element, depth + 1);
            checked.map_err(|fault| fault.under(&place.to_string()))?;
        }
        Ok(())
    }

    fn referred(self, reference: &Reference, value: &Value, depth: usize) -> Result<(), Invalid> {
        let Some(target) = self.targets.get(reference) else {
            return Err(Invalid::new(Reason::MissingSchema(reference.to_string())));
        };
        if let Some(object) = target.as_object() {
            let map = plain(value).ok_or_else(|| Invalid::new(Reason::NotAnObject))?;
            return match map.get("$type") {
                // Inside of a known type there is only one it can be, so it need not say.
                Some(kind) if kind.as_text() != Some(reference.as_str()) => {
                    Err(Invalid::new(Reason::Type(reference.to_string())).under("$type"))
                }
                _ => self.object(object, map, depth),
            };
        }
        match &**target {
            // No definition of a type is a reference itself, so this does not go on for ever.
            Definition::Type(wanted) => self.value(wanted, value, depth),
            _ => Err(Invalid::new(Reason::MissingSchema(reference.to_string()))),
        }
    }

    fn union(self, union: &Union, value: &Value, depth: usize) -> Result<(), Invalid> {
        let kind = plain(value).and_then(|map| Some((map, map.get("$type")?.as_text()?)));
        let Some((map, kind)) = kind else {
            return Err(Invalid::new(Reason::NotTyped));
        };
        if !union
            .variants
            .iter()
            .any(|variant| variant.as_str() == kind)
        {
            if !union.closed {
                return Ok(());
            }
            let variants: Vec<&str> = union.variants.iter().map(Reference::as_str).collect();
            return Err(Invalid::new(Reason::NotAVariant(variants.join(", "))).under("$type"));
        }
        match self.targets.get(kind).and_then(|target| target.as_object()) {
            Some(object) => self.object(object, map, depth),
            None => Err(Invalid::new(Reason::MissingSchema(kind.to_owned()))),
        }
    }
}

fn boolean(wanted: &Boolean, value: &Value) -> Result<(), Reason> {
    let value = value.as_bool().ok_or(Reason::NotABoolean)?;
    match wanted.constant {
        Some(constant) if constant != value => Err(Reason::Constant(constant.to_string())),
        _ => Ok(()),
    }
}

fn integer(wanted: &Integer, value: &Value) -> Result<(), Reason> {
    let value = value.as_integer().ok_or(Reason::NotAnInteger)?;
    if let Some(constant) = wanted.constant.filter(|constant| *constant != value) {
        return Err(Reason::Constant(constant.to_string()));
    }
    if let Some(options) = wanted
        .options
        .as_ref()
        .filter(|options| !options.contains(&value))
    {
        let options: Vec<String> = options.iter().map(i64::to_string).collect();
        return Err(Reason::NotAnOption(options.join("|")));
    }
    if let Some(most) = wanted.maximum.filter(|most| value > *most) {
        return Err(Reason::TooGreat(most));
    }
    if let Some(least) = wanted.minimum.filter(|least| value < *least) {
        return Err(Reason::TooSmall(least));
    }
    Ok(())
}

fn bytes(limits: Limits, value: &Value) -> Result<(), Reason> {
    let length = value.as_bytes().ok_or(Reason::NotBytes)?.len() as u64;
    if let Some(most) = limits.maximum.filter(|most| length > *most) {
        return Err(Reason::TooManyBytes(most));
    }
    if let Some(least) = limits.minimum.filter(|least| length < *least) {
        return Err(Reason::TooFewBytes(least));
    }
    Ok(())
}

/// A reference to a blob, whatever the codec of its CID: what may be written is not asked here.
fn blob(wanted: &Blob, value: &Value) -> Result<(), Reason> {
    let map = value
        .as_map()
        // What else stands in a reference to a blob makes it none (data model specification).
        .filter(|map| is_blob(map) && map.len() == 4)
        .ok_or(Reason::NotABlob)?;
    let field = |key| map.get(key).ok_or(Reason::NotABlob);
    let mime = field("mimeType")?
        .as_text()
        .filter(|mime| !mime.is_empty())
        .ok_or(Reason::NotABlob)?;
    let size = field("size")?
        .as_integer()
        .and_then(|size| u64::try_from(size).ok());
    let size = size.ok_or(Reason::NotABlob)?;
    field("ref")?.as_link().ok_or(Reason::NotABlob)?;
    if let Some(ranges) = wanted
        .accept
        .as_ref()
        .filter(|ranges| !ranges.iter().any(|range| range.contains(mime)))
    {
        let accept: Vec<&str> = ranges.iter().map(|range| range.as_str()).collect();
        let (mime, accept) = (mime.to_owned(), accept.join(", "));
        return Err(Reason::BlobType { mime, accept });
    }
    match wanted.max_bytes {
        Some(most) if size > most => Err(Reason::BlobSize { size, most }),
        _ => Ok(()),
    }
}

/// The map that a value is, unless it stands for a blob.
fn plain(value: &Value) -> Option<&Map> {
    value.as_map().filter(|map| !is_blob(map))
}

fn is_blob(map: &Map) -> bool {
    map.get("$type").and_then(Value::as_text) == Some("blob")
}
