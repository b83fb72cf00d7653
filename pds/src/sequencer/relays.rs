//! The relays that carry this server's events on: asking to be crawled, and knowing whether they do.
//!
//! A relay that has seen higher numbers than this server remembers, because an old copy was restored,
//! would wait in silence for them: numbers then go on above what it has seen.
//!
//! Owns how often. A relay is asked at start, with new events at most once in twenty minutes, and
//! soon after a subscriber was lost when the relay then says that it is not connected. What each one
//! answered is kept for the operator. A relay that does not answer is no concern of any write.
//! Follows the atproto sync specification.

use std::time::Duration;

use futures::future::join_all;
use parking_lot::Mutex;
use rochdale_service::clock::SharedClock;
use rochdale_service::outbound::{Limits, Outbound};
use rochdale_service::stream::{EventLog as _, Stream};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::sleep;

use super::log::Log;

/// Least time between two requests because of new events.
const ASK_EVERY: Duration = Duration::from_secs(20 * 60);
/// A lost relay may be back by itself within this time.
const AFTER_LOSS: Duration = Duration::from_secs(1);
/// Least time between two looks because of lost subscribers.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Time between two looks when nothing happens.
const LOOK_ANYWAY: Duration = Duration::from_secs(5 * 60);
/// How far ahead of the clock a number may be that is believed: a year, in microseconds.
const AHEAD_US_MAX: u64 = 365 * 24 * 3_600 * 1_000_000;
const ANSWER_BYTES_MAX: usize = 64 << 10;
const TEXT_CHARS_MAX: usize = 200;

/// What is known of one relay.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RelayStatus {
    /// Its origin.
    pub relay: String,
    /// When it was last asked to crawl this server, Unix ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_at_ms: Option<u64>,
    /// Why it did not say yes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// When its own view of this server was last looked at, Unix ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub looked_at_ms: Option<u64>,
    /// Its word for this server: `active` is good, `unknown` when it knows no such host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// The last event of this server that it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// Why its view could not be had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unseen: Option<String>,
}

impl RelayStatus {
    /// Whether asking may help. A relay that bans this server is not pestered.
    fn needs_asking(&self) -> bool {
        !matches!(self.status.as_deref(), Some("active" | "banned"))
    }
}

#[derive(Deserialize)]
struct HostStatus {
    status: Option<String>,
    seq: Option<u64>,
}

/// The relays this server is to be crawled by.
#[derive(Debug)]
pub(super) struct Relays {
    outbound: Outbound,
    clock: SharedClock,
    log: Log,
    host: String,
    known: Vec<Mutex<RelayStatus>>,
    new: Notify,
}

impl Relays {
    pub(super) fn new(
        outbound: Outbound,
        clock: SharedClock,
        log: Log,
        origins: Vec<String>,
        host: String,
    ) -> Self {
        let known = origins.into_iter().map(|relay| {
            Mutex::new(RelayStatus {
                relay,
                ..RelayStatus::default()
            })
        });
        Self {
            outbound,
            clock,
            log,
            host,
            known: known.collect(),
            new: Notify::new(),
        }
    }

    /// There are new events. Callable from any thread.
    pub(super) fn something_new(&self) {
        self.new.notify_one();
    }

    /// What is known of each.
    pub(super) fn status(&self) -> Vec<RelayStatus> {
        self.known
            .iter()
            .map(|relay| relay.lock().clone())
            .collect()
    }

    pub(super) async fn run(&self, stream: &Stream) {
        if self.known.is_empty() {
            return std::future::pending().await;
        }
        self.ask_all().await;
        self.look_at_all().await;
        tokio::join!(
            self.ask_with_events(),
            self.look_after_losses(stream),
            self.look_anyway()
        );
    }

    async fn ask_with_events(&self) {
        loop {
            sleep(ASK_EVERY).await;
            self.new.notified().await;
            self.ask_all().await;
        }
    }

    async fn look_after_losses(&self, stream: &Stream) {
        loop {
            stream.somebody_left().await;
            sleep(AFTER_LOSS).await;
            join_all(self.known.iter().map(|relay| self.look_and_ask(relay))).await;
            sleep(LOOK_EVERY).await;
        }
    }

    async fn look_anyway(&self) {
        loop {
            sleep(LOOK_ANYWAY).await;
            self.look_at_all().await;
        }
    }

    /// Asks every relay to crawl this server.
    pub(super) async fn ask_all(&self) {
        join_all(self.known.iter().map(|relay| self.ask(relay))).await;
    }

    /// Asks every relay how it sees this server.
    pub(super) async fn look_at_all(&self) {
        join_all(self.known.iter().map(|relay| self.look(relay))).await;
    }

    async fn look_and_ask(&self, relay: &Mutex<RelayStatus>) {
        self.look(relay).await;
        let needs_asking = relay.lock().needs_asking();
        if needs_asking {
            self.ask(relay).await;
        }
    }

    async fn ask(&self, relay: &Mutex<RelayStatus>) {
        let origin = relay.lock().relay.clone();
        let url = format!("{origin}/xrpc/com.atproto.sync.requestCrawl");
        let body = serde_json::json!({ "hostname": self.host }).to_string();
        let answer = self
            .outbound
            .post_json(&url, body.into_bytes(), limits())
            .await;
        let refusal = match answer {
            Ok(answer) if answer.status < 300 => None,
            Ok(answer) => Some(refused(answer.status, &answer.body)),
            Err(error) => Some(error.to_string()),
        };
        match &refusal {
            None => tracing::info!(relay = origin, "asked to be crawled"),
            Some(why) => tracing::warn!(relay = origin, why, "a relay would not crawl us"),
        }
        let mut known = relay.lock();
        known.asked_at_ms = Some(self.clock.now_ms());
        known.refusal = refusal;
    }

    /// Numbers are made of the time: one far ahead of it was never given out here.
    async fn go_on_above(&self, relay: &str, seq: u64) {
        if seq <= self.log.head() {
            return;
        }
        if !is_plausible(seq, self.clock.now_us()) {
            tracing::error!(
                relay,
                seq,
                "a relay names a number that this server cannot have given"
            );
            return;
        }
        tracing::warn!(
            relay,
            seq,
            "a relay has seen higher numbers: going on above them"
        );
        if let Err(error) = self.log.raise(seq).await {
            tracing::error!(relay, seq, %error, "numbers could not be raised");
        }
    }

    async fn look(&self, relay: &Mutex<RelayStatus>) {
        let origin = relay.lock().relay.clone();
        let url = format!(
            "{origin}/xrpc/com.atproto.sync.getHostStatus?hostname={}",
            self.host
        );
        let answer = self.outbound.get(&url, limits()).await;
        let (seen, unseen) = match answer {
            Ok(answer) if answer.status < 300 => {
                match serde_json::from_slice::<HostStatus>(&answer.body) {
                    Ok(seen) => (Some(seen), None),
                    Err(error) => (None, Some(error.to_string())),
                }
            }
            Ok(answer) => {
                let status = names_no_host(&answer.body).then(|| "unknown".to_owned());
                let seen = status.map(|status| HostStatus {
                    status: Some(status),
                    seq: None,
                });
                (seen, Some(refused(answer.status, &answer.body)))
            }
            Err(error) => (None, Some(error.to_string())),
        };
        if let Some(seq) = seen.as_ref().and_then(|seen| seen.seq) {
            self.go_on_above(&origin, seq).await;
        }
        let mut known = relay.lock();
        known.looked_at_ms = Some(self.clock.now_ms());
        known.unseen = unseen;
        (known.status, known.seq) = seen.map_or((None, None), |seen| (seen.status, seen.seq));
        let is_active = known.status.as_deref() == Some("active");
        metrics::gauge!("rochdale_pds_relay_active", "relay" => origin).set(if is_active {
            1.0
        } else {
            0.0
        });
    }
}

/// Whether numbers may go on above `seq`: a relay does not use up what is left of them.
fn is_plausible(seq: u64, now_us: u64) -> bool {
    seq <= now_us.saturating_add(AHEAD_US_MAX)
}

/// A relay's address is the operator's choice: it may be on this machine.
fn limits() -> Limits<'static> {
    Limits {
        max_bytes: ANSWER_BYTES_MAX,
        trusted: true,
        ..Limits::default()
    }
}

fn refused(status: u16, body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let text: String = text.chars().take(TEXT_CHARS_MAX).collect();
    format!("status {status}: {text}")
}

fn names_no_host(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
    }
    serde_json::from_slice::<Refusal>(body).is_ok_and(|refusal| refusal.error == "HostNotFound")
}
