//! The repository event stream: its messages, their frames, and the checks one message can be put
//! through on its own ("atproto sync" and "event stream" specs, `com.atproto.sync.subscribeRepos`).
//!
//! Owns the bytes of frames and the limits on them. Keeps no state: what depends on earlier events
//! of a repository (revision order, continuity) is for the caller.

mod check;
mod decode;
mod fault;
mod frame;

use bytes::Bytes;

use crate::data::Cid;
use crate::repo::RepoOp;
use crate::syntax::{Datetime, Did, Handle, Tid};

pub use check::{CheckedCommit, CheckedSync, check_commit, check_commit_leniently, check_sync};
pub use decode::{Frame, FrameError, Peek, decode_frame, peek};
pub use fault::CommitFault;
pub use frame::{FrameTemplate, error_frame, info_frame};

/// Longest frame, in bytes.
pub const MAX_FRAME_BYTES: usize = 5_000_000;
/// Longest `blocks` of a `#commit`, in bytes.
pub const MAX_COMMIT_BLOCKS_BYTES: usize = 2_000_000;
/// Longest `blocks` of a `#sync`, in bytes.
pub const MAX_SYNC_BLOCKS_BYTES: usize = 10_000;
/// Most operations in a `#commit`.
pub const MAX_OPS: usize = 200;
/// Longest record block in a `#commit`, in bytes.
pub const MAX_RECORD_BYTES: usize = crate::data::MAX_RECORD_BYTES;
/// How far a revision may lie in the future, in microseconds.
pub const MAX_REV_DRIFT_US: u64 = 5 * 60 * 1_000_000;
/// Greatest sequence number: what a double holds exactly.
pub const MAX_SEQ: u64 = (1 << 53) - 1;

/// A message that has a sequence number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Records changed.
    Commit(CommitEvent),
    /// The repository's state was set anew.
    Sync(SyncEvent),
    /// The account's identity may have changed.
    Identity(IdentityEvent),
    /// The account's hosting status changed.
    Account(AccountEvent),
}

impl Event {
    /// Whose event.
    #[must_use]
    pub fn did(&self) -> &Did {
        match self {
            Self::Commit(event) => &event.repo,
            Self::Sync(event) => &event.did,
            Self::Identity(event) => &event.did,
            Self::Account(event) => &event.did,
        }
    }

    /// The type as the frame header names it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Commit(_) => "#commit",
            Self::Sync(_) => "#sync",
            Self::Identity(_) => "#identity",
            Self::Account(_) => "#account",
        }
    }

    /// The event's frame, without its sequence number.
    #[must_use]
    pub fn template(&self) -> FrameTemplate {
        match self {
            Self::Commit(event) => event.template(),
            Self::Sync(event) => event.template(),
            Self::Identity(event) => event.template(),
            Self::Account(event) => event.template(),
        }
    }
}

/// A `#commit`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitEvent {
    /// Whose repository.
    pub repo: Did,
    /// The revision of the commit.
    pub rev: Tid,
    /// The revision before; `None` for the first.
    pub since: Option<Tid>,
    /// The commit's CID.
    pub commit: Cid,
    /// The root of the tree before; `None` for the first commit.
    pub prev_data: Option<Cid>,
    /// A CAR file: the commit, the new records and the covering proofs.
    pub blocks: Bytes,
    /// What changed.
    pub ops: Vec<RepoOp>,
    /// When the event was sent first.
    pub time: Datetime,
    /// Deprecated; written as false.
    pub too_big: bool,
    /// Deprecated; written as false.
    pub rebase: bool,
}

/// A `#sync`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncEvent {
    /// Whose repository.
    pub did: Did,
    /// The revision of the commit.
    pub rev: Tid,
    /// A CAR file with the commit alone.
    pub blocks: Bytes,
    /// When the event was sent first.
    pub time: Datetime,
}

/// An `#identity`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityEvent {
    /// Whose identity.
    pub did: Did,
    /// The current handle, as far as the sender knows it.
    pub handle: Option<Handle>,
    /// When the event was sent first.
    pub time: Datetime,
}

/// An `#account`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountEvent {
    /// Whose account.
    pub did: Did,
    /// Whether the host serves the account's content.
    pub active: bool,
    /// Why not, or what else is the matter; any word may come.
    pub status: Option<String>,
    /// When the event was sent first.
    pub time: Datetime,
}

/// An `#info`: a note from the server that has no sequence number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InfoEvent {
    /// What it is about, e.g. `OutdatedCursor`.
    pub name: String,
    /// Text for people.
    pub message: Option<String>,
}

#[cfg(test)]
mod tests;
