//! The shards as the rest of the relay sees them: where events, commands and questions about a DID are handed in.

use std::hash::{BuildHasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::thread::JoinHandle;

use parking_lot::Mutex;
use rochdale_protocol::syntax::Did;
use rochdale_resolver::Resolver;
use rochdale_service::clock::SharedClock;
use rochdale_service::outbound::Outbound;
use rochdale_service::shutdown::Shutdown;
use tokio::sync::{mpsc, oneshot};

use super::account::Known;
use super::entry::Entries;
use super::event::Incoming;
use super::lookup::Lookups;
use super::shard::{Command, Job, Shard};
use crate::hosts::{Hosts, NameRules};
use crate::output::Output;
use crate::store::Store;

/// Jobs that may wait for one shard.
const QUEUE: usize = 4_096;

/// What the shards need.
#[derive(Debug)]
pub struct ShardsConfig {
    /// How many threads.
    pub shards: usize,
    /// Entries kept in memory, by all shards together.
    pub entries: usize,
    /// Whether per-account limits apply.
    pub limits: bool,
    /// Which hosts DID documents may name.
    pub names: NameRules,
    /// The highest account number in use.
    pub last_account: i64,
}

/// All shards.
#[derive(Debug)]
pub struct Shards {
    hasher: RandomState,
    queues: Vec<mpsc::Sender<Job>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// The relay is stopping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the relay is stopping")]
pub struct Stopping;

impl Shards {
    /// Starts the threads. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(
        config: &ShardsConfig,
        (store, hosts, shutdown): (&Store, &Arc<Hosts>, &Shutdown),
        (resolver, outbound, clock): (&Resolver, &Outbound, &SharedClock),
        output: &mpsc::Sender<Output>,
    ) -> std::io::Result<Arc<Self>> {
        let runtime = tokio::runtime::Handle::current();
        let lookups = Lookups::new(
            resolver.clone(),
            outbound.clone(),
            Arc::clone(clock),
            config.names,
            runtime,
        );
        let next_account = Arc::new(AtomicI64::new(config.last_account + 1));
        let count = config.shards.max(1);
        let mut shards = Self {
            hasher: RandomState::new(),
            queues: Vec::new(),
            threads: Mutex::default(),
        };
        for number in 0..count {
            let (queue, inbox) = mpsc::channel(QUEUE);
            let shard = Shard {
                queue: queue.clone(),
                inbox,
                entries: Entries::new(config.entries / count),
                limits: config.limits,
                store: store.clone(),
                hosts: Arc::clone(hosts),
                lookups: lookups.clone(),
                clock: Arc::clone(clock),
                output: output.clone(),
                next_account: Arc::clone(&next_account),
                stored: Arc::default(),
                handed_on: 0,
            };
            let shutdown = shutdown.clone();
            let run = move || {
                if catch_unwind(AssertUnwindSafe(|| shard.run())).is_err() {
                    shutdown.fail("a thread that verifies panicked".to_owned());
                }
            };
            let thread = std::thread::Builder::new()
                .name(format!("verify-{number}"))
                .spawn(run)?;
            shards.queues.push(queue);
            shards.threads.get_mut().push(thread);
        }
        Ok(Arc::new(shards))
    }

    fn queue(&self, did: &Did) -> Result<&mpsc::Sender<Job>, Stopping> {
        let at = usize::try_from(self.hasher.hash_one(did) % self.queues.len().max(1) as u64)
            .unwrap_or(0);
        self.queues.get(at).ok_or(Stopping)
    }

    /// Hands an event to the shard of its DID; waits while that shard has enough to do.
    ///
    /// # Errors
    /// [`Stopping`].
    pub async fn dispatch(&self, event: Incoming) -> Result<(), Stopping> {
        self.queue(&event.did)?
            .send(Job::Event(event))
            .await
            .map_err(|_| Stopping)
    }

    /// Carries a command out, in its turn among the events of the DID; returns when it is durable.
    ///
    /// # Errors
    /// [`Stopping`].
    pub async fn command(
        &self,
        did: &Did,
        command: impl FnOnce(oneshot::Sender<()>) -> Command,
    ) -> Result<(), Stopping> {
        let (done, answer) = oneshot::channel();
        self.queue(did)?
            .send(Job::Command(did.clone(), command(done)))
            .await
            .map_err(|_| Stopping)?;
        answer.await.map_err(|_| Stopping)
    }

    /// What is known of a DID at this moment, if it is in memory. It may be ahead of what is stored.
    ///
    /// # Errors
    /// [`Stopping`].
    pub async fn known(&self, did: &Did) -> Result<Option<Known>, Stopping> {
        let (asker, answer) = oneshot::channel();
        self.queue(did)?
            .send(Job::Show(did.clone(), asker))
            .await
            .map_err(|_| Stopping)?;
        answer.await.map_err(|_| Stopping)
    }

    /// Ends the threads after the work queued so far. What is parked is left for the next start. Blocks.
    pub fn stop(&self) {
        for queue in &self.queues {
            // A shard that is gone has stopped.
            drop(queue.blocking_send(Job::Stop));
        }
        for thread in std::mem::take(&mut *self.threads.lock()) {
            if thread.join().is_err() {
                tracing::error!("a verifying thread had panicked");
            }
        }
    }

    /// Jobs waiting, of all shards.
    pub fn waiting(&self) -> usize {
        self.queues
            .iter()
            .map(|queue| queue.max_capacity() - queue.capacity())
            .sum()
    }
}
