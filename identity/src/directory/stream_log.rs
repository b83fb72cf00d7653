//! The operations as the log behind the export stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use rochdale_service::clock::SharedClock;
use rochdale_service::stream::{EventLog, Frame, LogError};

use super::{Published, push_sequenced};
use crate::store::{Row, Store, StoreError};

/// A cursor whose next operation is older than this is refused: such a consumer reads pages.
const REPLAY_MS: i64 = 7 * 24 * 3_600_000;
/// Operations of one read at most.
const ROWS: usize = 500;

/// The operations as an event log.
#[derive(Debug)]
pub(crate) struct StreamLog {
    store: Store,
    clock: SharedClock,
    /// The newest number that was published.
    head: AtomicU64,
}

impl StreamLog {
    /// A log that begins with what the store holds.
    pub(crate) fn new(store: Store, clock: SharedClock) -> Result<Arc<Self>, StoreError> {
        let head = AtomicU64::new(store.newest()?.unsigned_abs());
        Ok(Arc::new(Self { store, clock, head }))
    }

    /// Makes a frame of an accepted operation.
    pub(crate) fn frame(&self, published: Published) -> Frame {
        self.head.store(published.seq, Ordering::Release);
        frame(published.seq, published.line)
    }

    /// Nothing is ever removed, but a cursor too far back counts as if it were. The operation before
    /// the first one that is young enough is found by its time.
    async fn read_trimmed(&self) -> Result<u64, StoreError> {
        let now_ms = i64::try_from(self.clock.now_ms()).unwrap_or(i64::MAX);
        Ok(self
            .store
            .last_at(now_ms.saturating_sub(REPLAY_MS))
            .await?
            .unsigned_abs())
    }
}

fn frame(seq: u64, line: String) -> Frame {
    Frame {
        seq,
        bytes: Bytes::from(line),
        subject: 0,
    }
}

fn log_error(error: StoreError) -> LogError {
    LogError(Box::new(error))
}

impl EventLog for StreamLog {
    fn read(&self, after: u64, limit_bytes: usize) -> BoxFuture<'_, Result<Vec<Frame>, LogError>> {
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let mut bytes = 0;
        let visit = move |frames: &mut Vec<Frame>, row: &Row<'_>| {
            let mut line = String::with_capacity(row.bytes.len() * 2);
            push_sequenced(&mut line, row)?;
            bytes += line.len();
            frames.push(frame(row.seq.unsigned_abs(), line));
            Ok(bytes < limit_bytes)
        };
        let read = self.store.by_seq(after, ROWS, Vec::new(), visit);
        async move { read.await.map_err(log_error) }.boxed()
    }

    fn head(&self) -> u64 {
        self.head.load(Ordering::Acquire)
    }

    fn trimmed(&self) -> BoxFuture<'_, Result<u64, LogError>> {
        async move { self.read_trimmed().await.map_err(log_error) }.boxed()
    }
}
