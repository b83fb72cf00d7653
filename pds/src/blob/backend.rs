//! Where the bytes of blobs are kept: what the rest asks of a disk or an object store.
//!
//! A backend knows places and bytes, nothing of accounts, rows or takedowns. Names of places are
//! the same everywhere, so that files can be copied from one backend to another as they are.

use std::fmt;
use std::io;
use std::ops::Range;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use rochdale_protocol::data::Cid;

use super::spool::Spooled;
use crate::account::AccountId;

/// Bytes of a blob as they come, in order. Nothing is read ahead of the reader but one piece.
pub type Pieces = BoxStream<'static, io::Result<Bytes>>;

/// Keeps blobs. Every backend passes the suite in `contract`.
pub(super) trait Backend: fmt::Debug + Send + Sync {
    /// Takes a whole file to `to`. Durable on return, and nothing is there before that. What is
    /// there already is replaced: the same name is the same bytes, unless they were damaged.
    fn put<'a>(&'a self, file: Spooled, to: &'a Place) -> Answer<'a, ()>;

    /// The bytes `range` of what is at `from`, `None` when nothing is. A range that passes the
    /// end gives what there is.
    fn read<'a>(&'a self, from: &'a Place, range: Range<u64>) -> Answer<'a, Option<Pieces>>;

    /// Moves what is at `from`, over what is at `to`; false when nothing is there. A failure
    /// leaves it in one of the places at least.
    fn rename<'a>(&'a self, from: &'a Place, to: &'a Place) -> Answer<'a, bool>;

    /// Removes what is at `place`, if anything.
    fn delete<'a>(&'a self, place: &'a Place) -> Answer<'a, ()>;

    /// Whether the backend can be used as configured.
    fn probe(&self) -> Answer<'_, ()>;
}

/// What a backend's methods answer.
pub(super) type Answer<'a, T> = BoxFuture<'a, Result<T, BackendError>>;

/// Why a backend did not do what was asked. Nothing was done, or all of it and the answer is lost.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// The disk failed.
    #[error("the disk of the blobs failed")]
    Disk(#[from] io::Error),
    /// The object store took too long.
    #[error("the blob store did not answer in time")]
    Timeout(#[source] object_store::Error),
    /// The object store is not there.
    #[error("the blob store cannot be reached")]
    Unreachable(#[source] object_store::Error),
    /// The object store answered with an error.
    #[error("the blob store refused")]
    Refused(#[source] object_store::Error),
}

/// The name of a place for a blob's bytes, a relative path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place(String);

impl Place {
    /// Where a blob is, or will be.
    pub(super) fn of(account: AccountId, cid: &Cid) -> Self {
        // The first part keeps folders small.
        Self(format!("{:02x}/{}/{cid}", account.0 & 0xff, account.0))
    }

    /// Where a blob is kept while it is taken down.
    pub(super) fn quarantined(account: AccountId, cid: &Cid) -> Self {
        Self(format!("quarantine/{}/{cid}", account.0))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}
