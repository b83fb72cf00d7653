//! Events before they have a number.
//!
//! Owns what each event says, and its encoding once. Pure: must not know the log.
//! Follows the atproto sync specification.

use bytes::Bytes;
use rochdale_protocol::repo::{RepoOp, car};
use rochdale_protocol::sync::{AccountEvent, CommitEvent, FrameTemplate, IdentityEvent, SyncEvent};
use rochdale_protocol::syntax::{Datetime, Did, Handle, Tid};

use crate::account::{AccountId, AccountStatus};
use crate::repo::InitialRepo;
use crate::store::repo::Head;

/// What kind of event a row of the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// Records changed.
    Commit = 1,
    /// The repository's state was set anew.
    Sync = 2,
    /// The identity may have changed.
    Identity = 3,
    /// The hosting status changed.
    Account = 4,
}

/// An encoded event that lacks only its number.
#[derive(Debug, Clone)]
pub struct EventDraft {
    /// Whose event.
    pub account: AccountId,
    /// Which kind.
    pub kind: EventKind,
    /// When it was made, Unix time in microseconds.
    pub time_us: u64,
    /// Its frame.
    pub template: FrameTemplate,
}

impl EventDraft {
    /// `#identity`: handle or DID document may have changed.
    #[must_use]
    pub fn identity(account: AccountId, did: &Did, handle: Option<&Handle>, now_us: u64) -> Self {
        let event = IdentityEvent {
            did: did.clone(),
            handle: handle.cloned(),
            time: datetime(now_us),
        };
        Self::new(account, EventKind::Identity, now_us, event.template())
    }

    /// `#account`: the present status.
    #[must_use]
    pub fn account(account: AccountId, did: &Did, status: AccountStatus, now_us: u64) -> Self {
        let active = status == AccountStatus::Active;
        Self::account_word(account, did, active, status.name(), now_us)
    }

    /// `#account`: gone for good.
    #[must_use]
    pub fn deleted(account: AccountId, did: &Did, now_us: u64) -> Self {
        Self::account_word(account, did, false, Some("deleted"), now_us)
    }

    fn account_word(
        account: AccountId,
        did: &Did,
        active: bool,
        status: Option<&str>,
        now_us: u64,
    ) -> Self {
        let event = AccountEvent {
            did: did.clone(),
            active,
            status: status.map(str::to_owned),
            time: datetime(now_us),
        };
        Self::new(account, EventKind::Account, now_us, event.template())
    }

    /// `#commit` of an account's first, empty commit.
    #[must_use]
    pub fn commit(account: AccountId, repo: &InitialRepo, did: &Did, now_us: u64) -> Self {
        let blocks = repo.blocks.clone();
        Self::repo_commit(account, did, &repo.head(), None, blocks, Vec::new(), now_us)
    }

    /// `#commit`: `ops` led from `before` to `head`; `blocks` prove it.
    #[must_use]
    pub(crate) fn repo_commit(
        account: AccountId,
        did: &Did,
        head: &Head,
        before: Option<&Head>,
        blocks: Bytes,
        ops: Vec<RepoOp>,
        now_us: u64,
    ) -> Self {
        let event = CommitEvent {
            repo: did.clone(),
            rev: head.rev,
            since: before.map(|before| before.rev),
            commit: head.cid,
            prev_data: before.map(|before| before.data),
            blocks,
            ops,
            time: datetime(now_us),
            too_big: false,
            rebase: false,
        };
        Self::new(account, EventKind::Commit, now_us, event.template())
    }

    /// `#sync`: the repository is at this commit, whatever came before.
    #[must_use]
    pub fn sync(account: AccountId, did: &Did, commit: &Bytes, rev: Tid, now_us: u64) -> Self {
        let root = rochdale_protocol::data::Cid::dag_cbor(commit);
        let mut blocks = car::Writer::new(&[root]);
        blocks.block(&root, commit);
        let event = SyncEvent {
            did: did.clone(),
            rev,
            blocks: blocks.into_bytes().into(),
            time: datetime(now_us),
        };
        Self::new(account, EventKind::Sync, now_us, event.template())
    }

    fn new(account: AccountId, kind: EventKind, time_us: u64, template: FrameTemplate) -> Self {
        Self {
            account,
            kind,
            time_us,
            template,
        }
    }
}

fn datetime(now_us: u64) -> Datetime {
    Datetime::from_unix_ms(i64::try_from(now_us / 1_000).unwrap_or(i64::MAX))
}
