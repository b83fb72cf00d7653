//! Walking the leaves of a tree in order, holding one node per height.

use std::sync::Arc;

use super::MstError;
use super::load::Loader;
use super::node::{Bounds, Node, Subtree};
use crate::data::Link;
use crate::repo::BlockSource;

/// A place in a node: even numbers are slots, odd ones entries.
type Place = usize;

/// The leaves of a tree in order of key. Ends after the first error.
#[derive(Debug)]
pub struct Walk<'s, S: ?Sized> {
    loader: Loader<'s, S>,
    root: Option<Subtree>,
    from: Vec<u8>,
    stack: Vec<(Arc<Node>, Place)>,
}

impl<'s, S: BlockSource + ?Sized> Walk<'s, S> {
    pub(super) fn new(source: &'s S, root: Subtree, from: &[u8]) -> Self {
        Self {
            loader: Loader::new(source),
            root: Some(root),
            from: from.to_vec(),
            stack: Vec::new(),
        }
    }

    fn advance(&mut self) -> Result<Option<(Box<[u8]>, Link)>, MstError> {
        if let Some(root) = self.root.take() {
            self.seek(root)?;
        }
        loop {
            let Some((node, place)) = self.stack.last_mut() else {
                return Ok(None);
            };
            let here = *place;
            *place += 1;
            if here % 2 == 1 {
                if let Some(entry) = node.entries.get(here / 2) {
                    return Ok(Some((entry.key.clone(), entry.value.clone())));
                }
                self.stack.pop();
            } else if let Some(child) = node.slot(here / 2).cloned() {
                let child = self.open(child)?;
                self.stack.push((child, 0));
            }
        }
    }

    /// Goes down to the first leaf that is not less than `from`.
    fn seek(&mut self, root: Subtree) -> Result<(), MstError> {
        let mut node = match root {
            Subtree::Loaded(node) => node,
            Subtree::Stub(cid) => Arc::new(self.loader.fetch(cid, None, Bounds::default())?),
        };
        loop {
            let slot = match node.search(&self.from) {
                Ok(entry) => {
                    self.stack.push((node, entry * 2 + 1));
                    return Ok(());
                }
                Err(slot) => slot,
            };
            let child = node.slot(slot).cloned();
            self.stack.push((node, slot * 2 + 1));
            match child {
                None => return Ok(()),
                Some(child) => node = self.open(child)?,
            }
        }
    }

    /// Loads the child the top of the stack has just gone past.
    fn open(&mut self, child: Subtree) -> Result<Arc<Node>, MstError> {
        let cid = match child {
            Subtree::Loaded(node) => return Ok(node),
            Subtree::Stub(cid) => cid,
        };
        let mut bounds = Bounds::default();
        for (node, place) in &self.stack {
            bounds = node.bounds(place.saturating_sub(1) / 2, bounds);
        }
        let height = self
            .stack
            .last()
            .and_then(|(parent, _)| parent.height.checked_sub(1));
        Ok(Arc::new(self.loader.fetch(cid, height, bounds)?))
    }
}

impl<S: BlockSource + ?Sized> Iterator for Walk<'_, S> {
    type Item = Result<(Box<[u8]>, Link), MstError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.advance();
        if next.is_err() {
            self.stack.clear();
        }
        next.transpose()
    }
}
