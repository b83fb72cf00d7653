//! The writer thread: takes what has queued, runs each value in a savepoint, commits once, answers all.

use std::any::Any;
use std::collections::VecDeque;
use std::future::Future;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rusqlite::{Connection, ErrorCode};
use tokio::sync::oneshot;

use super::checkpoint::Keeper;
use super::error::{Refused, WriteError, code_of};
use super::{Options, Stats};

/// Most values in one commit.
const BATCH_VALUES: usize = 512;
/// No further value joins a commit that has run this long: answers must not wait for ever.
const BATCH_TIME: Duration = Duration::from_millis(5);
/// A commit of fewer values waits for those that are announced: an fsync costs more than they do.
const GATHER_VALUES: usize = 16;
/// But no longer than this, counted from its first value.
const GATHER_TIME: Duration = Duration::from_millis(2);
/// After a commit of this many values more are likely to follow at once, from callers that it answered.
const BUSY_VALUES: usize = 6;
/// How long a small commit waits for the next of those, about as long as an fsync takes.
const BUSY_WAIT: Duration = Duration::from_micros(250);
/// A value that holds the writer longer than this is worth a line in the log.
const SLOW_VALUE: Duration = Duration::from_millis(50);

/// The writer's transaction, as a value sees it: everything a [`Connection`] can do. It must not end the
/// transaction itself.
#[derive(Debug)]
pub struct Transaction {
    connection: Connection,
}

impl Transaction {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection }
    }

    fn run(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(drop)
    }
}

impl Deref for Transaction {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

/// Who goes first.
#[derive(Debug, Clone, Copy)]
pub(super) enum Lane {
    Interactive,
    Background,
}

/// What becomes of a value's changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Keep,
    Undo,
    /// Undo, because the disk is full.
    Full,
}

/// Why a whole transaction was not kept.
#[derive(Debug, Clone)]
enum Failure {
    DiskFull,
    Storage(String),
}

impl Failure {
    fn of(error: &rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::DiskFull,
            _ => Self::Storage(error.to_string()),
        }
    }

    fn into_error<E>(self) -> WriteError<E> {
        match self {
            Self::DiskFull => WriteError::DiskFull,
            Self::Storage(why) => WriteError::Storage(why),
        }
    }
}

trait Job: Send {
    fn run(&mut self, transaction: &Transaction) -> Verdict;
    /// Answers the caller: `Ok` when the transaction is durable.
    fn settle(self: Box<Self>, outcome: Result<(), Failure>);
}

struct Value<T, E, F, N> {
    value: Option<F>,
    then: N,
    result: Option<Result<T, WriteError<E>>>,
    reply: oneshot::Sender<Result<T, WriteError<E>>>,
}

impl<T, E, F, N> Job for Value<T, E, F, N>
where
    F: FnOnce(&Transaction) -> Result<T, E> + Send,
    N: FnOnce(&T) + Send,
    T: Send,
    E: std::error::Error + Send + 'static,
{
    fn run(&mut self, transaction: &Transaction) -> Verdict {
        let Some(value) = self.value.take() else {
            return Verdict::Undo;
        };
        let result = match catch_unwind(AssertUnwindSafe(|| value(transaction))) {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) if code_of(&error) == Some(ErrorCode::DiskFull) => {
                Err(WriteError::DiskFull)
            }
            Ok(Err(error)) => Err(WriteError::Value(error)),
            Err(panic) => {
                log_panic("write", panic.as_ref());
                Err(WriteError::Panicked)
            }
        };
        let verdict = match result {
            Ok(_) => Verdict::Keep,
            Err(WriteError::DiskFull) => Verdict::Full,
            Err(_) => Verdict::Undo,
        };
        self.result = Some(result);
        verdict
    }

    fn settle(self: Box<Self>, outcome: Result<(), Failure>) {
        let Self {
            then,
            result,
            reply,
            ..
        } = *self;
        let answer = match (outcome, result) {
            // Also a refusal: it may rest on values that were rolled back with it.
            (Err(failure), _) => Err(failure.into_error()),
            (Ok(()), Some(result)) => result,
            (Ok(()), None) => Err(WriteError::Closed),
        };
        if let Ok(value) = &answer
            && let Err(panic) = catch_unwind(AssertUnwindSafe(|| then(value)))
        {
            log_panic("after a write", panic.as_ref());
        }
        // The caller may have gone; the value is durable all the same.
        let _gone = reply.send(answer);
    }
}

fn log_panic(place: &'static str, panic: &(dyn Any + Send)) {
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    metrics::counter!("rochdale_panics_total", "where" => "sqlite").increment(1);
    tracing::error!(place, message, "panic on a database thread");
}

#[derive(Default)]
struct Lanes {
    interactive: VecDeque<Box<dyn Job>>,
    background: VecDeque<Box<dyn Job>>,
    announced: usize,
    closed: bool,
}

/// The two lanes in front of the writer.
pub(super) struct Queue {
    lanes: Mutex<Lanes>,
    filled: Condvar,
    limit: usize,
    commits: AtomicU64,
    values: AtomicU64,
    refused: AtomicU64,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl Queue {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            lanes: Mutex::default(),
            filled: Condvar::new(),
            limit: options.write_queue,
            commits: AtomicU64::new(0),
            values: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    pub(super) fn push<T, E, F, N>(
        &self,
        lane: Lane,
        value: F,
        then: N,
    ) -> impl Future<Output = Result<T, WriteError<E>>> + Send + use<T, E, F, N>
    where
        F: FnOnce(&Transaction) -> Result<T, E> + Send + 'static,
        N: FnOnce(&T) + Send + 'static,
        T: Send + 'static,
        E: std::error::Error + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Value {
            value: Some(value),
            then,
            result: None,
            reply,
        });
        let queued = self.enqueue(lane, job);
        async move {
            queued?;
            answer.await.unwrap_or(Err(WriteError::Closed))
        }
    }

    fn enqueue(&self, lane: Lane, job: Box<dyn Job>) -> Result<(), Refused> {
        let mut lanes = self.lanes.lock();
        if lanes.closed {
            return Err(Refused::Closed);
        }
        let jobs = match lane {
            Lane::Interactive => &mut lanes.interactive,
            Lane::Background => &mut lanes.background,
        };
        if jobs.len() >= self.limit {
            return Err(Refused::Busy);
        }
        jobs.push_back(job);
        drop(lanes);
        self.filled.notify_one();
        Ok(())
    }

    pub(super) fn announce(self: Arc<Self>) -> Announced {
        self.lanes.lock().announced += 1;
        Announced { queue: self }
    }

    pub(super) fn close(&self) {
        self.lanes.lock().closed = true;
        self.filled.notify_all();
    }

    pub(super) fn stats(&self) -> Stats {
        let lanes = self.lanes.lock();
        Stats {
            commits: self.commits.load(Ordering::Relaxed),
            values: self.values.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            queued: lanes.interactive.len() + lanes.background.len(),
            ..Stats::default()
        }
    }

    /// Waits for work. False when the queue is closed and empty.
    fn wait(&self) -> bool {
        let mut lanes = self.lanes.lock();
        loop {
            if !lanes.interactive.is_empty() || !lanes.background.is_empty() {
                return true;
            }
            if lanes.closed {
                return false;
            }
            self.filled.wait(&mut lanes);
        }
    }

    /// The next value of a batch: interactive ones first, and background ones when there are none; one
    /// background value always gets in once the interactive lane had its share. A small batch waits a
    /// moment for values that are announced, or likely.
    fn next(&self, batch: &mut Batch) -> Option<Box<dyn Job>> {
        let asked = Instant::now();
        let mut lanes = self.lanes.lock();
        loop {
            let values = batch.jobs.len();
            let elapsed = batch.started.elapsed();
            let room = values < BATCH_VALUES && elapsed < BATCH_TIME;
            if room && let Some(job) = lanes.interactive.pop_front() {
                return Some(job);
            }
            if (room || !batch.has_background)
                && let Some(job) = lanes.background.pop_front()
            {
                batch.has_background = true;
                return Some(job);
            }
            let patience = match lanes.announced {
                0 if batch.follows_many => BUSY_WAIT.saturating_sub(asked.elapsed()),
                0 => Duration::ZERO,
                _ => GATHER_TIME.saturating_sub(elapsed),
            };
            let enough = values >= GATHER_VALUES || elapsed >= GATHER_TIME;
            if enough || patience.is_zero() || lanes.closed {
                return None;
            }
            self.filled.wait_for(&mut lanes, patience);
        }
    }
}

/// A write that is being worked out and comes soon, unless this is dropped before.
#[derive(Debug)]
pub struct Announced {
    queue: Arc<Queue>,
}

impl Drop for Announced {
    fn drop(&mut self) {
        self.queue.lanes.lock().announced -= 1;
        self.queue.filled.notify_one();
    }
}

struct Batch {
    jobs: Vec<Box<dyn Job>>,
    started: Instant,
    has_background: bool,
    /// The batch before this one was shared by many.
    follows_many: bool,
    kept: u64,
}

/// The writer thread's own things.
pub(super) struct Writer {
    transaction: Transaction,
    queue: Arc<Queue>,
    keeper: Arc<Keeper>,
    batch_values: metrics::Histogram,
    commit_seconds: metrics::Histogram,
}

impl Writer {
    pub(super) fn new(
        connection: Connection,
        queue: Arc<Queue>,
        keeper: Arc<Keeper>,
        name: &'static str,
    ) -> Self {
        Self {
            transaction: Transaction::new(connection),
            queue,
            keeper,
            batch_values: metrics::histogram!("rochdale_sqlite_commit_values", "db" => name),
            commit_seconds: metrics::histogram!("rochdale_sqlite_commit_seconds", "db" => name),
        }
    }

    /// Runs until the queue is closed and empty.
    pub(super) fn run(self) {
        let mut last_values = 0;
        while self.queue.wait() {
            self.keeper.give_way();
            last_values = self.batch(last_values >= BUSY_VALUES);
        }
    }

    /// Commits what is there and what comes in time; answers how many values that were.
    fn batch(&self, follows_many: bool) -> usize {
        let mut batch = Batch {
            jobs: Vec::new(),
            started: Instant::now(),
            has_background: false,
            follows_many,
            kept: 0,
        };
        if let Err(error) = self.transaction.run("BEGIN IMMEDIATE") {
            while let Some(job) = self.queue.next(&mut batch) {
                batch.jobs.push(job);
            }
            return self.settle(batch, Err(Failure::of(&error)));
        }
        while let Some(mut job) = self.queue.next(&mut batch) {
            let outcome = self.apply(job.as_mut(), &mut batch);
            batch.jobs.push(job);
            if let Err(failure) = outcome {
                self.roll_back();
                return self.settle(batch, Err(failure));
            }
        }
        let outcome = self.commit();
        self.settle(batch, outcome)
    }

    /// Runs one value in its savepoint. An error means that the transaction is lost.
    fn apply(&self, job: &mut dyn Job, batch: &mut Batch) -> Result<(), Failure> {
        let started = Instant::now();
        self.transaction
            .run("SAVEPOINT value")
            .map_err(|error| Failure::of(&error))?;
        let verdict = job.run(&self.transaction);
        // A full disk or a read error may roll back everything, and SQLite says so only here.
        if self.transaction.is_autocommit() {
            return Err(match verdict {
                Verdict::Full => Failure::DiskFull,
                _ => Failure::Storage("SQLite rolled the transaction back".to_owned()),
            });
        }
        if verdict == Verdict::Keep {
            batch.kept += 1;
        } else {
            self.transaction
                .run("ROLLBACK TO value")
                .map_err(|error| Failure::of(&error))?;
        }
        self.transaction
            .run("RELEASE value")
            .map_err(|error| Failure::of(&error))?;
        let took = started.elapsed();
        if took > SLOW_VALUE {
            tracing::warn!(
                took_ms = took.as_millis(),
                "a write held the writer for long"
            );
        }
        Ok(())
    }

    fn commit(&self) -> Result<(), Failure> {
        let started = Instant::now();
        let Err(error) = self.transaction.run("COMMIT") else {
            self.commit_seconds.record(started.elapsed());
            return Ok(());
        };
        if error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure) {
            // Whether the log reached the disk is unknown now, and a second fsync would not tell.
            tracing::error!(cause = %error, "a commit failed in the storage; stopping at once");
            std::process::abort();
        }
        self.roll_back();
        Err(Failure::of(&error))
    }

    fn roll_back(&self) {
        if !self.transaction.is_autocommit()
            && let Err(error) = self.transaction.run("ROLLBACK")
        {
            tracing::error!(cause = %error, "a transaction can neither commit nor roll back; stopping");
            std::process::abort();
        }
    }

    fn settle(&self, batch: Batch, outcome: Result<(), Failure>) -> usize {
        let taken = batch.jobs.len();
        let values = taken as u64;
        let kept = if outcome.is_ok() { batch.kept } else { 0 };
        if kept > 0 {
            self.queue.commits.fetch_add(1, Ordering::Relaxed);
            #[expect(clippy::cast_precision_loss, reason = "a metric; at most 512")]
            self.batch_values.record(values as f64);
        }
        self.queue.values.fetch_add(kept, Ordering::Relaxed);
        self.queue
            .refused
            .fetch_add(values - kept, Ordering::Relaxed);
        if let Err(failure) = &outcome {
            tracing::error!(?failure, values, "a transaction was rolled back");
        }
        for job in batch.jobs {
            job.settle(outcome.clone());
        }
        self.keeper.committed();
        taken
    }
}
