//! Repositories: the Merkle search tree, commits, CAR files, proofs and operation inversion.
//!
//! Owns the repository format of the "atproto repository" spec (version 3) and the proof rules of the
//! "atproto sync" spec. Knows nothing of storage: blocks come through [`BlockSource`].

pub mod car;
pub mod commit;
pub mod export;
pub mod invert;
pub mod mst;
pub mod proof;

use std::collections::HashMap;
use std::fmt;

use bytes::Bytes;

use crate::data::Cid;
use crate::syntax::RecordPath;

pub use commit::{Commit, CommitError, UnsignedCommit};
pub use mst::{MstError, NodeDelta, Tree};

/// Blocks by CID, as read from one CAR file.
pub type BlockMap = HashMap<Cid, Bytes>;

/// Where a lazily loaded [`Tree`] finds the blocks of its nodes.
///
/// The source answers for what it returns: a block must hash to the CID asked for.
pub trait BlockSource {
    /// The block called `cid`, or `None` when the source does not hold it.
    ///
    /// # Errors
    /// [`SourceError`] when the source could not be asked at all.
    fn block(&self, cid: &Cid) -> Result<Option<Bytes>, SourceError>;
}

impl BlockSource for BlockMap {
    fn block(&self, cid: &Cid) -> Result<Option<Bytes>, SourceError> {
        Ok(self.get(cid).cloned())
    }
}

impl<S: BlockSource + ?Sized> BlockSource for &S {
    fn block(&self, cid: &Cid) -> Result<Option<Bytes>, SourceError> {
        (**self).block(cid)
    }
}

/// A source that holds nothing: for trees that are wholly in memory.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoBlocks;

impl BlockSource for NoBlocks {
    fn block(&self, _cid: &Cid) -> Result<Option<Bytes>, SourceError> {
        Ok(None)
    }
}

/// A block source failed to answer; carries the source's own error.
#[derive(Debug)]
pub struct SourceError(Box<dyn std::error::Error + Send + Sync>);

impl SourceError {
    /// Wraps the source's own error.
    pub fn new(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(cause.into())
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the block source failed: {}", self.0)
    }
}

impl std::error::Error for SourceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}

/// What an operation does to its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// The record did not exist before.
    Create,
    /// The record replaces an older version.
    Update,
    /// The record is gone.
    Delete,
}

impl Action {
    /// The word used on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

/// One record changed by a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepoOp {
    /// What happened.
    pub action: Action,
    /// Which record.
    pub path: RecordPath,
    /// The record's CID after the commit; `None` for a delete.
    pub cid: Option<Cid>,
    /// The record's CID before the commit; `None` for a create.
    pub prev: Option<Cid>,
}
