//! Comparing two trees: shared subtrees are recognised by their CID and skipped unread.

use std::cmp::Ordering;

use super::MstError;
use super::cursor::{Cursor, Here};
use super::load::Loader;
use super::node::Subtree;
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
    before: Cursor,
    after: Cursor,
}

impl<'s, S: BlockSource + ?Sized> Diff<'s, S> {
    pub(super) fn new(source: &'s S, before: Subtree, after: Subtree) -> Self {
        Self {
            loader: Loader::new(source),
            before: Cursor::new(before),
            after: Cursor::new(after),
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
            self.before = Cursor::ended();
            self.after = Cursor::ended();
        }
        next.transpose()
    }
}
