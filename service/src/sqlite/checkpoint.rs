//! The keeper: moves the write-ahead log into the database file beside the writer, bounds the log, and
//! interrupts reads that would pin it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rusqlite::{Connection, ErrorCode};

use super::Options;
use super::reader::Pool;

/// How often the keeper looks when nothing wakes it.
const TICK: Duration = Duration::from_millis(100);
/// Without commits for this long the log is emptied completely.
const IDLE: Duration = Duration::from_secs(1);
/// The keeper looks at the log after this many commits.
const COMMITS_PER_LOOK: u64 = 32;
/// The writer waits for a look once it is this many commits ahead: a keeper that is busy with a long
/// checkpoint, or has no processor, must not let the log grow unseen.
const COMMITS_UNSEEN: u64 = 40;
/// How long the writer gives way at most, should somebody else pin the log.
const GIVE_WAY: Duration = Duration::from_millis(1_000);

#[derive(Default)]
struct State {
    /// Commits since the keeper last looked.
    commits: u64,
    /// The writer waits for a checkpoint that resets the log.
    writer_waits: bool,
    /// Checkpoints that reset the log, to tell the writer.
    resets: u64,
    closed: bool,
}

/// Shared between the writer and the keeper's thread.
pub(super) struct Keeper {
    state: Mutex<State>,
    wake: Condvar,
    reset: Condvar,
    /// Bytes in the log that are not in the database file.
    wal_bytes: AtomicU64,
    /// The log is above its limit.
    over: AtomicBool,
    /// By how much the log may exceed its limit after waiting was in vain.
    patience_bytes: AtomicU64,
    checkpoints: AtomicU64,
    limit_bytes: u64,
    checkpoint_bytes: u64,
    gauge: metrics::Gauge,
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// What the log holds.
#[derive(Debug, Clone, Copy, Default)]
struct Log {
    /// Pages in the log.
    pages: u64,
    /// Pages of them that are in the database file as well.
    moved: u64,
}

impl Keeper {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            state: Mutex::default(),
            wake: Condvar::new(),
            reset: Condvar::new(),
            wal_bytes: AtomicU64::new(0),
            over: AtomicBool::new(false),
            patience_bytes: AtomicU64::new(0),
            checkpoints: AtomicU64::new(0),
            limit_bytes: options.wal_limit_bytes,
            checkpoint_bytes: options.checkpoint_bytes,
            gauge: metrics::gauge!("rochdale_sqlite_wal_bytes", "db" => options.name),
        }
    }

    /// Bytes in the log, and checkpoints run.
    pub(super) fn stats(&self) -> (u64, u64) {
        (
            self.wal_bytes.load(Ordering::Relaxed),
            self.checkpoints.load(Ordering::Relaxed),
        )
    }

    /// Called by the writer after every commit.
    pub(super) fn committed(&self) {
        let mut state = self.state.lock();
        state.commits += 1;
        if state.commits == COMMITS_PER_LOOK {
            self.wake.notify_one();
        }
    }

    /// Called by the writer between transactions: waits for a checkpoint when the log is over its limit.
    pub(super) fn give_way(&self) {
        self.wait_to_be_seen();
        if !self.over.load(Ordering::Acquire) {
            return;
        }
        let mut state = self.state.lock();
        let resets = state.resets;
        state.writer_waits = true;
        self.wake.notify_one();
        let deadline = Instant::now() + GIVE_WAY;
        while state.resets == resets && !state.closed {
            if self.reset.wait_until(&mut state, deadline).timed_out() {
                tracing::warn!(
                    wal_bytes = self.wal_bytes.load(Ordering::Relaxed),
                    "the write-ahead log is over its limit and something outside keeps reading it"
                );
                // A foreign reader must not stop every write: asked again after some growth.
                self.patience_bytes
                    .fetch_add(self.limit_bytes / 4, Ordering::Relaxed);
                break;
            }
        }
        state.writer_waits = false;
        self.over.store(false, Ordering::Release);
    }

    fn wait_to_be_seen(&self) {
        let mut state = self.state.lock();
        let deadline = Instant::now() + GIVE_WAY;
        while state.commits >= COMMITS_UNSEEN && !state.closed {
            if self.reset.wait_until(&mut state, deadline).timed_out() {
                return;
            }
        }
    }

    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.wake.notify_all();
        self.reset.notify_all();
    }

    /// The keeper's thread.
    pub(super) fn run(&self, connection: &Connection, readers: &Arc<Pool>) {
        let page_bytes = connection
            .query_row("PRAGMA page_size", [], |row| row.get::<_, u32>(0))
            .map_or(4_096, u64::from);
        let mut last_commit = Instant::now();
        let mut clean = false;
        loop {
            let (commits, writer_waits, closed) = self.wait();
            if closed {
                return;
            }
            readers.interrupt_long();
            if commits > 0 {
                last_commit = Instant::now();
                clean = false;
            }
            let mode = if writer_waits {
                "RESTART"
            } else if commits > 0 {
                "PASSIVE"
            } else if !clean && last_commit.elapsed() >= IDLE {
                // Tried again after the same pause when somebody reads.
                last_commit = Instant::now();
                "TRUNCATE"
            } else {
                continue;
            };
            match self.step(connection, mode, page_bytes) {
                Ok(true) => {
                    clean = true;
                    self.tell_writer();
                }
                Ok(false) => {}
                Err(error) if error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure) => {
                    // After a failed fsync a later one may succeed without the bytes on disk.
                    tracing::error!(cause = %error, mode, "a checkpoint failed in the storage; stopping at once");
                    std::process::abort();
                }
                Err(error) => tracing::error!(cause = %error, mode, "a checkpoint failed"),
            }
        }
    }

    /// One look at the log, and a checkpoint unless a passive one would not be worth it yet. True when
    /// the log starts anew.
    fn step(&self, connection: &Connection, mode: &str, page_bytes: u64) -> rusqlite::Result<bool> {
        let (_, mut log) = checkpoint(connection, "NOOP")?;
        let limit_bytes = self.limit_bytes + self.patience_bytes.load(Ordering::Relaxed);
        // Known before the checkpoint, which may take long.
        self.over
            .store(log.pages * page_bytes > limit_bytes, Ordering::Release);
        let mut anew = false;
        let pending_bytes = log.pages.saturating_sub(log.moved) * page_bytes;
        if mode != "PASSIVE" || pending_bytes >= self.checkpoint_bytes {
            let (busy, after) = checkpoint(connection, mode)?;
            self.checkpoints.fetch_add(1, Ordering::Relaxed);
            anew = mode != "PASSIVE" && !busy;
            log = if anew { Log::default() } else { after };
        }
        let wal_bytes = log.pages * page_bytes;
        self.wal_bytes.store(wal_bytes, Ordering::Relaxed);
        #[expect(clippy::cast_precision_loss, reason = "a metric")]
        self.gauge.set(wal_bytes as f64);
        if anew {
            self.patience_bytes.store(0, Ordering::Relaxed);
        }
        let limit_bytes = self.limit_bytes + self.patience_bytes.load(Ordering::Relaxed);
        self.over.store(wal_bytes > limit_bytes, Ordering::Release);
        Ok(anew)
    }

    fn wait(&self) -> (u64, bool, bool) {
        let mut state = self.state.lock();
        if !state.closed && !state.writer_waits && state.commits < COMMITS_PER_LOOK {
            // A time-out is the ordinary case: the look at the clock tick.
            let _timed_out = self.wake.wait_for(&mut state, TICK);
        }
        self.reset.notify_all();
        (
            std::mem::take(&mut state.commits),
            state.writer_waits,
            state.closed,
        )
    }

    fn tell_writer(&self) {
        self.state.lock().resets += 1;
        self.reset.notify_all();
    }
}

/// Runs one checkpoint: whether it was blocked, and what the log holds now.
fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<(bool, Log)> {
    let mut statement = connection.prepare_cached(&format!("PRAGMA wal_checkpoint({mode})"))?;
    statement.query_row([], |row| {
        let pages = row.get::<_, i64>(1)?;
        let moved = row.get::<_, i64>(2)?;
        let log = Log {
            pages: u64::try_from(pages).unwrap_or(0),
            moved: u64::try_from(moved).unwrap_or(0),
        };
        Ok((row.get::<_, i64>(0)? != 0, log))
    })
}
