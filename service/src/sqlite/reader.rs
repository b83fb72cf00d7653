//! Readers: threads for long reads, a few connections for point reads on the caller's own thread.

use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use rusqlite::{Connection, ErrorCode, InterruptHandle};
use tokio::sync::oneshot;

use super::Options;
use super::error::{ReadError, Refused, code_of};

type Job = Box<dyn FnOnce(&Connection) + Send>;

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    closed: bool,
}

/// A running read that can be stopped.
struct Watch {
    since: Mutex<Option<Instant>>,
    interrupt: InterruptHandle,
}

/// All readers of one database.
pub(super) struct Pool {
    jobs: Mutex<Jobs>,
    filled: Condvar,
    limit: usize,
    read_limit: Duration,
    watches: Mutex<Vec<Arc<Watch>>>,
    points: Vec<Mutex<Connection>>,
    next_point: AtomicUsize,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool")
            .field("points", &self.points.len())
            .finish_non_exhaustive()
    }
}

impl Pool {
    pub(super) fn new(options: &Options, points: Vec<Connection>) -> Self {
        Self {
            jobs: Mutex::default(),
            filled: Condvar::new(),
            limit: options.read_queue,
            read_limit: options.read_limit,
            watches: Mutex::default(),
            points: points.into_iter().map(Mutex::new).collect(),
            next_point: AtomicUsize::new(0),
        }
    }

    pub(super) fn push<T, E, F>(
        &self,
        read: F,
    ) -> impl Future<Output = Result<T, ReadError<E>>> + Send + use<T, E, F>
    where
        F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: std::error::Error + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(move |connection: &Connection| {
            if !reply.is_closed() {
                // The caller may have gone meanwhile: nobody wants the answer then.
                let _gone = reply.send(snapshot(connection, read));
            }
        });
        let queued = self.enqueue(job);
        async move {
            queued?;
            answer.await.unwrap_or(Err(ReadError::Closed))
        }
    }

    fn enqueue(&self, job: Job) -> Result<(), Refused> {
        let mut jobs = self.jobs.lock();
        if jobs.closed {
            return Err(Refused::Closed);
        }
        if jobs.waiting.len() >= self.limit {
            return Err(Refused::Busy);
        }
        jobs.waiting.push_back(job);
        drop(jobs);
        self.filled.notify_one();
        Ok(())
    }

    pub(super) fn point<T, E>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, ReadError<E>>
    where
        E: std::error::Error + 'static,
    {
        let connection = self.free_point().ok_or(ReadError::Closed)?;
        judge(catch_unwind(AssertUnwindSafe(|| read(&connection))))
    }

    /// A connection nobody uses, or else the next one when it is free: point reads are short.
    fn free_point(&self) -> Option<MutexGuard<'_, Connection>> {
        let start = self.next_point.fetch_add(1, Ordering::Relaxed);
        let (later, sooner) = self.points.split_at(start.checked_rem(self.points.len())?);
        let mut order = sooner.iter().chain(later);
        order
            .clone()
            .find_map(Mutex::try_lock)
            .or_else(|| order.next().map(Mutex::lock))
    }

    /// A reader thread's life.
    pub(super) fn run(&self, connection: &Connection) {
        let watch = Arc::new(Watch {
            since: Mutex::new(None),
            interrupt: connection.get_interrupt_handle(),
        });
        self.watches.lock().push(Arc::clone(&watch));
        while let Some(job) = self.next() {
            *watch.since.lock() = Some(Instant::now());
            job(connection);
            *watch.since.lock() = None;
        }
    }

    fn next(&self) -> Option<Job> {
        let mut jobs = self.jobs.lock();
        loop {
            if let Some(job) = jobs.waiting.pop_front() {
                return Some(job);
            }
            if jobs.closed {
                return None;
            }
            self.filled.wait(&mut jobs);
        }
    }

    /// Interrupts reads past their limit; called every now and then by the keeper.
    pub(super) fn interrupt_long(&self) {
        for watch in self.watches.lock().iter() {
            // Held while interrupting, so that the next read of that thread is never hit.
            let since = watch.since.lock();
            if since.is_some_and(|since| since.elapsed() > self.read_limit) {
                watch.interrupt.interrupt();
            }
        }
    }

    pub(super) fn close(&self) {
        self.jobs.lock().closed = true;
        self.filled.notify_all();
    }
}

fn snapshot<T, E>(
    connection: &Connection,
    read: impl FnOnce(&Connection) -> Result<T, E>,
) -> Result<T, ReadError<E>>
where
    E: std::error::Error + 'static,
{
    let run = |sql| connection.prepare_cached(sql)?.execute([]).map(drop);
    run("BEGIN").map_err(|error| match error.sqlite_error_code() {
        Some(ErrorCode::OperationInterrupted) => ReadError::TooLong,
        _ => ReadError::Storage(error),
    })?;
    let result = judge(catch_unwind(AssertUnwindSafe(|| read(connection))));
    if let Err(error) = run("COMMIT") {
        tracing::warn!(cause = %error, "a read transaction did not end well");
        if !connection.is_autocommit() {
            run("ROLLBACK").map_err(ReadError::Storage)?;
        }
    }
    result
}

fn judge<T, E>(result: std::thread::Result<Result<T, E>>) -> Result<T, ReadError<E>>
where
    E: std::error::Error + 'static,
{
    match result {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) if code_of(&error) == Some(ErrorCode::OperationInterrupted) => {
            Err(ReadError::TooLong)
        }
        Ok(Err(error)) => Err(ReadError::Value(error)),
        Err(_panic) => {
            metrics::counter!("rochdale_panics_total", "where" => "sqlite").increment(1);
            tracing::error!("a database read panicked");
            Err(ReadError::Panicked)
        }
    }
}
