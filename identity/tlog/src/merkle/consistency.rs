//! Consistency proofs: that a tree grew out of another by appending (RFC 6962, 2.1.2).

use super::{Hash, HashSource, MerkleError, Node, Subtree, checked_size};

/// The question whether the tree of `old` leaves is the beginning of the tree of `new` leaves.
///
/// Every tree begins with the empty one and with itself: for these the proof is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consistency {
    old: u64,
    new: u64,
}

/// Where the old tree ends within the new one.
struct Seam {
    /// The last subtree of the old tree that is a subtree of the new one as well.
    last: Subtree,
    /// The subtrees beside the way from the root to it, from below.
    siblings: Vec<Subtree>,
}

impl Seam {
    /// If the last subtree is the whole old tree its hash is known, and the proof leaves it out.
    fn starts_with_last(&self) -> bool {
        self.last.start > 0
    }
}

impl Consistency {
    /// Asks about two sizes; [`MerkleError::Order`] or [`MerkleError::Size`] if they cannot be.
    pub fn new(old: u64, new: u64) -> Result<Self, MerkleError> {
        checked_size(new)?;
        if old <= new {
            Ok(Self { old, new })
        } else {
            Err(MerkleError::Order { old, new })
        }
    }

    /// `None` if nothing needs proving.
    fn seam(self) -> Option<Seam> {
        if self.old == 0 || self.old == self.new {
            return None;
        }
        let mut siblings = Vec::new();
        let mut last = Subtree {
            start: 0,
            end: self.new,
        };
        while last.end != self.old {
            let (left, right) = last.split()?;
            let (within, sibling) = if self.old <= right.start {
                (left, right)
            } else {
                (right, left)
            };
            siblings.push(sibling);
            last = within;
        }
        siblings.reverse();
        Some(Seam { last, siblings })
    }

    /// The subtrees whose hashes are the proof.
    fn subtrees(self) -> Vec<Subtree> {
        self.seam().map_or_else(Vec::new, |seam| {
            let last = seam.starts_with_last().then_some(seam.last);
            last.into_iter().chain(seam.siblings).collect()
        })
    }

    /// The nodes that [`Self::prove`] asks its source for.
    pub fn nodes(self) -> impl Iterator<Item = Node> {
        self.subtrees().into_iter().flat_map(Subtree::nodes)
    }

    /// The proof: at most 63 hashes.
    pub fn prove<S: HashSource>(self, source: &S) -> Result<Vec<Hash>, S::Error> {
        let subtrees = self.subtrees().into_iter();
        subtrees.map(|subtree| subtree.hash(source)).collect()
    }

    /// Checks that the tree with the new root begins with the tree that has the old root.
    ///
    /// The root of an empty old tree is checked too: it must be [`Hash::empty`].
    pub fn verify(self, old_root: Hash, proof: &[Hash], new_root: Hash) -> Result<(), MerkleError> {
        let expected = self.subtrees().len();
        let found = proof.len();
        if expected != found {
            return Err(MerkleError::ProofLength { expected, found });
        }
        let Some(seam) = self.seam() else {
            return self.verify_trivial(old_root, new_root);
        };
        let (first, rest) = match proof.split_first() {
            Some((first, rest)) if seam.starts_with_last() => (*first, rest),
            _ => (old_root, proof),
        };
        let (mut old, mut new) = (first, first);
        for (sibling, hash) in seam.siblings.iter().zip(rest) {
            if sibling.start >= self.old {
                new = Hash::node(new, *hash);
            } else {
                old = Hash::node(*hash, old);
                new = Hash::node(*hash, new);
            }
        }
        if old != old_root {
            return Err(MerkleError::OldRoot);
        }
        if new != new_root {
            return Err(MerkleError::Root);
        }
        Ok(())
    }

    fn verify_trivial(self, old_root: Hash, new_root: Hash) -> Result<(), MerkleError> {
        if self.old == 0 && old_root != Hash::empty() {
            return Err(MerkleError::OldRoot);
        }
        if self.old == self.new && old_root != new_root {
            return Err(MerkleError::Root);
        }
        Ok(())
    }
}
