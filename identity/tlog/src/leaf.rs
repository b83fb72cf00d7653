//! What stands in the log: typed, versioned leaves in one total order, as strict DAG-CBOR.
//!
//! Two types: did:plc operations, and acts of governance (policies, approvals, tallies…). A leaf has
//! one encoding, so that anyone can rebuild its hash from what it says. Whether an operation follows
//! from the ones before it, and who may act, is not judged here.

mod body;
mod fields;
mod governance;
mod operation;

#[cfg(test)]
mod tests;

pub use body::{Approval, MapRoot};
pub use governance::{Governance, GovernanceKind, MAX_SIGNATURE_BYTES, MAX_SIGNATURES, Signature};
pub use operation::{OperationLeaf, Source};

use rochdale_protocol::data::cbor::{self, CborError};
use rochdale_protocol::data::{MAX_INTEGER, Map};

use self::fields::Fields;
use crate::merkle::Hash;
use crate::tile::MAX_ENTRY_BYTES;

/// The version that is written, and the only one that is read.
const VERSION: i64 = 1;

/// Latest time of a leaf, in Unix milliseconds: what a double holds exactly.
pub const MAX_TIME_MS: i64 = MAX_INTEGER;

/// Bytes that are not a leaf, or parts that make none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeafError {
    /// Longer than a bundle can frame.
    #[error("the leaf has {0} bytes, over the limit of {MAX_ENTRY_BYTES}")]
    TooLong(usize),
    /// Not strict DAG-CBOR.
    #[error(transparent)]
    Cbor(#[from] CborError),
    /// Not a map.
    #[error("a leaf and its body are maps")]
    NotAMap,
    /// A version that this program does not know. The hash can still be checked.
    #[error("the leaf has version {0}; this program reads version {VERSION}")]
    Version(i64),
    /// A type that this program does not know. The hash can still be checked.
    #[error("the leaf has the unknown type {0:?}")]
    Type(String),
    /// A field that must be there.
    #[error("the field {0:?} is missing")]
    Missing(&'static str),
    /// A field that must not be there.
    #[error("the field {0:?} does not belong to a leaf of this type")]
    Unexpected(String),
    /// A field of another kind, or with a value that it cannot have.
    #[error("the field {field:?} is not {expected}")]
    Field {
        /// Which one.
        field: &'static str,
        /// What it must be.
        expected: &'static str,
    },
}

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leaf {
    /// `"t": "op"`: an operation that the directory has accepted.
    Operation(OperationLeaf),
    /// `"t": "gov"`: an act of governance.
    Governance(Governance),
}

impl Leaf {
    /// Reads an entry. Strict: exactly the fields of its type, and what is read is written as the
    /// very same bytes.
    ///
    /// [`LeafError::Version`] and [`LeafError::Type`] say that a newer program wrote the leaf: a
    /// mirror keeps it and stops interpreting.
    pub fn decode(entry: &[u8]) -> Result<Self, LeafError> {
        if entry.len() > MAX_ENTRY_BYTES {
            return Err(LeafError::TooLong(entry.len()));
        }
        let mut fields = Fields::decode(entry)?;
        match fields.integer("v")? {
            VERSION => {}
            other => return Err(LeafError::Version(other)),
        }
        let leaf = match fields.text("t")?.as_str() {
            "op" => Self::Operation(OperationLeaf::read(&mut fields)?),
            "gov" => Self::Governance(Governance::read(&mut fields)?),
            other => return Err(LeafError::Type(fields::quoted(other))),
        };
        fields.finish()?;
        Ok(leaf)
    }

    /// The entry. Errors if the leaf is over the limit or a part of it is not what it can be, so
    /// that nothing is written that [`Self::decode`] would refuse.
    pub fn encode(&self) -> Result<Vec<u8>, LeafError> {
        let mut map = Map::new();
        map.insert("v", VERSION);
        match self {
            Self::Operation(leaf) => {
                map.insert("t", "op");
                leaf.write(&mut map)?;
            }
            Self::Governance(leaf) => {
                map.insert("t", "gov");
                leaf.write(&mut map)?;
            }
        }
        let entry = cbor::encode(&map.into());
        if entry.len() > MAX_ENTRY_BYTES {
            return Err(LeafError::TooLong(entry.len()));
        }
        Ok(entry)
    }

    /// The hash of the entry in the tree.
    pub fn hash(&self) -> Result<Hash, LeafError> {
        self.encode().map(|entry| Hash::leaf(&entry))
    }

    /// When the log took it in, in Unix milliseconds.
    #[must_use]
    pub const fn at_ms(&self) -> i64 {
        match self {
            Self::Operation(leaf) => leaf.at_ms,
            Self::Governance(leaf) => leaf.at_ms,
        }
    }
}

/// A time, if a leaf can have it.
fn checked_time(field: &'static str, time_ms: i64) -> Result<i64, LeafError> {
    if (0..=MAX_TIME_MS).contains(&time_ms) {
        Ok(time_ms)
    } else {
        let expected = "a time in Unix milliseconds, from 0 to 2^53 - 1";
        Err(LeafError::Field { field, expected })
    }
}
