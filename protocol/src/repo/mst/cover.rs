//! Covering proofs: which nodes a stranger needs to check and to undo operations on some keys.

use std::sync::Arc;

use bytes::Bytes;

use super::MstError;
use super::load::Loader;
use super::node::{Bounds, Node, Subtree};
use crate::data::Cid;
use crate::repo::BlockSource;

/// Collects node blocks in one walk over all keys.
#[derive(Debug)]
pub(super) struct Cover<'s, S: ?Sized> {
    loader: Loader<'s, S>,
    /// Whether the paths to each key's neighbours belong to the proof.
    neighbours: bool,
    blocks: Vec<(Cid, Bytes)>,
}

/// What is wanted below one node.
#[derive(Clone, Copy)]
struct Wanted<'k> {
    keys: &'k [&'k [u8]],
    /// The path to the least key: the successor of a key further up.
    first: bool,
    /// The path to the greatest key.
    last: bool,
}

impl Wanted<'_> {
    fn is_nothing(&self) -> bool {
        self.keys.is_empty() && !self.first && !self.last
    }
}

impl<'s, S: BlockSource + ?Sized> Cover<'s, S> {
    pub(super) fn new(loader: Loader<'s, S>, neighbours: bool) -> Self {
        Self {
            loader,
            neighbours,
            blocks: Vec::with_capacity(16),
        }
    }

    /// The blocks, and the memory the nodes loaded on the way take.
    pub(super) fn finish(self) -> (Vec<(Cid, Bytes)>, usize) {
        (self.blocks, self.loader.loaded_bytes())
    }

    /// Collects for `keys` (sorted) and answers the root with the nodes it loaded, if it loaded any.
    pub(super) fn root(
        &mut self,
        root: &Subtree,
        keys: &[&[u8]],
    ) -> Result<Option<Subtree>, MstError> {
        let wanted = Wanted {
            keys,
            first: false,
            last: false,
        };
        self.below(root, None, Bounds::default(), wanted)
    }

    fn below(
        &mut self,
        tree: &Subtree,
        height: Option<u8>,
        bounds: Bounds<'_>,
        wanted: Wanted<'_>,
    ) -> Result<Option<Subtree>, MstError> {
        let (mut node, mut changed) = match tree {
            Subtree::Loaded(node) => (Arc::clone(node), false),
            Subtree::Stub(cid) => (Arc::new(self.loader.fetch(*cid, height, bounds)?), true),
        };
        self.blocks.push((node.cid, node.block()));
        let mut loaded: Vec<(usize, Subtree)> = Vec::new();
        self.slots(&node, bounds, wanted, &mut loaded)?;
        if !loaded.is_empty() {
            changed = true;
            let node = Arc::make_mut(&mut node);
            for (slot, child) in loaded {
                node.put_slot(slot, Some(child));
            }
        }
        Ok(changed.then_some(Subtree::Loaded(node)))
    }

    fn slots(
        &mut self,
        node: &Node,
        bounds: Bounds<'_>,
        wanted: Wanted<'_>,
        loaded: &mut Vec<(usize, Subtree)>,
    ) -> Result<(), MstError> {
        let below = node.height.checked_sub(1);
        let mut rest = wanted.keys;
        let mut first = wanted.first;
        for slot in 0..=node.entries.len() {
            let entry = node.entries.get(slot).map(|entry| &*entry.key);
            let cut = entry.map_or(rest.len(), |key| {
                rest.partition_point(|wanted| *wanted < key)
            });
            let (inside, after) = rest.split_at_checked(cut).unwrap_or((rest, &[]));
            let (hit, after) = match (entry, after.split_first()) {
                (Some(key), Some((wanted, others))) if *wanted == key => (true, others),
                _ => (false, after),
            };
            let last = if entry.is_some() {
                hit && self.neighbours
            } else {
                wanted.last
            };
            let inner = Wanted {
                keys: inside,
                first,
                last,
            };
            if let Some(child) = node.slot(slot).filter(|_| !inner.is_nothing())
                && let Some(child) = self.below(child, below, node.bounds(slot, bounds), inner)?
            {
                loaded.push((slot, child));
            }
            rest = after;
            first = hit && self.neighbours;
        }
        Ok(())
    }
}
