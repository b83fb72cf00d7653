//! did:plc as pure functions: operations and their canonical bytes, limits, chain validation with
//! nullification, and DID documents (did:plc spec v0.1).
//!
//! Hashes and signatures are taken over the bytes of an operation as it was signed, never over a
//! normalised form. Times are arguments. Storage and transport belong to the directory service.

mod data;
mod document;
mod encoding;
mod error;
mod limits;
mod operation;
mod parse;
#[cfg(test)]
mod tests;
mod transcode;
mod validate;

pub use data::{DidData, Service};
pub use document::{DidDocument, DocumentError, DocumentService, VerificationMethod};
pub use error::{LimitError, PlcError, SignatureFault};
pub use limits::{Limits, check_limits};
pub use operation::{LegacyCreate, Operation, PlcOperation, Tombstone, UnsignedOperation};
pub use transcode::append_json;
pub use validate::{Accepted, ChainEntry, RECOVERY_WINDOW_MS, validate_next};
