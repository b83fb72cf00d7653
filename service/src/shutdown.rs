//! Orderly stop: one token everybody watches, one tracker that knows every task.
//!
//! Every task of the process is spawned here, so that a stop can wait for it and a task that must not
//! end takes the process down instead of leaving it half alive.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The process's wish to stop and the tasks that must end first. Clones are the same thing.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    token: CancellationToken,
    tasks: TaskTracker,
    failure: Arc<Mutex<Option<String>>>,
}

impl Shutdown {
    /// A process that runs.
    pub fn new() -> Self {
        Self::default()
    }

    /// Spawns a task that may end at any time. A panic in it is logged and ends only the task.
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tasks.spawn(async move {
            if AssertUnwindSafe(task).catch_unwind().await.is_err() {
                metrics::counter!("rochdale_panics_total", "where" => name).increment(1);
                tracing::error!(task = name, "task panicked");
            }
        });
    }

    /// Spawns a task without which the process is no good: when it ends, or panics, before a stop was
    /// asked for, the process stops and [`Shutdown::failure`] names the task.
    pub fn spawn_critical<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let own = self.clone();
        self.tasks.spawn(async move {
            let panicked = AssertUnwindSafe(task).catch_unwind().await.is_err();
            if panicked {
                metrics::counter!("rochdale_panics_total", "where" => name).increment(1);
            }
            if panicked || !own.is_requested() {
                let how = if panicked { "panicked" } else { "ended" };
                own.fail(format!("the task {name} {how}"));
            }
        });
    }

    /// Waits until a stop is asked for.
    pub async fn requested(&self) {
        self.token.cancelled().await;
    }

    /// Whether a stop was asked for.
    pub fn is_requested(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Asks everybody to stop.
    pub fn request(&self) {
        self.token.cancel();
    }

    /// Asks everybody to stop because of a failure. The first one is kept.
    pub fn fail(&self, why: String) {
        tracing::error!(why, "stopping after a failure");
        self.failure.lock().get_or_insert(why);
        self.request();
    }

    /// Why the process had to stop, if it was not asked to.
    pub fn failure(&self) -> Option<String> {
        self.failure.lock().clone()
    }

    /// Asks everybody to stop and waits for the tasks, at most `limit`. Answers how many were left.
    pub async fn finish(&self, limit: Duration) -> usize {
        self.request();
        self.tasks.close();
        // Running out of time is an answer here: the number of tasks left.
        let _in_time = tokio::time::timeout(limit, self.tasks.wait()).await;
        self.tasks.len()
    }

    /// Asks for a stop at SIGTERM or SIGINT.
    ///
    /// # Errors
    /// When the signal handlers cannot be installed.
    pub fn on_signals(&self) -> std::io::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let own = self.clone();
        self.spawn("signals", async move {
            tokio::select! {
                _ = terminate.recv() => tracing::info!(signal = "SIGTERM", "stopping"),
                _ = interrupt.recv() => tracing::info!(signal = "SIGINT", "stopping"),
                () = own.requested() => {}
            }
            own.request();
        });
        Ok(())
    }

    /// The bare token, for libraries that want one.
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn finish_waits_for_tasks_and_counts_those_left() {
        let shutdown = Shutdown::new();
        let own = shutdown.clone();
        shutdown.spawn("obedient", async move { own.requested().await });
        shutdown.spawn("stubborn", std::future::pending());
        assert_eq!(shutdown.finish(Duration::from_millis(50)).await, 1);
        assert_eq!(shutdown.failure(), None);
    }

    #[tokio::test]
    async fn a_critical_task_that_ends_or_panics_stops_the_process() {
        for panics in [false, true] {
            let shutdown = Shutdown::new();
            shutdown.spawn_critical("heart", async move { assert!(!panics, "planted") });
            shutdown.requested().await;
            assert_eq!(shutdown.finish(Duration::from_secs(1)).await, 0);
            assert!(shutdown.failure().is_some_and(|why| why.contains("heart")));
        }
    }

    #[tokio::test]
    async fn a_plain_task_that_panics_stops_nothing() {
        let shutdown = Shutdown::new();
        shutdown.spawn("clumsy", async { panic!("planted") });
        tokio::task::yield_now().await;
        assert!(!shutdown.is_requested());
        assert_eq!(shutdown.finish(Duration::from_secs(1)).await, 0);
    }
}
