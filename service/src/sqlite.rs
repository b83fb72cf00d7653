//! SQLite the way every Rochdale database uses it: one writer thread with group commit, readers that
//! never pin the log, checkpoints on their own connection.
//!
//! - **Writes are values.** A closure runs in a savepoint of a shared transaction; one commit with
//!   `synchronous=FULL` covers everything that queued during the previous one. No timers.
//! - **A value is owned by the queue**: a caller that goes away cancels nothing.
//! - **A failed commit ends the process**: after a failed fsync nobody knows what is on disk.
//! - **Reads** run either on the caller's thread ([`Database::read_point`], for a few microseconds) or
//!   on reader threads ([`Database::read`], for anything up to [`Options::read_limit`]).
//!
//! It holds no schema and no SQL of a service; those bring their own [`Migration`]s.

mod checkpoint;
mod error;
mod open;
mod reader;
mod writer;

#[cfg(test)]
mod kill_tests;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::Connection;

pub use error::{OpenError, ReadError, WriteError};
pub use writer::{Announced, Transaction};

/// One step of a schema's history. Steps are applied in order of `number`, all pending ones in one
/// transaction, and never change once they were released.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// 1, 2, 3, … without gaps.
    pub number: u32,
    /// Short name, kept in the database.
    pub name: &'static str,
    /// The statements.
    pub sql: &'static str,
}

impl Migration {
    /// Migration `number`, whose short name is `name`.
    pub const fn new(number: u32, name: &'static str, sql: &'static str) -> Self {
        Self { number, name, sql }
    }
}

/// Limits of one database.
#[derive(Debug, Clone)]
pub struct Options {
    /// Name in metrics and thread names, such as `pds`.
    pub name: &'static str,
    /// Reader threads for [`Database::read`].
    pub readers: usize,
    /// Connections for [`Database::read_point`].
    pub point_readers: usize,
    /// Page cache of the writer, in bytes.
    pub cache_bytes: u64,
    /// Page cache of each reader, in bytes.
    pub reader_cache_bytes: u64,
    /// Above this many bytes in the write-ahead log the writer gives way to a checkpoint.
    pub wal_limit_bytes: u64,
    /// From this many bytes in the write-ahead log on a checkpoint runs beside the writer.
    pub checkpoint_bytes: u64,
    /// Writes that may wait, in each lane.
    pub write_queue: usize,
    /// Reads that may wait for a reader thread.
    pub read_queue: usize,
    /// A read that is still running after this time is interrupted, so that it cannot pin the log.
    pub read_limit: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: "db",
            readers: 2,
            point_readers: 4,
            cache_bytes: 16 << 20,
            reader_cache_bytes: 2 << 20,
            wal_limit_bytes: 32 << 20,
            checkpoint_bytes: 4 << 20,
            write_queue: 4_096,
            read_queue: 1_024,
            read_limit: Duration::from_millis(250),
        }
    }
}

/// What a database has done since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Transactions committed (each is one fsync of the log).
    pub commits: u64,
    /// Values that were committed in them.
    pub values: u64,
    /// Values that were refused, failed or panicked.
    pub refused: u64,
    /// Bytes that stand in the write-ahead log and are not yet in the database file.
    pub wal_bytes: u64,
    /// Checkpoints run.
    pub checkpoints: u64,
    /// Values waiting.
    pub queued: usize,
}

/// An open database. Clones are the same database; it closes when the last one is gone.
#[derive(Debug, Clone)]
pub struct Database {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    writes: Arc<writer::Queue>,
    reads: Arc<reader::Pool>,
    keeper: Arc<checkpoint::Keeper>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Database {
    /// Opens or creates the database at `path` and brings its schema up to date.
    ///
    /// The file `<path>.lock` is locked while the database is open, so that two processes never share it.
    ///
    /// # Errors
    /// What a person can act on: see [`OpenError`].
    pub fn open(
        path: impl AsRef<Path>,
        migrations: &[Migration],
        options: Options,
    ) -> Result<Self, OpenError> {
        open::open(path.as_ref(), migrations, options)
    }

    /// Where the database file is.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Applies one value: `value` runs on the writer thread inside a savepoint; when it answers an error
    /// nothing of it is kept. The answer comes when the value is durable.
    ///
    /// The value is queued by the call itself, in call order; dropping the future cancels nothing.
    pub fn write<T, E, F>(
        &self,
        value: F,
    ) -> impl Future<Output = Result<T, WriteError<E>>> + Send + use<T, E, F>
    where
        F: FnOnce(&Transaction) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: std::error::Error + Send + 'static,
    {
        self.inner
            .writes
            .push(writer::Lane::Interactive, value, |_: &T| {})
    }

    /// As [`Database::write`]; `then` runs on the writer thread when the value is durable, in commit
    /// order and before the caller is answered. It must be quick and must not write.
    pub fn write_then<T, E, F, N>(
        &self,
        value: F,
        then: N,
    ) -> impl Future<Output = Result<T, WriteError<E>>> + Send + use<T, E, F, N>
    where
        F: FnOnce(&Transaction) -> Result<T, E> + Send + 'static,
        N: FnOnce(&T) + Send + 'static,
        T: Send + 'static,
        E: std::error::Error + Send + 'static,
    {
        self.inner
            .writes
            .push(writer::Lane::Interactive, value, then)
    }

    /// As [`Database::write`], behind every interactive write: for the small steps of large work. At
    /// least one background value runs per commit, so it is slow under load but never starved.
    pub fn write_background<T, E, F>(
        &self,
        value: F,
    ) -> impl Future<Output = Result<T, WriteError<E>>> + Send + use<T, E, F>
    where
        F: FnOnce(&Transaction) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: std::error::Error + Send + 'static,
    {
        self.inner
            .writes
            .push(writer::Lane::Background, value, |_: &T| {})
    }

    /// Says that a write comes soon, while it is still being worked out. As long as such writes are on
    /// their way, the writer holds a small commit back a moment (2 ms at most) so that they share its
    /// fsync. Drop the answer once the write is queued, and before waiting for anything slow.
    pub fn announce(&self) -> Announced {
        Arc::clone(&self.inner.writes).announce()
    }

    /// Runs `read` on a reader thread, against one snapshot. For scans and anything above ~100 µs.
    pub fn read<T, E, F>(
        &self,
        read: F,
    ) -> impl Future<Output = Result<T, ReadError<E>>> + Send + use<T, E, F>
    where
        F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: std::error::Error + Send + 'static,
    {
        self.inner.reads.push(read)
    }

    /// Runs `read` here and now, on the caller's thread: for point reads of a few microseconds, where
    /// handing over to a thread would cost more than the read. Each statement sees its own snapshot.
    ///
    /// # Errors
    /// [`ReadError::Value`] with the read's own error, or the storage's.
    pub fn read_point<T, E>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, ReadError<E>>
    where
        E: std::error::Error + 'static,
    {
        self.inner.reads.point(read)
    }

    /// What the database has done.
    pub fn stats(&self) -> Stats {
        let mut stats = self.inner.writes.stats();
        (stats.wal_bytes, stats.checkpoints) = self.inner.keeper.stats();
        stats
    }

    /// Closes the database: waits for queued values, refuses new ones, and gives the lock back. Called
    /// by the last clone's drop as well.
    pub async fn close(&self) {
        let inner = Arc::clone(&self.inner);
        // A join error would be a panic of the closing thread, after which there is nothing to close.
        let _closed = tokio::task::spawn_blocking(move || inner.close()).await;
    }
}

impl Inner {
    fn close(&self) {
        self.writes.close();
        self.reads.close();
        self.keeper.close();
        let threads = std::mem::take(&mut *self.threads.lock());
        for thread in threads {
            // `then` may own the last clone: a thread cannot wait for itself.
            if thread.thread().id() != std::thread::current().id() {
                // A thread that panicked has logged it; closing goes on.
                let _ended = thread.join();
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}
