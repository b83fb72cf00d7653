//! Blobs: files that records refer to, one set per account.
//!
//! Owns upload, quotas, takedown and removal; where the bytes are is a [`backend`]'s business. A
//! file appears under its CID only whole and durable; its row follows, and only a record makes it
//! visible. Removal goes the other way: the row goes with its last record, the file later. Files
//! on their way in or out stand in `blob_garbage`, so that a crash at any point leaves nothing
//! behind. Must not parse media. Follows the atproto blob specification.

mod backend;
mod disk;
mod legacy;
mod objects;
mod spool;
mod sweep;
mod takedown;
mod turns;
mod upload;

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use rochdale_protocol::data::Cid;
use rochdale_service::clock::SharedClock;
use rochdale_service::shutdown::Shutdown;
use rochdale_service::sqlite::Database;
use tokio::sync::Notify;

pub use backend::{BackendError, Pieces};
pub use legacy::has_legacy_pictures;
pub use upload::{BlobError, Received};

use crate::account::AccountId;
use crate::config::{BlobBackend, BlobConfig};
use crate::store::blob::admit::{self, Quota, Usage};
use crate::store::blob::{MissingBlob, takedown as hidden};
use crate::store::{StoreError, blob as store, read_error};
use backend::{Backend, Place};
use disk::Disk;
use objects::Objects;
use spool::Spool;
use turns::Turns;

/// Bodies that one account sends at the same time; more wait. It bounds what they take on disk.
const UPLOADS_AT_ONCE: usize = 8;

/// What blobs need from the rest of the server.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The database.
    pub database: Database,
    /// The time.
    pub clock: SharedClock,
    /// Where tasks run.
    pub tasks: Shutdown,
    /// Folder of uploads under way, and of the blobs when they are kept on disk.
    pub folder: PathBuf,
    /// Limits, quotas and the backend.
    pub config: BlobConfig,
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
    spool: Spool,
    backend: Arc<dyn Backend>,
    limit_bytes: u64,
    quota: Quota,
    due: Arc<Notify>,
    uploads: Turns<AccountId>,
    /// Keep an upload, a removal and a takedown of the same file apart.
    files: Turns<(AccountId, Cid)>,
}

/// A blob that may be read.
#[derive(Debug, Clone)]
pub struct Found {
    place: Place,
    /// Its type.
    pub mime: String,
    /// Its size in bytes.
    pub size: u64,
}

impl Blobs {
    /// The blobs of `parts.config`'s backend. The folder is made when absent; an object store
    /// need not be there yet.
    ///
    /// # Errors
    /// When the folder cannot be made or the object store's settings make no client.
    pub fn open(parts: Parts) -> Result<Self, BackendError> {
        let backend: Arc<dyn Backend> = match &parts.config.backend {
            BlobBackend::Disk => Arc::new(Disk::open(parts.folder.clone())?),
            BlobBackend::S3(s3) => Arc::new(Objects::s3(s3)?),
        };
        Self::over(backend, parts)
    }

    fn over(backend: Arc<dyn Backend>, parts: Parts) -> Result<Self, BackendError> {
        let inner = Inner {
            database: parts.database,
            clock: parts.clock,
            tasks: parts.tasks,
            spool: Spool::open(parts.folder.join("temp"))?,
            backend,
            limit_bytes: parts.config.limit_bytes,
            quota: parts.config.quota,
            due: parts.due,
            uploads: Turns::new(UPLOADS_AT_ONCE),
            files: Turns::new(1),
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

    /// What one account may have.
    #[must_use]
    pub fn quota(&self) -> Quota {
        self.inner.quota
    }

    /// What an account has, unused uploads included.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn usage(&self, account: AccountId) -> Result<Usage, StoreError> {
        self.inner
            .database
            .read(move |conn| admit::usage(conn, account))
            .await
            .map_err(read_error)
    }

    /// A blob that a record refers to and no moderator hid.
    ///
    /// # Errors
    /// When the store fails.
    pub fn find(&self, account: AccountId, cid: &Cid) -> Result<Option<Found>, StoreError> {
        self.inner
            .database
            .read_point(|conn| {
                let row = store::get(conn, account, cid)?.filter(|row| row.permanent);
                if row.is_none() || hidden::get(conn, account, cid)?.is_some() {
                    return Ok(None);
                }
                Ok(row.map(|row| Found {
                    place: Place::of(account, cid),
                    mime: row.mime,
                    size: row.size,
                }))
            })
            .map_err(read_error::<StoreError>)
    }

    /// The bytes `range` of a blob; `None` when it has gone meanwhile.
    ///
    /// # Errors
    /// When the backend fails.
    pub async fn read(
        &self,
        blob: &Found,
        range: Range<u64>,
    ) -> Result<Option<Pieces>, BackendError> {
        let pieces = self.inner.backend.read(&blob.place, range).await?;
        if pieces.is_none() {
            tracing::error!(place = blob.place.as_str(), "the file of a blob is missing");
        }
        Ok(pieces)
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
}

#[cfg(test)]
pub(crate) mod tests;
