//! Repository paths: the keys of the tree, `collection/rkey` (atproto "Repository" specification).

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use super::text::deserialize_from_text;
use super::{Nsid, RecordKey, SyntaxError, quoted};

/// The place of a record in its repository.
///
/// Ordered as the bytes of `collection/rkey`, which is not the order of the pair: `a.b.c/` sorts
/// after `a.b.c-d/`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RecordPath {
    /// The collection.
    pub collection: Nsid,
    /// The key in the collection.
    pub rkey: RecordKey,
}

impl RecordPath {
    /// The path of a record.
    pub fn new(collection: Nsid, rkey: RecordKey) -> Self {
        Self { collection, rkey }
    }

    fn bytes(&self) -> impl Iterator<Item = &u8> {
        let (collection, rkey) = (self.collection.as_str(), self.rkey.as_str());
        collection
            .as_bytes()
            .iter()
            .chain(b"/")
            .chain(rkey.as_bytes())
    }
}

impl fmt::Display for RecordPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.collection, self.rkey)
    }
}

impl fmt::Debug for RecordPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for RecordPath {
    type Err = SyntaxError;

    /// Errors also when the collection's authority is not in lower case: a path is a key of the
    /// tree, so its text may not change by parsing.
    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        let error = |reason| SyntaxError::RecordPath {
            value: quoted(text),
            reason,
        };
        if text.len() > super::MAX_RECORD_PATH_BYTES {
            return Err(error("it is longer than 1024 bytes"));
        }
        let (collection, rkey) = text
            .split_once('/')
            .ok_or_else(|| error("it must be `collection/rkey`"))?;
        let parsed: Nsid = collection
            .parse()
            .map_err(|e: SyntaxError| error(e.reason()))?;
        if parsed.as_str() != collection {
            return Err(error("the collection's authority must be in lower case"));
        }
        let rkey = rkey.parse().map_err(|e: SyntaxError| error(e.reason()))?;
        Ok(Self {
            collection: parsed,
            rkey,
        })
    }
}

impl TryFrom<String> for RecordPath {
    type Error = SyntaxError;

    fn try_from(text: String) -> Result<Self, SyntaxError> {
        text.parse()
    }
}

impl PartialOrd for RecordPath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for RecordPath {
    fn cmp(&self, other: &Self) -> Ordering {
        self.bytes().cmp(other.bytes())
    }
}

impl serde::Serialize for RecordPath {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

deserialize_from_text!(RecordPath, "a record path `collection/rkey`");
