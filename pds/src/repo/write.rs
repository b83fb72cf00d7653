//! The write path: turn, plan, signature, store, settle.
//!
//! Owns the order of those steps and what happens when one fails. Must not hold rules about
//! records (`batch`), operations (`plan`) or rows (`store`).

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rochdale_protocol::data::Cid;
use rochdale_protocol::repo::{MstError, NodeDelta, Tree};
use rochdale_service::sqlite::Announced;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::batch::Batch;
use super::plan::{Plan, plan};
use super::seal::{Sealed, seal, seal_unchanged};
use super::shelf::Shelf;
use super::slots::{Open, Slot, Turn};
use super::{CommitMeta, Inner, Repos, WriteError, rev};
use crate::account::{Account, AccountId};
use crate::sequencer::EventDraft;
use crate::store::repo::{AccountRule, ApplyError, BlobRule, Head, RepoWrite};
use crate::store::{StoreError, read_error, repo as store, write_error};

/// Larger batches are worked out beside the runtime's threads.
const INLINE_WRITES_MAX: usize = 8;
/// Commits after which unwritten nodes are due.
const COMMITS_PER_FLUSH: usize = 2_000;
/// Bytes of new nodes after which they are due.
const BYTES_PER_FLUSH: usize = 16 << 20;

/// A write that is worked out and can be handed to the store.
pub(super) struct Ready {
    /// The value.
    pub(super) write: RepoWrite,
    /// Nodes that it adds to the tree and takes away.
    pub(super) delta: Option<NodeDelta>,
    /// The repository once it is confirmed.
    pub(super) next: Open,
    /// Lets the writer wait for it, until it is queued.
    pub(super) announced: Option<Announced>,
}

impl Repos {
    /// Applies `batch` to the repository of `account`. Durable, and on its way to the event
    /// stream, on return; `None` when nothing changed. A caller that goes away cancels nothing.
    ///
    /// # Errors
    /// `CommitSwap`/`RecordSwap` when a precondition does not hold, `RecordExists`,
    /// `RecordMissing` and `DuplicatePath` per operation, `Refused` for blobs and account state.
    pub async fn write(
        &self,
        account: &Arc<Account>,
        batch: Batch,
    ) -> Result<Option<CommitMeta>, WriteError> {
        let (inner, account) = (Arc::clone(&self.inner), Arc::clone(account));
        let permit = Arc::clone(&inner.writes)
            .try_acquire_owned()
            .map_err(|_| WriteError::Busy)?;
        self.owned("repo-write", async move {
            let _permit = permit;
            inner.write(&account, Arc::new(batch)).await
        })
        .await
    }

    /// Signs the present tree again, with the present key and a higher revision, and announces
    /// it with `#sync`. `before` runs in the same transaction; its events go first.
    ///
    /// # Errors
    /// As [`Repos::write`], or what `before` answers.
    pub async fn resign<F>(
        &self,
        account: &Arc<Account>,
        before: F,
    ) -> Result<CommitMeta, WriteError>
    where
        F: FnOnce(&Connection) -> Result<Vec<EventDraft>, StoreError> + Send + 'static,
    {
        let (inner, account) = (Arc::clone(&self.inner), Arc::clone(account));
        self.owned("repo-resign", async move {
            inner.resign(&account, true, before).await
        })
        .await
    }

    /// Runs `job` as a task of its own and waits for it.
    pub(super) async fn owned<T: Send + 'static>(
        &self,
        name: &'static str,
        job: impl Future<Output = Result<T, WriteError>> + Send + 'static,
    ) -> Result<T, WriteError> {
        let (answer, answered) = oneshot::channel();
        self.inner.tasks.spawn(name, async move {
            // Nobody may be waiting any more: the work is done all the same.
            let _gone = answer.send(job.await);
        });
        answered.await.map_err(|_| WriteError::Interrupted)?
    }
}

impl Inner {
    async fn write(
        &self,
        account: &Account,
        batch: Arc<Batch>,
    ) -> Result<Option<CommitMeta>, WriteError> {
        let slot = self.slots.get(account.id);
        let mut turn = slot.turn().await?;
        match self.attempt(account, &slot, &mut turn, &batch).await {
            Err(WriteError::Tree(MstError::MissingNode(_))) => {
                self.rebuild(&slot, &mut turn).await?;
                self.attempt(account, &slot, &mut turn, &batch).await
            }
            done => done,
        }
    }

    async fn attempt(
        &self,
        account: &Account,
        slot: &Arc<Slot>,
        turn: &mut Turn,
        batch: &Arc<Batch>,
    ) -> Result<Option<CommitMeta>, WriteError> {
        self.heal(account, slot, turn).await?;
        let open = self.open(slot, turn).await?;
        let (head, tree) = (open.head.clone(), open.tree.clone());
        let announced = self.database.announce();
        let Some(plan) = self.plan(slot, tree, head.clone(), batch).await? else {
            return Ok(None);
        };
        let key = self.keys.signing_key(account)?;
        let rev = rev::next(head.rev, self.clock.now_us()).inspect_err(|error| {
            metrics::counter!("rochdale_pds_future_revisions_total").increment(1);
            tracing::error!(account = account.id.0, %error, "a write was refused");
        })?;
        let sealed = seal(account, &head, &plan, &key, rev, self.clock.now_us())?;
        let Plan {
            tree,
            changes,
            delta,
            replaced,
            ..
        } = plan;
        {
            let mut nodes = slot.nodes.lock();
            if nodes.is_pinned() {
                for (cid, block) in replaced {
                    nodes.keep_record(cid, block);
                }
            }
        }
        let write = RepoWrite {
            account: account.id,
            expects: head.cid,
            head: sealed.head.clone(),
            changes,
            blob_rule: BlobRule::MustExist,
            account_rule: AccountRule::Active,
            signing_key: Some(account.signing_key.clone()),
            event: Some(sealed.event),
        };
        let first = |_: &Connection| Ok(Vec::new());
        let ready = Ready {
            write,
            delta: Some(delta),
            next: Open {
                head: sealed.head,
                tree,
            },
            announced: Some(announced),
        };
        self.apply(slot, turn, ready, first).await.map(Some)
    }

    /// Signs the present tree again; told by `#sync` when `announces`.
    pub(super) async fn resign<F>(
        &self,
        account: &Account,
        announces: bool,
        before: F,
    ) -> Result<CommitMeta, WriteError>
    where
        F: FnOnce(&Connection) -> Result<Vec<EventDraft>, StoreError> + Send + 'static,
    {
        let slot = self.slots.get(account.id);
        let mut turn = slot.turn().await?;
        self.heal(account, &slot, &mut turn).await?;
        let open = self.open(&slot, &mut turn).await?;
        let (head, tree) = (open.head.clone(), open.tree.clone());
        let key = self.keys.signing_key(account)?;
        let now_us = self.clock.now_us();
        let rev = rev::anew(head.rev, now_us);
        let Sealed {
            head: sealed,
            event,
        } = seal_unchanged(account, &head, &key, rev, now_us);
        let write = RepoWrite {
            account: account.id,
            expects: head.cid,
            head: sealed.clone(),
            changes: Vec::new(),
            blob_rule: BlobRule::MustExist,
            account_rule: AccountRule::Any,
            signing_key: Some(account.signing_key.clone()),
            event: announces.then_some(event),
        };
        let ready = Ready {
            write,
            delta: None,
            next: Open { head: sealed, tree },
            announced: None,
        };
        self.apply(&slot, &mut turn, ready, before).await
    }

    async fn plan(
        &self,
        slot: &Arc<Slot>,
        tree: Tree,
        head: Head,
        batch: &Arc<Batch>,
    ) -> Result<Option<Plan>, WriteError> {
        let (slot, batch) = (Arc::clone(slot), Arc::clone(batch));
        let database = self.database.clone();
        let large = batch.writes.len() > INLINE_WRITES_MAX;
        let work = move || {
            let shelf = Shelf {
                database: &database,
                slot: &slot,
            };
            plan(&tree, &shelf, &head, &batch)
        };
        if large {
            tokio::task::spawn_blocking(work)
                .await
                .map_err(|_| WriteError::Interrupted)?
        } else {
            work()
        }
    }

    /// Hands a write to the store and learns only what it confirmed. `first` runs before it, in the
    /// same transaction.
    pub(super) async fn apply<F>(
        &self,
        slot: &Arc<Slot>,
        turn: &mut Turn,
        ready: Ready,
        first: F,
    ) -> Result<CommitMeta, WriteError>
    where
        F: FnOnce(&Connection) -> Result<Vec<EventDraft>, StoreError> + Send + 'static,
    {
        let Ready {
            write,
            delta,
            next,
            announced,
        } = ready;
        // From here on only the store knows: a panic or an error leaves nothing to trust.
        self.slots.drop_tree(slot, turn);
        let meta = CommitMeta {
            cid: next.head.cid,
            rev: next.head.rev,
        };
        let new = delta.iter().flat_map(|delta| &delta.added);
        let bytes: usize = new.map(|(_, block)| block.len()).sum();
        let (rev, data) = (next.head.rev, next.head.data);
        let (absorbing, publish) = (Arc::clone(slot), Arc::clone(&self.publish));
        let blobs_gone = Arc::clone(&self.blobs_gone);
        let applied = self.database.write_then(
            move |tx| store::apply_before(tx, &write, first),
            move |applied| {
                absorbing.absorb(delta, rev, data);
                publish(&applied.frames);
                if applied.blobs_gone {
                    blobs_gone.notify_one();
                }
            },
        );
        drop(announced);
        applied.await.map_err(write_error::<ApplyError>)?;
        self.slots.settle(slot, turn, next);
        let commits = self.commits_since_flush.fetch_add(1, Ordering::Relaxed) + 1;
        let bytes = self.bytes_since_flush.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if commits >= COMMITS_PER_FLUSH || bytes >= BYTES_PER_FLUSH {
            self.flush_due.notify_one();
        }
        Ok(meta)
    }

    /// What the turn holder works on, read from the store when it is not in memory.
    pub(super) async fn open<'t>(
        &self,
        slot: &Arc<Slot>,
        turn: &'t mut Turn,
    ) -> Result<&'t mut Open, WriteError> {
        if turn.closed {
            return Err(WriteError::Closed);
        }
        if turn.open.is_none() {
            if self.is_importing(slot)? {
                return Err(WriteError::ImportUnfinished);
            }
            let head = self.stored_head(slot.account)?;
            if self.nodes_reach(slot, &head.data)? {
                turn.open = Some(Open {
                    tree: Tree::load(head.data),
                    head,
                });
            } else {
                self.rebuild(slot, turn).await?;
            }
        }
        turn.open.as_mut().ok_or(WriteError::Closed)
    }

    /// The head as stored.
    pub(super) fn stored_head(&self, account: AccountId) -> Result<Head, WriteError> {
        self.database
            .read_point(|conn| store::head(conn, account))
            .map_err(read_error::<StoreError>)?
            .ok_or(WriteError::NoRepo)
    }

    /// Whether stored and waiting nodes are complete for the tree `data`.
    fn nodes_reach(&self, slot: &Slot, data: &Cid) -> Result<bool, WriteError> {
        if let Some((_, root)) = slot.nodes.lock().reaches() {
            return Ok(root == *data);
        }
        let stored = self
            .database
            .read_point(|conn| store::nodes_at(conn, slot.account))
            .map_err(read_error::<StoreError>)?;
        Ok(stored.is_some_and(|(_, root)| root == *data))
    }
}
