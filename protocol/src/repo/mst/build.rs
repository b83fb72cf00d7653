//! Building a tree from sorted leaves, from the bottom up.

use std::sync::Arc;

use bytes::Bytes;

use super::node::{self, Entry, NODE_BYTES, Node, Subtree};
use super::{MAX_ENTRIES, MAX_HEIGHT, MAX_NODE_BYTES, MstError, Tree, codec, is_key, key_depth};
use crate::data::{Cid, Link};

/// The open node of a height, and its weight.
#[derive(Debug)]
struct Level {
    node: Node,
    weight: usize,
}

impl Level {
    fn new(height: u8) -> Self {
        Self {
            node: Node::new(height),
            weight: codec::EMPTY_WEIGHT,
        }
    }
}

/// Takes leaves in ascending order of key and closes each node as soon as it is complete.
#[derive(Debug)]
pub struct Builder {
    /// The open node of each height; all but the highest may be empty.
    levels: Vec<Level>,
    last: Vec<u8>,
    /// Whether closed nodes are handed out instead of kept.
    streaming: bool,
    closed: Vec<(Cid, Bytes)>,
    kept_bytes: usize,
}

impl Builder {
    /// Keeps every node, for [`Builder::into_tree`].
    #[must_use]
    pub fn in_memory() -> Self {
        Self {
            levels: Vec::new(),
            last: Vec::new(),
            streaming: false,
            closed: Vec::new(),
            kept_bytes: 0,
        }
    }

    /// Keeps one open node per height: closed nodes wait in [`Builder::take_closed`] to be written
    /// away, children before parents.
    #[must_use]
    pub fn streaming() -> Self {
        Self {
            streaming: true,
            ..Self::in_memory()
        }
    }

    /// Adds the next leaf.
    ///
    /// # Errors
    /// [`MstError`] when the key is malformed or out of order, or its node is full.
    pub fn push(&mut self, key: &[u8], value: Link) -> Result<(), MstError> {
        if !is_key(key) {
            return Err(MstError::invalid_key(key));
        }
        if key <= self.last.as_slice() {
            return Err(MstError::key_order(key));
        }
        let depth = key_depth(key);
        if depth > MAX_HEIGHT {
            return Err(MstError::too_deep(key));
        }
        for height in 0..depth {
            self.close(height);
        }
        let level = self.level(depth);
        let entry = Entry {
            key: key.into(),
            value,
            right: None,
        };
        let previous = level
            .node
            .entries
            .last()
            .map_or(&[][..], |entry| &entry.key);
        level.weight += codec::entry_weight(previous, &entry);
        if level.weight > MAX_NODE_BYTES || level.node.entries.len() >= MAX_ENTRIES {
            return Err(MstError::node_full(key));
        }
        let bytes = entry.bytes();
        level.node.entries.push(entry);
        self.kept_bytes += bytes;
        self.last.clear();
        self.last.extend_from_slice(key);
        Ok(())
    }

    /// The nodes closed since the last call (only when streaming).
    pub fn take_closed(&mut self) -> Vec<(Cid, Bytes)> {
        std::mem::take(&mut self.closed)
    }

    /// The finished tree. When streaming it is one stub, and its last nodes are in
    /// [`Builder::finish`] instead.
    #[must_use]
    pub fn into_tree(mut self) -> Tree {
        let mut root = self.close_all();
        let bytes = self.kept_bytes;
        let base = node::seal(&mut root);
        Tree::from_root(root, base, bytes)
    }

    /// Closes what is open; answers the root and the nodes not yet taken.
    #[must_use]
    pub fn finish(mut self) -> (Cid, Vec<(Cid, Bytes)>) {
        let mut root = self.close_all();
        let cid = node::seal(&mut root);
        node::take_new(&mut root, &mut self.closed);
        (cid, self.closed)
    }

    fn close_all(&mut self) -> Subtree {
        let top = self.levels.len().saturating_sub(1);
        for height in 0..top {
            self.close(u8::try_from(height).unwrap_or(MAX_HEIGHT));
        }
        let root = self
            .levels
            .pop()
            .map_or_else(|| Node::new(0), |level| level.node);
        self.kept_bytes += NODE_BYTES;
        self.shelve(root)
    }

    /// Ends the open node of this height and hangs it below the open node above.
    fn close(&mut self, height: u8) {
        let node = std::mem::replace(self.level(height), Level::new(height)).node;
        if node.is_empty() {
            return;
        }
        let closed = self.shelve(node);
        self.kept_bytes += NODE_BYTES;
        let parent = &mut self.level(height + 1).node;
        let slot = parent.entries.len();
        parent.put_slot(slot, Some(closed));
    }

    fn shelve(&mut self, node: Node) -> Subtree {
        let mut tree = Subtree::Loaded(Arc::new(node));
        if !self.streaming {
            return tree;
        }
        let cid = node::seal(&mut tree);
        node::take_new(&mut tree, &mut self.closed);
        Subtree::Stub(cid)
    }

    fn level(&mut self, height: u8) -> &mut Level {
        let height = usize::from(height);
        while self.levels.len() <= height {
            let next = u8::try_from(self.levels.len()).unwrap_or(MAX_HEIGHT);
            self.levels.push(Level::new(next));
        }
        #[expect(clippy::indexing_slicing, reason = "the loop above made the level")]
        &mut self.levels[height]
    }
}
