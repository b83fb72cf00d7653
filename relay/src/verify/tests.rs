//! The rules, event by event, with the numbers of the relay checklist of common mistakes.

mod accounts;
mod blocks;
mod commits;
mod fixtures;

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use rochdale_protocol::crypto::{Curve, PublicKey};
use rochdale_protocol::sync::FrameTemplate;
use rochdale_protocol::syntax::{Did, Handle};
use tempfile::TempDir;
use tokio::sync::Semaphore;

use super::account::{Identity, Upstream};
use super::entry::{Entry, IdentityState};
use super::event::{DropReason, Incoming, Pending};
use super::judge::{Context, Question, Step, judge};
use crate::hosts::{Host, HostName, HostPolicy, Hosts, NameRules};
use crate::log::{Draft, Kind};
use crate::repo::Repo;
use crate::store::Store;

const NOW_US: u64 = 1_750_000_000_000_000;

/// Two hosts, one account, and the answers the network would give.
struct World {
    _folder: TempDir,
    hosts: Arc<Hosts>,
    home: Arc<Host>,
    away: Arc<Host>,
    entry: Entry,
    next_account: AtomicI64,
    room: Arc<Semaphore>,
    now_us: u64,
    limits: bool,
    /// What the identity's document says now.
    identity: IdentityState,
    /// What the host answers when asked for the account's status.
    status: Option<Upstream>,
    asked: Vec<Question>,
    seq: u64,
}

impl World {
    async fn new(limits: bool) -> Self {
        let folder = TempDir::new().expect("folder");
        let store = Store::open(&folder.path().join("relay.sqlite")).expect("store");
        let policy = HostPolicy {
            limits,
            account_limit: 2,
            new_hosts_per_day: 50,
            trusted: Vec::new(),
            lenient: vec!["away.example.org".to_owned()],
        };
        let hosts = Hosts::load(store, policy).await.expect("hosts");
        let name = |text: &str| HostName::parse(text, NameRules::default()).expect("a name");
        let home = hosts
            .add(name("home.example.org"), None, 0)
            .await
            .expect("host");
        let away = hosts
            .add(name("away.example.org"), None, 0)
            .await
            .expect("host");
        Self {
            _folder: folder,
            hosts,
            home,
            away,
            entry: Entry {
                loaded: true,
                ..Entry::default()
            },
            next_account: AtomicI64::new(1),
            room: Arc::new(Semaphore::new(1 << 30)),
            now_us: NOW_US,
            limits,
            identity: IdentityState::Unknown,
            status: None,
            asked: Vec::new(),
            seq: 0,
        }
    }

    /// A world whose account lives at home with the key of `repo`.
    async fn of(repo: &Repo) -> Self {
        let mut world = Self::new(true).await;
        world.identify(repo.key.public(), "home.example.org");
        world
    }

    fn identify(&mut self, key: &PublicKey, host: &str) {
        let host = HostName::parse(host, NameRules::default()).ok();
        let handle: Handle = "ada.example.org".parse().expect("a handle");
        let identity = Arc::new(Identity {
            key: Some(key.clone()),
            host,
            handle: Some(handle),
        });
        self.identity = IdentityState::Known {
            identity,
            fetched_ms: self.now_us / 1_000,
        };
    }

    async fn pending(
        &mut self,
        host: &Arc<Host>,
        kind: Kind,
        did: &Did,
        template: &FrameTemplate,
    ) -> Pending {
        self.seq += 1;
        let frame = template.with_seq(self.seq);
        let token = host.flow.admit(self.seq, frame.len(), &self.room).await;
        let (host, did) = (Arc::clone(host), did.clone());
        Pending::new(Incoming {
            host,
            kind,
            did,
            frame,
            arrival_us: self.now_us,
            token,
        })
    }

    /// Judges until there is a verdict, answering what is asked.
    async fn offer(
        &mut self,
        host: &Arc<Host>,
        kind: Kind,
        did: &Did,
        template: &FrameTemplate,
    ) -> Result<Draft, DropReason> {
        let mut pending = self.pending(host, kind, did, template).await;
        loop {
            let context = Context {
                now_us: self.now_us,
                hosts: &self.hosts,
                limits: self.limits,
                next_account: &self.next_account,
            };
            match judge(&mut self.entry, &pending, &context) {
                Step::Pass(draft) => return Ok(draft),
                Step::Drop(reason) => return Err(reason),
                Step::Ask(question) => {
                    assert!(self.asked.len() < 1_000, "it keeps asking");
                    self.asked.push(question);
                    match question {
                        Question::Identity | Question::Renewal => {
                            self.entry.learn(self.identity.clone());
                        }
                        Question::Refresh => {
                            pending.refreshed = true;
                            pending.identity_changed = self.entry.learn(self.identity.clone());
                        }
                        Question::Status => {
                            pending.asked_status = true;
                            let now_ms = self.now_us / 1_000;
                            self.entry.take_status(self.status.clone(), now_ms);
                        }
                    }
                }
            }
        }
    }

    async fn home_sends(&mut self, event: impl Into<Said>) -> Result<Draft, DropReason> {
        let (
            Said {
                kind,
                did,
                template,
            },
            host,
        ) = (event.into(), Arc::clone(&self.home));
        self.offer(&host, kind, &did, &template).await
    }

    async fn away_sends(&mut self, event: impl Into<Said>) -> Result<Draft, DropReason> {
        let (
            Said {
                kind,
                did,
                template,
            },
            host,
        ) = (event.into(), Arc::clone(&self.away));
        self.offer(&host, kind, &did, &template).await
    }

    fn refreshes(&self) -> usize {
        self.asked
            .iter()
            .filter(|question| **question == Question::Refresh)
            .count()
    }
}

/// An event ready to be sent.
struct Said {
    kind: Kind,
    did: Did,
    template: FrameTemplate,
}

macro_rules! said {
    ($($event:ident, $kind:ident, $did:ident;)*) => {$(
        impl From<rochdale_protocol::sync::$event> for Said {
            fn from(event: rochdale_protocol::sync::$event) -> Self {
                Self { kind: Kind::$kind, template: event.template(), did: event.$did }
            }
        }
    )*};
}

said! {
    CommitEvent, Commit, repo;
    SyncEvent, Sync, did;
    IdentityEvent, Identity, did;
    AccountEvent, Account, did;
}

fn repo(seed: u32) -> Repo {
    Repo::new(seed, Curve::K256, NOW_US)
}
