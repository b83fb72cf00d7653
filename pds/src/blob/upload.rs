//! Taking a blob in: hashed and looked at while it streams to a temporary file.
//!
//! Owns the size limit, the choice of type and the order in which file and row become durable.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use rochdale_protocol::data::blob::BlobRef;
use rochdale_protocol::data::{Cid, Codec};
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

use super::disk::TemporaryFile;
use super::{Blobs, Inner};
use crate::account::AccountId;
use crate::store::{StoreError, blob as store, read_error, write_error};

/// Bytes that decide the type.
const SNIFF_BYTES: usize = 8 << 10;
/// Bytes gathered before a write to disk.
const WRITE_BYTES: usize = 256 << 10;
/// What a blob is when nobody knows.
const UNKNOWN_TYPE: &str = "application/octet-stream";

/// Why a blob was not taken, or not given out.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// Over the limit.
    #[error("the blob is larger than {limit_bytes} bytes")]
    TooLarge {
        /// The limit.
        limit_bytes: u64,
    },
    /// The body ended before, or after, the announced length.
    #[error("the body has {received} bytes, Content-Length says {announced}")]
    Length {
        /// Bytes received.
        received: u64,
        /// Bytes announced.
        announced: u64,
    },
    /// A moderator hid this blob.
    #[error("the blob was taken down and is not accepted")]
    TakenDown,
    /// The client's body broke off.
    #[error("the upload broke off: {0}")]
    Body(String),
    /// The disk failed.
    #[error("the blob store failed")]
    Disk(#[from] io::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A body on disk, not yet a blob.
#[derive(Debug)]
pub struct Received {
    file: TemporaryFile,
    cid: Cid,
    mime: String,
    size: u64,
}

impl Blobs {
    /// Streams a body to a temporary file. `announced` is its Content-Length, unless it is
    /// encoded. Dropping the future, or the answer, leaves nothing.
    ///
    /// # Errors
    /// `TooLarge` before reading when the announced length is over the limit; `Length`; `Body`.
    pub async fn receive<E: std::fmt::Display>(
        &self,
        declared_type: Option<&str>,
        announced: Option<u64>,
        mut body: impl Stream<Item = Result<Bytes, E>> + Unpin,
    ) -> Result<Received, UploadError> {
        let limit_bytes = self.inner.limit_bytes;
        if announced.is_some_and(|bytes| bytes > limit_bytes) {
            return Err(UploadError::TooLarge { limit_bytes });
        }
        let file = self.inner.disk.temporary();
        let mut out = tokio::fs::File::create(&file.path).await?;
        let (mut hash, mut size) = (Sha256::new(), 0_u64);
        let (mut head, mut pending) = (Vec::new(), Vec::new());
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|error| UploadError::Body(error.to_string()))?;
            size += piece.len() as u64;
            if size > limit_bytes {
                return Err(UploadError::TooLarge { limit_bytes });
            }
            hash.update(&piece);
            let wanted = piece.len().min(SNIFF_BYTES - head.len().min(SNIFF_BYTES));
            head.extend_from_slice(piece.get(..wanted).unwrap_or_default());
            pending.extend_from_slice(&piece);
            if pending.len() >= WRITE_BYTES {
                out.write_all(&pending).await?;
                pending.clear();
            }
        }
        out.write_all(&pending).await?;
        if let Some(announced) = announced.filter(|bytes| *bytes != size) {
            return Err(UploadError::Length {
                received: size,
                announced,
            });
        }
        out.sync_all().await?;
        let cid = Cid::from_digest(Codec::Raw, hash.finalize().into());
        Ok(Received {
            file,
            cid,
            mime: kind(&head, declared_type),
            size,
        })
    }

    /// Makes a received body a blob of `account`: durable on return, visible once a record
    /// refers to it. A caller that goes away cancels nothing.
    ///
    /// # Errors
    /// `TakenDown`, or when store or disk fail.
    pub async fn settle(
        &self,
        account: AccountId,
        received: Received,
    ) -> Result<BlobRef, UploadError> {
        let inner = Arc::clone(&self.inner);
        let (answer, answered) = tokio::sync::oneshot::channel();
        self.inner.tasks.spawn("blob-settle", async move {
            // Nobody may be waiting any more: the blob is stored all the same.
            let _gone = answer.send(inner.settle(account, received).await);
        });
        answered
            .await
            .map_err(|_| io::Error::other("the upload's task ended"))?
    }
}

impl Inner {
    async fn settle(&self, account: AccountId, received: Received) -> Result<BlobRef, UploadError> {
        let Received {
            file,
            cid,
            mime,
            size,
        } = received;
        let hidden: Option<String> = self
            .database
            .read_point(|conn| store::takedown(conn, account, &cid))
            .map_err(read_error::<StoreError>)?;
        if hidden.is_some() {
            return Err(UploadError::TakenDown);
        }
        let _lock = self.lock(&cid).await;
        self.database
            .write(move |tx| store::expect_file(tx, account, &cid))
            .await
            .map_err(write_error::<StoreError>)?;
        let disk = self.disk.clone();
        tokio::task::spawn_blocking(move || disk.settle(&file, account, &cid))
            .await
            .map_err(io::Error::other)??;
        let now_ms = self.clock.now_ms();
        let row = self
            .database
            .write(move |tx| store::insert(tx, account, &cid, &mime, size, now_ms))
            .await
            .map_err(write_error::<StoreError>)?;
        Ok(BlobRef {
            cid,
            mime: row.mime,
            size: row.size,
        })
    }
}

/// The type found in the first bytes, else the declared one.
fn kind(head: &[u8], declared: Option<&str>) -> String {
    if let Some(found) = infer::get(head) {
        return found.mime_type().to_owned();
    }
    let declared = declared.unwrap_or_default();
    let essence = declared
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    let sound = essence.len() <= 255
        && essence.bytes().all(|byte| byte.is_ascii_graphic())
        && matches!(essence.split_once('/'), Some((kind, sub)) if !kind.is_empty() && !sub.is_empty());
    if sound && !essence.contains('*') {
        essence
    } else {
        UNKNOWN_TYPE.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_decide_the_type_and_the_declaration_helps_when_they_do_not() {
        let png = [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 0];
        assert_eq!(kind(&png, Some("text/plain")), "image/png");
        assert_eq!(
            kind(b"hello", Some("Text/Plain; charset=utf-8")),
            "text/plain"
        );
        assert_eq!(kind(b"hello", None), UNKNOWN_TYPE);
        for bad in ["image", "/", "a/", "*/*", "a b/c", ""] {
            assert_eq!(kind(b"hello", Some(bad)), UNKNOWN_TYPE, "{bad}");
        }
    }
}
