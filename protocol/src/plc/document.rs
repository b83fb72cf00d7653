//! DID documents: read those of any method, write those of did:plc.

mod read;
mod render;
#[cfg(test)]
mod tests;

pub use read::{DidDocument, DocumentError, DocumentService, VerificationMethod};
