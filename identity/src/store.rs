//! The directory's operations in SQLite. Knows SQL and nothing of did:plc: what may be appended is
//! decided by `directory`, under preconditions that are checked here in the same transaction.

mod append;
mod export;
mod read;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use rochdale_protocol::data::{Cid, Codec};
use rochdale_service::sqlite::{Database, Migration, OpenError, Options, ReadError, WriteError};

use crate::directory::DidKey;

pub(crate) use append::{Append, AppendError, Appended};
pub(crate) use export::Row;

const MIGRATIONS: &[Migration] = &[Migration::new(
    1,
    "operations",
    include_str!("store/schema/0001_operations.sql"),
)];

/// The stored operations. Clones are the same store.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    database: Database,
    /// The millisecond in which operations may still share a time; see `append`.
    open_ms: Arc<AtomicI64>,
}

/// One operation as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    /// Place in the order of acceptance.
    pub(crate) seq: i64,
    /// When it was accepted, Unix milliseconds.
    pub(crate) created_at_ms: i64,
    /// Its CID.
    pub(crate) cid: Cid,
    /// See `ChainEntry::signer_key`.
    pub(crate) signer_key: usize,
    /// Whether a recovery undid it.
    pub(crate) nullified: bool,
    /// Canonical DAG-CBOR.
    pub(crate) bytes: Vec<u8>,
}

/// The newest operation of a DID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The operation.
    pub(crate) operation: Stored,
    /// How many operations of the DID are not nullified.
    pub(crate) live: i64,
}

/// Why the store gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// Too much is waiting, or the store is closing: asking again later may help.
    #[error("the directory's database is busy: {0}")]
    Busy(&'static str),
    /// No space left: reads go on.
    #[error("the directory has no space left on its disk; nothing was written")]
    DiskFull,
    /// SQLite failed.
    #[error("the directory's database failed: {0}")]
    Database(#[from] rusqlite::Error),
    /// Anything else the database layer reports.
    #[error("the directory's database failed: {0}")]
    Storage(String),
    /// A row that this program did not write.
    #[error("the directory's database is damaged: {0}; restore a backup")]
    Corrupt(&'static str),
}

impl Store {
    /// Opens or creates the database file.
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        let options = Options {
            name: "identity",
            ..Options::default()
        };
        let database = Database::open(path, MIGRATIONS, options)?;
        Ok(Self {
            database,
            open_ms: Arc::new(AtomicI64::new(i64::MIN)),
        })
    }

    /// Waits for queued writes and closes the file.
    pub(crate) async fn close(&self) {
        self.database.close().await;
    }
}

fn write_error<E: From<StoreError>>(error: WriteError<E>) -> E {
    let failed = match error {
        WriteError::Value(error) => return error,
        WriteError::Busy => StoreError::Busy("too many writes are waiting"),
        WriteError::Closed => StoreError::Busy("it is closing"),
        WriteError::DiskFull => StoreError::DiskFull,
        WriteError::Panicked => StoreError::Storage("the write panicked".into()),
        WriteError::Storage(cause) => StoreError::Storage(cause),
    };
    failed.into()
}

fn read_error(error: ReadError<StoreError>) -> StoreError {
    match error {
        ReadError::Value(error) => error,
        ReadError::Busy => StoreError::Busy("too many reads are waiting"),
        ReadError::TooLong => StoreError::Busy("the read took too long"),
        ReadError::Closed => StoreError::Busy("it is closing"),
        ReadError::Panicked => StoreError::Storage("the read panicked".into()),
        ReadError::Storage(error) => StoreError::Database(error),
    }
}

/// Every operation's CID is a dag-cbor one; only its digest is stored.
fn cid(digest: &[u8]) -> Result<Cid, StoreError> {
    let digest = digest
        .try_into()
        .map_err(|_| StoreError::Corrupt("a digest is not 32 bytes"))?;
    Ok(Cid::from_digest(Codec::DagCbor, digest))
}

/// What `SELECT` must name for [`stored`].
const COLUMNS: &str = "o.seq, o.created_at_ms, o.digest, o.signer_key, o.nullified_by, o.bytes";

fn stored(row: &rusqlite::Row<'_>) -> Result<Stored, StoreError> {
    let signer_key: u32 = row.get(3)?;
    Ok(Stored {
        seq: row.get(0)?,
        created_at_ms: row.get(1)?,
        cid: cid(row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?)?,
        signer_key: usize::try_from(signer_key).unwrap_or(usize::MAX),
        nullified: row.get::<_, Option<i64>>(4)?.is_some(),
        bytes: row.get(5)?,
    })
}

fn did_key(row: &rusqlite::Row<'_>, column: usize) -> Result<DidKey, StoreError> {
    let bytes = row
        .get_ref(column)?
        .as_blob()
        .map_err(rusqlite::Error::from)?;
    DidKey::from_bytes(bytes).ok_or(StoreError::Corrupt("a DID is not 15 bytes"))
}
