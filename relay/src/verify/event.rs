//! What comes in and why it may not go out.

use std::sync::Arc;

use bytes::Bytes;
use rochdale_protocol::syntax::Did;

use crate::hosts::{Host, Token};
use crate::log::Kind;

/// An event of a host, its envelope read.
#[derive(Debug)]
pub struct Incoming {
    /// The host whose stream it came on.
    pub host: Arc<Host>,
    /// What it is about.
    pub kind: Kind,
    /// The DID it claims to be about.
    pub did: Did,
    /// The whole frame.
    pub frame: Bytes,
    /// When it was received, µs since 1970.
    pub arrival_us: u64,
    /// Its place in the host's stream.
    pub token: Token,
}

/// An event with what was already tried for it.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) event: Incoming,
    /// Its account's identity was fetched anew for it.
    pub(super) refreshed: bool,
    /// And was not what it had been.
    pub(super) identity_changed: bool,
    /// Its host was asked for the account's status.
    pub(super) asked_status: bool,
}

impl Pending {
    pub(super) fn new(event: Incoming) -> Self {
        Self {
            event,
            refreshed: false,
            identity_changed: false,
            asked_status: false,
        }
    }
}

/// Why an event is not passed on. The names are labels of a metric, so there is a fixed number of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// The payload cannot be read; costs the connection.
    Unreadable,
    /// The DID is hosted elsewhere.
    WrongHost,
    /// The DID has no working identity.
    NoIdentity,
    /// The DID's identity could not be fetched.
    IdentityUnreachable,
    /// The relay has taken the account down.
    TakenDown,
    /// The account is above its host's quota.
    Throttled,
    /// The account's host says that it is not active.
    Inactive,
    /// The revision is not newer than the last one.
    Replay,
    /// The revision is known with other content.
    Fork,
    /// The revision lies in the future.
    FutureRev,
    /// The event is malformed, contradicts itself, or its operations do not lead back to the state it names.
    Invalid,
    /// A commit without `prevData`, after one has been seen.
    MissingPrevData,
    /// The signature is not the account's.
    BadSignature,
    /// The account's identity has no signing key.
    NoSigningKey,
    /// More `#sync` or `#identity` events than an account may have.
    TooMany,
    /// An `#identity` that changes nothing, from a host that is not the account's.
    Unchanged,
    /// The status is the one already shown.
    Repeated,
    /// Too much was waiting for the account's identity; the host is read again from before it.
    Parked,
    /// The relay failed on it.
    Panic,
    /// The relay's database did not answer; the host is read again from before it.
    Store,
}

impl DropReason {
    /// The label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::WrongHost => "wrong_host",
            Self::NoIdentity => "no_identity",
            Self::IdentityUnreachable => "identity_unreachable",
            Self::TakenDown => "taken_down",
            Self::Throttled => "throttled",
            Self::Inactive => "inactive",
            Self::Replay => "replay",
            Self::Fork => "fork",
            Self::FutureRev => "future_rev",
            Self::Invalid => "invalid",
            Self::MissingPrevData => "missing_prev_data",
            Self::BadSignature => "bad_signature",
            Self::NoSigningKey => "no_signing_key",
            Self::TooMany => "too_many",
            Self::Unchanged => "unchanged",
            Self::Repeated => "repeated",
            Self::Parked => "parked",
            Self::Panic => "panic",
            Self::Store => "store",
        }
    }
}
