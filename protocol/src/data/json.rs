//! The JSON form of the data model: `$link` and `$bytes` objects, integers only
//! (atproto "Data Model" specification).
//!
//! Reads straight from bytes, because no general reader of JSON tells apart what matters here:
//! floating point numbers, duplicate keys, integers beyond 2^53.

mod number;
mod parser;
mod scan;
mod writer;

#[cfg(test)]
mod tests;

pub use writer::{to_string, write, write_cbor};

use super::path::prepend_root;
use super::{CidError, MAX_RECORD_JSON_BYTES, Value};

/// What is wrong with a text that is not a value of the data model in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonFault {
    /// The input ends inside of a value.
    #[error("the input ends inside of a value")]
    Truncated,
    /// Not JSON.
    #[error("expected {0}")]
    Expected(&'static str),
    /// Something follows the value.
    #[error("something follows the value")]
    TrailingText,
    /// A control character in a string.
    #[error("control characters in a string must be escaped")]
    ControlCharacter,
    /// A `\` that starts no escape.
    #[error("unknown escape in a string")]
    Escape,
    /// Half a surrogate pair.
    #[error("a surrogate is not part of a pair")]
    Surrogate,
    /// A string that is not UTF-8.
    #[error("the string is not valid UTF-8")]
    Utf8,
    /// A number with a fraction.
    #[error("floating point numbers are not allowed")]
    Float,
    /// An integer beyond ±(2^53 − 1).
    #[error("the integer is beyond 2^53 - 1")]
    IntegerRange,
    /// A key that occurs twice in an object.
    #[error("a key occurs twice")]
    DuplicateKey,
    /// A `$link` that is not alone in its object, or not a string.
    #[error("`$link` must be the only key of its object and a string")]
    LinkShape,
    /// The text in a `$link` is not a CID.
    #[error("bad `$link`: {0}")]
    Link(CidError),
    /// A `$bytes` that is not alone in its object, or not a string.
    #[error("`$bytes` must be the only key of its object and a string")]
    BytesShape,
    /// The text in a `$bytes` is not base64.
    #[error("`$bytes` must be standard base64")]
    Base64,
    /// An array or object over the limit.
    #[error("an array or object has more than 131072 elements")]
    ContainerLength,
    /// Too many arrays and objects in each other.
    #[error("arrays and objects are nested more than 32 deep")]
    Depth,
    /// The text as a whole is over the limit.
    #[error("the text is longer than 2 MiB")]
    TooLong,
}

/// A text that is not a value of the data model in JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid data at {path} (byte {offset}): {fault}")]
pub struct JsonError {
    /// The faulty value, such as `$.embed.images[0]`; `$` is the whole.
    pub path: String,
    /// Where the reader stopped, in bytes from the start of the text.
    pub offset: usize,
    /// What is wrong.
    pub fault: JsonFault,
}

/// The value of a JSON text, within the limits of [`crate::data`].
pub fn parse(bytes: &[u8]) -> Result<Value, JsonError> {
    let mut error = if bytes.len() > MAX_RECORD_JSON_BYTES {
        JsonError {
            path: String::new(),
            offset: 0,
            fault: JsonFault::TooLong,
        }
    } else {
        match parser::document(bytes) {
            Ok(value) => return Ok(value),
            Err(error) => error,
        }
    };
    prepend_root(&mut error.path);
    Err(error)
}

impl<'de> serde::Deserialize<'de> for Value {
    /// Works with `serde_json` only, whose raw text goes through [`parse`].
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<serde_json::value::RawValue>::deserialize(deserializer)?;
        parse(raw.get().as_bytes()).map_err(serde::de::Error::custom)
    }
}
