//! At start: repeating the commits whose nodes were not written yet.
//!
//! Owns the replay of commit events after the checkpoint, before anything is served. An account
//! that cannot be replayed is left to `rebuild` on first use; it never stops the start.

use std::collections::HashMap;

use rochdale_protocol::data::{Cid, Link};
use rochdale_protocol::repo::{Action, MstError, RepoOp, Tree};
use rochdale_protocol::sync::{CommitEvent, Event, Frame, decode_frame};
use rochdale_protocol::syntax::Tid;

use super::shelf::Shelf;
use super::slots::Slot;
use super::{Inner, Repos};
use crate::account::AccountId;
use crate::store::event::StoredEvent;
use crate::store::{StoreError, event, node, read_error, repo as store};

/// Events read at once.
const EVENTS_PER_READ: usize = 200;

/// A tree on its way from the stored nodes to the head.
struct Replay {
    rev: Tid,
    root: Cid,
    tree: Tree,
}

/// Why an event could not be repeated.
#[derive(Debug, thiserror::Error)]
enum ReplayError {
    #[error("the event is not a commit of ours")]
    Frame,
    #[error("commits are missing before revision {rev}")]
    Gap { rev: Tid },
    #[error("operation on {path} does not fit the tree")]
    Misfit { path: String },
    #[error(transparent)]
    Tree(#[from] MstError),
}

impl Repos {
    /// Brings trees in memory to where they were when the last process ended. Returns the number
    /// of commits repeated. Call it before the first write.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn recover(&self) -> Result<usize, StoreError> {
        let inner = &self.inner;
        let mut after: u64 = inner
            .database
            .read_point(node::checkpoint)
            .map_err(read_error)?;
        let mut trees = HashMap::new();
        let mut repeated = 0;
        loop {
            let events: Vec<StoredEvent> = inner
                .database
                .read(move |conn| event::commits_after(conn, after, EVENTS_PER_READ))
                .await
                .map_err(read_error)?;
            let Some(last) = events.last() else { break };
            after = last.seq;
            for event in &events {
                repeated += usize::from(inner.repeat(&mut trees, event)?);
            }
        }
        if repeated > 0 {
            tracing::info!(
                commits = repeated,
                "repeated commits whose nodes were not written"
            );
        }
        Ok(repeated)
    }
}

impl Inner {
    /// Repeats one event; true when it changed a tree.
    fn repeat(
        &self,
        trees: &mut HashMap<AccountId, Option<Replay>>,
        event: &StoredEvent,
    ) -> Result<bool, StoreError> {
        let account = event.account;
        if let std::collections::hash_map::Entry::Vacant(entry) = trees.entry(account) {
            let stored = self
                .database
                .read_point(|conn| store::nodes_at(conn, account))
                .map_err(read_error::<StoreError>)?;
            entry.insert(stored.map(|(rev, root)| Replay {
                rev,
                root,
                tree: Tree::load(root),
            }));
        }
        let Some(Some(replay)) = trees.get_mut(&account) else {
            return Ok(false);
        };
        let slot = self.slots.get(account);
        match replay.step(
            &Shelf {
                database: &self.database,
                slot: &slot,
            },
            &slot,
            event,
        ) {
            Ok(changed) => Ok(changed),
            Err(error) => {
                // First use compares root and head, and rebuilds.
                tracing::warn!(account = account.0, seq = event.seq, %error, "cannot repeat a commit");
                slot.nodes.lock().reset();
                trees.insert(account, None);
                Ok(false)
            }
        }
    }
}

impl Replay {
    fn step(
        &mut self,
        shelf: &Shelf<'_>,
        slot: &Slot,
        event: &StoredEvent,
    ) -> Result<bool, ReplayError> {
        let commit = commit(event).ok_or(ReplayError::Frame)?;
        if commit.rev <= self.rev {
            return Ok(false);
        }
        if commit.prev_data.is_some_and(|before| before != self.root) {
            return Err(ReplayError::Gap { rev: commit.rev });
        }
        for op in &commit.ops {
            self.operate(shelf, op)?;
        }
        let delta = self.tree.commit_nodes();
        (self.rev, self.root) = (commit.rev, delta.root);
        slot.absorb(Some(delta), self.rev, self.root);
        Ok(true)
    }

    fn operate(&mut self, shelf: &Shelf<'_>, op: &RepoOp) -> Result<(), ReplayError> {
        let key = op.path.to_string();
        let misfit = || ReplayError::Misfit { path: key.clone() };
        let value = || op.cid.map(Link::from).ok_or_else(misfit);
        let before = match op.action {
            Action::Create => self.tree.insert(shelf, key.as_bytes(), value()?)?,
            Action::Update => self.tree.update(shelf, key.as_bytes(), value()?)?,
            Action::Delete => self.tree.remove(shelf, key.as_bytes())?,
        };
        if before == op.prev.map(Link::from) {
            Ok(())
        } else {
            Err(misfit())
        }
    }
}

fn commit(event: &StoredEvent) -> Option<CommitEvent> {
    match decode_frame(&event.frame) {
        Ok(Frame::Message {
            event: Event::Commit(commit),
            ..
        }) => Some(commit),
        _ => None,
    }
}
