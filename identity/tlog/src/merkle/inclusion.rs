//! Inclusion proofs: that a leaf stands at a place in a tree (RFC 6962, 2.1.1).

use super::{Hash, HashSource, MerkleError, Node, Subtree, checked_size};

/// The question whether a leaf stands at `index` in the tree of `size` leaves.
///
/// Which hashes answer it follows from the two numbers alone, so the same walk serves the one who
/// proves and the one who checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inclusion {
    index: u64,
    size: u64,
}

impl Inclusion {
    /// Asks for a leaf that the tree has; [`MerkleError::Index`] or [`MerkleError::Size`] if not.
    pub fn new(index: u64, size: u64) -> Result<Self, MerkleError> {
        checked_size(size)?;
        if index < size {
            Ok(Self { index, size })
        } else {
            Err(MerkleError::Index { index, size })
        }
    }

    /// The leaf asked for.
    #[must_use]
    pub const fn index(self) -> u64 {
        self.index
    }

    /// The subtrees beside the way from the root to the leaf, from the leaf up: the proof's hashes
    /// are theirs.
    fn siblings(self) -> Vec<Subtree> {
        let mut siblings = Vec::new();
        let mut around = Subtree {
            start: 0,
            end: self.size,
        };
        while let Some((left, right)) = around.split() {
            let (within, sibling) = if self.index < right.start {
                (left, right)
            } else {
                (right, left)
            };
            siblings.push(sibling);
            around = within;
        }
        siblings.reverse();
        siblings
    }

    /// The nodes that [`Self::prove`] asks its source for.
    pub fn nodes(self) -> impl Iterator<Item = Node> {
        self.siblings().into_iter().flat_map(Subtree::nodes)
    }

    /// The proof: at most 63 hashes, the leaf's sibling first.
    pub fn prove<S: HashSource>(self, source: &S) -> Result<Vec<Hash>, S::Error> {
        let siblings = self.siblings().into_iter();
        siblings.map(|sibling| sibling.hash(source)).collect()
    }

    /// The root that a proof leads to from a leaf's hash; [`MerkleError::ProofLength`] if it leads
    /// nowhere.
    pub fn root(self, leaf: Hash, proof: &[Hash]) -> Result<Hash, MerkleError> {
        let siblings = self.siblings();
        if siblings.len() != proof.len() {
            return Err(MerkleError::ProofLength {
                expected: siblings.len(),
                found: proof.len(),
            });
        }
        let steps = siblings.iter().zip(proof);
        Ok(steps.fold(leaf, |hash, (sibling, other)| {
            if sibling.start > self.index {
                Hash::node(hash, *other)
            } else {
                Hash::node(*other, hash)
            }
        }))
    }

    /// Checks that a leaf with this hash stands at the index in the tree with this root.
    pub fn verify(self, leaf: Hash, proof: &[Hash], root: Hash) -> Result<(), MerkleError> {
        if self.root(leaf, proof)? == root {
            Ok(())
        } else {
            Err(MerkleError::Root)
        }
    }
}
