//! The Merkle search tree of a repository ("atproto repository" spec, "MST structure").
//!
//! Owns the shape of the tree, its canonical encoding and its limits against hostile shapes. A tree
//! is loaded node by node from a [`BlockSource`]; a clone shares its nodes and copies only what it
//! edits, so an edit can be tried on a clone and thrown away. Must not know about records or commits.

mod build;
mod codec;
mod cover;
mod cursor;
mod diff;
mod edit;
mod error;
mod load;
mod node;
mod walk;

use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::data::{Cid, Link};
use crate::repo::BlockSource;

pub use build::Builder;
pub use diff::{Change, Diff};
pub use error::MstError;
pub use walk::{Leaf, Walk};

pub(crate) use cursor::{Cursor, Here};
use load::Loader;
pub(crate) use load::load_partial;
pub(crate) use node::{Node, Subtree};

/// Longest key accepted, in bytes.
pub const MAX_KEY_BYTES: usize = 1024;
/// Highest node accepted; a key this deep takes 2^80 guesses to find.
pub const MAX_HEIGHT: u8 = 40;
/// Most entries accepted in one node; honest nodes hold four on average.
pub const MAX_ENTRIES: usize = 2048;
/// Largest node block accepted, in bytes.
pub const MAX_NODE_BYTES: usize = 1 << 20;

/// The root of a repository without records.
#[must_use]
pub fn empty_root() -> Cid {
    const DIGEST: [u8; 32] = [
        0x9d, 0xfe, 0xfe, 0x61, 0xdd, 0x76, 0xea, 0x3d, 0xca, 0xe5, 0x02, 0x38, 0x80, 0xb0, 0x83,
        0x79, 0xd5, 0x7a, 0xdf, 0x20, 0x48, 0x2d, 0x6f, 0xdb, 0xe2, 0x75, 0x92, 0x89, 0xf6, 0x47,
        0x67, 0x7b,
    ];
    Cid::from_digest(crate::data::Codec::DagCbor, DIGEST)
}

/// How high in the tree a key stands: pairs of leading zero bits of its SHA-256.
#[must_use]
pub fn key_depth(key: &[u8]) -> u8 {
    let mut zeros = 0;
    for byte in Sha256::digest(key) {
        zeros += byte.leading_zeros();
        if byte != 0 {
            break;
        }
    }
    u8::try_from(zeros / 2).unwrap_or(u8::MAX)
}

/// How many leading bytes two keys share.
#[must_use]
pub fn common_prefix(left: &[u8], right: &[u8]) -> usize {
    left.iter().zip(right).take_while(|(a, b)| a == b).count()
}

/// Whether `key` has the shape of a repository path: `collection/rkey`, at most 1,024 bytes.
#[must_use]
pub fn is_key(key: &[u8]) -> bool {
    let mut slashes = 0;
    for &byte in key {
        match byte {
            b'/' => slashes += 1,
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' | b':' => {}
            _ => return false,
        }
    }
    slashes == 1
        && key.len() <= MAX_KEY_BYTES
        && key.first() != Some(&b'/')
        && key.last() != Some(&b'/')
}

/// What one or more edits changed about a tree's nodes.
#[derive(Debug, Clone)]
pub struct NodeDelta {
    /// The root after the edits.
    pub root: Cid,
    /// Nodes that are new since the last call, root first.
    pub added: Vec<(Cid, Bytes)>,
    /// Nodes the tree had before and has no more.
    pub removed: Vec<Cid>,
}

/// A Merkle search tree of which any part may still be outside of memory.
///
/// When an edit fails, the tree falls back to its last committed root and loses its uncommitted edits.
#[derive(Debug, Clone)]
pub struct Tree {
    root: Subtree,
    /// The root as of the last load or [`Tree::commit_nodes`].
    base: Cid,
    /// Stored nodes that uncommitted edits made unreachable.
    removed: Vec<Cid>,
    loaded_bytes: usize,
}

impl Tree {
    /// The tree of a repository without records; its single node counts as new.
    #[must_use]
    pub fn empty() -> Self {
        Self::from_root(
            Subtree::Loaded(Arc::new(Node::new(0))),
            empty_root(),
            node::NODE_BYTES,
        )
    }

    /// The stored tree called `root`; nothing is read until it is needed.
    #[must_use]
    pub fn load(root: Cid) -> Self {
        Self::from_root(Subtree::Stub(root), root, 0)
    }

    fn from_root(root: Subtree, base: Cid, loaded_bytes: usize) -> Self {
        Self {
            root,
            base,
            removed: Vec::new(),
            loaded_bytes,
        }
    }

    /// Builds the tree of `entries`, which must come in strictly ascending order of key.
    ///
    /// # Errors
    /// [`MstError`] when a key is malformed or out of order, or a node would grow past its limit.
    pub fn from_sorted<K, I>(entries: I) -> Result<Self, MstError>
    where
        K: AsRef<[u8]>,
        I: IntoIterator<Item = (K, Link)>,
    {
        let mut builder = Builder::in_memory();
        for (key, value) in entries {
            builder.push(key.as_ref(), value)?;
        }
        Ok(builder.into_tree())
    }

    /// The value of `key`. Loads the path to it.
    ///
    /// # Errors
    /// [`MstError`] when a node is missing or malformed.
    pub fn get<S: BlockSource + ?Sized>(
        &mut self,
        source: &S,
        key: &[u8],
    ) -> Result<Option<Link>, MstError> {
        let mut loader = Loader::new(source);
        let found = load::get(&mut loader, &mut self.root, key);
        self.loaded_bytes = self.loaded_bytes.saturating_add(loader.loaded_bytes());
        found
    }

    /// Adds `key`. Answers `None`, or the present value if there is one: then nothing changed.
    ///
    /// # Errors
    /// [`MstError`] when the key is malformed, or a node is missing, malformed or full.
    pub fn insert<S: BlockSource + ?Sized>(
        &mut self,
        source: &S,
        key: &[u8],
        value: Link,
    ) -> Result<Option<Link>, MstError> {
        self.edit(Loader::new(source), |edit, root| {
            edit.insert(root, key, value)
        })
    }

    /// Replaces the value of `key` and answers the old one, or `None`: then nothing changed.
    ///
    /// # Errors
    /// As [`Tree::insert`].
    pub fn update<S: BlockSource + ?Sized>(
        &mut self,
        source: &S,
        key: &[u8],
        value: Link,
    ) -> Result<Option<Link>, MstError> {
        self.edit(Loader::new(source), |edit, root| {
            edit.update(root, key, value)
        })
    }

    /// Removes `key` and answers its value, or `None`: then nothing changed.
    ///
    /// # Errors
    /// As [`Tree::insert`].
    pub fn remove<S: BlockSource + ?Sized>(
        &mut self,
        source: &S,
        key: &[u8],
    ) -> Result<Option<Link>, MstError> {
        self.edit(Loader::new(source), |edit, root| edit.remove(root, key))
    }

    /// As the edits above, on a tree of which only a proof is at hand.
    pub(crate) fn edit_partial<T>(
        &mut self,
        change: impl FnOnce(&mut edit::Edit<'_, super::NoBlocks>, &mut Subtree) -> Result<T, MstError>,
    ) -> Result<T, MstError> {
        self.edit(Loader::new(&super::NoBlocks).partial(), change)
    }

    fn edit<'s, S: BlockSource + ?Sized, T>(
        &mut self,
        loader: Loader<'s, S>,
        change: impl FnOnce(&mut edit::Edit<'s, S>, &mut Subtree) -> Result<T, MstError>,
    ) -> Result<T, MstError> {
        let mut edit = edit::Edit::new(loader, std::mem::take(&mut self.removed));
        let result = change(&mut edit, &mut self.root);
        let (removed, grown, shrunk) = edit.finish();
        if result.is_ok() {
            self.removed = removed;
            self.loaded_bytes = self
                .loaded_bytes
                .saturating_add(grown)
                .saturating_sub(shrunk);
        } else {
            self.root = Subtree::Stub(self.base);
            self.loaded_bytes = 0;
        }
        result
    }

    /// The CID of the root, hashing what changed.
    pub fn root(&mut self) -> Cid {
        node::seal(&mut self.root)
    }

    /// The nodes that came and went since the last call (or since the tree was made).
    pub fn commit_nodes(&mut self) -> NodeDelta {
        let root = self.root();
        let mut added = Vec::new();
        node::take_new(&mut self.root, &mut added);
        let mut removed = std::mem::take(&mut self.removed);
        // A node can go and come back within one batch: then it neither came nor went.
        if !removed.is_empty() && !added.is_empty() {
            let fresh: std::collections::HashSet<Cid> = added.iter().map(|(cid, _)| *cid).collect();
            let back: std::collections::HashSet<Cid> = removed
                .iter()
                .copied()
                .filter(|cid| fresh.contains(cid))
                .collect();
            if !back.is_empty() {
                removed.retain(|cid| !back.contains(cid));
                added.retain(|(cid, _)| !back.contains(cid));
            }
        }
        self.base = root;
        NodeDelta {
            root,
            added,
            removed,
        }
    }

    /// The node blocks that prove the state of `keys`, present or not, and let the operations on
    /// them be inverted: for each key the path to it, to its predecessor and to its successor.
    /// Each node once, parents before children.
    ///
    /// # Errors
    /// [`MstError`] when a node is missing or malformed.
    pub fn proof<S: BlockSource + ?Sized>(
        &mut self,
        source: &S,
        keys: &[&[u8]],
    ) -> Result<Vec<(Cid, Bytes)>, MstError> {
        self.cover(source, keys, true)
    }

    /// The node blocks of the path to `key`, or to where it would be.
    ///
    /// # Errors
    /// As [`Tree::proof`].
    pub fn path_to<S: BlockSource + ?Sized>(
        &mut self,
        source: &S,
        key: &[u8],
    ) -> Result<Vec<(Cid, Bytes)>, MstError> {
        self.cover(source, &[key], false)
    }

    fn cover<S: BlockSource + ?Sized>(
        &mut self,
        source: &S,
        keys: &[&[u8]],
        neighbours: bool,
    ) -> Result<Vec<(Cid, Bytes)>, MstError> {
        node::seal(&mut self.root);
        let mut sorted = keys.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        let mut cover = cover::Cover::new(Loader::new(source), neighbours);
        if let Some(root) = cover.root(&self.root, &sorted)? {
            self.root = root;
        }
        let (blocks, grown) = cover.finish();
        self.loaded_bytes = self.loaded_bytes.saturating_add(grown);
        Ok(blocks)
    }

    /// Walks the leaves in order, from the first key that is not less than `from`.
    /// Holds only the path it is on; loaded nodes are not kept.
    pub fn walk<'s, S: BlockSource + ?Sized>(&self, source: &'s S, from: &[u8]) -> Walk<'s, S> {
        Walk::new(source, self.root.clone(), from)
    }

    /// The differences from `self` (before) to `after`, in order of key. Subtrees that both have are
    /// skipped unread. Both trees must be sealed: call [`Tree::root`] after an edit.
    pub fn diff<'s, S: BlockSource + ?Sized>(&self, source: &'s S, after: &Self) -> Diff<'s, S> {
        Diff::new(source, self.root.clone(), after.root.clone())
    }

    pub(crate) fn cursor(&self) -> Cursor {
        Cursor::new(self.root.clone())
    }

    /// About how much memory the loaded nodes take, in bytes.
    #[must_use]
    pub fn loaded_bytes(&self) -> usize {
        self.loaded_bytes
    }

    /// Forgets every loaded node that has not changed since it was stored.
    pub fn unload_clean(&mut self) {
        self.loaded_bytes = node::unload(&mut self.root);
    }
}

#[cfg(test)]
mod tests;
