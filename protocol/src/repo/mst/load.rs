//! Bringing nodes into memory: every node is checked against the place it is found in.

use std::sync::Arc;

use super::codec;
use super::node::{Bounds, Node, State, Subtree};
use super::{MstError, Tree, empty_root};
use crate::data::{Cid, Link};
use crate::repo::{BlockMap, BlockSource};

/// Reads nodes from a source and counts the memory they take.
#[derive(Debug)]
pub(crate) struct Loader<'s, S: ?Sized> {
    source: &'s S,
    partial: bool,
    loaded_bytes: usize,
}

impl<'s, S: BlockSource + ?Sized> Loader<'s, S> {
    pub(crate) fn new(source: &'s S) -> Self {
        Self {
            source,
            partial: false,
            loaded_bytes: 0,
        }
    }

    /// For proofs: what the blocks do not hold may stay unknown where nothing depends on it.
    pub(crate) fn partial(mut self) -> Self {
        self.partial = true;
        self
    }

    pub(super) fn is_partial(&self) -> bool {
        self.partial
    }

    pub(super) fn loaded_bytes(&self) -> usize {
        self.loaded_bytes
    }

    /// Reads the node called `cid`, which must have this height and lie within these bounds.
    pub(super) fn fetch(
        &mut self,
        cid: Cid,
        height: Option<u8>,
        bounds: Bounds<'_>,
    ) -> Result<Node, MstError> {
        let node = match self.source.block(&cid)? {
            Some(block) => codec::decode(&block, cid, height)?,
            None if height.is_none() && cid == empty_root() => Node {
                state: State::Stored,
                ..Node::new(0)
            },
            None => return Err(MstError::MissingNode(cid)),
        };
        check_place(&node, bounds)?;
        self.loaded_bytes += node.bytes();
        Ok(node)
    }

    /// The node of `tree`, loaded if it was not.
    pub(super) fn node<'t>(
        &mut self,
        tree: &'t mut Subtree,
        height: Option<u8>,
        bounds: Bounds<'_>,
    ) -> Result<&'t mut Arc<Node>, MstError> {
        if let Subtree::Stub(cid) = tree {
            *tree = Subtree::Loaded(Arc::new(self.fetch(*cid, height, bounds)?));
        }
        match tree {
            Subtree::Loaded(node) => Ok(node),
            Subtree::Stub(cid) => Err(MstError::MissingNode(*cid)),
        }
    }
}

/// Reads a block that did not come from a source.
pub(super) fn check(
    block: &[u8],
    cid: Cid,
    height: Option<u8>,
    bounds: Bounds<'_>,
) -> Result<Node, MstError> {
    let node = codec::decode(block, cid, height)?;
    check_place(&node, bounds)?;
    Ok(node)
}

fn check_place(node: &Node, bounds: Bounds<'_>) -> Result<(), MstError> {
    let first = node.entries.first().map(|entry| &*entry.key);
    let last = node.entries.last().map(|entry| &*entry.key);
    if matches!((bounds.low, first), (Some(low), Some(first)) if first <= low)
        || matches!((bounds.high, last), (Some(high), Some(last)) if last >= high)
    {
        return Err(MstError::Misplaced {
            cid: node.cid,
            reason: "its keys belong elsewhere",
        });
    }
    Ok(())
}

/// Looks `key` up, loading the path to it.
pub(super) fn get<S: BlockSource + ?Sized>(
    loader: &mut Loader<'_, S>,
    root: &mut Subtree,
    key: &[u8],
) -> Result<Option<Link>, MstError> {
    // Most look-ups find their path in memory and must not copy nodes shared with other clones.
    match peek(root, key) {
        Some(found) => Ok(found),
        None => get_below(loader, root, None, Bounds::default(), key),
    }
}

/// The answer as far as memory has it; `None` when a stub is in the way.
fn peek(root: &Subtree, key: &[u8]) -> Option<Option<Link>> {
    let mut here = root;
    loop {
        let Subtree::Loaded(node) = here else {
            return None;
        };
        let slot = match node.search(key) {
            Ok(entry) => return Some(node.entries.get(entry).map(|entry| entry.value.clone())),
            Err(slot) => slot,
        };
        match node.slot(slot) {
            None => return Some(None),
            Some(child) => here = child,
        }
    }
}

fn get_below<S: BlockSource + ?Sized>(
    loader: &mut Loader<'_, S>,
    tree: &mut Subtree,
    height: Option<u8>,
    bounds: Bounds<'_>,
    key: &[u8],
) -> Result<Option<Link>, MstError> {
    let node = loader.node(tree, height, bounds)?;
    let slot = match node.search(key) {
        Ok(entry) => return Ok(node.entries.get(entry).map(|entry| entry.value.clone())),
        Err(slot) => slot,
    };
    if node.slot(slot).is_none() {
        return Ok(None);
    }
    let node = Arc::make_mut(node);
    let Some(mut child) = node.take_slot(slot) else {
        return Ok(None);
    };
    let below = node.height.checked_sub(1);
    let found = get_below(loader, &mut child, below, node.bounds(slot, bounds), key);
    node.put_slot(slot, Some(child));
    found
}

/// Loads everything of the tree `root` that `blocks` hold; the rest stays stubs. Every node is
/// checked, and none may be reached twice.
pub(crate) fn load_partial(blocks: &BlockMap, root: Cid) -> Result<Tree, MstError> {
    let mut tree = Tree::load(root);
    let mut loader = Loader::new(blocks).partial();
    // One more than there are blocks: the empty root is known without one.
    let mut budget = blocks.len() + 1;
    fill(
        &mut loader,
        blocks,
        &mut tree.root,
        None,
        Bounds::default(),
        &mut budget,
    )?;
    tree.loaded_bytes = loader.loaded_bytes();
    Ok(tree)
}

fn fill(
    loader: &mut Loader<'_, BlockMap>,
    blocks: &BlockMap,
    tree: &mut Subtree,
    height: Option<u8>,
    bounds: Bounds<'_>,
    budget: &mut usize,
) -> Result<(), MstError> {
    let node = Arc::make_mut(loader.node(tree, height, bounds)?);
    *budget = budget
        .checked_sub(1)
        .ok_or(MstError::RepeatedNode(node.cid))?;
    let below = node.height.checked_sub(1);
    for slot in 0..=node.entries.len() {
        let Some(child) = node.slot(slot) else {
            continue;
        };
        if !blocks.contains_key(&child.cid()) {
            continue;
        }
        let Some(mut child) = node.take_slot(slot) else {
            continue;
        };
        fill(
            loader,
            blocks,
            &mut child,
            below,
            node.bounds(slot, bounds),
            budget,
        )?;
        node.put_slot(slot, Some(child));
    }
    Ok(())
}
