//! A change of one account as a value: what it presupposes, what becomes different, what is sent.

use rochdale_protocol::syntax::Handle;

use crate::account::AccountId;
use crate::account::code::EmailPurpose;
use crate::keys::SealedKey;
use crate::mail::NewMail;
use crate::sequencer::EventDraft;
use crate::store::StoreError;
use crate::store::session::NewSession;

/// A change of one account, applied entirely or not at all.
#[derive(Debug)]
pub struct AccountChange {
    /// Which account.
    pub account: AccountId,
    /// What the hash of the main password must be.
    pub if_password: Option<String>,
    /// A mailed code that must be live; it is used up.
    pub redeem: Option<Redeem>,
    /// What becomes different.
    pub set: Vec<Set>,
    /// Whether every refresh token dies.
    pub revoke_sessions: bool,
    /// Whether every mailed code dies.
    pub clear_codes: bool,
    /// A code that is mailed, after older ones died.
    pub code: Option<NewCode>,
    /// A further mail that is sent.
    pub mail: Option<NewMail>,
    /// A session that begins.
    pub session: Option<NewSession>,
    /// Events in the order they are sent.
    pub events: Vec<EventDraft>,
}

impl AccountChange {
    /// A change of `account` that changes nothing yet.
    #[must_use]
    pub fn of(account: AccountId) -> Self {
        Self {
            account,
            if_password: None,
            redeem: None,
            set: Vec::new(),
            revoke_sessions: false,
            clear_codes: false,
            code: None,
            mail: None,
            session: None,
            events: Vec::new(),
        }
    }

    /// The same change that also sets `what`.
    #[must_use]
    pub fn set(mut self, what: Set) -> Self {
        self.set.push(what);
        self
    }

    /// The same change that also sends `events`.
    #[must_use]
    pub fn sends(mut self, events: Vec<EventDraft>) -> Self {
        self.events.extend(events);
        self
    }

    /// The same change that also ends every session.
    #[must_use]
    pub fn revokes_sessions(mut self) -> Self {
        self.revoke_sessions = true;
        self
    }

    /// The same change that also opens a session.
    #[must_use]
    pub fn opens(mut self, session: NewSession) -> Self {
        self.session = Some(session);
        self
    }

    /// The same change, only while this is the hash of the main password.
    #[must_use]
    pub fn if_password(mut self, hash: String) -> Self {
        self.if_password = Some(hash);
        self
    }

    /// The same change, for which a mailed code must be given.
    #[must_use]
    pub fn redeems(mut self, code: Redeem) -> Self {
        self.redeem = Some(code);
        self
    }
}

/// One new value.
#[derive(Debug, Clone)]
pub enum Set {
    /// The handle; `None` leaves the account without one.
    Handle(Option<Handle>),
    /// The mail address on the operator's word: unconfirmed, and without a second factor.
    Email(String),
    /// The address that the member wants instead, or `None` to stay with the present one.
    EmailPending(Option<String>),
    /// The mail address, proven at this time (Unix ms). No other is pending any more.
    EmailProven(String, i64),
    /// Whether signing in takes a mailed code.
    EmailFactor(bool),
    /// The main password, hashed.
    PasswordHash(String),
    /// Deactivation, or `None` for activation.
    Deactivated(Option<Deactivation>),
    /// A takedown, or `None` to lift it.
    Takedown(Option<Takedown>),
    /// The repository signing key, sealed.
    SigningKey(SealedKey),
    /// Whether the owner may no longer hand out invites.
    InvitesDisabled(bool),
}

/// A deactivation by the owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deactivation {
    /// When, Unix ms.
    pub at_ms: i64,
    /// When the account may be deleted, Unix ms.
    pub delete_after_ms: Option<i64>,
}

/// A takedown by a moderator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Takedown {
    /// The moderator's reference.
    pub reference: String,
    /// When it ends by itself, Unix ms; `None` for never.
    pub until_ms: Option<i64>,
}

/// A mailed code that someone presents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redeem {
    /// What it was mailed for.
    pub purpose: EmailPurpose,
    /// Its digest.
    pub digest: [u8; 32],
    /// Codes made before this moment have expired, Unix ms.
    pub not_before_ms: i64,
}

/// A code that is mailed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCode {
    /// What it is for.
    pub purpose: EmailPurpose,
    /// Its digest.
    pub digest: [u8; 32],
    /// When it was made, Unix ms.
    pub made_at_ms: i64,
    /// The mail that carries it.
    pub mail: NewMail,
}

/// What is done with an account whose deletion date has come.
#[derive(Debug)]
pub enum Due {
    /// It is deleted; the event, if anybody is to be told, is sent in the same transaction.
    Deletion(Option<EventDraft>),
    /// It stays until another date, Unix ms.
    Postponement(i64),
}

/// Why a change was not applied. Nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// There is no such account any more.
    #[error("the account does not exist")]
    Gone,
    /// The password was changed meanwhile.
    #[error("Invalid identifier or password")]
    PasswordChanged,
    /// Not the code that was mailed last for this purpose.
    #[error("Token is invalid")]
    CodeInvalid,
    /// The code is older than 15 minutes.
    #[error("Token has expired")]
    CodeExpired,
    /// Another account has the handle.
    #[error("Handle already taken")]
    HandleTaken,
    /// Another account has the address.
    #[error("Email already taken")]
    EmailTaken,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<rusqlite::Error> for ChangeError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}
