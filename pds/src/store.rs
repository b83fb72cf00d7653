//! Everything that is kept in `pds.sqlite`: one trait per aggregate, and the only SQL of the crate.
//!
//! Values go in with what they presuppose, domain types come out. Each write is one transaction
//! with the events it causes, and durable when it returns. Must not hold rules: it refuses a
//! value whose precondition does not hold and names the conflict.

mod access;
pub mod account;
mod account_change;
mod account_row;
pub mod audit;
pub mod blob;
pub mod event;
pub mod invite;
pub mod mail;
pub mod node;
pub mod preference;
pub mod purge;
pub mod recent;
pub mod record;
pub mod repo;
pub mod session;

use std::sync::Arc;

use rochdale_protocol::syntax::Did;
use rochdale_service::sqlite::{Database, Migration, ReadError, WriteError};
use rochdale_service::stream::Frame;
use rusqlite::types::Type;

pub use account::AccountStore;
pub use audit::AuditStore;
pub use invite::InviteStore;
pub use mail::MailStore;
pub use preference::PreferenceStore;
pub use session::SessionStore;

/// The schema, in the order it grew. A landed migration is never edited.
pub const MIGRATIONS: &[Migration] = &[
    Migration::new(
        1,
        "accounts",
        include_str!("store/schema/0001_accounts.sql"),
    ),
    Migration::new(2, "repos", include_str!("store/schema/0002_repos.sql")),
    Migration::new(3, "blobs", include_str!("store/schema/0003_blobs.sql")),
    Migration::new(
        4,
        "blob_usage",
        include_str!("store/schema/0004_blob_usage.sql"),
    ),
    Migration::new(
        5,
        "moderation",
        include_str!("store/schema/0005_moderation.sql"),
    ),
    Migration::new(6, "mail", include_str!("store/schema/0006_mail.sql")),
];

/// Hands committed frames to the event stream, in commit order.
pub type Publish = Arc<dyn Fn(&[Frame]) + Send + Sync>;

/// The stores of a running server.
#[derive(Clone)]
pub struct Store {
    /// Accounts and their codes.
    pub accounts: Arc<dyn AccountStore>,
    /// Refresh tokens and app passwords.
    pub sessions: Arc<dyn SessionStore>,
    /// Invite codes.
    pub invites: Arc<dyn InviteStore>,
    /// Preferences of apps.
    pub preferences: Arc<dyn PreferenceStore>,
    /// What operators did.
    pub audit: AuditStore,
    /// Mail that is still to be sent.
    pub mail: Arc<dyn MailStore>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}

impl Store {
    /// The stores over one SQLite database; `publish` gets the frames of every commit.
    #[must_use]
    pub fn sqlite(database: &Database, publish: Publish) -> Self {
        Self {
            accounts: Arc::new(account::SqliteAccounts::new(database.clone(), publish)),
            sessions: Arc::new(session::SqliteSessions::new(database.clone())),
            invites: Arc::new(invite::SqliteInvites::new(database.clone())),
            preferences: Arc::new(preference::SqlitePreferences::new(database.clone())),
            audit: AuditStore::new(database.clone()),
            mail: Arc::new(mail::SqliteMail::new(database.clone())),
        }
    }
}

/// Why a store did not answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Its queue is full; nothing was done.
    #[error("the database is busy, try again in a moment")]
    Busy,
    /// The server is stopping; nothing was done.
    #[error("the database is closed")]
    Closed,
    /// No space left on the disk.
    #[error("no space left on the disk of the database")]
    DiskFull,
    /// SQLite failed.
    #[error("the database failed")]
    Database(#[from] rusqlite::Error),
    /// A transaction or a read could not be carried out.
    #[error("the database failed: {0}")]
    Failed(String),
    /// Stored bytes are not what was written.
    #[error("stored {what} is damaged")]
    Corrupt {
        /// What was read.
        what: String,
    },
}

impl StoreError {
    /// Stored bytes are not what was written.
    pub(crate) fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt { what: what.into() }
    }
}

/// Turns the answer of a write into the value's own error type.
pub(crate) fn write_error<E: From<StoreError>>(error: WriteError<E>) -> E {
    let failed = match error {
        WriteError::Value(error) => return error,
        WriteError::Busy => StoreError::Busy,
        WriteError::Closed => StoreError::Closed,
        WriteError::DiskFull => StoreError::DiskFull,
        WriteError::Panicked => StoreError::Failed("a write panicked".to_owned()),
        WriteError::Storage(cause) => StoreError::Failed(cause),
    };
    failed.into()
}

/// Turns the answer of a read into the query's own error type.
pub(crate) fn read_error<E: From<StoreError>>(error: ReadError<E>) -> E {
    let failed = match error {
        ReadError::Value(error) => return error,
        ReadError::Busy => StoreError::Busy,
        ReadError::Closed => StoreError::Closed,
        ReadError::TooLong => StoreError::Failed("a read took too long".to_owned()),
        ReadError::Panicked => StoreError::Failed("a read panicked".to_owned()),
        ReadError::Storage(cause) => StoreError::Database(cause),
    };
    failed.into()
}

/// Applies a change that has no precondition but that the account exists.
///
/// # Errors
/// Whatever SQLite reports, or that the account is gone.
pub(crate) fn apply_unconditional(
    db: &rusqlite::Connection,
    change: &account::AccountChange,
) -> Result<(), StoreError> {
    use account::ChangeError;
    account_change::apply(db, change).map_err(|error| match error {
        ChangeError::Store(error) => error,
        ChangeError::Gone
        | ChangeError::PasswordChanged
        | ChangeError::CodeInvalid
        | ChangeError::CodeExpired
        | ChangeError::HandleTaken
        | ChangeError::EmailTaken => StoreError::Failed(error.to_string()),
    })
}

/// Forgets the signing key that was promised to `did`: its account has it now.
///
/// # Errors
/// Whatever SQLite reports.
pub(crate) fn forget_reserved_key(db: &rusqlite::Connection, did: &Did) -> Result<(), StoreError> {
    Ok(account_change::clear_reserved_key(db, did.as_str())?)
}

/// Parses a text column into a domain type.
pub(crate) fn parsed<T>(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T: std::str::FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let text = row.get_ref(column)?.as_str()?;
    text.parse().map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
    })
}

/// As [`parsed`], for a column that may be NULL.
pub(crate) fn parsed_option<T>(
    row: &rusqlite::Row<'_>,
    column: usize,
) -> rusqlite::Result<Option<T>>
where
    T: std::str::FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    match row.get_ref(column)? {
        rusqlite::types::ValueRef::Null => Ok(None),
        _text => parsed(row, column).map(Some),
    }
}

/// The column that a UNIQUE constraint found taken, when that is what failed.
pub(crate) fn taken_column(error: &rusqlite::Error) -> Option<&str> {
    let rusqlite::Error::SqliteFailure(code, Some(message)) = error else {
        return None;
    };
    let unique = [
        rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE,
        rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY,
    ];
    if !unique.contains(&code.extended_code) {
        return None;
    }
    message.strip_prefix("UNIQUE constraint failed: ")
}
