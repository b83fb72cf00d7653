//! The order in which a repository is exported: commit, then the tree depth first, each node before
//! what it holds, records and subtrees in order of key ("atproto repository" spec, streamable CAR order).
//!
//! The walker asks for one node at a time and keeps one node per height, so that an export needs no
//! more memory for a million records than for one, and a reader can check it as it arrives.

use bytes::Bytes;

use super::mst::{Cursor, Here, MstError, Subtree, Tree};
use crate::data::{Cid, Link};

/// What comes next in an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A node: fetch its block, write it, and give it to [`Exporter::provide`].
    Node(Cid),
    /// A node that is in memory: write it.
    LoadedNode(Cid, Bytes),
    /// A record: fetch its block and write it. Records come in order of key.
    Record {
        /// Its path.
        key: Box<[u8]>,
        /// Its CID; a foreign one has no block that could be written.
        cid: Link,
    },
}

/// Says block by block what follows the commit in an export.
#[derive(Debug)]
pub struct Exporter {
    cursor: Cursor,
}

impl Exporter {
    /// Exports the stored tree called `data`.
    #[must_use]
    pub fn new(data: Cid) -> Self {
        Self {
            cursor: Cursor::new(Subtree::Stub(data)),
        }
    }

    /// Exports a tree of which a part is in memory. The tree must be sealed: call [`Tree::root`]
    /// after an edit.
    #[must_use]
    pub fn of_tree(tree: &Tree) -> Self {
        Self {
            cursor: tree.cursor(),
        }
    }

    /// What comes next; `None` at the end. The same node is asked for until it was provided.
    pub fn next_step(&mut self) -> Option<Step> {
        let step = match self.cursor.here() {
            Here::End => return None,
            Here::Child(Subtree::Stub(cid), _) => return Some(Step::Node(*cid)),
            Here::Child(Subtree::Loaded(node), _) => Step::LoadedNode(node.cid, node.block()),
            Here::Leaf(entry) => Step::Record {
                key: entry.key.clone(),
                cid: entry.value.clone(),
            },
        };
        self.cursor.pass();
        Some(step)
    }

    /// Takes the block of the node last asked for, whose hash the caller has checked.
    ///
    /// # Errors
    /// [`MstError`] when it is malformed or does not belong where it is referred to.
    pub fn provide(&mut self, cid: Cid, block: &[u8]) -> Result<(), MstError> {
        self.cursor.enter_block(cid, block)
    }

    /// Goes past the node last asked for and everything below it: a reader who has it needs none of it.
    pub fn skip(&mut self) {
        if let Here::Child(Subtree::Stub(_), _) = self.cursor.here() {
            self.cursor.skip();
        }
    }

    /// The nodes that will be asked for, as far as they are known: for fetching several at once.
    pub fn nodes_ahead(&self, limit: usize) -> Vec<Cid> {
        self.cursor.stubs_ahead().take(limit).collect()
    }
}

#[cfg(test)]
mod tests;
