//! Accounts: who has one here, its state, and the rules of its life from sign-up to deletion.
//!
//! Owns the account row as a domain type, the cache of rows, handle rules, sessions, mailed codes
//! and invites. Must not know SQL or HTTP. Follows the AT Protocol account and handle specs.

mod cache;
pub mod code;
pub mod email;
pub mod email_change;
pub mod handle;
pub mod handle_change;
pub mod invite;
pub mod key_change;
pub mod lifecycle;
pub mod mailed;
pub mod preference;
pub mod session;
pub mod sign_up;

use rochdale_protocol::syntax::{Did, Handle};

use crate::keys::SealedKey;

pub use cache::Accounts;

/// Number of an account on this server: the row id, never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(pub i64);

/// What an account may do at present. The stronger state wins when several apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountStatus {
    /// In normal use.
    Active,
    /// Put to sleep by its owner, or brought here and not yet activated.
    Deactivated,
    /// Taken down by a moderator until a date.
    Suspended,
    /// Taken down by a moderator.
    TakenDown,
}

impl AccountStatus {
    /// The word used by `status` fields of the protocol; `None` for an active account.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Active => None,
            Self::Deactivated => Some("deactivated"),
            Self::Suspended => Some("suspended"),
            Self::TakenDown => Some("takendown"),
        }
    }
}

/// One account as stored.
#[derive(Debug, Clone)]
pub struct Account {
    /// Number on this server.
    pub id: AccountId,
    /// The identity it serves.
    pub did: Did,
    /// Present handle; `None` shows as `handle.invalid`.
    pub handle: Option<Handle>,
    /// Mail address, as the member wrote it.
    pub email: Option<String>,
    /// When the address was confirmed, Unix ms.
    pub email_confirmed_at_ms: Option<i64>,
    /// Address that the member wants instead and has not proven yet.
    pub email_pending: Option<String>,
    /// Whether signing in with the main password takes a code mailed to `email`.
    pub email_factor: bool,
    /// Main password, hashed.
    pub password_hash: String,
    /// Repository signing key, encrypted.
    pub signing_key: SealedKey,
    /// When it was created here, Unix ms.
    pub created_at_ms: i64,
    /// When its owner deactivated it, Unix ms.
    pub deactivated_at_ms: Option<i64>,
    /// When it may be deleted if still deactivated, Unix ms.
    pub delete_after_ms: Option<i64>,
    /// Reference of the moderator's takedown, when taken down or suspended.
    pub takedown_ref: Option<String>,
    /// When the takedown ends by itself, Unix ms: then it is a suspension.
    pub suspended_until_ms: Option<i64>,
    /// Invite code it was created with.
    pub invite_code: Option<String>,
    /// Whether its owner may no longer hand out invites.
    pub invites_disabled: bool,
}

impl Account {
    /// The state that decides what is allowed.
    #[must_use]
    pub fn status(&self) -> AccountStatus {
        if self.is_taken_down() {
            match self.suspended_until_ms {
                Some(_) => AccountStatus::Suspended,
                None => AccountStatus::TakenDown,
            }
        } else if self.deactivated_at_ms.is_some() {
            AccountStatus::Deactivated
        } else {
            AccountStatus::Active
        }
    }

    /// Whether a moderator took the account down, for good or until a date.
    #[must_use]
    pub fn is_taken_down(&self) -> bool {
        self.takedown_ref.is_some()
    }

    /// Whether the account was brought here and has not been activated since.
    #[must_use]
    pub fn is_arriving(&self) -> bool {
        // Only then was it deactivated in the moment of its making.
        self.deactivated_at_ms == Some(self.created_at_ms)
    }

    /// Whether nothing restricts the account.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.status() == AccountStatus::Active
    }

    /// The handle, or `handle.invalid` when it has none.
    #[must_use]
    pub fn handle_text(&self) -> &str {
        self.handle.as_ref().map_or(Handle::INVALID, Handle::as_str)
    }
}
