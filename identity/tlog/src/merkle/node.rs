//! Complete subtrees, the subtrees that proofs are made of, and where their hashes come from.

use super::{Hash, MAX_SIZE, MerkleError, checked_size};

/// A complete subtree: `2^level` leaves from `index * 2^level` on. Its hash never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node {
    level: u8,
    index: u64,
}

impl Node {
    /// A node, if a tree can hold it: all of its leaves are within [`MAX_SIZE`].
    #[must_use]
    pub fn new(level: u8, index: u64) -> Option<Self> {
        let leaves = 1_u64.checked_shl(u32::from(level))?;
        let end = index.checked_add(1)?.checked_mul(leaves)?;
        (end <= MAX_SIZE).then_some(Self { level, index })
    }

    /// The height above the leaves, which are at level 0.
    #[must_use]
    pub const fn level(self) -> u8 {
        self.level
    }

    /// The place within the level, counted from zero.
    #[must_use]
    pub const fn index(self) -> u64 {
        self.index
    }
}

/// Where the hashes of complete subtrees come from: tiles, a table, memory.
///
/// Proofs are pure functions, so a source answers at once from what its owner has loaded. Which
/// nodes a proof needs can be asked beforehand ([`super::Inclusion::nodes`],
/// [`super::Consistency::nodes`]).
pub trait HashSource {
    /// Why a source could not answer.
    type Error;

    /// The hash of a node. Must be right: what a stranger supplied is checked by its root.
    fn hash(&self, node: Node) -> Result<Hash, Self::Error>;
}

impl<S: HashSource + ?Sized> HashSource for &S {
    type Error = S::Error;

    fn hash(&self, node: Node) -> Result<Hash, S::Error> {
        (**self).hash(node)
    }
}

/// The leaves from `start` up to but not including `end`, as one subtree of RFC 6962.
///
/// Only such ranges occur as split at the largest power of two does make: `start` is a multiple of
/// every power of two below the number of leaves, and of that number if it is a power itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subtree {
    pub(super) start: u64,
    pub(super) end: u64,
}

impl Subtree {
    /// The whole tree of a size.
    pub fn whole(size: u64) -> Result<Self, MerkleError> {
        checked_size(size).map(|end| Self { start: 0, end })
    }

    /// The first leaf.
    #[must_use]
    pub const fn start(self) -> u64 {
        self.start
    }

    /// The leaf after the last.
    #[must_use]
    pub const fn end(self) -> u64 {
        self.end
    }

    /// Splits at the largest power of two below the number of leaves; `None` if there are fewer
    /// than two.
    pub(super) fn split(self) -> Option<(Self, Self)> {
        let leaves = self.end - self.start;
        let below = leaves.checked_sub(1).filter(|below| *below > 0)?;
        let middle = self.start + (1 << below.ilog2());
        let (start, end) = (self.start, self.end);
        let left = Self { start, end: middle };
        let right = Self { start: middle, end };
        Some((left, right))
    }

    /// The complete subtrees it consists of, from the left, which is from the largest.
    pub fn nodes(self) -> impl Iterator<Item = Node> {
        let leaves = self.end - self.start;
        let mut start = self.start;
        (0..u64::BITS as u8)
            .rev()
            .filter(move |level| leaves >> level & 1 == 1)
            .map(move |level| {
                let index = start >> level;
                start += 1 << level;
                Node { level, index }
            })
    }

    /// The hash of the subtree; [`Hash::empty`] if it has no leaves.
    pub fn hash<S: HashSource>(self, source: &S) -> Result<Hash, S::Error> {
        let hashes: Result<Vec<Hash>, _> = self.nodes().map(|node| source.hash(node)).collect();
        Ok(fold(&hashes?))
    }
}

/// The root of the tree whose peaks these are, from the left.
pub(super) fn fold(peaks: &[Hash]) -> Hash {
    let from_the_right = peaks.iter().rev().copied();
    let root = from_the_right.reduce(|right, left| Hash::node(left, right));
    root.unwrap_or_else(Hash::empty)
}
