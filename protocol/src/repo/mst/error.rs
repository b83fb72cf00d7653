//! What can be wrong with a tree: one error for reading, editing and proving.

use crate::data::Cid;
use crate::repo::SourceError;

/// Why a tree could not be read or edited.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MstError {
    /// A node the operation needs is not in the source.
    #[error("node {0} is missing: the proof or the store is incomplete")]
    MissingNode(Cid),
    /// A node's block is not the canonical encoding of a node.
    #[error("node {cid} is malformed: {reason}")]
    Malformed {
        /// Which node.
        cid: Cid,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A node stands where its keys or its height do not belong.
    #[error("node {cid} is misplaced: {reason}")]
    Misplaced {
        /// Which node.
        cid: Cid,
        /// What is wrong with its place.
        reason: &'static str,
    },
    /// A key is not `collection/rkey` of at most 1,024 bytes.
    #[error("`{0}` is not a repository path: use collection/rkey of at most 1024 bytes")]
    InvalidKey(String),
    /// A key hashes deeper than any honest key.
    #[error("`{0}` stands deeper than 40 levels: choose another key")]
    TooDeep(String),
    /// Keys did not come in ascending order.
    #[error("`{0}` does not come after the key before it")]
    KeyOrder(String),
    /// A node would hold more than 2,048 entries or 1 MiB.
    #[error("the node that would hold `{0}` is full (2048 entries or 1 MiB): choose another key")]
    NodeFull(String),
    /// The tree has more nodes than the blocks it came from.
    #[error("the tree refers to node {0} twice")]
    RepeatedNode(Cid),
    /// The source could not be asked.
    #[error(transparent)]
    Source(#[from] SourceError),
}

impl MstError {
    pub(crate) fn invalid_key(key: &[u8]) -> Self {
        Self::InvalidKey(shown(key))
    }

    pub(crate) fn too_deep(key: &[u8]) -> Self {
        Self::TooDeep(shown(key))
    }

    pub(crate) fn key_order(key: &[u8]) -> Self {
        Self::KeyOrder(shown(key))
    }

    pub(crate) fn node_full(key: &[u8]) -> Self {
        Self::NodeFull(shown(key))
    }
}

/// A key as text for a message, cut to a readable length.
fn shown(key: &[u8]) -> String {
    String::from_utf8_lossy(key).chars().take(100).collect()
}
