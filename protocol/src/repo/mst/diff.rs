//! Comparing two trees: shared subtrees are recognised by their CID and skipped unread.

use std::cmp::Ordering;
use std::sync::Arc;

use super::MstError;
use super::load::Loader;
use super::node::{Bounds, Entry, Node, Subtree};
use crate::data::Link;
use crate::repo::BlockSource;

/// One key that differs between two trees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which key.
    pub key: Box<[u8]>,
    /// Its value before; `None` when it is new.
    pub before: Option<Link>,
    /// Its value after; `None` when it is gone.
    pub after: Option<Link>,
}

/// The changes from one tree to another, in order of key. Ends after the first error.
#[derive(Debug)]
pub struct Diff<'s, S: ?Sized> {
    loader: Loader<'s, S>,
    before: Side,
    after: Side,
}

/// A reading place in one tree.
#[derive(Debug)]
struct Side {
    root: Option<Subtree>,
    stack: Vec<(Arc<Node>, usize)>,
}

/// What stands at a reading place.
enum Here<'t> {
    /// A child, and the height it has unless it is the root.
    Child(&'t Subtree, Option<u8>),
    Leaf(&'t Entry),
    End,
}

impl Side {
    fn new(root: Subtree) -> Self {
        Self {
            root: Some(root),
            stack: Vec::new(),
        }
    }

    /// Drops finished nodes and empty slots.
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

    fn here(&self) -> Here<'_> {
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

    fn skip(&mut self) {
        if self.root.take().is_none()
            && let Some((_, place)) = self.stack.last_mut()
        {
            *place += 1;
        }
        self.settle();
    }

    fn enter<S: BlockSource + ?Sized>(
        &mut self,
        loader: &mut Loader<'_, S>,
    ) -> Result<(), MstError> {
        let node = match self.here() {
            Here::Child(Subtree::Loaded(node), _) => Arc::clone(node),
            Here::Child(Subtree::Stub(cid), height) => {
                let mut bounds = Bounds::default();
                for (node, place) in &self.stack {
                    bounds = node.bounds(place / 2, bounds);
                }
                Arc::new(loader.fetch(*cid, height, bounds)?)
            }
            Here::Leaf(_) | Here::End => return Ok(()),
        };
        if self.root.take().is_none()
            && let Some((_, place)) = self.stack.last_mut()
        {
            *place += 1;
        }
        self.stack.push((node, 0));
        self.settle();
        Ok(())
    }

    fn take_leaf(&mut self) -> Option<(Box<[u8]>, Link)> {
        let Here::Leaf(entry) = self.here() else {
            return None;
        };
        let leaf = (entry.key.clone(), entry.value.clone());
        self.skip();
        Some(leaf)
    }
}

impl<'s, S: BlockSource + ?Sized> Diff<'s, S> {
    pub(super) fn new(source: &'s S, before: Subtree, after: Subtree) -> Self {
        Self {
            loader: Loader::new(source),
            before: Side::new(before),
            after: Side::new(after),
        }
    }

    fn advance(&mut self) -> Result<Option<Change>, MstError> {
        loop {
            let order = match (self.before.here(), self.after.here()) {
                (Here::End, Here::End) => return Ok(None),
                (Here::Child(a, _), Here::Child(b, _)) if a.cid() == b.cid() => {
                    self.before.skip();
                    self.after.skip();
                    continue;
                }
                (Here::Child(_, a), Here::Child(_, b)) => {
                    // The lower one may be a part of the higher one: open that first.
                    let (a, b) = (a.unwrap_or(u8::MAX), b.unwrap_or(u8::MAX));
                    if a >= b {
                        self.before.enter(&mut self.loader)?;
                    }
                    if b >= a {
                        self.after.enter(&mut self.loader)?;
                    }
                    continue;
                }
                (Here::Child(..), _) => {
                    self.before.enter(&mut self.loader)?;
                    continue;
                }
                (_, Here::Child(..)) => {
                    self.after.enter(&mut self.loader)?;
                    continue;
                }
                (Here::Leaf(_), Here::End) => Ordering::Less,
                (Here::End, Here::Leaf(_)) => Ordering::Greater,
                (Here::Leaf(a), Here::Leaf(b)) => a.key.cmp(&b.key),
            };
            let before = order.is_le().then(|| self.before.take_leaf()).flatten();
            let after = order.is_ge().then(|| self.after.take_leaf()).flatten();
            let key = match (&before, &after) {
                (Some((_, old)), Some((_, new))) if old == new => continue,
                (Some((key, _)), _) | (None, Some((key, _))) => key.clone(),
                (None, None) => return Ok(None),
            };
            let (before, after) = (before.map(|leaf| leaf.1), after.map(|leaf| leaf.1));
            return Ok(Some(Change { key, before, after }));
        }
    }
}

impl<S: BlockSource + ?Sized> Iterator for Diff<'_, S> {
    type Item = Result<Change, MstError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.advance();
        if next.is_err() {
            self.before = Side {
                root: None,
                stack: Vec::new(),
            };
            self.after = Side {
                root: None,
                stack: Vec::new(),
            };
        }
        next.transpose()
    }
}
