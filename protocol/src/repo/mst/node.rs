//! One node in memory, its place in the tree, and how changed nodes get their CIDs.

use std::sync::Arc;

use bytes::Bytes;

use super::{codec, empty_root};
use crate::data::{Cid, Link};

/// About what a loaded node takes beside its entries, in bytes.
pub(super) const NODE_BYTES: usize = size_of::<Node>() + 32;

/// A child: known by its CID alone, or loaded.
#[derive(Debug, Clone)]
pub(crate) enum Subtree {
    /// Not in memory.
    Stub(Cid),
    /// In memory; shared with other clones of the tree until one of them edits it.
    Loaded(Arc<Node>),
}

impl Subtree {
    /// The CID; stale while the node is dirty, so seal first.
    pub(super) fn cid(&self) -> Cid {
        match self {
            Self::Stub(cid) => *cid,
            Self::Loaded(node) => node.cid,
        }
    }
}

/// How much of a node is known to the store.
#[derive(Debug, Clone)]
pub(super) enum State {
    /// `cid` names it and the store has it.
    Stored,
    /// `cid` names it; the store has not seen it yet.
    Sealed(Bytes),
    /// Changed: `cid` is stale.
    Dirty,
}

/// One record of a node, and the child between it and the next record.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: Box<[u8]>,
    pub(crate) value: Link,
    pub(crate) right: Option<Subtree>,
}

impl Entry {
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.key.len() + 16
    }
}

/// A node: slots (children) and entries in turn, `slot 0, entry 0, slot 1, entry 1, …`.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) cid: Cid,
    pub(super) state: State,
    pub(super) height: u8,
    pub(super) left: Option<Subtree>,
    pub(super) entries: Vec<Entry>,
}

/// The keys a subtree must lie between, both exclusive.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bounds<'k> {
    pub(super) low: Option<&'k [u8]>,
    pub(super) high: Option<&'k [u8]>,
}

impl Node {
    /// An empty node that no store knows.
    pub(super) fn new(height: u8) -> Self {
        Self {
            cid: empty_root(),
            state: State::Dirty,
            height,
            left: None,
            entries: Vec::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.left.is_none()
    }

    /// `Ok(entry)` when the key is here, else `Err(slot)` where it would be.
    pub(super) fn search(&self, key: &[u8]) -> Result<usize, usize> {
        self.entries.binary_search_by(|entry| (*entry.key).cmp(key))
    }

    pub(super) fn slot(&self, slot: usize) -> Option<&Subtree> {
        match slot.checked_sub(1) {
            None => self.left.as_ref(),
            Some(entry) => self
                .entries
                .get(entry)
                .and_then(|entry| entry.right.as_ref()),
        }
    }

    pub(super) fn take_slot(&mut self, slot: usize) -> Option<Subtree> {
        match slot.checked_sub(1) {
            None => self.left.take(),
            Some(entry) => self
                .entries
                .get_mut(entry)
                .and_then(|entry| entry.right.take()),
        }
    }

    pub(super) fn put_slot(&mut self, slot: usize, child: Option<Subtree>) {
        match slot.checked_sub(1) {
            None => self.left = child,
            Some(entry) => {
                if let Some(entry) = self.entries.get_mut(entry) {
                    entry.right = child;
                }
            }
        }
    }

    /// What the child in `slot` must lie between, given what this node lies between.
    pub(super) fn bounds<'k>(&'k self, slot: usize, outer: Bounds<'k>) -> Bounds<'k> {
        let before = slot
            .checked_sub(1)
            .and_then(|entry| self.entries.get(entry));
        Bounds {
            low: before.map(|entry| &*entry.key).or(outer.low),
            high: self
                .entries
                .get(slot)
                .map(|entry| &*entry.key)
                .or(outer.high),
        }
    }

    /// The node's block; only meaningful when its children are sealed.
    pub(crate) fn block(&self) -> Bytes {
        if let State::Sealed(block) = &self.state {
            return block.clone();
        }
        let mut out = Vec::with_capacity(64 + self.entries.len() * 128);
        codec::encode(self, &mut out);
        Bytes::from(out)
    }

    pub(super) fn bytes(&self) -> usize {
        NODE_BYTES + self.entries.iter().map(Entry::bytes).sum::<usize>()
    }
}

/// Gives every dirty node below `tree` its CID, children first, and answers the root's.
pub(super) fn seal(tree: &mut Subtree) -> Cid {
    let mut scratch = Vec::new();
    seal_below(tree, &mut scratch)
}

fn seal_below(tree: &mut Subtree, scratch: &mut Vec<u8>) -> Cid {
    let node = match tree {
        Subtree::Stub(cid) => return *cid,
        Subtree::Loaded(node) if matches!(node.state, State::Dirty) => Arc::make_mut(node),
        Subtree::Loaded(node) => return node.cid,
    };
    if let Some(child) = &mut node.left {
        seal_below(child, scratch);
    }
    for child in node
        .entries
        .iter_mut()
        .filter_map(|entry| entry.right.as_mut())
    {
        seal_below(child, scratch);
    }
    scratch.clear();
    codec::encode(node, scratch);
    node.cid = Cid::dag_cbor(scratch);
    node.state = State::Sealed(Bytes::copy_from_slice(scratch));
    node.cid
}

/// Collects the nodes the store has not seen, parents first, and marks them as stored.
/// A stored node has only stored nodes below it.
pub(super) fn take_new(tree: &mut Subtree, out: &mut Vec<(Cid, Bytes)>) {
    let Subtree::Loaded(node) = tree else { return };
    if !matches!(node.state, State::Sealed(_)) {
        return;
    }
    let node = Arc::make_mut(node);
    if let State::Sealed(block) = std::mem::replace(&mut node.state, State::Stored) {
        out.push((node.cid, block));
    }
    if let Some(child) = &mut node.left {
        take_new(child, out);
    }
    for child in node
        .entries
        .iter_mut()
        .filter_map(|entry| entry.right.as_mut())
    {
        take_new(child, out);
    }
}

/// Turns stored nodes into stubs; answers the memory that remains in use.
pub(super) fn unload(tree: &mut Subtree) -> usize {
    let node = match tree {
        Subtree::Stub(_) => return 0,
        Subtree::Loaded(node) if matches!(node.state, State::Stored) => {
            *tree = Subtree::Stub(node.cid);
            return 0;
        }
        Subtree::Loaded(node) => Arc::make_mut(node),
    };
    let mut bytes = node.bytes();
    if let Some(child) = &mut node.left {
        bytes += unload(child);
    }
    for child in node
        .entries
        .iter_mut()
        .filter_map(|entry| entry.right.as_mut())
    {
        bytes += unload(child);
    }
    bytes
}
