//! Blobs in an object store that speaks S3, for servers that outgrow a disk.
//!
//! A large file goes there in parts; nothing shows before the last one is taken. Parts of an
//! upload that a crash cut off are no objects: only a lifecycle rule of the bucket ("abort
//! incomplete multipart uploads") removes them. Must not retry for long: a caller is waiting.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use object_store::aws::AmazonS3Builder;
use object_store::client::{HttpError, HttpErrorKind};
use object_store::path::Path;
use object_store::{
    BackoffConfig, ClientOptions, Error, GetOptions, GetRange, MultipartUpload, ObjectStore,
    ObjectStoreExt, PutPayload, RetryConfig,
};
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio::sync::Semaphore;

use super::backend::{Answer, Backend, BackendError, Pieces, Place};
use super::spool::Spooled;
use crate::config::S3;

/// Bytes of a part, and of the largest file that goes in one piece. S3 wants 5 MiB at least and
/// 10,000 parts at most.
const PART_BYTES: u64 = 8 << 20;
/// Files on their way to the store at the same time; each holds one part in memory.
const PUTS_AT_ONCE: usize = 8;
/// How long a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A bucket, or a part of one.
pub(super) struct Objects {
    store: Arc<dyn ObjectStore>,
    prefix: String,
    puts: Semaphore,
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Objects({}/{})", self.store, self.prefix)
    }
}

impl Objects {
    /// The bucket that `config` names. Does not connect.
    pub(super) fn s3(config: &S3) -> Result<Self, BackendError> {
        // No limit for a whole request: a reader may take an hour over a video.
        let client = ClientOptions::new()
            .with_allow_http(config.endpoint.starts_with("http://"))
            .with_connect_timeout(CONNECT_TIMEOUT.min(config.timeout))
            .with_read_timeout(config.timeout)
            .with_timeout_disabled();
        let retry = RetryConfig {
            max_retries: 2,
            retry_timeout: config.timeout / 2,
            backoff: BackoffConfig::default(),
        };
        let store = AmazonS3Builder::new()
            .with_endpoint(&config.endpoint)
            .with_bucket_name(&config.bucket)
            .with_region(&config.region)
            .with_access_key_id(&config.access_key_id)
            .with_secret_access_key(config.secret_access_key.expose())
            .with_client_options(client)
            .with_retry(retry)
            // Not every store that speaks S3 has it, and blobs go one by one.
            .with_disable_bulk_delete(true)
            .build()
            .map_err(explain)?;
        Ok(Self::new(Arc::new(store), config.prefix.clone()))
    }

    pub(super) fn new(store: Arc<dyn ObjectStore>, prefix: String) -> Self {
        Self {
            store,
            prefix,
            puts: Semaphore::new(PUTS_AT_ONCE),
        }
    }

    fn key(&self, place: &Place) -> Path {
        Path::from_iter(
            self.prefix
                .split('/')
                .chain(place.as_str().split('/'))
                .filter(|part| !part.is_empty()),
        )
    }

    async fn put_file(&self, file: Spooled, to: &Path) -> Result<(), BackendError> {
        let _turn = self.puts.acquire().await.map_err(io::Error::other)?;
        let mut from = File::open(file.path()).await?;
        if file.size <= PART_BYTES {
            let whole = next_part(&mut from, file.size).await?;
            self.store.put(to, whole).await.map_err(explain)?;
            return Ok(());
        }
        let mut upload = self.store.put_multipart(to).await.map_err(explain)?;
        let done = put_parts(&mut from, file.size, &mut *upload).await;
        if done.is_err()
            && let Err(error) = upload.abort().await
        {
            tracing::warn!(%error, %to, "parts of an upload stay in the blob store");
        }
        done
    }
}

async fn put_parts(
    from: &mut File,
    size: u64,
    upload: &mut dyn MultipartUpload,
) -> Result<(), BackendError> {
    let mut left = size;
    while left > 0 {
        let bytes = left.min(PART_BYTES);
        let part = next_part(from, bytes).await?;
        upload.put_part(part).await.map_err(explain)?;
        left -= bytes;
    }
    upload.complete().await.map_err(explain)?;
    Ok(())
}

async fn next_part(from: &mut File, bytes: u64) -> io::Result<PutPayload> {
    let bytes = usize::try_from(bytes).map_err(io::Error::other)?;
    let mut part = vec![0; bytes];
    from.read_exact(&mut part).await?;
    Ok(PutPayload::from(part))
}

impl Backend for Objects {
    fn put<'a>(&'a self, file: Spooled, to: &'a Place) -> Answer<'a, ()> {
        Box::pin(async move { self.put_file(file, &self.key(to)).await })
    }

    fn read<'a>(&'a self, from: &'a Place, range: Range<u64>) -> Answer<'a, Option<Pieces>> {
        Box::pin(async move {
            let options = GetOptions {
                // An empty range cannot be asked for.
                range: (!range.is_empty()).then(|| GetRange::Bounded(range.clone())),
                head: range.is_empty(),
                ..GetOptions::default()
            };
            match self.store.get_opts(&self.key(from), options).await {
                Err(Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(explain(error)),
                Ok(_) if range.is_empty() => Ok(Some(futures::stream::empty().boxed())),
                Ok(found) => Ok(Some(found.into_stream().map_err(io::Error::other).boxed())),
            }
        })
    }

    fn rename<'a>(&'a self, from: &'a Place, to: &'a Place) -> Answer<'a, bool> {
        Box::pin(async move {
            match self.store.copy(&self.key(from), &self.key(to)).await {
                Err(Error::NotFound { .. }) => return Ok(false),
                copied => copied.map_err(explain)?,
            }
            self.delete(from).await?;
            Ok(true)
        })
    }

    fn delete<'a>(&'a self, place: &'a Place) -> Answer<'a, ()> {
        Box::pin(async move {
            match self.store.delete(&self.key(place)).await {
                Err(Error::NotFound { .. }) => Ok(()),
                gone => gone.map_err(explain),
            }
        })
    }

    fn probe(&self) -> Answer<'_, ()> {
        Box::pin(async move {
            let place = Path::from_iter(self.prefix.split('/').filter(|part| !part.is_empty()));
            let mut listed = self.store.list(Some(&place));
            listed.next().await.transpose().map_err(explain)?;
            Ok(())
        })
    }
}

/// Tells a store that is not there from one that takes too long and one that refuses.
fn explain(error: Error) -> BackendError {
    match transport_error(&error) {
        Some(HttpErrorKind::Timeout) => BackendError::Timeout(error),
        Some(HttpErrorKind::Connect | HttpErrorKind::Request | HttpErrorKind::Interrupted) => {
            BackendError::Unreachable(error)
        }
        // The kinds of that library may grow: whatever else it is, the store is there.
        Some(_) | None => BackendError::Refused(error),
    }
}

fn transport_error(error: &Error) -> Option<HttpErrorKind> {
    let mut next = error.source();
    while let Some(cause) = next {
        if let Some(found) = cause.downcast_ref::<HttpError>() {
            return Some(found.kind());
        }
        next = cause.source();
    }
    None
}
