//! DAG-CBOR in the strict subset of atproto: one way to write every value, and no other is read.
//!
//! Shortest integers and lengths, definite lengths, text keys sorted and unique, tag 42 around a
//! CID only, no floating point numbers, no `undefined`, nothing after the value (atproto "Data
//! Model" and "Repository" specifications; DRISL).

mod decoder;
mod encoder;

#[cfg(test)]
mod tests;

pub use decoder::{Decoder, Kind, MapKeys};
pub use encoder::Encoder;

use super::map::compare_keys;
use super::{CidError, MAX_CBOR_BYTES, Map, Value};

/// Most elements that room is made for before any of them has been read.
const MAX_RESERVED: usize = 256;

/// What is wrong with bytes that are not a value in strict DAG-CBOR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CborFault {
    /// The input ends inside of a value.
    #[error("the input ends inside of a value")]
    Truncated,
    /// Something follows the value.
    #[error("something follows the value")]
    TrailingBytes,
    /// An integer or a length takes more bytes than it needs.
    #[error("an integer or a length is not written in its shortest form")]
    NotShortest,
    /// An array, map, text or byte string of indefinite length.
    #[error("indefinite lengths are not allowed")]
    Indefinite,
    /// An initial byte that CBOR reserves.
    #[error("the initial byte is reserved")]
    Reserved,
    /// A floating point number.
    #[error("floating point numbers are not allowed")]
    Float,
    /// `undefined` or another simple value than true, false and null.
    #[error("only the simple values true, false and null are allowed")]
    Simple,
    /// A tag other than 42.
    #[error("only tag 42 is allowed")]
    Tag,
    /// Tag 42 around something other than a byte string that starts with a zero byte.
    #[error("a link must be a byte string that starts with a zero byte")]
    LinkShape,
    /// The bytes in a link are not a CID, or not of the form asked for.
    #[error("bad link: {0}")]
    Link(CidError),
    /// An integer that 64 bits with a sign cannot hold.
    #[error("the integer does not fit in 64 bits with a sign")]
    IntegerRange,
    /// Text that is not UTF-8.
    #[error("the text is not valid UTF-8")]
    Utf8,
    /// A map key that is not text.
    #[error("a map key must be text")]
    KeyType,
    /// Map keys that are out of canonical order.
    #[error("map keys are not in canonical order")]
    KeyOrder,
    /// A map key that occurs twice.
    #[error("a map key occurs twice")]
    DuplicateKey,
    /// A map key over the limit.
    #[error("a map key is longer than 8192 bytes")]
    KeyLength,
    /// An array or map over the limit.
    #[error("an array or a map has more than 131072 elements")]
    ContainerLength,
    /// Too many arrays and maps in each other.
    #[error("arrays and maps are nested more than 32 deep")]
    Depth,
    /// The input as a whole is over the limit.
    #[error("the value is longer than 5 MiB")]
    TooLong,
    /// A value of another kind than the one asked for.
    #[error("expected {expected}, found {found}")]
    Unexpected {
        /// The kind asked for.
        expected: Kind,
        /// The kind at this place.
        found: Kind,
    },
}

/// Bytes that are not a value in strict DAG-CBOR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid DAG-CBOR at byte {offset}: {fault}")]
pub struct CborError {
    /// Where the faulty item starts, in bytes from the start of the input.
    pub offset: usize,
    /// What is wrong with it.
    pub fault: CborFault,
}

/// The canonical bytes of a value.
pub fn encode(value: &Value) -> Vec<u8> {
    let mut encoder = Encoder::with_capacity(256);
    encoder.value(value);
    encoder.into_bytes()
}

/// The value of bytes that hold exactly one, within the limits of [`crate::data`].
pub fn decode(bytes: &[u8]) -> Result<Value, CborError> {
    if bytes.len() > MAX_CBOR_BYTES {
        return Err(CborError {
            offset: 0,
            fault: CborFault::TooLong,
        });
    }
    let mut decoder = Decoder::new(bytes);
    let value = decoder.value()?;
    decoder.finish()?;
    Ok(value)
}

impl Decoder<'_> {
    /// Reads one value whole.
    pub fn value(&mut self) -> Result<Value, CborError> {
        value_at(self, 0)
    }
}

/// Reads one value inside of `depth` containers. The recursion ends at `MAX_DEPTH`.
fn value_at(decoder: &mut Decoder<'_>, depth: usize) -> Result<Value, CborError> {
    Ok(match decoder.kind()? {
        Kind::Null => {
            decoder.null()?;
            Value::Null
        }
        Kind::Bool => Value::Bool(decoder.bool()?),
        Kind::Integer => Value::Integer(decoder.int()?),
        Kind::Text => Value::Text(decoder.text()?.to_owned()),
        Kind::Bytes => Value::Bytes(decoder.bytes()?.to_vec()),
        Kind::Link => Value::Link(decoder.link()?),
        Kind::Array => {
            decoder.check_depth(depth)?;
            let length = decoder.array()?;
            let mut elements = Vec::with_capacity(length.min(MAX_RESERVED));
            for _ in 0..length {
                elements.push(value_at(decoder, depth + 1)?);
            }
            Value::Array(elements)
        }
        Kind::Map => {
            decoder.check_depth(depth)?;
            let mut keys = decoder.map()?;
            let mut entries = Vec::with_capacity(keys.remaining().min(MAX_RESERVED));
            while let Some(key) = keys.next(decoder)? {
                entries.push((key.to_owned(), value_at(decoder, depth + 1)?));
            }
            Value::Map(Map::from_sorted(entries))
        }
    })
}
