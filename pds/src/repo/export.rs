//! Exports: a repository as a CAR file, in the streamable order, while it is being written to.
//!
//! Owns what goes into an export and how it is read: a fixed head, pinned; short reads of one
//! piece each, between which no read transaction is open; memory that does not grow with the
//! repository. Must not know HTTP: pieces are handed on as a stream.
//! Follows the atproto repository and sync specifications.

mod fill;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use rochdale_protocol::data::Cid;
use rochdale_protocol::repo::{MstError, car};
use rochdale_protocol::syntax::Tid;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::slots::Slot;
use super::{Inner, Repos, WriteError};
use crate::account::AccountId;
use crate::store::repo::Head;
use crate::store::{StoreError, read_error};
use fill::{Filling, Progress};

/// Bytes of the first piece: small, so that the first byte is out at once.
const FIRST_PIECE_BYTES: usize = 16 << 10;
/// Bytes of every other piece.
const PIECE_BYTES: usize = 128 << 10;
/// Pieces that wait for a slow client.
const PIECES_WAITING: usize = 2;
/// A client that takes nothing for so long is given up.
const STALL: Duration = Duration::from_secs(30);
/// Reads of one piece that may fail before the export does.
const ATTEMPTS: usize = 3;
/// Pause before a piece is read again.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// Why an export broke off.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// More changed under the export than is kept for it.
    #[error("the repository changed too much during the export: start again")]
    Broken,
    /// A node or record of the tree is neither stored nor in memory.
    #[error("block {cid} is missing")]
    Missing {
        /// Which.
        cid: Cid,
    },
    /// A node does not fit its tree.
    #[error(transparent)]
    Tree(#[from] MstError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An export under way: pieces of a CAR file.
#[derive(Debug)]
pub struct Export {
    /// The head it shows.
    pub head: Head,
    pieces: mpsc::Receiver<Result<Bytes, ExportError>>,
}

impl Stream for Export {
    type Item = Result<Bytes, ExportError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.pieces.poll_recv(context)
    }
}

/// A head whose blocks stay readable until this is dropped.
#[derive(Debug)]
pub(super) struct Pinned {
    /// The head.
    pub(super) head: Head,
    /// Its repository.
    pub(super) slot: Arc<Slot>,
}

impl Drop for Pinned {
    fn drop(&mut self) {
        self.slot.nodes.lock().unpin();
    }
}

impl Inner {
    /// Fixes the present head of an account for reading.
    pub(super) async fn pin(&self, account: AccountId) -> Result<Pinned, WriteError> {
        let slot = self.slots.get(account);
        let mut turn = slot.turn().await?;
        let head = self.open(&slot, &mut turn).await?.head.clone();
        slot.nodes.lock().pin();
        Ok(Pinned { head, slot })
    }
}

impl Repos {
    /// Exports the repository: everything, or what came after revision `since`.
    ///
    /// # Errors
    /// `NoRepo`, `Closed`, and `Busy` when too many exports run. Later failures are in the
    /// stream, which ends with them.
    pub async fn export(
        &self,
        account: AccountId,
        since: Option<Tid>,
    ) -> Result<Export, WriteError> {
        let inner = Arc::clone(&self.inner);
        let permit = Arc::clone(&inner.exports)
            .try_acquire_owned()
            .map_err(|_| WriteError::Busy)?;
        let pinned = inner.pin(account).await?;
        let head = pinned.head.clone();
        let (sender, pieces) = mpsc::channel(PIECES_WAITING);
        let task = Producer {
            inner,
            pinned,
            sender,
            _permit: permit,
        };
        self.inner.tasks.spawn("repo-export", task.run(since));
        Ok(Export { head, pieces })
    }
}

struct Producer {
    inner: Arc<Inner>,
    pinned: Pinned,
    sender: mpsc::Sender<Result<Bytes, ExportError>>,
    _permit: OwnedSemaphorePermit,
}

impl Producer {
    async fn run(self, since: Option<Tid>) {
        let head = &self.pinned.head;
        let mut piece = car::header(&[head.cid]);
        car::append_block(&mut piece, &head.cid, &head.block);
        let mut filling = Some(Box::new(Filling::new(&self.pinned.slot, head.data, since)));
        let mut target = FIRST_PIECE_BYTES;
        while let Some(state) = filling.take() {
            match self.next(state, piece, target).await {
                Ok((state, full)) => {
                    filling = (!state.is_done()).then_some(state);
                    if !full.is_empty() && !self.send(Ok(full.into())).await {
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!(account = self.pinned.slot.account.0, %error, "an export broke off");
                    self.send(Err(error)).await;
                    return;
                }
            }
            piece = Vec::with_capacity(PIECE_BYTES + (16 << 10));
            target = PIECE_BYTES;
        }
    }

    /// Reads on until `piece` has `target` bytes, in a read of its own.
    async fn next(
        &self,
        mut state: Box<Filling>,
        mut piece: Vec<u8>,
        target: usize,
    ) -> Result<(Box<Filling>, Vec<u8>), ExportError> {
        let mut attempts = 0;
        loop {
            let start = piece.len();
            let read = self.inner.database.read(move |conn| {
                let progress = state.fill(conn, &mut piece, target);
                Ok::<_, StoreError>((state, piece, progress))
            });
            let progress;
            // When the queue is full state and piece are lost with the closure: give up then.
            (state, piece, progress) = read.await.map_err(read_error::<StoreError>)?;
            attempts = if piece.len() > start { 0 } else { attempts + 1 };
            match progress {
                Ok(Progress::Full | Progress::Done) => return Ok((state, piece)),
                Err(ExportError::Missing { .. }) if attempts < ATTEMPTS => {
                    // Written behind between the look at memory and the look at the table.
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// False when the client is gone or stalls.
    async fn send(&self, piece: Result<Bytes, ExportError>) -> bool {
        matches!(
            tokio::time::timeout(STALL, self.sender.send(piece)).await,
            Ok(Ok(()))
        )
    }
}
