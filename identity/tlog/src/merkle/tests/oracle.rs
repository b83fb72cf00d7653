//! The definitions of RFC 6962, section 2.1, word for word: recursive, over all leaves.

use std::cell::RefCell;
use std::collections::HashMap;
use std::convert::Infallible;
use std::ops::Range;

use crate::merkle::{Hash, HashSource, Node};

/// All leaves. Roots are remembered, since tests ask for the same ones again and again.
pub(super) struct Oracle {
    leaves: Vec<Hash>,
    roots: RefCell<HashMap<Range<usize>, Hash>>,
}

impl Oracle {
    /// An oracle of this many different leaves.
    pub(super) fn new(count: u64) -> Self {
        let leaf = |index: u64| Hash::leaf(&index.to_be_bytes());
        Self {
            leaves: (0..count).map(leaf).collect(),
            roots: RefCell::default(),
        }
    }

    /// The hash of a leaf.
    pub(super) fn leaf(&self, index: u64) -> Hash {
        self.leaves[index as usize]
    }

    /// `MTH(D[n])`.
    pub(super) fn root(&self, size: u64) -> Hash {
        self.root_of(0..size as usize)
    }

    /// `PATH(m, D[n])`.
    pub(super) fn path(&self, index: u64, size: u64) -> Vec<Hash> {
        self.path_in(index as usize, 0..size as usize)
    }

    /// `PROOF(m, D[n])`, which is defined from one leaf on.
    pub(super) fn proof(&self, old: u64, new: u64) -> Vec<Hash> {
        match old {
            0 => Vec::new(),
            _ => self.subproof(old as usize, 0..new as usize, true),
        }
    }

    fn root_of(&self, leaves: Range<usize>) -> Hash {
        match leaves.len() {
            0 => return Hash::empty(),
            1 => return self.leaves[leaves.start],
            _ => {}
        }
        if let Some(root) = self.roots.borrow().get(&leaves) {
            return *root;
        }
        let (left, right) = split(&leaves);
        let root = Hash::node(self.root_of(left), self.root_of(right));
        self.roots.borrow_mut().insert(leaves, root);
        root
    }

    fn path_in(&self, index: usize, leaves: Range<usize>) -> Vec<Hash> {
        if leaves.len() == 1 {
            return Vec::new();
        }
        let (left, right) = split(&leaves);
        if index < right.start {
            appended(self.path_in(index, left), self.root_of(right))
        } else {
            appended(self.path_in(index, right), self.root_of(left))
        }
    }

    /// `SUBPROOF(m, D[n], b)`; the old tree ends at `end`.
    fn subproof(&self, end: usize, leaves: Range<usize>, is_known: bool) -> Vec<Hash> {
        if end == leaves.end {
            return if is_known {
                Vec::new()
            } else {
                vec![self.root_of(leaves)]
            };
        }
        let (left, right) = split(&leaves);
        if end <= right.start {
            appended(self.subproof(end, left, is_known), self.root_of(right))
        } else {
            appended(self.subproof(end, right, false), self.root_of(left))
        }
    }
}

impl HashSource for Oracle {
    type Error = Infallible;

    fn hash(&self, node: Node) -> Result<Hash, Infallible> {
        let start = (node.index() << node.level()) as usize;
        Ok(self.root_of(start..start + (1 << node.level())))
    }
}

/// Splits at the largest power of two below the number of leaves.
fn split(leaves: &Range<usize>) -> (Range<usize>, Range<usize>) {
    let middle = leaves.start + leaves.len().next_power_of_two() / 2;
    (leaves.start..middle, middle..leaves.end)
}

fn appended(mut list: Vec<Hash>, last: Hash) -> Vec<Hash> {
    list.push(last);
    list
}
