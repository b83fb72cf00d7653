//! Blobs: files that records refer to, one set per account.
//!
//! Owns upload, the files on disk and their removal. A file appears under its CID only whole and
//! synced; its row follows, and only a record makes it visible. Removal goes the other way: the
//! row goes with its last record, the file later. Files on their way in or out stand in
//! `blob_garbage`, so that a crash at any point leaves nothing behind. Must not parse media.
//! Follows the atproto blob specification.

mod disk;
mod sweep;
mod upload;

use std::path::PathBuf;
use std::sync::Arc;

use rochdale_protocol::data::Cid;
use rochdale_service::clock::SharedClock;
use rochdale_service::shutdown::Shutdown;
use rochdale_service::sqlite::Database;
use tokio::sync::{Mutex, MutexGuard, Notify};

pub use upload::{Received, UploadError};

use crate::account::AccountId;
use crate::store::blob::{BlobRow, MissingBlob};
use crate::store::{StoreError, blob as store, read_error, write_error};
use disk::Disk;

/// Locks that keep an upload and a removal of the same file apart.
const LOCKS: usize = 64;

/// What blobs need from the rest of the server.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The database.
    pub database: Database,
    /// The time.
    pub clock: SharedClock,
    /// Where tasks run.
    pub tasks: Shutdown,
    /// Where the files are.
    pub folder: PathBuf,
    /// Largest blob, in bytes.
    pub limit_bytes: u64,
    /// Told when files have become due for removal.
    pub due: Arc<Notify>,
}

/// The blobs of this server. Clones are the same thing.
#[derive(Debug, Clone)]
pub struct Blobs {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    database: Database,
    clock: SharedClock,
    tasks: Shutdown,
    disk: Disk,
    limit_bytes: u64,
    due: Arc<Notify>,
    locks: Vec<Mutex<()>>,
}

/// A blob being read.
#[derive(Debug)]
pub struct OpenBlob {
    /// The file, at its start.
    pub file: tokio::fs::File,
    /// Its type.
    pub mime: String,
    /// Its size in bytes.
    pub size: u64,
}

impl Blobs {
    /// The blobs in `parts.folder`, which is made when absent.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn open(parts: Parts) -> std::io::Result<Self> {
        let inner = Inner {
            database: parts.database,
            clock: parts.clock,
            tasks: parts.tasks,
            disk: Disk::open(parts.folder)?,
            limit_bytes: parts.limit_bytes,
            due: parts.due,
            locks: (0..LOCKS).map(|_| Mutex::new(())).collect(),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Largest blob, in bytes.
    #[must_use]
    pub fn limit_bytes(&self) -> u64 {
        self.inner.limit_bytes
    }

    /// A blob that a record refers to and no moderator hid.
    ///
    /// # Errors
    /// When the store or the disk fails.
    pub async fn read(
        &self,
        account: AccountId,
        cid: &Cid,
    ) -> Result<Option<OpenBlob>, UploadError> {
        let row: Option<BlobRow> = self
            .inner
            .database
            .read_point(|conn| {
                let row = store::get(conn, account, cid)?.filter(|row| row.permanent);
                Ok(if store::takedown(conn, account, cid)?.is_some() {
                    None
                } else {
                    row
                })
            })
            .map_err(read_error::<StoreError>)?;
        let Some(row) = row else { return Ok(None) };
        match tokio::fs::File::open(self.inner.disk.path(account, cid)).await {
            Ok(file) => Ok(Some(OpenBlob {
                file,
                mime: row.mime,
                size: row.size,
            })),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                tracing::error!(account = account.0, %cid, "the file of a blob is missing");
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// CIDs that records refer to, ascending after `after`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn list(
        &self,
        account: AccountId,
        since: Option<rochdale_protocol::syntax::Tid>,
        after: Option<Cid>,
        limit: usize,
    ) -> Result<Vec<Cid>, StoreError> {
        self.inner
            .database
            .read(move |conn| store::list(conn, account, since, after.as_ref(), limit))
            .await
            .map_err(read_error)
    }

    /// Blobs that records refer to and that were never uploaded, ascending after `after`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn missing(
        &self,
        account: AccountId,
        after: Option<Cid>,
        limit: usize,
    ) -> Result<Vec<MissingBlob>, StoreError> {
        self.inner
            .database
            .read(move |conn| store::missing(conn, account, after.as_ref(), limit))
            .await
            .map_err(read_error)
    }

    /// Whether the account has this blob, visible or not.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn exists(&self, account: AccountId, cid: Cid) -> Result<bool, StoreError> {
        self.inner
            .database
            .read(move |conn| Ok::<_, StoreError>(store::get(conn, account, &cid)?.is_some()))
            .await
            .map_err(read_error)
    }

    /// Hides a blob (`reference` given) or shows it again. A hidden one is not accepted anew.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn set_takedown(
        &self,
        account: AccountId,
        cid: &Cid,
        reference: Option<String>,
    ) -> Result<(), StoreError> {
        let cid = *cid;
        self.inner
            .database
            .write(move |tx| store::set_takedown(tx, account, &cid, reference.as_deref()))
            .await
            .map_err(write_error)
    }

    /// The reference under which a blob is hidden.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn takedown(
        &self,
        account: AccountId,
        cid: &Cid,
    ) -> Result<Option<String>, StoreError> {
        let cid = *cid;
        self.inner
            .database
            .read(move |conn| store::takedown(conn, account, &cid))
            .await
            .map_err(read_error)
    }
}

impl Inner {
    /// Keeps an upload and a removal of one file apart.
    async fn lock(&self, cid: &Cid) -> Option<MutexGuard<'_, ()>> {
        let place = cid
            .digest()
            .first()
            .map_or(0, |byte| usize::from(*byte) % LOCKS);
        match self.locks.get(place) {
            Some(lock) => Some(lock.lock().await),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests;
