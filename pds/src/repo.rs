//! Repositories: the one way a member's records change, and how they are read back.
//!
//! Owns turns, trees, commits, node storage, exports, imports and rebuilds. Must not know HTTP,
//! tokens or SQL. Follows the atproto repository and sync specifications.
//!
//! # A write
//! [`Repos::write`] is an owned task: it waits for the repository's turn, reads the head, works
//! the batch out on a copy of the tree ([`plan`]), signs, and hands the store one value that
//! says which head it expects ([`crate::store::repo::RepoWrite`]). Records, blob links, head and
//! event go in one savepoint. When that is durable, and before the writer's next commit, the new
//! nodes enter [`nodes::Nodes`] and the frames go to the event stream. The turn is held until
//! then; after any other outcome the tree is forgotten and read again.
//!
//! # Where tree nodes live
//! The records are the truth: any tree can be rebuilt from them. So nodes are not part of a
//! commit's transaction. Three rules keep them right:
//!
//! 1. `repo.nodes_root` names the tree for which the `node` table is complete. [`nodes::Nodes`]
//!    holds the difference between it and the head: nodes to add, nodes to delete. It is changed
//!    only by durable commits, in their order.
//! 2. [`flush`] writes the differences behind, in small background values: per account the new
//!    nodes, the deletions and the new `nodes_root` together. When a round that began at event
//!    `S` is done, `node_checkpoint` is set to `S`: every commit up to it has its nodes stored.
//! 3. At start [`recover`] reads the commit events after the checkpoint and repeats their
//!    operations on the stored trees, before anything is served; the differences are then in
//!    memory as they were. An account whose tree does not come out as its head says (events were
//!    lost, a node is damaged) is rebuilt from its records on first use, in the order of the
//!    bytes `collection/rkey`; if that root is not the head's, records are taken back from the
//!    events that brought them ([`restore`]); if it still is not, the repository is closed to
//!    writes and exports, and an alarm is logged. An operator may then take the records for
//!    right ([`recommit`]).
//!
//! A node carries the revision that brought it, for `since`; a rebuilt one counts as new.
//!
//! # Exports
//! An export fixes a head under the turn and pins it: while it runs no node of that tree is
//! deleted, and records that are replaced stay in memory within a limit. Past the limit the
//! export breaks off, the writes go on. Blocks are read in short pieces between which no read
//! transaction is open.

mod batch;
mod blocks;
mod export;
mod flush;
mod genesis;
mod import;
mod nodes;
mod places;
mod plan;
mod proof;
mod purge;
mod rebuild;
mod recent;
mod recommit;
mod recover;
mod restore;
mod rev;
mod seal;
mod shelf;
mod slots;
mod write;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use rochdale_protocol::data::Cid;
use rochdale_protocol::repo::MstError;
use rochdale_protocol::syntax::{RecordPath, Tid};
use rochdale_service::clock::{SharedClock, random};
use rochdale_service::shutdown::Shutdown;
use rochdale_service::sqlite::Database;
use tokio::sync::{Mutex, Notify, Semaphore};

pub use batch::{Batch, Intent, NewRecord, OPERATIONS_MAX, RecordError, Write};
pub use export::{Export, ExportError};
pub use genesis::{CLOCK_ID, InitialRepo, genesis};
pub use import::ImportError;
pub use proof::RepoStatus;
pub use recent::Recent;
pub use recommit::Truth;

use crate::keys::{KeyError, Keyring};
use crate::store::repo::ApplyError;
use crate::store::{Publish, StoreError};
use places::Atlas;
use slots::Slots;

/// Trees rebuilt at the same time at most.
const REBUILDS_MAX: usize = 2;
/// Searches for blocks among records at the same time at most.
const SEARCHES_MAX: usize = 2;
/// Searches that run or wait at most.
const SEARCHES_WAITING_MAX: usize = 64;
/// Exports under way at most.
const EXPORTS_MAX: usize = 64;
/// Writes in flight at most, over all repositories.
const WRITES_MAX: usize = 4_096;

/// What limits repositories in memory.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// About how many bytes loaded trees may take.
    pub tree_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tree_bytes: 64 << 20,
        }
    }
}

/// What repositories need from the rest of the server.
#[derive(Clone)]
pub struct Parts {
    /// The database.
    pub database: Database,
    /// Signing keys.
    pub keys: Arc<Keyring>,
    /// The time.
    pub clock: SharedClock,
    /// Where tasks run.
    pub tasks: Shutdown,
    /// Takes the frames of every commit, in order.
    pub publish: Publish,
}

/// The repositories of this server. Clones are the same thing.
#[derive(Clone)]
pub struct Repos {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Parts")
    }
}

impl std::fmt::Debug for Repos {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Repos")
    }
}

struct Inner {
    database: Database,
    keys: Arc<Keyring>,
    clock: SharedClock,
    tasks: Shutdown,
    publish: Publish,
    slots: Slots,
    rebuilds: Semaphore,
    searches: Semaphore,
    searches_waiting: Semaphore,
    /// Where the records of searched repositories lie.
    atlas: Atlas,
    exports: Arc<Semaphore>,
    writes: Arc<Semaphore>,
    import_blocks: Arc<Semaphore>,
    /// Told when blob files are to go.
    blobs_gone: Arc<Notify>,
    /// Told when accounts are to be removed.
    purge_due: Notify,
    /// Told when enough nodes wait to be written.
    flush_due: Notify,
    /// One round of writing nodes at a time: the checkpoint it sets speaks for all of them.
    flush_round: Mutex<()>,
    commits_since_flush: AtomicUsize,
    bytes_since_flush: AtomicUsize,
    clock_id: u16,
    last_key: AtomicU64,
}

/// The commit a write ended in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitMeta {
    /// Its CID.
    pub cid: Cid,
    /// Its revision.
    pub rev: Tid,
}

/// Why a write did not happen.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The head is not the commit the caller expects.
    #[error("commit was at {present}")]
    CommitSwap {
        /// The head.
        present: Cid,
    },
    /// The record is not the version the caller expects.
    #[error("record {path} was at {}", shown(present.as_ref()))]
    RecordSwap {
        /// Which record.
        path: RecordPath,
        /// What is there.
        present: Option<Cid>,
    },
    /// A create found a record.
    #[error("record {path} exists already: use putRecord to replace it")]
    RecordExists {
        /// Where.
        path: RecordPath,
    },
    /// An update or delete found none.
    #[error("record {path} does not exist")]
    RecordMissing {
        /// Where.
        path: RecordPath,
    },
    /// Two operations of a batch have one path.
    #[error("the batch has two operations for {path}: give each path once")]
    DuplicatePath {
        /// Which.
        path: RecordPath,
    },
    /// More operations than one commit may have.
    #[error("too many writes: {writes}, at most {OPERATIONS_MAX} are allowed")]
    TooManyWrites {
        /// How many were given.
        writes: usize,
    },
    /// The commit's event would be over the protocol's limit.
    #[error("the commit has {bytes} bytes of blocks, more than 2000000: write less at once")]
    TooLarge {
        /// Size of its blocks.
        bytes: usize,
    },
    /// The store refused: head, account state or a blob is not as presupposed.
    #[error(transparent)]
    Refused(ApplyError),
    /// Too much is waiting.
    #[error("too many writes are waiting, try again in a moment")]
    Busy,
    /// The account has no repository.
    #[error("the account has no repository")]
    NoRepo,
    /// An import was interrupted and nothing was written since.
    #[error("an import of this repository did not finish: import it again")]
    ImportUnfinished,
    /// Records and head do not fit: an operator must look.
    #[error("the repository is closed because its records do not fit its head")]
    Closed,
    /// The newest commit is dated after now: whatever follows it would be refused everywhere.
    #[error(
        "the newest revision, {rev}, lies in the future: this server's clock is wrong, or was wrong then and the operator must sign the repository anew"
    )]
    FutureRevision {
        /// The newest revision.
        rev: Tid,
    },
    /// The tree refused a key, or could not be read.
    #[error(transparent)]
    Tree(#[from] MstError),
    /// The signing key could not be opened.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The task ended without an answer.
    #[error("the write was interrupted")]
    Interrupted,
}

impl From<ApplyError> for WriteError {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::Store(error) => Self::Store(error),
            ApplyError::NoRepo => Self::NoRepo,
            refused @ (ApplyError::HeadMoved { .. }
            | ApplyError::Inactive
            | ApplyError::KeyChanged
            | ApplyError::BlobNotFound { .. }
            | ApplyError::BlobMime { .. }
            | ApplyError::BlobSize { .. }) => Self::Refused(refused),
        }
    }
}

fn shown(cid: Option<&Cid>) -> String {
    cid.map_or_else(|| "nothing".to_owned(), Cid::to_string)
}

impl Repos {
    /// The repositories in `parts.database`. Call [`Repos::recover`] before serving anything and
    /// [`Repos::run`] afterwards.
    #[must_use]
    pub fn new(parts: Parts, limits: Limits) -> Self {
        let inner = Inner {
            database: parts.database,
            keys: parts.keys,
            clock: parts.clock,
            tasks: parts.tasks,
            publish: parts.publish,
            slots: Slots::new(limits.tree_bytes),
            rebuilds: Semaphore::new(REBUILDS_MAX),
            searches: Semaphore::new(SEARCHES_MAX),
            searches_waiting: Semaphore::new(SEARCHES_WAITING_MAX),
            atlas: Atlas::new(),
            exports: Arc::new(Semaphore::new(EXPORTS_MAX)),
            writes: Arc::new(Semaphore::new(WRITES_MAX)),
            import_blocks: Arc::new(Semaphore::new(import::BLOCKS_UNDER_WAY)),
            blobs_gone: Arc::default(),
            purge_due: Notify::new(),
            flush_due: Notify::new(),
            flush_round: Mutex::new(()),
            commits_since_flush: AtomicUsize::new(0),
            bytes_since_flush: AtomicUsize::new(0),
            clock_id: u16::from_le_bytes(random()) % 1024,
            last_key: AtomicU64::new(0),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Told when blob files have become due for removal.
    #[must_use]
    pub fn blobs_gone(&self) -> Arc<Notify> {
        Arc::clone(&self.inner.blobs_gone)
    }

    /// A new record key: the time, never the same twice.
    #[must_use]
    pub fn next_key(&self) -> Tid {
        self.inner.next_key()
    }

    /// Forgets what is in memory of an account that is gone.
    pub fn forget(&self, account: crate::account::AccountId) {
        self.inner.slots.remove(account);
        self.inner.atlas.forget(account);
    }
}

impl Inner {
    fn next_key(&self) -> Tid {
        let now = self.clock.now_us();
        let before = self
            .last_key
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
                Some(now.max(last + 1))
            })
            .unwrap_or(now);
        Tid::next(None, now.max(before + 1), self.clock_id)
    }
}
