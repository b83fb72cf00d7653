//! What the relay remembers besides the log: hosts and cursors, accounts, their identities and the state of their
//! repositories, bans, takedowns. The only module that knows SQL.
//!
//! The log is the truth about events: account state is written after the log, in batches, and what a crash loses of it is
//! read from the log again.

mod account;
mod ban;
mod host;
mod identity;
mod progress;
mod takedown;

#[cfg(test)]
mod tests;

use std::path::Path;

use rochdale_service::sqlite::{Database, Migration, OpenError, Options, ReadError, WriteError};

pub use account::{AccountListing, StateBatch};
pub use host::HostRow;
pub use progress::Progress;
pub use takedown::Takedown;

const MIGRATIONS: &[Migration] = &[
    Migration::new(1, "state", include_str!("store/schema/0001_state.sql")),
    Migration::new(
        2,
        "identity",
        include_str!("store/schema/0002_identity.sql"),
    ),
];

/// Why the store gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Too much is waiting already.
    #[error("the relay's database is busy: try again")]
    Busy,
    /// The disk is full.
    #[error("no space left on the disk of the relay's database")]
    DiskFull,
    /// The relay is stopping.
    #[error("the relay's database is closed")]
    Closed,
    /// A row cannot be what the relay wrote.
    #[error("the relay's database holds an impossible {what}: {value:?}")]
    Corrupt {
        /// The kind of value.
        what: &'static str,
        /// The value.
        value: String,
    },
    /// Anything else.
    #[error("the relay's database failed: {0}")]
    Failed(String),
}

impl From<WriteError<rusqlite::Error>> for StoreError {
    fn from(error: WriteError<rusqlite::Error>) -> Self {
        match error {
            WriteError::Busy => Self::Busy,
            WriteError::DiskFull => Self::DiskFull,
            WriteError::Closed => Self::Closed,
            WriteError::Value(error) => Self::Failed(error.to_string()),
            WriteError::Panicked => Self::Failed("a write panicked".to_owned()),
            WriteError::Storage(error) => Self::Failed(error),
        }
    }
}

impl From<ReadError<rusqlite::Error>> for StoreError {
    fn from(error: ReadError<rusqlite::Error>) -> Self {
        match error {
            ReadError::Busy => Self::Busy,
            ReadError::Closed => Self::Closed,
            ReadError::Value(error) | ReadError::Storage(error) => Self::Failed(error.to_string()),
            ReadError::TooLong => Self::Failed("a read took too long".to_owned()),
            ReadError::Panicked => Self::Failed("a read panicked".to_owned()),
        }
    }
}

/// The relay's database.
#[derive(Debug, Clone)]
pub struct Store {
    db: Database,
}

impl Store {
    /// Opens or makes the database at `path`.
    ///
    /// # Errors
    /// [`OpenError`] when it cannot be used.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let options = Options {
            name: "relay",
            readers: 1,
            point_readers: 4,
            ..Options::default()
        };
        Ok(Self {
            db: Database::open(path, MIGRATIONS, options)?,
        })
    }

    /// The database, for its figures.
    pub fn database(&self) -> &Database {
        &self.db
    }
}

fn corrupt(what: &'static str, value: impl ToString) -> StoreError {
    StoreError::Corrupt {
        what,
        value: value.to_string(),
    }
}

/// SQLite integers are signed; every number stored here is below 2^63.
fn to_sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn from_sql(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
