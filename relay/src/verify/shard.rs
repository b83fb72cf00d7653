//! The shards: threads that judge events, each for its share of the DIDs.
//!
//! A shard owns the entries of its DIDs. It never waits for the network: a DID with a question under way is parked, the
//! others go on. A panic costs the event it happened on.

use std::hash::{BuildHasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use rochdale_protocol::sync::AccountEvent;
use rochdale_protocol::syntax::{Datetime, Did};
use rochdale_resolver::Resolver;
use rochdale_service::clock::SharedClock;
use rochdale_service::outbound::Outbound;
use rochdale_service::shutdown::Shutdown;
use tokio::sync::{mpsc, oneshot};

use super::account::Known;
use super::entry::{Entries, Entry, IdentityState, Item};
use super::event::{DropReason, Incoming, Pending};
use super::judge::{Context, Question, Step, judge};
use super::lookup::{Answer, Lookups};
use crate::hosts::{Hosts, NameRules};
use crate::log::{Draft, Kind, flags};
use crate::output::{Output, Ticket};
use crate::store::Store;

/// Jobs that may wait for one shard.
const QUEUE: usize = 4_096;
const STATUS_AGAIN_MS: u64 = 60_000;
/// Identities older than this are fetched again, without making anything wait.
const IDENTITY_TTL_MS: u64 = 24 * 3_600_000;

/// A decision of the relay itself about an account.
#[derive(Debug)]
pub enum Command {
    /// It is taken down. Answered when that is durable and subscribers have been told.
    TakeDown(oneshot::Sender<()>),
    /// The takedown is taken back.
    Restore(oneshot::Sender<()>),
    /// It is within its host's quota again.
    Release(oneshot::Sender<()>),
}

/// Work for a shard.
#[derive(Debug)]
pub(super) enum Job {
    Event(Incoming),
    Command(Did, Command),
    Answer(Did, Answer),
    Show(Did, oneshot::Sender<Option<Known>>),
    Stop,
}

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
                stored: Arc::new(AtomicU64::new(0)),
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

struct Shard {
    queue: mpsc::Sender<Job>,
    inbox: mpsc::Receiver<Job>,
    entries: Entries,
    limits: bool,
    store: Store,
    hosts: Arc<Hosts>,
    lookups: Lookups,
    clock: SharedClock,
    output: mpsc::Sender<Output>,
    next_account: Arc<AtomicI64>,
    stored: Arc<AtomicU64>,
    handed_on: u64,
}

impl Shard {
    fn run(mut self) {
        while let Some(job) = self.inbox.blocking_recv() {
            match job {
                Job::Event(event) => {
                    let did = event.did.clone();
                    self.arrive(&did, Item::Event(Pending::new(event)));
                }
                Job::Command(did, command) => self.arrive(&did, Item::Command(command)),
                Job::Answer(did, answer) => self.answer(&did, answer),
                Job::Show(did, asker) => {
                    let entry = self.entries.peek(&did).filter(|entry| entry.loaded);
                    // Whoever asked may have gone.
                    let _gone = asker.send(entry.map(|entry| entry.known.clone()));
                }
                Job::Stop => break,
            }
        }
    }

    fn arrive(&mut self, did: &Did, item: Item) {
        let now_ms = self.clock.now_ms();
        let entry = self.entries.get(did, self.stored.load(Ordering::Acquire));
        let item = match item {
            Item::Event(pending) if entry.is_past_missed(&pending.event, now_ms) => {
                return self.put_off(did, pending, DropReason::Parked);
            }
            item => item,
        };
        if !entry.waiting {
            self.work(did, item);
        } else if let Some(Item::Event(pending)) = entry.park(item) {
            self.put_off(did, pending, DropReason::Parked);
        }
    }

    /// Has the host read again from before this event, which cannot be taken now. What follows it is put off as well, or the
    /// order would be lost.
    fn put_off(&mut self, did: &Did, pending: Pending, reason: DropReason) {
        self.count(&pending, reason);
        let now_ms = self.clock.now_ms();
        let entry = self.entries.get(did, self.stored.load(Ordering::Acquire));
        entry.note_missed(&pending.event, now_ms);
        // Dropped without being finished: the cursor stays before it.
        pending.event.host.drop_connection();
    }

    fn answer(&mut self, did: &Did, answer: Answer) {
        let now_ms = self.clock.now_ms();
        let entry = self.entries.get(did, self.stored.load(Ordering::Acquire));
        let mut announce = false;
        match answer {
            Answer::Identity(found) => {
                let changed = learn(entry, found);
                if let Some(Item::Event(first)) = entry.queue.front_mut().filter(|_| entry.waiting)
                {
                    first.identity_changed |= changed;
                }
            }
            Answer::Renewed(found) => {
                learn(entry, found);
                return;
            }
            answer @ Answer::Status(_) => announce = take_status(entry, answer, now_ms),
        }
        entry.waiting = false;
        if announce {
            self.announce(did, 0, |output| output);
        }
        while let Some(item) = self.next_parked(did) {
            self.work(did, item);
        }
    }

    fn next_parked(&mut self, did: &Did) -> Option<Item> {
        let entry = self.entries.get(did, self.stored.load(Ordering::Acquire));
        if entry.waiting { None } else { entry.unpark() }
    }

    fn work(&mut self, did: &Did, item: Item) {
        if !self.load(did) {
            if let Item::Event(pending) = item {
                self.put_off(did, pending, DropReason::Store);
            }
            return;
        }
        match item {
            Item::Event(pending) => self.judge(did, pending),
            Item::Command(command) => self.obey(did, command),
        }
    }

    /// Makes sure that what is stored of the DID is in its entry.
    fn load(&mut self, did: &Did) -> bool {
        let entry = self.entries.get(did, self.stored.load(Ordering::Acquire));
        if entry.loaded {
            return true;
        }
        match self.store.account(did) {
            Ok(known) => {
                entry.known = known;
                entry.loaded = true;
                true
            }
            Err(error) => {
                tracing::error!(%did, %error, "an account cannot be read");
                false
            }
        }
    }

    fn judge(&mut self, did: &Did, mut pending: Pending) {
        let now_us = self.clock.now_us();
        let entry = self.entries.get(did, self.stored.load(Ordering::Acquire));
        let context = Context {
            now_us,
            hosts: &self.hosts,
            limits: self.limits,
            next_account: &self.next_account,
        };
        let judged = catch_unwind(AssertUnwindSafe(|| judge(entry, &pending, &context)));
        let step = judged.unwrap_or_else(|_| {
            metrics::counter!("rochdale_panics_total", "where" => "relay_verify").increment(1);
            tracing::error!(%did, host = %pending.event.host.name, seq = pending.event.token.seq(), "judging an event panicked");
            Step::Drop(DropReason::Panic)
        });
        match step {
            Step::Pass(draft) => {
                if let IdentityState::Known { fetched_ms, .. } = &mut entry.identity
                    && (now_us / 1_000).saturating_sub(*fetched_ms) > IDENTITY_TTL_MS
                {
                    *fetched_ms = now_us / 1_000;
                    let host = pending.event.host.name.clone();
                    self.lookups
                        .ask(did.clone(), host, Question::Renewal, self.queue.clone());
                }
                self.emit(did, Some(draft), pending);
            }
            Step::Drop(reason) => self.refuse(pending, reason, did),
            Step::Ask(question) => {
                match question {
                    Question::Identity | Question::Renewal => {}
                    Question::Refresh => pending.refreshed = true,
                    Question::Status => pending.asked_status = true,
                }
                let host = pending.event.host.name.clone();
                entry.waiting = true;
                entry.park_first(Item::Event(pending));
                self.lookups
                    .ask(did.clone(), host, question, self.queue.clone());
            }
        }
    }

    fn emit(&mut self, did: &Did, draft: Option<Draft>, pending: Pending) {
        if draft
            .as_ref()
            .is_some_and(|draft| draft.flags & flags::DISCONTINUOUS != 0)
        {
            metrics::counter!("rochdale_relay_discontinuities_total").increment(1);
        }
        self.hand_on(
            did,
            Output {
                draft,
                token: Some(pending.event.token),
                ..Output::default()
            },
        );
    }

    /// Hands on what the entry has changed, with `output`.
    fn hand_on(&mut self, did: &Did, mut output: Output) {
        let entry = self.entries.get(did, self.stored.load(Ordering::Acquire));
        output.change = entry.take_change(did);
        if output.change.is_some() {
            self.handed_on += 1;
            entry.ticket = self.handed_on;
            output.ticket = Some(Ticket {
                stored: Arc::clone(&self.stored),
                number: self.handed_on,
            });
        }
        if self.output.blocking_send(output).is_err() {
            tracing::debug!("the writer has stopped; what was not written comes again");
        }
    }

    fn refuse(&mut self, pending: Pending, reason: DropReason, did: &Did) {
        self.count(&pending, reason);
        if reason == DropReason::Unreadable {
            pending.event.host.count_bad_frame();
            pending.event.host.drop_connection();
        }
        let entry = self.entries.get(did, self.stored.load(Ordering::Acquire));
        if entry.account_changed || entry.repo_changed {
            self.emit(did, None, pending);
        } else {
            pending.event.token.finish();
        }
    }

    fn count(&self, pending: &Pending, reason: DropReason) {
        let event = &pending.event;
        event.host.count_drop();
        metrics::counter!("rochdale_relay_dropped_total", "reason" => reason.name()).increment(1);
        let (host, did, seq) = (&event.host.name, &event.did, event.token.seq());
        tracing::debug!(%host, %did, seq, kind = event.kind.name(), reason = reason.name(), "event dropped");
    }

    fn obey(&mut self, did: &Did, command: Command) {
        let entry = self.entries.get(did, self.stored.load(Ordering::Acquire));
        let known = &mut entry.known;
        match command {
            Command::TakeDown(done) => {
                known.taken_down = true;
                let own = did.clone();
                self.announce(did, flags::TAKEN_DOWN, |output| Output {
                    done: Some(done),
                    announced: Some(own),
                    ..output
                });
            }
            Command::Restore(done) => {
                known.taken_down = false;
                self.announce(did, flags::RESTORED, |output| Output {
                    done: Some(done),
                    ..output
                });
            }
            Command::Release(done) => {
                if let Some(account) = known.account.as_mut().filter(|account| account.throttled) {
                    account.throttled = false;
                    entry.account_changed = true;
                }
                self.announce(did, 0, |output| Output {
                    done: Some(done),
                    ..output
                });
            }
        }
    }

    /// Tells subscribers the present status of the account, if it has ever been seen.
    fn announce(&mut self, did: &Did, flags: u8, finish: impl FnOnce(Output) -> Output) {
        let now_us = self.clock.now_us();
        let entry = self.entries.get(did, self.stored.load(Ordering::Acquire));
        let draft = entry.known.account.as_ref().map(|account| {
            let shown = account.shown(entry.known.taken_down);
            let time = Datetime::from_unix_ms(i64::try_from(now_us / 1_000).unwrap_or(i64::MAX));
            let event = AccountEvent {
                did: did.clone(),
                active: shown.active,
                status: shown.status,
                time,
            };
            let frame = event.template();
            Draft {
                arrival_us: now_us,
                kind: Kind::Account,
                flags,
                host: 0,
                did: did.clone(),
                frame,
            }
        });
        self.hand_on(
            did,
            finish(Output {
                draft,
                ..Output::default()
            }),
        );
    }
}

/// Takes over what the account's host answered about its status; answers whether that is news.
pub(super) fn take_status(entry: &mut Entry, answer: Answer, now_ms: u64) -> bool {
    entry.ask_status_after_ms = now_ms + STATUS_AGAIN_MS;
    let account = entry
        .known
        .account
        .as_mut()
        .filter(|account| !account.upstream.is_deleted());
    match (answer, account) {
        (Answer::Status(Some(said)), Some(account)) if said != account.upstream => {
            account.upstream = said;
            entry.account_changed = true;
            true
        }
        _ => false,
    }
}

/// Takes a new identity over; answers whether it differs from what was known. A known one outlives a failed look-up.
pub(super) fn learn(entry: &mut Entry, found: IdentityState) -> bool {
    match (&entry.identity, &found) {
        (IdentityState::Known { .. }, IdentityState::Unreachable { .. }) => false,
        (
            IdentityState::Known { identity: old, .. },
            IdentityState::Known { identity: new, .. },
        ) => {
            let changed = old != new;
            entry.identity = found;
            changed
        }
        (IdentityState::Unknown, _) => {
            entry.identity = found;
            false
        }
        _ => {
            entry.identity = found;
            true
        }
    }
}
