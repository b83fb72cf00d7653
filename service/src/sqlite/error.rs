//! What can go wrong with a database, for the person who runs it and for the code that uses it.

use std::path::PathBuf;

use rusqlite::ErrorCode;

/// Why a database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("{} is in use by another process; stop that one first, or choose another data folder", path.display())]
    Locked {
        /// The database.
        path: PathBuf,
    },
    /// The folder or the file cannot be written.
    #[error("cannot write {}: {cause}; check that the folder exists and belongs to this user", path.display())]
    NotWritable {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// No space left.
    #[error("no space left on the disk of {}; free some and start again", path.display())]
    DiskFull {
        /// The database.
        path: PathBuf,
    },
    /// The database was written by a newer version of the program.
    #[error(
        "{} has schema version {found}, this program knows up to {known}; run the newer program again, or restore the backup made before the update",
        path.display()
    )]
    NewerVersion {
        /// The database.
        path: PathBuf,
        /// The version it has.
        found: u32,
        /// The newest version this program knows.
        known: u32,
    },
    /// The database went through other migrations than this program's.
    #[error(
        "{} has migration {number} named {found:?} where this program has {known:?}; it belongs to another service or build",
        path.display()
    )]
    OtherHistory {
        /// The database.
        path: PathBuf,
        /// The migration.
        number: u32,
        /// Its name in the database.
        found: String,
        /// Its name in the program.
        known: &'static str,
    },
    /// The file is something else, or damaged.
    #[error("{} is not a database or is damaged ({cause}); restore a backup", path.display())]
    NotADatabase {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        cause: rusqlite::Error,
    },
    /// A migration failed; nothing of it was kept.
    #[error("migration {number} ({name}) of {} failed: {cause}", path.display())]
    Migration {
        /// The database.
        path: PathBuf,
        /// Which one.
        number: u32,
        /// Its name.
        name: &'static str,
        /// What SQLite said.
        cause: rusqlite::Error,
    },
    /// Anything else SQLite said.
    #[error("cannot open {}: {cause}", path.display())]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        cause: rusqlite::Error,
    },
}

/// Why a value was not applied. Nothing of it was kept.
#[derive(Debug, thiserror::Error)]
pub enum WriteError<E> {
    /// The value itself refused or failed.
    #[error(transparent)]
    Value(E),
    /// Too many values wait already; try again.
    #[error("too many writes are waiting")]
    Busy,
    /// No space left on the disk.
    #[error("no space left on the disk of the database")]
    DiskFull,
    /// The value panicked.
    #[error("the write panicked")]
    Panicked,
    /// The database is closing.
    #[error("the database is closing")]
    Closed,
    /// The transaction failed.
    #[error("the transaction failed: {0}")]
    Storage(String),
}

/// Why a read gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReadError<E> {
    /// The read itself failed.
    #[error(transparent)]
    Value(E),
    /// Too many reads wait already; try again.
    #[error("too many reads are waiting")]
    Busy,
    /// The read took too long and was interrupted.
    #[error("the read was interrupted after its time limit")]
    TooLong,
    /// The read panicked.
    #[error("the read panicked")]
    Panicked,
    /// The database is closing.
    #[error("the database is closing")]
    Closed,
    /// SQLite could not start the read.
    #[error("the read could not start: {0}")]
    Storage(rusqlite::Error),
}

/// Why something was not queued.
#[derive(Debug, Clone, Copy)]
pub(super) enum Refused {
    Busy,
    Closed,
}

impl<E> From<Refused> for WriteError<E> {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Busy => Self::Busy,
            Refused::Closed => Self::Closed,
        }
    }
}

impl<E> From<Refused> for ReadError<E> {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Busy => Self::Busy,
            Refused::Closed => Self::Closed,
        }
    }
}

/// The SQLite error code somewhere in an error's chain of causes.
pub(super) fn code_of(error: &(dyn std::error::Error + 'static)) -> Option<ErrorCode> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(sqlite) = error.downcast_ref::<rusqlite::Error>() {
            return sqlite.sqlite_error_code();
        }
        // A transparent wrapper shows the cause of the wrapped error instead of the error.
        if let Some(sqlite) = error.downcast_ref::<rusqlite::ffi::Error>() {
            return Some(sqlite.code);
        }
        next = error.source();
    }
    None
}
