//! Inserting and removing keys: only the nodes on the path change.
//!
//! Recursion goes down one level of the tree at a time, and no node is higher than
//! [`MAX_HEIGHT`].

use std::sync::Arc;

use super::load::Loader;
use super::node::{Bounds, Entry, NODE_BYTES, Node, State, Subtree};
use super::{
    MAX_ENTRIES, MAX_HEIGHT, MAX_KEY_BYTES, MAX_NODE_BYTES, MstError, codec, empty_root, is_key,
    key_depth,
};
use crate::data::{Cid, Link};
use crate::repo::BlockSource;

type Halves = (Option<Subtree>, Option<Subtree>);

/// One edit under way.
#[derive(Debug)]
pub(crate) struct Edit<'s, S: ?Sized> {
    loader: Loader<'s, S>,
    removed: Vec<Cid>,
    grown: usize,
    shrunk: usize,
}

/// A key on its way to its place.
struct Leaf<'k> {
    key: &'k [u8],
    depth: u8,
}

impl<'s, S: BlockSource + ?Sized> Edit<'s, S> {
    pub(super) fn new(loader: Loader<'s, S>, removed: Vec<Cid>) -> Self {
        Self {
            loader,
            removed,
            grown: 0,
            shrunk: 0,
        }
    }

    /// The stored nodes that became unreachable, and the memory gained and lost.
    pub(super) fn finish(self) -> (Vec<Cid>, usize, usize) {
        let grown = self.grown + self.loader.loaded_bytes();
        (self.removed, grown, self.shrunk)
    }

    pub(crate) fn insert(
        &mut self,
        root: &mut Subtree,
        key: &[u8],
        value: Link,
    ) -> Result<Option<Link>, MstError> {
        if !is_key(key) {
            return Err(MstError::invalid_key(key));
        }
        let leaf = Leaf {
            key,
            depth: key_depth(key),
        };
        if leaf.depth > MAX_HEIGHT {
            return Err(MstError::too_deep(key));
        }
        let node = self.loader.node(root, None, Bounds::default())?;
        let height = node.height;
        if node.is_empty() {
            self.gone(node);
            let entry = self.entry(&leaf, value, None);
            *root = loaded(Node {
                entries: vec![entry],
                ..Node::new(leaf.depth)
            });
            return Ok(None);
        }
        if leaf.depth <= height {
            return self.insert_below(Arc::make_mut(node), &leaf, value, Bounds::default());
        }
        // Taken out rather than cloned: a second owner would make every edit copy.
        let tree = std::mem::replace(root, Subtree::Stub(empty_root()));
        let (before, after) = self.split(tree, height, key, Bounds::default())?;
        let left = before.map(|tree| self.lift(tree, height + 1..leaf.depth));
        let right = after.map(|tree| self.lift(tree, height + 1..leaf.depth));
        let entry = self.entry(&leaf, value, right);
        self.grown += NODE_BYTES;
        *root = loaded(Node {
            left,
            entries: vec![entry],
            ..Node::new(leaf.depth)
        });
        Ok(None)
    }

    fn insert_below(
        &mut self,
        node: &mut Node,
        leaf: &Leaf<'_>,
        value: Link,
        bounds: Bounds<'_>,
    ) -> Result<Option<Link>, MstError> {
        let slot = match node.search(leaf.key) {
            Ok(entry) => return Ok(node.entries.get(entry).map(|entry| entry.value.clone())),
            Err(slot) => slot,
        };
        let child = node.take_slot(slot);
        if node.height == leaf.depth {
            let below = node.height.saturating_sub(1);
            let (before, after) = match child {
                None => (None, None),
                Some(tree) => self.split(tree, below, leaf.key, node.bounds(slot, bounds))?,
            };
            node.put_slot(slot, before);
            let entry = self.entry(leaf, value, after);
            node.entries.insert(slot, entry);
        } else {
            let below = node.height.checked_sub(1);
            let child = match child {
                Some(mut tree) => {
                    let inner = node.bounds(slot, bounds);
                    let below = Arc::make_mut(self.loader.node(&mut tree, below, inner)?);
                    if let Some(present) = self.insert_below(below, leaf, value, inner)? {
                        node.put_slot(slot, Some(tree));
                        return Ok(Some(present));
                    }
                    tree
                }
                None => {
                    let entry = self.entry(leaf, value, None);
                    self.grown += NODE_BYTES;
                    let fresh = loaded(Node {
                        entries: vec![entry],
                        ..Node::new(leaf.depth)
                    });
                    self.lift(fresh, leaf.depth + 1..node.height)
                }
            };
            node.put_slot(slot, Some(child));
        }
        self.dirty(node)?;
        Ok(None)
    }

    pub(crate) fn update(
        &mut self,
        root: &mut Subtree,
        key: &[u8],
        value: Link,
    ) -> Result<Option<Link>, MstError> {
        let node = self.loader.node(root, None, Bounds::default())?;
        self.update_below(Arc::make_mut(node), key, value, Bounds::default())
    }

    fn update_below(
        &mut self,
        node: &mut Node,
        key: &[u8],
        value: Link,
        bounds: Bounds<'_>,
    ) -> Result<Option<Link>, MstError> {
        let slot = match node.search(key) {
            Err(slot) => slot,
            Ok(entry) => {
                let old = node.entries.get_mut(entry).map(|entry| {
                    let changed = entry.value != value;
                    (std::mem::replace(&mut entry.value, value), changed)
                });
                if matches!(old, Some((_, true))) {
                    self.dirty(node)?;
                }
                return Ok(old.map(|(old, _)| old));
            }
        };
        let Some(mut child) = node.take_slot(slot) else {
            return Ok(None);
        };
        let inner = node.bounds(slot, bounds);
        let below = self
            .loader
            .node(&mut child, node.height.checked_sub(1), inner)?;
        let below = Arc::make_mut(below);
        let old = self.update_below(below, key, value, inner)?;
        let changed = matches!(below.state, State::Dirty);
        node.put_slot(slot, Some(child));
        if changed {
            self.dirty(node)?;
        }
        Ok(old)
    }

    pub(crate) fn remove(
        &mut self,
        root: &mut Subtree,
        key: &[u8],
    ) -> Result<Option<Link>, MstError> {
        let node = self.loader.node(root, None, Bounds::default())?;
        let found = self.remove_below(Arc::make_mut(node), key, Bounds::default())?;
        if found.is_some() {
            self.trim(root)?;
        }
        Ok(found)
    }

    fn remove_below(
        &mut self,
        node: &mut Node,
        key: &[u8],
        bounds: Bounds<'_>,
    ) -> Result<Option<Link>, MstError> {
        let below = node.height.checked_sub(1);
        let slot = match node.search(key) {
            Ok(slot) => {
                let before = node.take_slot(slot);
                let entry = node.entries.remove(slot);
                self.shrunk += entry.bytes();
                let gap = node.bounds(slot, bounds);
                let merged = self.merge(
                    (
                        before,
                        Bounds {
                            high: Some(key),
                            ..gap
                        },
                    ),
                    (
                        entry.right,
                        Bounds {
                            low: Some(key),
                            ..gap
                        },
                    ),
                    below,
                )?;
                node.put_slot(slot, merged);
                self.dirty(node)?;
                return Ok(Some(entry.value));
            }
            Err(slot) => slot,
        };
        let Some(mut child) = node.take_slot(slot) else {
            return Ok(None);
        };
        let inner = node.bounds(slot, bounds);
        let below = Arc::make_mut(self.loader.node(&mut child, below, inner)?);
        let found = self.remove_below(below, key, inner)?;
        if found.is_some() {
            let vanished = below.is_empty();
            if vanished {
                self.shrunk += NODE_BYTES;
            }
            node.put_slot(slot, (!vanished).then_some(child));
            self.dirty(node)?;
        } else {
            node.put_slot(slot, Some(child));
        }
        Ok(found)
    }

    /// Cuts a subtree in two around a key it does not hold. A half that holds everything is the
    /// subtree itself, unchanged.
    fn split(
        &mut self,
        mut tree: Subtree,
        height: u8,
        key: &[u8],
        bounds: Bounds<'_>,
    ) -> Result<Halves, MstError> {
        let shared = self.loader.node(&mut tree, Some(height), bounds)?;
        let Err(slot) = shared.search(key) else {
            return Err(MstError::Misplaced {
                cid: shared.cid,
                reason: "a key is at two heights",
            });
        };
        let end = shared.entries.len();
        let (before, after) = if shared.slot(slot).is_some() {
            let node = Arc::make_mut(shared);
            let inner = node.take_slot(slot);
            let halves = match inner {
                None => (None, None),
                Some(inner) => self.split(
                    inner,
                    height.saturating_sub(1),
                    key,
                    node.bounds(slot, bounds),
                )?,
            };
            match halves {
                (before, None) if slot == end => {
                    node.put_slot(slot, before);
                    return Ok((Some(tree), None));
                }
                (None, after) if slot == 0 => {
                    node.put_slot(slot, after);
                    return Ok((None, Some(tree)));
                }
                halves => halves,
            }
        } else if slot == end {
            return Ok((Some(tree), None));
        } else if slot == 0 {
            return Ok((None, Some(tree)));
        } else {
            (None, None)
        };
        let node = Arc::make_mut(shared);
        self.dirty(node)?;
        self.grown += NODE_BYTES;
        let right = Node {
            left: after,
            entries: node.entries.split_off(slot),
            ..Node::new(height)
        };
        node.put_slot(slot, before);
        Ok((Some(tree), Some(loaded(right))))
    }

    /// Joins two neighbours that no key parts any more.
    fn merge(
        &mut self,
        (before, before_bounds): (Option<Subtree>, Bounds<'_>),
        (after, after_bounds): (Option<Subtree>, Bounds<'_>),
        height: Option<u8>,
    ) -> Result<Option<Subtree>, MstError> {
        let (mut before, mut after) = match (before, after) {
            (Some(before), Some(after)) => (before, after),
            (before, after) => return Ok(before.or(after)),
        };
        let left = Arc::make_mut(self.loader.node(&mut before, height, before_bounds)?);
        let right = self.loader.node(&mut after, height, after_bounds)?;
        self.gone(right);
        let right = Arc::make_mut(right);
        let end = left.entries.len();
        let (inner_left, inner_right) = (left.take_slot(end), right.left.take());
        let merged = self.merge(
            (inner_left, left.bounds(end, before_bounds)),
            (inner_right, right.bounds(0, after_bounds)),
            height.and_then(|height| height.checked_sub(1)),
        )?;
        left.put_slot(end, merged);
        left.entries.append(&mut right.entries);
        self.shrunk += NODE_BYTES;
        self.dirty(left)?;
        Ok(Some(before))
    }

    /// Puts `tree` under one keyless node per height.
    fn lift(&mut self, tree: Subtree, heights: std::ops::Range<u8>) -> Subtree {
        heights.fold(tree, |tree, height| {
            self.grown += NODE_BYTES;
            loaded(Node {
                left: Some(tree),
                ..Node::new(height)
            })
        })
    }

    /// Drops keyless roots.
    fn trim(&mut self, root: &mut Subtree) -> Result<(), MstError> {
        let mut height = None;
        loop {
            let node = match self.loader.node(root, height, Bounds::default()) {
                Ok(node) => node,
                // A proof need not hold the node that becomes the root: its CID says it all.
                Err(MstError::MissingNode(_)) if self.loader.is_partial() => return Ok(()),
                Err(error) => return Err(error),
            };
            if !node.entries.is_empty() {
                return Ok(());
            }
            let Some(child) = node.left.clone() else {
                Arc::make_mut(node).height = 0;
                return Ok(());
            };
            height = node.height.checked_sub(1);
            self.gone(node);
            self.shrunk += NODE_BYTES;
            *root = child;
        }
    }

    fn entry(&mut self, leaf: &Leaf<'_>, value: Link, right: Option<Subtree>) -> Entry {
        let entry = Entry {
            key: leaf.key.into(),
            value,
            right,
        };
        self.grown += entry.bytes();
        entry
    }

    fn gone(&mut self, node: &Node) {
        if matches!(node.state, State::Stored) {
            self.removed.push(node.cid);
        }
    }

    /// Notes that a node has changed, and that it has not grown past its limits.
    fn dirty(&mut self, node: &mut Node) -> Result<(), MstError> {
        self.gone(node);
        node.state = State::Dirty;
        // Below this many entries no node can be too large: keys and values are bounded themselves.
        let many = node.entries.len() > MAX_NODE_BYTES / (MAX_KEY_BYTES + 200);
        if many && (node.entries.len() > MAX_ENTRIES || codec::is_too_heavy(node)) {
            let key = node.entries.last().map_or(&[][..], |entry| &entry.key);
            return Err(MstError::node_full(key));
        }
        Ok(())
    }
}

fn loaded(node: Node) -> Subtree {
    Subtree::Loaded(Arc::new(node))
}
