//! The lexicon language, pure: reading schemas, checking records against them, comparing versions.
//!
//! Follows the atproto "Lexicon" specification, version 1 of the language. Owns what a schema says
//! and the schemas that are carried as data (`known/`). Must not fetch, wait, or touch a disk:
//! finding a schema on the network is the resolver's business, publishing one the binary's.
//!
//! A schema is read into a [`Document`]; a [`RecordType`] is the record of one document together
//! with every definition that its references reach, and says whether a value is such a record.

pub mod authority;
mod difference;
pub mod known;
mod library;
mod link;
mod reference;
pub mod schema;
mod validate;

pub use difference::{Change, Effect, compare};
pub use library::{Library, LibraryError};
pub use link::{LinkError, RecordType, check_references};
pub use reference::Reference;
pub use schema::{Document, Fault, SchemaError};
pub use validate::{Invalid, KeyError, Reason};

/// The collection in which schemas are published, and the `$type` of a published schema.
pub const SCHEMA_COLLECTION: &str = "com.atproto.lexicon.schema";
