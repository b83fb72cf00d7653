//! One shard: a thread that judges the events of its share of the DIDs.
//!
//! It owns the entries of its DIDs and never waits for the network: a DID with a question under way is parked, the others go
//! on. A panic costs the event it happened on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use rochdale_protocol::sync::AccountEvent;
use rochdale_protocol::syntax::{Datetime, Did};
use rochdale_service::clock::SharedClock;
use tokio::sync::{mpsc, oneshot};

use super::account::{FetchedIdentity, Known};
use super::entry::{Entries, Item};
use super::event::{DropReason, Incoming, Pending};
use super::judge::{Context, Question, Step, judge};
use super::lookup::{Answer, Lookups};
use crate::hosts::Hosts;
use crate::log::{Draft, Kind, flags};
use crate::output::{Output, Ticket};
use crate::store::Store;

/// A stored identity older than this is looked up before it is used again.
const STORED_IDENTITY_MS: u64 = 7 * 24 * 3_600_000;

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

/// See the module. [`Shard::run`] is its thread.
pub(super) struct Shard {
    pub(super) queue: mpsc::Sender<Job>,
    pub(super) inbox: mpsc::Receiver<Job>,
    pub(super) entries: Entries,
    pub(super) limits: bool,
    pub(super) store: Store,
    pub(super) hosts: Arc<Hosts>,
    pub(super) lookups: Lookups,
    pub(super) clock: SharedClock,
    pub(super) output: mpsc::Sender<Output>,
    pub(super) next_account: Arc<AtomicI64>,
    pub(super) stored: Arc<AtomicU64>,
    pub(super) handed_on: u64,
}

impl Shard {
    /// Works until it is told to stop.
    pub(super) fn run(mut self) {
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
        pending.event.host.read_again();
    }

    fn answer(&mut self, did: &Did, answer: Answer) {
        let now_ms = self.clock.now_ms();
        let entry = self.entries.get(did, self.stored.load(Ordering::Acquire));
        let mut announce = false;
        match answer {
            Answer::Identity(found) => {
                let changed = entry.learn(found);
                if let Some(Item::Event(first)) = entry.queue.front_mut().filter(|_| entry.waiting)
                {
                    first.identity_changed |= changed;
                }
            }
            Answer::Renewed(found) => {
                entry.learn(found);
                return;
            }
            Answer::Status(said) => announce = entry.take_status(said, now_ms),
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
        let now_ms = self.clock.now_ms();
        let entry = self.entries.get(did, self.stored.load(Ordering::Acquire));
        if entry.loaded {
            return true;
        }
        let stored = self.store.account(did).and_then(|known| {
            let identity = match &known.account {
                Some(account) => self.store.identity(account.id)?,
                None => None,
            };
            Ok((known, identity))
        });
        match stored {
            Ok((known, identity)) => {
                let usable = |stored: &FetchedIdentity| {
                    now_ms.saturating_sub(stored.fetched_ms) < STORED_IDENTITY_MS
                };
                entry.load(known, identity.filter(usable));
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
                if entry.is_due_for_renewal(now_us / 1_000) {
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
            pending.event.host.event_unreadable();
        }
        let entry = self.entries.get(did, self.stored.load(Ordering::Acquire));
        if entry.has_change() {
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
