//! Writing tree nodes behind the commits.
//!
//! Owns when a round is due, the order of its values and the checkpoint. A round that fails is
//! made up by the next one; a crash in the middle costs only a longer replay at start.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rochdale_protocol::data::Cid;

use super::nodes::{Flush, NewNode};
use super::slots::Slot;
use super::{Inner, Repos};
use crate::store::{StoreError, event, node, read_error, write_error};

/// A round begins at least so often while anything waits.
const ROUND_EVERY: Duration = Duration::from_secs(30);
/// Nodes one value writes or deletes at most: about 5 ms of the writer.
const NODES_PER_VALUE: usize = 500;
/// Accounts with little to write share a value up to this many nodes.
const SHARED_VALUE_NODES: usize = 250;

impl Repos {
    /// Writes nodes behind and purges deleted accounts until a stop is asked for; then writes
    /// what is left.
    pub async fn run(&self) {
        tokio::join!(self.run_flushes(), self.run_purges());
    }

    async fn run_flushes(&self) {
        let mut tick = tokio::time::interval(ROUND_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.inner.tasks.requested() => break,
                () = self.inner.flush_due.notified() => {}
                _ = tick.tick() => {}
            }
            self.flush_logged().await;
            self.inner.slots.sweep();
        }
        self.flush_logged().await;
    }

    async fn flush_logged(&self) {
        if let Err(error) = self.flush().await {
            tracing::warn!(%error, "tree nodes were not written; they stay in memory");
        }
    }

    /// One round: every node that waits is written, then the checkpoint moves.
    ///
    /// # Errors
    /// When the store refuses a value; what was not written waits for the next round.
    pub async fn flush(&self) -> Result<(), StoreError> {
        self.inner.flush().await
    }
}

impl Inner {
    async fn flush(&self) -> Result<(), StoreError> {
        let _one_round = self.flush_round.lock().await;
        self.commits_since_flush.store(0, Ordering::Relaxed);
        self.bytes_since_flush.store(0, Ordering::Relaxed);
        // Nodes enter memory on the writer thread before its next commit, so after this value
        // every event up to `through` has its nodes in memory or in the store.
        let through = self
            .database
            .write_background(|tx| event::last_seq(tx))
            .await
            .map_err(write_error)?;
        // A batch that was taken must be settled: one failure does not end the round.
        let mut outcome = Ok(());
        let mut shared: Vec<(Arc<Slot>, Arc<Flush>)> = Vec::new();
        let mut shared_nodes = 0;
        for slot in self.slots.all() {
            let Some(flush) = slot.nodes.lock().take_flush(slot.account) else {
                continue;
            };
            let size = flush.added.len() + flush.deleted.len();
            if size > NODES_PER_VALUE {
                outcome = outcome.and(self.write_large(&slot, flush).await);
                continue;
            }
            shared_nodes += size;
            shared.push((slot, flush));
            if shared_nodes >= SHARED_VALUE_NODES {
                outcome = outcome.and(self.write_shared(std::mem::take(&mut shared)).await);
                shared_nodes = 0;
            }
        }
        if !shared.is_empty() {
            outcome = outcome.and(self.write_shared(shared).await);
        }
        outcome?;
        let before: u64 = self
            .database
            .read_point(node::checkpoint)
            .map_err(read_error)?;
        if before < through {
            self.database
                .write_background(move |tx| node::set_checkpoint(tx, through))
                .await
                .map_err(write_error)?;
        }
        Ok(())
    }

    /// Several small batches in one value.
    async fn write_shared(&self, batches: Vec<(Arc<Slot>, Arc<Flush>)>) -> Result<(), StoreError> {
        let values: Vec<Arc<Flush>> = batches.iter().map(|(_, flush)| Arc::clone(flush)).collect();
        let written = self
            .database
            .write_background(move |tx| {
                for flush in &values {
                    put(tx, flush, flush.added.iter())?;
                    delete(tx, flush, &flush.deleted)?;
                    mark(tx, flush)?;
                }
                Ok(())
            })
            .await
            .map_err(write_error);
        for (slot, _) in &batches {
            settle(slot, &written);
        }
        written
    }

    /// One batch in many values: all additions, the mark, then the deletions. A crash before the
    /// mark leaves the old tree whole, one after it leaves rows nobody asks for.
    async fn write_large(&self, slot: &Arc<Slot>, flush: Arc<Flush>) -> Result<(), StoreError> {
        let written = self.write_in_steps(&flush).await;
        settle(slot, &written);
        written
    }

    async fn write_in_steps(&self, flush: &Arc<Flush>) -> Result<(), StoreError> {
        let added: Vec<Cid> = flush.added.keys().copied().collect();
        for part in added.chunks(NODES_PER_VALUE) {
            let (flush, part) = (Arc::clone(flush), part.to_vec());
            self.database
                .write_background(move |tx| {
                    let nodes = part.iter().filter_map(|cid| flush.added.get_key_value(cid));
                    put(tx, &flush, nodes)
                })
                .await
                .map_err(write_error)?;
        }
        let marked = Arc::clone(flush);
        self.database
            .write_background(move |tx| mark(tx, &marked))
            .await
            .map_err(write_error)?;
        for part in flush.deleted.chunks(NODES_PER_VALUE) {
            let (flush, part) = (Arc::clone(flush), part.to_vec());
            self.database
                .write_background(move |tx| delete(tx, &flush, &part))
                .await
                .map_err(write_error)?;
        }
        Ok(())
    }
}

fn settle(slot: &Slot, written: &Result<(), StoreError>) {
    let mut nodes = slot.nodes.lock();
    match written {
        Ok(()) => nodes.flushed(),
        Err(_) => nodes.flush_failed(),
    }
}

fn put<'a>(
    tx: &rusqlite::Connection,
    flush: &Flush,
    nodes: impl Iterator<Item = (&'a Cid, &'a NewNode)>,
) -> Result<(), StoreError> {
    for (cid, new) in nodes {
        node::put(tx, flush.account, cid, new.rev, &new.bytes)?;
    }
    Ok(())
}

fn delete(tx: &rusqlite::Connection, flush: &Flush, cids: &[Cid]) -> Result<(), StoreError> {
    for cid in cids {
        node::delete(tx, flush.account, cid)?;
    }
    Ok(())
}

fn mark(tx: &rusqlite::Connection, flush: &Flush) -> Result<(), StoreError> {
    match &flush.mark {
        Some((rev, root)) => node::mark_complete(tx, flush.account, *rev, root),
        None => Ok(()),
    }
}
