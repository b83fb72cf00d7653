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
use super::{Host, HostName, HostStatus, Hosts, NameRules};
use crate::verify::Shards;

/// Connections being made at once: a restart must not be a storm.
const DIALS_AT_ONCE: usize = 50;
/// A connection that ends sooner and brought nothing is a failure.
const WORTHWHILE: Duration = Duration::from_secs(60);
/// A host is not tried again sooner because somebody asks for it.
const WAKE_AFTER: Duration = Duration::from_secs(5);
/// How far one may step over a frame whose number cannot be known.
const STEPS_MAX: u32 = 40;

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
    dials: Semaphore,
    pub(super) refused: moka::sync::Cache<HostName, ()>,
}

/// A place in a host's stream that it does not get over.
#[derive(Debug, Default, Clone, Copy)]
struct Stuck {
    at: Option<u64>,
    times: u32,
}

impl Stuck {
    /// A frame after `at` was unusable and did not show its number.
    fn note(&mut self, at: Option<u64>) {
        let times = if self.at == at {
            self.times.saturating_add(1)
        } else {
            1
        };
        *self = Self { at, times };
    }

    /// Where to continue: one further at first, then in doubling steps, since numbers may have gaps.
    fn cursor(&self, received: Option<u64>) -> Option<u64> {
        match received {
            Some(at) if self.times > 0 && self.at == received => {
                Some(at + (1 << (self.times - 1).min(STEPS_MAX)))
            }
            received => received,
        }
    }
}

impl Subscriber {
    /// Listens to nothing yet. `room_bytes`: how much of all hosts may be on its way at once.
    pub fn new(
        (hosts, shards): (Arc<Hosts>, Arc<Shards>),
        (outbound, clock, shutdown): (Outbound, SharedClock, Shutdown),
        policy: CrawlPolicy,
        room_bytes: usize,
    ) -> Arc<Self> {
        Arc::new(Self {
            hosts,
            shards,
            outbound,
            clock,
            shutdown,
            policy,
            room: Arc::new(Semaphore::new(room_bytes.min(Semaphore::MAX_PERMITS))),
            dials: Semaphore::new(DIALS_AT_ONCE),
            refused: moka::sync::Cache::builder()
                .max_capacity(10_000)
                .time_to_live(Duration::from_secs(300))
                .build(),
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
        let mut restarted = false;
        while !cancel.is_cancelled() {
            let started = Instant::now();
            host.flow.resume();
            let received = host.flow.received();
            let outcome = self.connect(host, stuck.cursor(received), cancel).await;
            host.set_throttled(false);
            if outcome.progress > 0 || started.elapsed() >= WORTHWHILE {
                backoff.reset();
            }
            restarted &= outcome.progress == 0;
            match outcome.end {
                End::Cancelled => break,
                End::FutureCursor if !restarted => {
                    tracing::warn!(host = %host.name, cursor = received, "a host has lost its numbering: listening live");
                    restarted = true;
                    host.flow.restart(None);
                    continue;
                }
                End::FutureCursor => {
                    tracing::warn!(host = %host.name, "a host refuses every cursor");
                }
                End::NotTaken => {
                    tracing::warn!(host = %host.name, "an event could not be taken: reading the host again");
                }
                End::BadFrame(reason) => {
                    stuck.note(host.flow.received());
                    host.count_bad_frame();
                    let after = host.flow.received();
                    tracing::warn!(host = %host.name, reason, after, "a host sent an unusable frame");
                }
                End::Lost(reason) if backoff.is_fresh() => {
                    tracing::info!(host = %host.name, reason, "a host was lost; trying again");
                }
                End::Lost(reason) => {
                    tracing::debug!(host = %host.name, reason, "a host is still away");
                }
            }
            self.pause(host, &mut backoff, cancel).await;
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
        cursor: Option<u64>,
        cancel: &CancellationToken,
    ) -> Outcome {
        let dialled = async {
            let _turn = self.dials.acquire().await;
            self.outbound
                .connect_ws(&host.name.stream_url(cursor), MAX_FRAME_BYTES)
                .await
        };
        let dialled = tokio::select! {
            () = cancel.cancelled() => return Outcome { end: End::Cancelled, progress: 0 },
            dialled = dialled => dialled,
        };
        let (socket, headers) = match dialled {
            Ok(open) => open,
            Err(error) => {
                return Outcome {
                    end: End::Lost(error.to_string()),
                    progress: 0,
                };
            }
        };
        let server = headers
            .get(http::header::SERVER)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        if server.contains("atproto-relay") && !self.policy.relays {
            return Outcome {
                end: End::Lost("it is a relay itself".to_owned()),
                progress: 0,
            };
        }
        let _open = host.connected();
        self.hosts.note_status(host, HostStatus::Active).await;
        let connection = Connection {
            subscriber: self,
            host,
            cancel,
            cursor,
            numbers: Numbers::default(),
            progress: 0,
        };
        connection.run(socket).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_without_a_number_is_stepped_over_in_growing_steps() {
        let mut stuck = Stuck::default();
        assert_eq!(stuck.cursor(Some(10)), Some(10));
        stuck.note(Some(10));
        assert_eq!(stuck.cursor(Some(10)), Some(11));
        stuck.note(Some(10));
        stuck.note(Some(10));
        assert_eq!(stuck.cursor(Some(10)), Some(14));
        assert_eq!(stuck.cursor(Some(15)), Some(15));
        stuck.note(Some(15));
        assert_eq!(stuck.cursor(Some(15)), Some(16));
        assert_eq!(stuck.cursor(None), None);
    }
}
