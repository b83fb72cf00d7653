//! What the relay knows of an account, and what it shows of it.

use std::sync::Arc;

use rochdale_protocol::crypto::PublicKey;
use rochdale_protocol::data::Cid;
use rochdale_protocol::syntax::{Did, Handle, Tid};

use crate::hosts::{HostId, HostName};

/// The relay's number of an account; also the order in which `listRepos` lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(pub i64);

/// The last word of an account's host on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Whether it is active.
    pub active: bool,
    /// Why not, or a remark on an active account, as the host spelled it.
    pub status: Option<String>,
}

impl Upstream {
    /// An active account without remark.
    pub const ACTIVE: Self = Self {
        active: true,
        status: None,
    };

    /// Whether the account is gone for good.
    pub fn is_deleted(&self) -> bool {
        !self.active && self.status.as_deref() == Some("deleted")
    }
}

/// The newest accepted state of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RepoState {
    /// The revision.
    pub rev: Tid,
    /// The commit.
    pub commit: Cid,
    /// The root of its tree.
    pub data: Cid,
}

/// An account that has been seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its number.
    pub id: AccountId,
    /// The host it was last seen at.
    pub host: HostId,
    /// What that host says.
    pub upstream: Upstream,
    /// Above its host's quota: not shown, by the relay's decision.
    pub throttled: bool,
}

impl Account {
    /// The status subscribers see. The relay's own decisions come first and never overwrite the host's word.
    pub fn shown(&self, taken_down: bool) -> Upstream {
        let local = |status: &str| Upstream {
            active: false,
            status: Some(status.to_owned()),
        };
        match (taken_down, self.throttled) {
            (true, _) => local("takendown"),
            (false, true) => local("throttled"),
            (false, false) => self.upstream.clone(),
        }
    }
}

/// What of an identity matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The `#atproto` key.
    pub key: Option<PublicKey>,
    /// The host of the PDS the document names.
    pub host: Option<HostName>,
    /// The handle the document claims.
    pub handle: Option<Handle>,
}

/// An identity as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedIdentity {
    /// What was found.
    pub identity: Arc<Identity>,
    /// When, ms since 1970.
    pub fetched_ms: u64,
}

/// The state of a DID, but for its identity.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Known {
    /// The account, if it has been seen.
    pub account: Option<Account>,
    /// The newest state of its repository, if one was accepted.
    pub repo: Option<RepoState>,
    /// Whether the relay has taken it down.
    pub taken_down: bool,
}

/// The state of an account after an event, to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The account's DID.
    pub did: Did,
    /// The account after the event.
    pub account: Account,
    /// Its repository after the event.
    pub repo: Option<RepoState>,
    /// Its identity, if it is known.
    pub identity: Option<FetchedIdentity>,
    /// Whether `account` differs from what was stored.
    pub account_changed: bool,
    /// Whether `repo` differs from what was stored.
    pub repo_changed: bool,
    /// Whether `identity` differs from what was stored.
    pub identity_changed: bool,
}
