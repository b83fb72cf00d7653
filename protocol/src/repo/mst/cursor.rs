//! A reading place in a tree: goes through children and leaves in order, one node per height.

use std::sync::Arc;

use super::MstError;
use super::load::Loader;
use super::node::{Bounds, Entry, Node, Subtree};
use super::walk::Leaf;
use crate::data::Cid;
use crate::repo::BlockSource;

/// A reading place. In a node, even places are slots and odd ones entries.
#[derive(Debug)]
pub(crate) struct Cursor {
    root: Option<Subtree>,
    stack: Vec<(Arc<Node>, usize)>,
}

/// What stands at a reading place.
#[derive(Debug)]
pub(crate) enum Here<'t> {
    /// A child, and the height it has unless it is the root.
    Child(&'t Subtree, Option<u8>),
    Leaf(&'t Entry),
    End,
}

impl Cursor {
    /// Before the root.
    pub(crate) fn new(root: Subtree) -> Self {
        Self {
            root: Some(root),
            stack: Vec::new(),
        }
    }

    /// At the end of everything.
    pub(crate) fn ended() -> Self {
        Self {
            root: None,
            stack: Vec::new(),
        }
    }

    pub(crate) fn here(&self) -> Here<'_> {
        if let Some(root) = &self.root {
            return Here::Child(root, None);
        }
        let Some((node, place)) = self.stack.last() else {
            return Here::End;
        };
        if place % 2 == 1 {
            return node.entries.get(place / 2).map_or(Here::End, Here::Leaf);
        }
        let height = node.height.checked_sub(1);
        node.slot(place / 2)
            .map_or(Here::End, |child| Here::Child(child, height))
    }

    /// Goes past what stands here.
    pub(crate) fn skip(&mut self) {
        self.step();
        self.settle();
    }

    /// Goes into the child that stands here if it is in memory, else past what stands here.
    pub(crate) fn pass(&mut self) {
        match self.here() {
            Here::Child(Subtree::Loaded(node), _) => {
                let node = Arc::clone(node);
                self.push(node);
            }
            Here::Child(Subtree::Stub(_), _) | Here::Leaf(_) | Here::End => self.step(),
        }
        self.settle();
    }

    /// Goes past the leaf that stands here and answers it.
    pub(crate) fn take_leaf(&mut self) -> Option<Leaf> {
        let Here::Leaf(entry) = self.here() else {
            return None;
        };
        let leaf = (entry.key.clone(), entry.value.clone());
        self.skip();
        Some(leaf)
    }

    /// Goes into the child that stands here.
    pub(crate) fn enter<S: BlockSource + ?Sized>(
        &mut self,
        loader: &mut Loader<'_, S>,
    ) -> Result<(), MstError> {
        self.open(loader)?;
        self.settle();
        Ok(())
    }

    /// Goes into the child that stands here, whose block is at hand.
    pub(crate) fn enter_block(&mut self, cid: Cid, block: &[u8]) -> Result<(), MstError> {
        let node = match self.here() {
            Here::Child(Subtree::Stub(wanted), height) if *wanted == cid => {
                super::load::check(block, cid, height, self.bounds())?
            }
            Here::Child(..) | Here::Leaf(_) | Here::End => return Ok(()),
        };
        self.push(Arc::new(node));
        self.settle();
        Ok(())
    }

    /// Goes down from the root to the first leaf that is not less than `from`.
    pub(crate) fn seek<S: BlockSource + ?Sized>(
        &mut self,
        loader: &mut Loader<'_, S>,
        from: &[u8],
    ) -> Result<(), MstError> {
        while let Here::Child(..) = self.here() {
            self.open(loader)?;
            let Some((node, place)) = self.stack.last_mut() else {
                break;
            };
            match node.search(from) {
                Ok(entry) => {
                    *place = entry * 2 + 1;
                    break;
                }
                Err(slot) => *place = slot * 2,
            }
        }
        self.settle();
        Ok(())
    }

    /// The CIDs of the nodes outside of memory that are next in the nodes on the way here.
    pub(crate) fn stubs_ahead(&self) -> impl Iterator<Item = Cid> {
        let root = self.root.iter();
        let ahead = self.stack.iter().rev().flat_map(|(node, place)| {
            (place.div_ceil(2)..=node.entries.len()).filter_map(|slot| node.slot(slot))
        });
        root.chain(ahead).filter_map(|child| match child {
            Subtree::Stub(cid) => Some(*cid),
            Subtree::Loaded(_) => None,
        })
    }

    fn open<S: BlockSource + ?Sized>(
        &mut self,
        loader: &mut Loader<'_, S>,
    ) -> Result<(), MstError> {
        let node = match self.here() {
            Here::Child(Subtree::Loaded(node), _) => Arc::clone(node),
            Here::Child(Subtree::Stub(cid), height) => {
                Arc::new(loader.fetch(*cid, height, self.bounds())?)
            }
            Here::Leaf(_) | Here::End => return Ok(()),
        };
        self.push(node);
        Ok(())
    }

    /// What the child that stands here must lie between.
    fn bounds(&self) -> Bounds<'_> {
        self.stack
            .iter()
            .fold(Bounds::default(), |bounds, (node, place)| {
                // The parents' places are already past the children that were entered.
                node.bounds(place.saturating_sub(place % 2) / 2, bounds)
            })
    }

    fn push(&mut self, node: Arc<Node>) {
        self.step();
        self.stack.push((node, 0));
    }

    fn step(&mut self) {
        if self.root.take().is_none()
            && let Some((_, place)) = self.stack.last_mut()
        {
            *place += 1;
        }
    }

    /// Leaves finished nodes and goes past empty slots.
    fn settle(&mut self) {
        while let Some((node, place)) = self.stack.last_mut() {
            if *place > node.entries.len() * 2 {
                self.stack.pop();
            } else if *place % 2 == 0 && node.slot(*place / 2).is_none() {
                *place += 1;
            } else {
                return;
            }
        }
    }
}
