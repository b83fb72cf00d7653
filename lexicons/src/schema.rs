//! What a schema says, as values: one [`Document`] per NSID, with its definitions by name.
//!
//! Holds only what validation, comparison and permissions use; descriptions are read and dropped.
//! A document that exists has passed every check that needs no other document.

mod definition;
mod fault;
mod field;
mod permission;
mod read;
#[cfg(test)]
mod tests;

pub use definition::{Body, Definition, Method, Record, RecordKeyType, Subscription};
pub use fault::{Fault, SchemaError, SchemaFault};
pub use field::{
    Array, Blob, Boolean, Format, Integer, Limits, MediaRange, Object, Property, Text, Type, Union,
};
pub use permission::{Audience, Permission, PermissionSet};

use std::collections::BTreeMap;
use std::sync::Arc;

use rochdale_protocol::data::{Value, json};
use rochdale_protocol::syntax::Nsid;

use crate::Reference;
use crate::reference::MAIN;

/// One schema document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    pub(crate) id: Nsid,
    pub(crate) definitions: BTreeMap<Box<str>, Arc<Definition>>,
}

impl Document {
    /// Reads a document from JSON.
    ///
    /// # Errors
    /// Every fault found, each with its place in the document.
    pub fn parse(text: &[u8]) -> Result<Self, SchemaError> {
        let value =
            json::parse(text).map_err(|error| SchemaError::one("$", SchemaFault::Json(error)))?;
        Self::read(&value)
    }

    /// Reads a document from a value: a file's, or a published record's.
    ///
    /// # Errors
    /// Every fault found, each with its place in the document.
    pub fn read(value: &Value) -> Result<Self, SchemaError> {
        read::document(value)
    }

    /// The NSID.
    #[must_use]
    pub fn id(&self) -> &Nsid {
        &self.id
    }

    /// A definition by name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Definition>> {
        self.definitions.get(name)
    }

    /// The definition that the NSID alone refers to.
    #[must_use]
    pub fn main(&self) -> Option<&Arc<Definition>> {
        self.get(MAIN)
    }

    /// All definitions by name.
    pub fn definitions(&self) -> impl Iterator<Item = (&str, &Definition)> {
        let definitions = self.definitions.iter();
        definitions.map(|(name, definition)| (&**name, &**definition))
    }

    /// Calls `found` for every reference in the document, with the place it stands at.
    pub fn each_reference(&self, found: &mut dyn FnMut(&str, Use<'_>)) {
        for (name, definition) in self.definitions() {
            definition.each_reference(&mut format!("defs.{name}"), found);
        }
    }
}

/// How a definition is referred to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use<'a> {
    /// As the type of a value.
    Value(&'a Reference),
    /// As a variant of a union.
    Variant(&'a Reference),
}

impl<'a> Use<'a> {
    /// What is referred to.
    #[must_use]
    pub fn reference(self) -> &'a Reference {
        match self {
            Self::Value(reference) | Self::Variant(reference) => reference,
        }
    }
}
