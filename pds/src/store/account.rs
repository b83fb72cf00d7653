//! Accounts on disk.

mod change;
#[cfg(test)]
pub(crate) mod tests;

use futures::future::{BoxFuture, FutureExt, TryFutureExt};
use rochdale_protocol::syntax::{Did, Handle};
use rochdale_service::sqlite::Database;
use rochdale_service::stream::Frame;
use rusqlite::Connection;

use super::access::Access;
use super::account_change::{self, erase};
use super::session::NewSession;
use super::{Publish, StoreError, account_row, invite, session};
use crate::account::code::EmailPurpose;
use crate::account::{Account, AccountId};
use crate::keys::SealedKey;
use crate::repo::InitialRepo;
use crate::sequencer::EventDraft;
pub use change::{AccountChange, ChangeError, Deactivation, Due, NewCode, Redeem, Set, Takedown};

/// Promised keys that are kept at most: anybody may ask for one.
const RESERVED_KEYS_MAX: i64 = 50_000;

/// How an account is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountKey {
    /// By number.
    Id(AccountId),
    /// By identity.
    Did(Did),
    /// By handle.
    Handle(Handle),
    /// By mail address, in any case.
    Email(String),
}

/// A new account with all that appears together with it.
#[derive(Debug)]
pub struct NewAccount {
    /// The row; its `id` is replaced by the one given.
    pub account: Account,
    /// The first commit of its repository.
    pub repo: InitialRepo,
    /// Invite code that is used up by one, when one is required.
    pub invite: Option<String>,
    /// The name that its signing key was promised under; the promise is kept now.
    pub promised_under: Option<String>,
    /// The session that is answered to the new member.
    pub session: NewSession,
    /// Events in the order they are sent; their account is filled in.
    pub events: Vec<EventDraft>,
}

/// Why a new account was not stored. Nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// Another account, in whatever state, has the handle.
    #[error("Handle already taken")]
    HandleTaken,
    /// Another account, in whatever state, has the address.
    #[error("Email already taken")]
    EmailTaken,
    /// The identity has an account here already.
    #[error(
        "an account for this DID exists here already: sign in to it, or ask the operator to delete it"
    )]
    DidTaken,
    /// The invite code was used up or disabled meanwhile.
    #[error("Provided invite code not available")]
    InviteUnavailable,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<rusqlite::Error> for CreateError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Accounts on disk.
pub trait AccountStore: Send + Sync {
    /// The account with this key, in whatever state.
    fn find(&self, key: AccountKey) -> BoxFuture<'_, Result<Option<Account>, StoreError>>;

    /// Accounts with a number above `after`, ascending; all, or those with the address `email`.
    fn page(
        &self,
        after: AccountId,
        limit: usize,
        email: Option<String>,
    ) -> BoxFuture<'_, Result<Vec<Account>, StoreError>>;

    /// Up to 100 deactivated accounts whose deletion date is not after `now_ms`.
    fn abandoned(&self, now_ms: i64) -> BoxFuture<'_, Result<Vec<Account>, StoreError>>;

    /// Up to 100 accounts whose suspension ended not after `now_ms`.
    fn served(&self, now_ms: i64) -> BoxFuture<'_, Result<Vec<Account>, StoreError>>;

    /// Stores a new account with repository, session, spent invite and events, and answers its
    /// number.
    fn create(&self, new: NewAccount) -> BoxFuture<'_, Result<AccountId, CreateError>>;

    /// Applies `change` if the account exists and its code, if one is demanded, is live.
    fn change(&self, change: AccountChange) -> BoxFuture<'_, Result<(), ChangeError>>;

    /// Deletes the account with everything this store knows of it and marks its repository for
    /// removal. `event` is sent in the same transaction; its number is answered.
    fn delete(
        &self,
        account: AccountId,
        redeem: Option<Redeem>,
        event: EventDraft,
    ) -> BoxFuture<'_, Result<u64, ChangeError>>;

    /// Does what is `due` with an account that is still deactivated and whose deletion date is not
    /// after `now_ms`. Answers the number of the event that tells of the deletion, 0 without one, or
    /// `None` when nothing was deleted: because that is not due, or the account was activated
    /// meanwhile.
    fn settle_abandoned(
        &self,
        account: AccountId,
        now_ms: i64,
        due: Due,
    ) -> BoxFuture<'_, Result<Option<u64>, ChangeError>>;

    /// Keeps a code and queues its mail, both instead of the ones before for the same purpose.
    /// Nothing happens, and the answer is `false`, when one that was made after `unless_after_ms` is
    /// still live.
    fn put_code(
        &self,
        account: AccountId,
        code: NewCode,
        unless_after_ms: i64,
    ) -> BoxFuture<'_, Result<bool, StoreError>>;

    /// Whose live or expired code this is.
    fn code_owner(
        &self,
        purpose: EmailPurpose,
        digest: [u8; 32],
    ) -> BoxFuture<'_, Result<Option<AccountId>, StoreError>>;

    /// The signing key promised to `did`, or `offered` if none was: the answer is what is kept.
    fn reserve_key(
        &self,
        did: String,
        offered: ReservedKey,
        now_ms: i64,
    ) -> BoxFuture<'_, Result<ReservedKey, StoreError>>;

    /// Forgets keys that were promised before `before_ms`, and the oldest above a limit.
    fn forget_reserved_keys(&self, before_ms: i64) -> BoxFuture<'_, Result<(), StoreError>>;

    /// The signing key promised to `did`.
    fn reserved_key(&self, did: String) -> BoxFuture<'_, Result<Option<ReservedKey>, StoreError>>;
}

/// A signing key promised to an identity before it has an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReservedKey {
    /// The key, sealed for the DID it is promised to.
    pub sealed: SealedKey,
    /// Its public half as `did:key`.
    pub public: String,
}

/// [`AccountStore`] over SQLite.
pub(super) struct SqliteAccounts {
    database: Access,
    publish: Publish,
}

impl SqliteAccounts {
    pub(super) fn new(database: Database, publish: Publish) -> Self {
        Self {
            database: Access::new(database),
            publish,
        }
    }

    fn write<T, E>(
        &self,
        value: impl FnOnce(&Connection) -> Result<(T, Vec<Frame>), E> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, E>>
    where
        T: Send + 'static,
        E: std::error::Error + From<StoreError> + Send + 'static,
    {
        let publish = self.publish.clone();
        let then = move |done: &(T, Vec<Frame>)| publish(&done.1);
        let done = self.database.apply_then(value, then);
        done.map_ok(|(answer, _frames)| answer).boxed()
    }
}

impl AccountStore for SqliteAccounts {
    fn find(&self, key: AccountKey) -> BoxFuture<'_, Result<Option<Account>, StoreError>> {
        self.database.point(|db| match key {
            AccountKey::Id(id) => account_row::find(db, "id", &id.0),
            AccountKey::Did(did) => account_row::find(db, "did", &did.as_str()),
            AccountKey::Handle(handle) => account_row::find(db, "handle", &handle.as_str()),
            AccountKey::Email(email) => account_row::find(db, "email", &email),
        })
    }

    fn page(
        &self,
        after: AccountId,
        limit: usize,
        email: Option<String>,
    ) -> BoxFuture<'_, Result<Vec<Account>, StoreError>> {
        self.database
            .read(move |db| account_row::page(db, after, limit, email.as_deref()))
    }

    fn abandoned(&self, now_ms: i64) -> BoxFuture<'_, Result<Vec<Account>, StoreError>> {
        self.database
            .read(move |db| account_row::abandoned(db, now_ms))
    }

    fn served(&self, now_ms: i64) -> BoxFuture<'_, Result<Vec<Account>, StoreError>> {
        self.database
            .read(move |db| account_row::served(db, now_ms))
    }

    fn create(&self, new: NewAccount) -> BoxFuture<'_, Result<AccountId, CreateError>> {
        self.write(move |db| create(db, new))
    }

    fn change(&self, change: AccountChange) -> BoxFuture<'_, Result<(), ChangeError>> {
        self.write(move |db| {
            account_change::apply(db, &change)?;
            Ok(((), super::event::append(db, &change.events)?))
        })
    }

    fn delete(
        &self,
        account: AccountId,
        redeem: Option<Redeem>,
        event: EventDraft,
    ) -> BoxFuture<'_, Result<u64, ChangeError>> {
        self.write(move |db| {
            if let Some(code) = redeem {
                account_change::redeem(db, account, &code)?;
            }
            delete(db, account, Some(event))
        })
    }

    fn settle_abandoned(
        &self,
        account: AccountId,
        now_ms: i64,
        due: Due,
    ) -> BoxFuture<'_, Result<Option<u64>, ChangeError>> {
        self.write(move |db| {
            if !account_row::is_abandoned(db, account, now_ms)? {
                return Ok((None, Vec::new()));
            }
            match due {
                Due::Deletion(event) => {
                    let (seq, frames) = delete(db, account, event)?;
                    Ok((Some(seq), frames))
                }
                Due::Postponement(until_ms) => {
                    account_row::set_delete_after(db, account, until_ms)?;
                    Ok((None, Vec::new()))
                }
            }
        })
    }

    fn put_code(
        &self,
        account: AccountId,
        code: NewCode,
        unless_after_ms: i64,
    ) -> BoxFuture<'_, Result<bool, StoreError>> {
        self.write(move |db| {
            let put = account_change::put_code_unless(db, account, &code, unless_after_ms)?;
            Ok((put, Vec::new()))
        })
    }

    fn code_owner(
        &self,
        purpose: EmailPurpose,
        digest: [u8; 32],
    ) -> BoxFuture<'_, Result<Option<AccountId>, StoreError>> {
        self.database
            .read(move |db| account_change::code_owner(db, purpose, digest))
    }

    fn reserve_key(
        &self,
        did: String,
        offered: ReservedKey,
        now_ms: i64,
    ) -> BoxFuture<'_, Result<ReservedKey, StoreError>> {
        self.write(move |db| {
            Ok((
                account_change::reserve_key(db, &did, &offered, now_ms)?,
                Vec::new(),
            ))
        })
    }

    fn forget_reserved_keys(&self, before_ms: i64) -> BoxFuture<'_, Result<(), StoreError>> {
        self.write(move |db| {
            db.prepare_cached(
                "DELETE FROM reserved_key WHERE created_at_ms < ?1 OR did IN
                     (SELECT did FROM reserved_key ORDER BY created_at_ms DESC LIMIT -1 OFFSET ?2)",
            )?
            .execute([before_ms, RESERVED_KEYS_MAX])?;
            Ok(((), Vec::new()))
        })
    }

    fn reserved_key(&self, did: String) -> BoxFuture<'_, Result<Option<ReservedKey>, StoreError>> {
        self.database
            .read(move |db| account_change::reserved_key(db, &did))
    }
}

/// Deletes an account; answers the number of the event, and its frame.
fn delete(
    db: &Connection,
    account: AccountId,
    event: Option<EventDraft>,
) -> Result<(u64, Vec<Frame>), ChangeError> {
    erase(db, account)?;
    super::purge::mark(db, account)?;
    let events: Vec<EventDraft> = event.into_iter().collect();
    let frames = super::event::append(db, &events)?;
    let seq = frames.first().map_or(0, |frame| frame.seq);
    Ok((seq, frames))
}

fn create(db: &Connection, new: NewAccount) -> Result<(AccountId, Vec<Frame>), CreateError> {
    let id = account_row::insert(db, &new.account)
        .map_err(|error| insert_error(db, &new.account, error))?;
    if let Some(code) = &new.invite {
        let did = new.account.did.as_str();
        if !invite::spend(db, code, did, new.account.created_at_ms)? {
            return Err(CreateError::InviteUnavailable);
        }
    }
    super::repo::insert_initial(db, id, &new.repo)?;
    session::insert(db, id, &new.session)?;
    if let Some(name) = &new.promised_under {
        account_change::clear_reserved_key(db, name)?;
    }
    let mut events = new.events;
    for event in &mut events {
        event.account = id;
    }
    Ok((id, super::event::append(db, &events)?))
}

/// Which wish could not be met. The handle comes first when several could not.
fn insert_error(db: &Connection, account: &Account, error: rusqlite::Error) -> CreateError {
    let handle = account.handle.as_ref().map(Handle::as_str);
    match super::taken_column(&error) {
        Some("account.did") => CreateError::DidTaken,
        Some("account.handle") => CreateError::HandleTaken,
        Some("account.email") => match account_row::find(db, "handle", &handle) {
            Ok(Some(_holder)) => CreateError::HandleTaken,
            Ok(None) => CreateError::EmailTaken,
            Err(error) => error.into(),
        },
        Some(_) | None => error.into(),
    }
}
