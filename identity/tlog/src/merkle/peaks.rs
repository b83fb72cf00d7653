//! A tree in a few hashes: enough to append to it and to know its root.

use super::node::fold;
use super::{Hash, HashSource, MAX_SIZE, MerkleError, Subtree};

/// The compact range of a whole tree: the hashes of the complete subtrees it consists of, one for
/// each bit of its size, from the left.
///
/// A monitor that follows a log keeps no more than this: it appends the leaf hashes that it reads
/// and compares the root with the checkpoint's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peaks {
    size: u64,
    hashes: Vec<Hash>,
}

impl Peaks {
    /// The peaks of the tree without leaves.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Peaks that were stored: as many as the size has bits that are one.
    pub fn from_hashes(size: u64, hashes: Vec<Hash>) -> Result<Self, MerkleError> {
        Subtree::whole(size)?;
        if hashes.len() != size.count_ones() as usize {
            let found = hashes.len();
            return Err(MerkleError::Peaks { size, found });
        }
        Ok(Self { size, hashes })
    }

    /// The peaks of a tree whose hashes a source has.
    pub fn load<S: HashSource>(tree: Subtree, source: &S) -> Result<Self, S::Error> {
        let hashes: Result<_, _> = tree.nodes().map(|node| source.hash(node)).collect();
        Ok(Self {
            size: tree.end(),
            hashes: hashes?,
        })
    }

    /// Appends a leaf by its hash. [`MerkleError::Size`] when the tree is full.
    pub fn append(&mut self, leaf: Hash) -> Result<(), MerkleError> {
        if self.size >= MAX_SIZE {
            return Err(MerkleError::Size(self.size + 1));
        }
        let mut grown = leaf;
        // Each one at the end of the size is a subtree as large as the one that has grown so far.
        for _ in 0..self.size.trailing_ones() {
            let Some(left) = self.hashes.pop() else { break };
            grown = Hash::node(left, grown);
        }
        self.hashes.push(grown);
        self.size += 1;
        Ok(())
    }

    /// The number of leaves.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The hashes, from the left.
    #[must_use]
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> Hash {
        fold(&self.hashes)
    }
}
