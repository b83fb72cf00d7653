//! The Merkle tree of RFC 6962, section 2.1: hashes, growth, inclusion and consistency proofs.
//!
//! A tree is known by its size and its root. Everything is computed from the hashes of *complete*
//! subtrees ([`Node`]), which never change once they exist and which a [`HashSource`] supplies.
//! Sizes are at most [`MAX_SIZE`]; no loop or allocation here is longer than a proof.

mod consistency;
mod hash;
mod inclusion;
mod node;
mod peaks;

#[cfg(test)]
mod tests;

pub use consistency::Consistency;
pub use hash::Hash;
pub use inclusion::Inclusion;
pub use node::{HashSource, Node, Subtree};
pub use peaks::Peaks;

/// Largest tree, in leaves: the largest in which no proof is longer than [`MAX_PROOF_HASHES`].
pub const MAX_SIZE: u64 = 1 << 62;

/// Most hashes of a proof, of either kind: what witnesses take (tlog-witness).
pub const MAX_PROOF_HASHES: usize = 63;

/// What is wrong with a size, an index, a proof or a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MerkleError {
    /// More leaves than a tree can have.
    #[error("tree size {0} is over the largest, {MAX_SIZE}")]
    Size(u64),
    /// The tree has no such leaf.
    #[error("there is no leaf {index} in a tree of {size}")]
    Index {
        /// The leaf asked for, counted from zero.
        index: u64,
        /// The leaves that there are.
        size: u64,
    },
    /// A tree cannot become smaller.
    #[error("the old size {old} is over the new size {new}")]
    Order {
        /// The size that should be the smaller one.
        old: u64,
        /// The size that should be the larger one.
        new: u64,
    },
    /// The number of hashes follows from the sizes alone.
    #[error("the proof has {found} hashes where these sizes need {expected}")]
    ProofLength {
        /// How many there must be.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// The proof leads to another root than the one given for the (new) tree.
    #[error("the proof does not lead to the tree's root")]
    Root,
    /// The proof leads to another root than the one given for the old tree.
    #[error("the proof does not lead to the old tree's root")]
    OldRoot,
    /// The number of peaks follows from the size alone.
    #[error("a tree of {size} leaves has {} peaks, not {found}", .size.count_ones())]
    Peaks {
        /// The leaves of the tree.
        size: u64,
        /// The peaks given.
        found: usize,
    },
    /// A text that is not 32 bytes in standard base64 with padding.
    #[error("a hash is written as 44 characters of standard base64")]
    HashText,
}

/// The size, if a tree can have it.
fn checked_size(size: u64) -> Result<u64, MerkleError> {
    if size <= MAX_SIZE {
        Ok(size)
    } else {
        Err(MerkleError::Size(size))
    }
}
