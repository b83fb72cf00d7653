//! The tree nodes of one repository that are not on disk yet, and what running exports still need.
//!
//! Owns the difference between the `node` table and the tree of the head: nodes to be written,
//! nodes to be deleted, the ones on their way. While an export holds a pin nothing it may still
//! ask for is lost: deletions wait, and replaced records are kept here within a limit. Pure
//! memory: must not read or write storage.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use rochdale_protocol::data::Cid;
use rochdale_protocol::repo::NodeDelta;
use rochdale_protocol::syntax::Tid;

use crate::account::AccountId;

/// Bytes of replaced blocks kept for exports of one repository; past it they break.
const KEPT_BYTES: usize = 16 << 20;
/// Deletions that wait for exports of one repository; past it they break.
const WAITING_DELETIONS: usize = 100_000;
/// Rough memory of a block beyond its bytes.
const BLOCK_OVERHEAD: usize = 120;

/// A node that waits to be written.
#[derive(Debug, Clone)]
pub(super) struct NewNode {
    /// The commit that brought it.
    pub(super) rev: Tid,
    /// Its block.
    pub(super) bytes: Bytes,
    /// An equal node may be stored already, with an older revision.
    stored: bool,
}

/// One batch of nodes on its way to the store.
#[derive(Debug)]
pub(super) struct Flush {
    /// Whose nodes.
    pub(super) account: AccountId,
    /// Nodes to write.
    pub(super) added: HashMap<Cid, NewNode>,
    /// Nodes to delete.
    pub(super) deleted: Vec<Cid>,
    /// Revision and root the stored nodes are complete for afterwards; `None`: as before.
    pub(super) mark: Option<(Tid, Cid)>,
}

/// The difference between stored nodes and the head's tree.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    added: HashMap<Cid, NewNode>,
    deleted: HashSet<Cid>,
    flushing: Option<Arc<Flush>>,
    /// What stored nodes and `added` together are complete for; `None` says: as stored.
    reaches: Option<(Tid, Cid)>,
    pins: usize,
    kept_nodes: HashMap<Cid, (Tid, Bytes)>,
    kept_records: HashMap<Cid, Bytes>,
    kept_bytes: usize,
    broken: bool,
}

impl Nodes {
    /// Takes in what a durable commit changed.
    pub(super) fn absorb(&mut self, delta: NodeDelta, rev: Tid) {
        for cid in delta.removed {
            let Some(node) = self.added.remove(&cid) else {
                self.deleted.insert(cid);
                continue;
            };
            if node.stored {
                self.deleted.insert(cid);
            }
            if self.pins > 0 && self.room_for(node.bytes.len()) {
                self.kept_nodes.insert(cid, (node.rev, node.bytes));
            }
        }
        for (cid, bytes) in delta.added {
            let stored = self.deleted.remove(&cid) || self.is_flushing(&cid);
            self.added.insert(cid, NewNode { rev, bytes, stored });
        }
        self.reaches = Some((rev, delta.root));
        if self.pins > 0 && self.deleted.len() > WAITING_DELETIONS {
            self.broken = true;
        }
    }

    /// A commit that left the tree as it is.
    pub(super) fn absorb_resigned(&mut self, rev: Tid, root: Cid) {
        self.reaches = Some((rev, root));
    }

    /// A node that is not (only) in the store.
    pub(super) fn get(&self, cid: &Cid) -> Option<(Tid, Bytes)> {
        self.added
            .get(cid)
            .or_else(|| {
                self.flushing
                    .as_ref()
                    .and_then(|flush| flush.added.get(cid))
            })
            .map(|node| (node.rev, node.bytes.clone()))
            .or_else(|| self.kept_nodes.get(cid).cloned())
    }

    /// How many nodes the tree has when `stored` rows are there, written ones on their way included.
    pub(super) fn total(&self, stored: u64) -> u64 {
        let new = self.added.values().filter(|node| !node.stored).count();
        (stored + new as u64).saturating_sub(self.deleted.len() as u64)
    }

    /// A record block that was replaced while an export runs.
    pub(super) fn kept_record(&self, cid: &Cid) -> Option<Bytes> {
        self.kept_records.get(cid).cloned()
    }

    /// Whether an export holds a pin: then blocks about to be replaced must be kept first.
    pub(super) fn is_pinned(&self) -> bool {
        self.pins > 0
    }

    /// Whether running exports lost what they need, because too much changed under them.
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Keeps a record block that is about to be replaced or deleted.
    pub(super) fn keep_record(&mut self, cid: Cid, bytes: Bytes) {
        if self.pins > 0 && self.room_for(bytes.len()) {
            self.kept_records.insert(cid, bytes);
        }
    }

    fn room_for(&mut self, bytes: usize) -> bool {
        self.kept_bytes += bytes + BLOCK_OVERHEAD;
        if self.kept_bytes > KEPT_BYTES {
            self.broken = true;
        }
        !self.broken
    }

    /// An export begins.
    pub(super) fn pin(&mut self) {
        self.pins += 1;
    }

    /// An export ended; with the last one what was kept goes.
    pub(super) fn unpin(&mut self) {
        self.pins = self.pins.saturating_sub(1);
        if self.pins == 0 {
            self.kept_nodes = HashMap::new();
            self.kept_records = HashMap::new();
            self.kept_bytes = 0;
            self.broken = false;
        }
    }

    /// Which tree stored nodes and these together are complete for, when that is not just what
    /// the store says.
    pub(super) fn reaches(&self) -> Option<(Tid, Cid)> {
        self.reaches
            .or_else(|| self.flushing.as_ref().and_then(|flush| flush.mark))
    }

    /// Takes what is to be written now; nothing when all is written or a batch is on its way.
    pub(super) fn take_flush(&mut self, account: AccountId) -> Option<Arc<Flush>> {
        let due = self.pins == 0 && !self.deleted.is_empty();
        if self.flushing.is_some() || (self.reaches.is_none() && !due) {
            return None;
        }
        let deleted = if due {
            self.deleted.drain().collect()
        } else {
            Vec::new()
        };
        let added = std::mem::take(&mut self.added);
        let flush = Arc::new(Flush {
            account,
            added,
            deleted,
            mark: self.reaches.take(),
        });
        self.flushing = Some(Arc::clone(&flush));
        Some(flush)
    }

    /// The batch is stored.
    pub(super) fn flushed(&mut self) {
        self.flushing = None;
    }

    /// The batch was not stored: its nodes are to be written again.
    pub(super) fn flush_failed(&mut self) {
        let Some(flush) = self.flushing.take() else {
            return;
        };
        for (cid, node) in &flush.added {
            if !self.deleted.contains(cid) && !self.added.contains_key(cid) {
                self.added.insert(*cid, node.clone());
            }
        }
        for cid in &flush.deleted {
            if let Some(node) = self.added.get_mut(cid) {
                node.stored = true;
            } else {
                self.deleted.insert(*cid);
            }
        }
        self.reaches = self.reaches.or(flush.mark);
    }

    /// Forgets everything: the stored nodes were rebuilt, or the repository is gone.
    pub(super) fn reset(&mut self) {
        let pins = self.pins;
        *self = Self {
            pins,
            broken: pins > 0,
            ..Self::default()
        };
    }

    /// Nothing to write, nothing on its way, nobody reading.
    pub(super) fn is_idle(&self) -> bool {
        self.reaches.is_none()
            && self.flushing.is_none()
            && self.pins == 0
            && self.deleted.is_empty()
    }

    fn is_flushing(&self, cid: &Cid) -> bool {
        self.flushing
            .as_ref()
            .is_some_and(|flush| flush.added.contains_key(cid))
    }
}

#[cfg(test)]
mod tests;
