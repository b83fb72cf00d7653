//! One task per host that is listened to: connect, read, lose, wait, connect again.

use std::sync::Arc;
use std::time::Duration;

use rochdale_protocol::sync::MAX_FRAME_BYTES;
use rochdale_service::clock::{self, SharedClock};
use rochdale_service::outbound::Outbound;
use rochdale_service::shutdown::Shutdown;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::connection::{Connection, End, Numbers, Outcome};
use super::pace::Pace;
use super::stuck::Stuck;
use super::{Host, HostName, HostStatus, Hosts, NameRules};
use crate::verify::Shards;

/// Connections begun per second.
const DIALS_PER_SECOND: u32 = 50;
/// A connection that ends sooner and brought nothing is a failure.
const WORTHWHILE: Duration = Duration::from_secs(60);
/// A host is not tried again sooner because somebody asks for it.
const WAKE_AFTER: Duration = Duration::from_secs(5);
/// A host that had nothing to say for long is asked again about daily, and then heard for so long.
const DOZE: Duration = Duration::from_secs(24 * 3_600);
const GLANCE: Duration = Duration::from_secs(60);

/// What the public may ask of the relay.
#[derive(Debug, Clone)]
pub struct CrawlPolicy {
    /// Whether `requestCrawl` is open to the public.
    pub public: bool,
    /// Which names it takes.
    pub names: NameRules,
    /// Whether other relays may be listened to.
    pub relays: bool,
}

/// Listens to hosts.
#[derive(Debug)]
pub struct Subscriber {
    pub(super) hosts: Arc<Hosts>,
    pub(super) shards: Arc<Shards>,
    pub(super) outbound: Outbound,
    pub(super) clock: SharedClock,
    pub(super) shutdown: Shutdown,
    pub(super) policy: CrawlPolicy,
    /// Bytes of all hosts that may be on their way.
    pub(super) room: Arc<Semaphore>,
    /// How long nothing may come before a small host is hung up on; `None`: for ever.
    pub(super) patience: Option<Duration>,
    dials: Pace,
    /// Hosts that were refused a moment ago.
    pub(super) refused: moka::sync::Cache<HostName, ()>,
    /// Turns of those who ask for one new host at the same time.
    pub(super) crawls: moka::sync::Cache<HostName, Arc<tokio::sync::Mutex<()>>>,
}

impl Subscriber {
    /// Listens to nothing yet. `room_bytes`: how much of all hosts may be on its way at once. `patience`: how long nothing may
    /// come before a small host is hung up on.
    pub fn new(
        (hosts, shards): (Arc<Hosts>, Arc<Shards>),
        (outbound, clock, shutdown): (Outbound, SharedClock, Shutdown),
        policy: CrawlPolicy,
        room_bytes: usize,
        patience: Option<Duration>,
    ) -> Arc<Self> {
        Arc::new(Self {
            hosts,
            shards,
            outbound,
            clock,
            shutdown,
            policy,
            room: Arc::new(Semaphore::new(room_bytes.min(Semaphore::MAX_PERMITS))),
            patience,
            dials: Pace::new(DIALS_PER_SECOND),
            refused: remember_for(Duration::from_secs(300)),
            crawls: remember_for(Duration::from_secs(60)),
        })
    }

    /// Listens to every host that is not banned, those with the most accounts first.
    pub fn listen_to_all(self: &Arc<Self>) {
        let mut hosts = self.hosts.all();
        hosts.sort_by_key(|host| std::cmp::Reverse(host.accounts()));
        for host in hosts {
            self.listen(&host);
        }
    }

    /// Listens to a host, if it is not banned; wakes it if it is already listened to.
    pub fn listen(self: &Arc<Self>, host: &Arc<Host>) {
        if self.hosts.is_banned(host) || self.shutdown.is_requested() {
            return;
        }
        let mut task = host.task.lock();
        if task.is_some() {
            host.wake.notify_one();
            return;
        }
        let cancel = self.shutdown.token().child_token();
        *task = Some(cancel.clone());
        drop(task);
        let (own, host) = (Arc::clone(self), Arc::clone(host));
        self.shutdown.spawn("relay-host", async move {
            own.keep_listening(&host, &cancel).await;
        });
    }

    async fn keep_listening(&self, host: &Arc<Host>, cancel: &CancellationToken) {
        let mut backoff = Backoff::default();
        let mut stuck = Stuck::default();
        let mut patience = self.patience;
        loop {
            let started = Instant::now();
            host.flow.resume();
            let cursor = stuck.cursor(host.flow.received());
            let outcome = self.connect(host, (cursor, patience), cancel).await;
            host.set_throttled(false);
            if outcome.end == End::Cancelled {
                return;
            }
            let is_bad = matches!(outcome.end, End::BadFrame(_) | End::Unreadable);
            if started.elapsed() >= WORTHWHILE || (outcome.progress > 0 && !is_bad) {
                backoff.reset();
            }
            if outcome.end == End::Idle {
                self.hosts.note_status(host, HostStatus::Idle).await;
                patience = self.doze(host, cancel).await;
                continue;
            }
            draw_conclusions(host, outcome.end, cursor, &mut stuck, &backoff);
            self.pause(host, &mut backoff, cancel).await;
        }
    }

    /// Leaves a host alone that has nothing to say, until it asks to be listened to or a day has passed; answers how patient
    /// to be with it then.
    async fn doze(&self, host: &Arc<Host>, cancel: &CancellationToken) -> Option<Duration> {
        tokio::select! {
            () = cancel.cancelled() => None,
            () = host.wake.notified() => self.patience,
            () = tokio::time::sleep(DOZE) => self.patience.map(|patience| patience.min(GLANCE)),
        }
    }

    async fn pause(&self, host: &Arc<Host>, backoff: &mut Backoff, cancel: &CancellationToken) {
        let now_ms = self.clock.now_ms();
        let wait = backoff.fail(now_ms, u64::from_le_bytes(clock::random()));
        if backoff.is_offline(now_ms) {
            self.hosts.note_status(host, HostStatus::Offline).await;
        }
        let woken = async {
            // Anybody may ask for it, so it is not for free.
            tokio::time::sleep(wait.min(WAKE_AFTER)).await;
            host.wake.notified().await;
        };
        tokio::select! {
            () = cancel.cancelled() => {}
            () = woken => {}
            () = tokio::time::sleep(wait) => {}
        }
    }

    async fn connect(
        &self,
        host: &Arc<Host>,
        (cursor, patience): (Option<u64>, Option<Duration>),
        cancel: &CancellationToken,
    ) -> Outcome {
        let dialled = async {
            self.dials.turn().await;
            self.outbound
                .connect_ws(&host.name.stream_url(cursor), MAX_FRAME_BYTES)
                .await
        };
        let failed = |end| Outcome { end, progress: 0 };
        let dialled = tokio::select! {
            () = cancel.cancelled() => return failed(End::Cancelled),
            dialled = dialled => dialled,
        };
        let (socket, headers) = match dialled {
            Ok(open) => open,
            Err(error) => return failed(End::Lost(error.to_string())),
        };
        let server = headers
            .get(http::header::SERVER)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        if server.contains("atproto-relay") && !self.policy.relays {
            return failed(End::Lost("it is a relay itself".to_owned()));
        }
        let _open = host.connected();
        self.hosts.note_status(host, HostStatus::Active).await;
        let connection = Connection {
            subscriber: self,
            host,
            cancel,
            cursor,
            patience,
            numbers: Numbers::default(),
            progress: 0,
        };
        connection.run(socket).await
    }
}

fn remember_for<V: Clone + Send + Sync + 'static>(
    time: Duration,
) -> moka::sync::Cache<HostName, V> {
    moka::sync::Cache::builder()
        .max_capacity(10_000)
        .time_to_live(time)
        .build()
}

/// What the end of a connection, asked for with `cursor`, says about where to go on.
fn draw_conclusions(
    host: &Host,
    end: End,
    cursor: Option<u64>,
    stuck: &mut Stuck,
    backoff: &Backoff,
) {
    match end {
        End::FutureCursor if cursor.is_some() => {
            tracing::warn!(host = %host.name, cursor, "a host has lost its numbering: listening live");
            host.flow.restart(None);
        }
        End::FutureCursor => {
            tracing::warn!(host = %host.name, "a host calls no cursor one of the future");
        }
        End::Unreadable => {
            tracing::warn!(host = %host.name, "a host sent an unreadable event: going on after it");
        }
        End::PutOff => {
            tracing::warn!(host = %host.name, "an event could not be taken: reading the host again");
        }
        End::BadFrame(reason) => {
            let after = host.flow.received();
            stuck.note(after);
            host.count_bad_frame();
            tracing::warn!(host = %host.name, reason, after, "a host sent an unusable frame");
        }
        End::Lost(reason) if backoff.is_fresh() => {
            tracing::info!(host = %host.name, reason, "a host was lost; trying again");
        }
        End::Lost(reason) => {
            tracing::debug!(host = %host.name, reason, "a host is still away");
        }
        End::Cancelled | End::Idle => {}
    }
}
