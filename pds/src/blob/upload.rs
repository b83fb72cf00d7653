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

use super::backend::{BackendError, Place};
use super::spool::Spooled;
use super::turns::Turn;
use super::{Blobs, Inner};
use crate::account::AccountId;
use crate::store::blob::admit::{self, AdmitError, NewBlob};
use crate::store::{StoreError, write_error};

/// Bytes that decide the type.
const SNIFF_BYTES: usize = 8 << 10;
/// Bytes gathered before a write to disk.
const WRITE_BYTES: usize = 256 << 10;
/// What a blob is when nobody knows.
const UNKNOWN_TYPE: &str = "application/octet-stream";

/// Why a blob was not taken, hidden or given out.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
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
    /// The account may not have it.
    #[error(transparent)]
    Admit(#[from] AdmitError),
    /// The client's body broke off.
    #[error("the upload broke off: {0}")]
    Body(String),
    /// The disk of uploads under way failed.
    #[error("the disk of the blobs failed")]
    Disk(#[from] io::Error),
    /// The backend failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A body on disk, not yet a blob.
#[derive(Debug)]
pub struct Received {
    file: Spooled,
    blob: NewBlob,
    _turn: Option<Turn>,
}

impl Blobs {
    /// Streams a body of `account` to a temporary file. `announced` is its Content-Length, unless
    /// it is encoded. Dropping the future, or the answer, leaves nothing.
    ///
    /// # Errors
    /// `TooLarge` before reading when the announced length is over the limit; `Length`; `Body`.
    pub async fn receive<E: std::fmt::Display>(
        &self,
        account: AccountId,
        declared_type: Option<&str>,
        announced: Option<u64>,
        mut body: impl Stream<Item = Result<Bytes, E>> + Unpin,
    ) -> Result<Received, BlobError> {
        let limit_bytes = self.inner.limit_bytes;
        if announced.is_some_and(|bytes| bytes > limit_bytes) {
            return Err(BlobError::TooLarge { limit_bytes });
        }
        let turn = self.inner.uploads.take(account).await;
        let (mut file, mut out) = self.inner.spool.create().await?;
        let (mut hash, mut size) = (Sha256::new(), 0_u64);
        let (mut head, mut pending) = (Vec::new(), Vec::new());
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|error| BlobError::Body(error.to_string()))?;
            size += piece.len() as u64;
            if size > limit_bytes {
                return Err(BlobError::TooLarge { limit_bytes });
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
        out.flush().await?;
        if let Some(announced) = announced.filter(|bytes| *bytes != size) {
            return Err(BlobError::Length {
                received: size,
                announced,
            });
        }
        file.size = size;
        let blob = NewBlob {
            account,
            cid: Cid::from_digest(Codec::Raw, hash.finalize().into()),
            mime: kind(&head, declared_type),
            size,
        };
        Ok(Received {
            file,
            blob,
            _turn: turn,
        })
    }

    /// Makes a received body a blob of its account: durable on return, visible once a record
    /// refers to it. A caller that goes away cancels nothing.
    ///
    /// # Errors
    /// `Admit` with what the account may not have, or when store or backend fail.
    pub async fn settle(&self, received: Received) -> Result<BlobRef, BlobError> {
        let inner = Arc::clone(&self.inner);
        let (answer, answered) = tokio::sync::oneshot::channel();
        self.inner.tasks.spawn("blob-settle", async move {
            // Nobody may be waiting any more: the blob is stored all the same.
            let _gone = answer.send(inner.settle(received).await);
        });
        answered
            .await
            .map_err(|_| io::Error::other("the upload's task ended"))?
    }
}

impl Inner {
    async fn settle(&self, received: Received) -> Result<BlobRef, BlobError> {
        let Received { file, blob, _turn } = received;
        let (cid, quota) = (blob.cid, self.quota);
        let _file_turn = self.files.take((blob.account, cid)).await;
        let expected = blob.clone();
        self.database
            .write(move |tx| admit::expect_file(tx, &expected, &quota))
            .await
            .map_err(write_error::<AdmitError>)?;
        let place = Place::of(blob.account, &cid);
        let placed = self.backend.put(file, &place).await;
        let row = match placed {
            Ok(()) => {
                let now_ms = self.clock.now_ms();
                self.database
                    .write(move |tx| admit::insert(tx, &blob, &quota, now_ms))
                    .await
                    .map_err(|error| write_error::<AdmitError>(error).into())
            }
            Err(error) => Err(BlobError::from(error)),
        };
        if row.is_err() {
            // The file, if there is one, is garbage now.
            self.due.notify_one();
        }
        let row = row?;
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
