//! The data model: values, links, DAG-CBOR and its JSON form, blob references, record checks.
//!
//! Follows the atproto "Data Model" specification (the DRISL subset of DAG-CBOR) and its data
//! validation guide. Owns the bytes; knows nothing about schemas.

pub mod blob;
pub mod cbor;
mod cid;
pub mod json;
mod map;
mod path;
mod record;
mod value;

#[cfg(test)]
mod tests;

pub use cid::{Cid, CidError, Codec, Link};
pub use map::Map;
pub use record::{DataError, check_record};
pub use value::Value;

/// Longest record that may be written, in bytes of CBOR: what the event stream carries.
pub const MAX_RECORD_BYTES: usize = 1_000_000;
/// Longest record in its JSON form, in bytes.
pub const MAX_RECORD_JSON_BYTES: usize = 2 * 1024 * 1024;
/// Longest CBOR value of any kind, in bytes.
pub const MAX_CBOR_BYTES: usize = 5 * 1024 * 1024;
/// Deepest nesting of arrays and maps.
pub const MAX_DEPTH: usize = 32;
/// Most elements of an array or entries of a map.
pub const MAX_CONTAINER_LENGTH: usize = 131_072;
/// Longest map key, in bytes.
pub const MAX_KEY_BYTES: usize = 8192;
/// Longest CID, in bytes.
pub const MAX_CID_BYTES: usize = 100;
/// Largest integer that may be written, and the negative of the smallest: what a double holds exactly.
pub const MAX_INTEGER: i64 = (1 << 53) - 1;
