//! One host in memory: its status, limits, counters.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use rochdale_protocol::syntax::Did;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{Flow, HostLimits, HostName, Turn, Windows};
use crate::store::HostRow;

/// A host with more accounts is not small: if nothing comes from it for long, its connection is worth keeping.
const SMALL_ACCOUNTS: u64 = 100;

/// The relay's number of a host, in the order of discovery; 0 is the relay itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostId(pub u32);

/// As `com.atproto.sync.defs#hostStatus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostStatus {
    /// Listened to, or about to be.
    Active,
    /// Not listened to because nothing comes.
    Idle,
    /// Unreachable for hours; still tried now and then.
    Offline,
    /// Made to wait by its event limits.
    Throttled,
    /// Not listened to, by the operator's decision.
    Banned,
}

impl HostStatus {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Idle => "idle",
            Self::Offline => "offline",
            Self::Throttled => "throttled",
            Self::Banned => "banned",
        }
    }

    /// The name in the store, where being throttled is not kept.
    pub(crate) fn stored_name(self) -> &'static str {
        match self {
            Self::Throttled => Self::Active.name(),
            Self::Active | Self::Idle | Self::Offline | Self::Banned => self.name(),
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        [Self::Active, Self::Idle, Self::Offline, Self::Banned]
            .into_iter()
            .find(|status| status.name() == name)
    }
}

/// One host.
#[derive(Debug)]
pub struct Host {
    /// Its number.
    pub id: HostId,
    /// Its name.
    pub name: HostName,
    /// What of it is on its way.
    pub flow: Arc<Flow>,
    /// Its commits need not prove where they come from.
    lenient: bool,
    status: Mutex<HostStatus>,
    windows: Mutex<Windows>,
    accounts: AtomicU64,
    /// Open streams; two for a moment when one ends while the next begins.
    connected: AtomicU64,
    throttled: AtomicBool,
    events: AtomicU64,
    dropped: AtomicU64,
    bad_frames: AtomicU64,
    /// Its connection is to be dropped: an event of it was unreadable.
    pub(super) unreadable: Notify,
    /// Its connection is to be dropped: an event of it could not be taken now and is to come again.
    pub(super) put_off: Notify,
    /// It stays connected however long nothing comes.
    kept: AtomicBool,
    /// It is to be tried again at once.
    pub(super) wake: Notify,
    pub(super) task: Mutex<Option<CancellationToken>>,
}

impl Host {
    pub(super) fn new(row: HostRow, limits: HostLimits, lenient: bool) -> Self {
        Self {
            id: row.id,
            name: row.name,
            flow: Arc::new(Flow::new(row.cursor)),
            lenient,
            status: Mutex::new(row.status),
            windows: Mutex::new(Windows::new(&limits)),
            accounts: AtomicU64::new(row.accounts),
            connected: AtomicU64::new(0),
            throttled: AtomicBool::new(false),
            events: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            bad_frames: AtomicU64::new(0),
            unreadable: Notify::new(),
            put_off: Notify::new(),
            kept: AtomicBool::new(false),
            wake: Notify::new(),
            task: Mutex::new(None),
        }
    }

    /// Its status at this moment.
    pub fn status(&self) -> HostStatus {
        match *self.status.lock() {
            HostStatus::Active if self.throttled.load(Ordering::Relaxed) => HostStatus::Throttled,
            status => status,
        }
    }

    pub(super) fn set_status(&self, status: HostStatus) {
        *self.status.lock() = status;
    }

    /// Its limits.
    pub fn limits(&self) -> HostLimits {
        self.windows.lock().limits()
    }

    pub(super) fn set_limits(&self, limits: HostLimits) {
        self.windows.lock().adjust(&limits);
    }

    /// Offers an event of `did` to its windows.
    pub(super) fn take_event(&self, did: &Did, now_ms: u64) -> Turn {
        self.windows.lock().take(did, now_ms)
    }

    /// Whether its commits need not prove where they come from: it has not learned to, and the operator forgives it that.
    pub fn is_lenient(&self) -> bool {
        self.lenient
    }

    /// Accounts it has, deleted ones not counted.
    pub fn accounts(&self) -> u64 {
        self.accounts.load(Ordering::Relaxed)
    }

    /// One account more.
    pub fn gain_account(&self) {
        self.accounts.fetch_add(1, Ordering::Relaxed);
    }

    /// One account less.
    pub fn lose_account(&self) {
        let less = |accounts: u64| Some(accounts.saturating_sub(1));
        // Never fails: the closure always answers with a number.
        let _before = self
            .accounts
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// Whether a further account would be above its quota.
    pub fn is_full(&self) -> bool {
        self.accounts() >= self.limits().accounts
    }

    /// Whether its stream is open.
    pub fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Acquire) > 0
    }

    /// Counts an open stream as long as the answer lives.
    pub(super) fn connected(&self) -> OpenStream<'_> {
        self.connected.fetch_add(1, Ordering::AcqRel);
        OpenStream(self)
    }

    pub(super) fn set_throttled(&self, throttled: bool) {
        self.throttled.store(throttled, Ordering::Relaxed);
    }

    /// Events received since the start.
    pub fn events(&self) -> u64 {
        self.events.load(Ordering::Relaxed)
    }

    pub(super) fn count_event(&self) {
        self.events.fetch_add(1, Ordering::Relaxed);
    }

    /// Events refused since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Counts a refused event.
    pub fn count_drop(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// Frames that cost a connection since the start.
    pub fn bad_frames(&self) -> u64 {
        self.bad_frames.load(Ordering::Relaxed)
    }

    /// Counts a frame that costs a connection.
    pub(super) fn count_bad_frame(&self) {
        metrics::counter!("rochdale_relay_bad_frames_total").increment(1);
        self.bad_frames.fetch_add(1, Ordering::Relaxed);
    }

    /// An event of it was unreadable and is done with: costs the connection.
    pub fn event_unreadable(&self) {
        self.count_bad_frame();
        self.unreadable.notify_one();
    }

    /// An event of it could not be taken and is to come again: it is read anew from before it.
    pub fn read_again(&self) {
        self.put_off.notify_one();
    }

    /// Keeps it connected however long nothing comes.
    pub(super) fn keep(&self) {
        self.kept.store(true, Ordering::Relaxed);
    }

    /// Whether it may be hung up on when nothing comes: it is small and nobody has asked for it in particular.
    pub(super) fn may_idle(&self) -> bool {
        !self.kept.load(Ordering::Relaxed) && self.accounts() <= SMALL_ACCOUNTS
    }
}

/// See [`Host::connected`].
pub(super) struct OpenStream<'a>(&'a Host);

impl Drop for OpenStream<'_> {
    fn drop(&mut self) {
        self.0.connected.fetch_sub(1, Ordering::AcqRel);
    }
}
