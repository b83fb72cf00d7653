//! The event log as the stream reads it.
//!
//! Owns the head as subscribers may know it: the last number whose frame is durable.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::FutureExt;
use futures::future::BoxFuture;
use rochdale_service::sqlite::{Database, ReadError};
use rochdale_service::stream::{EventLog, Frame, LogError};

use crate::store::{StoreError, event, read_error, write_error};

/// Frames in one cold read at most.
const FRAMES_PER_READ: usize = 500;

/// Events stored in the database.
#[derive(Debug, Clone)]
pub struct Log {
    database: Database,
    head: Arc<AtomicU64>,
}

impl Log {
    /// The log of `database`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn open(database: &Database) -> Result<Self, StoreError> {
        let head = database
            .read_point(event::last_seq)
            .map_err(read_error::<StoreError>)?;
        Ok(Self {
            database: database.clone(),
            head: Arc::new(AtomicU64::new(head)),
        })
    }

    /// Lets numbers go on above `seq`, which somebody has seen although nothing here has it.
    ///
    /// # Errors
    /// When the store fails; numbers go on as before then.
    pub(super) async fn raise(&self, seq: u64) -> Result<(), StoreError> {
        self.database
            .write(move |tx| event::raise_floor(tx, seq))
            .await
            .map_err(write_error::<StoreError>)?;
        self.advance(seq);
        Ok(())
    }

    /// Moves the head: frames up to `seq` are durable.
    pub(super) fn advance(&self, seq: u64) {
        self.head.fetch_max(seq, Ordering::Release);
    }
}

impl EventLog for Log {
    fn read(&self, after: u64, limit_bytes: usize) -> BoxFuture<'_, Result<Vec<Frame>, LogError>> {
        let read = self
            .database
            .read(move |conn| event::read_after(conn, after, FRAMES_PER_READ, limit_bytes));
        async move { read.await.map_err(failed) }.boxed()
    }

    fn head(&self) -> u64 {
        self.head.load(Ordering::Acquire)
    }

    fn trimmed(&self) -> BoxFuture<'_, Result<u64, LogError>> {
        let read = self.database.read(event::trimmed_seq);
        async move { read.await.map_err(failed) }.boxed()
    }
}

fn failed(error: ReadError<StoreError>) -> LogError {
    LogError(Box::new(read_error::<StoreError>(error)))
}
