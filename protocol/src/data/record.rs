//! What every record must obey before it is written, whatever its schema
//! (atproto "Data Model" specification and data validation guide).

use super::path::{prepend_index, prepend_key, prepend_root};
use super::{
    MAX_CONTAINER_LENGTH, MAX_DEPTH, MAX_INTEGER, MAX_KEY_BYTES, MAX_RECORD_BYTES,
    MAX_RECORD_JSON_BYTES,
};
use super::{Map, Value, blob, cbor, json};

/// Why a value may not be written as a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(
    missing_docs,
    reason = "`path` is the place in the record, `$` being the record itself"
)]
pub enum DataError {
    /// A record must be a map.
    #[error("a record must be an object")]
    NotAnObject,
    /// `$type` is present but is not text, or is empty.
    #[error("`$type` at {path} must be a non-empty string")]
    Type { path: String },
    /// An object that says it is a blob but does not have the shape of one.
    #[error("bad blob at {path}: {reason}")]
    Blob { path: String, reason: &'static str },
    /// A blob reference of the legacy form.
    #[error("the blob at {path} is of the legacy form; write `$type`, `ref`, `mimeType`, `size`")]
    LegacyBlob { path: String },
    /// A map that its JSON form would confuse with a link or with bytes.
    #[error("the key `{key}` at {path} is reserved for the JSON form of links and bytes")]
    ReservedKey { path: String, key: &'static str },
    /// An integer beyond ±(2^53 − 1).
    #[error("the integer at {path} is beyond 2^53 - 1")]
    Integer { path: String },
    /// A map key that is empty or too long.
    #[error("a key at {path} is empty or longer than {MAX_KEY_BYTES} bytes")]
    Key { path: String },
    /// Too many elements.
    #[error("the array or object at {path} has more than {MAX_CONTAINER_LENGTH} elements")]
    ContainerLength { path: String },
    /// Nested too deep.
    #[error("the record is nested more than {MAX_DEPTH} deep at {path}")]
    Depth { path: String },
    /// The record is too long.
    #[error("the record takes {bytes} bytes of CBOR, more than {MAX_RECORD_BYTES}")]
    TooLong { bytes: usize },
    /// The JSON form of the record is too long.
    #[error("the record takes {bytes} bytes of JSON, more than {MAX_RECORD_JSON_BYTES}")]
    JsonTooLong { bytes: usize },
}

impl DataError {
    /// The place in the record, where the error has one.
    fn path_mut(&mut self) -> Option<&mut String> {
        match self {
            Self::NotAnObject | Self::TooLong { .. } | Self::JsonTooLong { .. } => None,
            Self::Type { path }
            | Self::Blob { path, .. }
            | Self::LegacyBlob { path }
            | Self::ReservedKey { path, .. }
            | Self::Integer { path }
            | Self::Key { path }
            | Self::ContainerLength { path }
            | Self::Depth { path } => Some(path),
        }
    }

    fn at(mut self, prepend: impl FnOnce(&mut String)) -> Self {
        if let Some(path) = self.path_mut() {
            prepend(path);
        }
        self
    }
}

/// Checks what every record must obey, and answers with its canonical bytes.
pub fn check_record(record: &Value) -> Result<Vec<u8>, DataError> {
    let Value::Map(_) = record else {
        return Err(DataError::NotAnObject);
    };
    check(record, 0).map_err(|error| error.at(prepend_root))?;
    let bytes = cbor::encode(record);
    if bytes.len() > MAX_RECORD_BYTES {
        return Err(DataError::TooLong { bytes: bytes.len() });
    }
    // The value that grows most is an empty byte string: one byte, and 14 with its comma in JSON.
    if bytes.len() > MAX_RECORD_JSON_BYTES / 14 {
        let length = json::to_string(record).len();
        if length > MAX_RECORD_JSON_BYTES {
            return Err(DataError::JsonTooLong { bytes: length });
        }
    }
    Ok(bytes)
}

/// Checks a value inside of `depth` containers. The recursion ends at [`MAX_DEPTH`].
fn check(value: &Value, depth: usize) -> Result<(), DataError> {
    let path = String::new();
    match value {
        Value::Integer(integer) if integer.unsigned_abs() > MAX_INTEGER.unsigned_abs() => {
            Err(DataError::Integer { path })
        }
        Value::Array(_) | Value::Map(_) if depth >= MAX_DEPTH => Err(DataError::Depth { path }),
        Value::Array(elements) if elements.len() > MAX_CONTAINER_LENGTH => {
            Err(DataError::ContainerLength { path })
        }
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                let checked = check(element, depth + 1);
                checked.map_err(|error| error.at(|path| prepend_index(path, index)))?;
            }
            Ok(())
        }
        Value::Map(map) => check_map(map, depth),
        Value::Null
        | Value::Bool(_)
        | Value::Integer(_)
        | Value::Text(_)
        | Value::Bytes(_)
        | Value::Link(_) => Ok(()),
    }
}

fn check_map(map: &Map, depth: usize) -> Result<(), DataError> {
    let path = String::new();
    if map.len() > MAX_CONTAINER_LENGTH {
        return Err(DataError::ContainerLength { path });
    }
    for key in ["$link", "$bytes"] {
        if map.contains_key(key) {
            return Err(DataError::ReservedKey { path, key });
        }
    }
    match map.get("$type") {
        None => {}
        Some(Value::Text(name)) if !name.is_empty() => {}
        Some(_) => return Err(DataError::Type { path }),
    }
    if blob::is_blob(map) {
        return match blob::BlobRef::from_map(map) {
            Ok(_) => Ok(()),
            Err(reason) => Err(DataError::Blob { path, reason }),
        };
    }
    if blob::is_legacy(map) {
        return Err(DataError::LegacyBlob { path });
    }
    for (key, value) in map.iter() {
        if key.is_empty() || key.len() > MAX_KEY_BYTES {
            return Err(DataError::Key { path });
        }
        let checked = check(value, depth + 1);
        checked.map_err(|error| error.at(|path| prepend_key(path, key)))?;
    }
    Ok(())
}
