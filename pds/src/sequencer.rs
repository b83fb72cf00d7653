//! The event stream of this server: what happened to its accounts, in order.
//!
//! Owns event drafts, the log that `subscribeRepos` is served from, how long events are kept and
//! telling relays that there is something to crawl. Numbers are given by [`crate::store::event`]
//! inside the transaction that causes an event. Must not decide when an event happens.
//! Follows the atproto sync and event stream specifications.

mod draft;
mod hidden;
mod log;
mod relays;

use std::sync::Arc;
use std::time::Duration;

use rochdale_service::clock::SharedClock;
use rochdale_service::outbound::Outbound;
use rochdale_service::shutdown::Shutdown;
use rochdale_service::sqlite::Database;
use rochdale_service::stream::{Frame, Options, Stream, XrpcV0};

pub use draft::{EventDraft, EventKind};
pub use log::Log;
pub use relays::RelayStatus;

use crate::account::AccountId;
use crate::store::{Publish, StoreError, event, node, read_error, write_error};
use hidden::Hidden;
use relays::Relays;

/// How often events past their time are looked for.
const TRIM_EVERY: Duration = Duration::from_secs(60);

/// What the sequencer needs from the rest of the server.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The database.
    pub database: Database,
    /// The time.
    pub clock: SharedClock,
    /// Where tasks run.
    pub tasks: Shutdown,
    /// How long events are kept.
    pub backfill: Duration,
    /// For telling relays.
    pub outbound: Outbound,
    /// Origins of the relays.
    pub crawlers: Vec<String>,
    /// Host name under which relays reach this server.
    pub host: String,
}

/// The event stream. Clones are the same thing.
#[derive(Debug, Clone)]
pub struct Sequencer {
    database: Database,
    clock: SharedClock,
    tasks: Shutdown,
    backfill: Duration,
    stream: Arc<Stream>,
    log: Log,
    hidden: Arc<Hidden>,
    relays: Arc<Relays>,
}

impl Sequencer {
    /// Opens the log and makes sure that numbers go on above the clock, whatever was restored.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn open(parts: Parts) -> Result<Self, StoreError> {
        let now_us = parts.clock.now_us();
        parts
            .database
            .write(move |tx| event::raise_floor(tx, now_us))
            .await
            .map_err(write_error::<StoreError>)?;
        let log = Log::open(&parts.database)?;
        let hidden = Arc::new(Hidden::default());
        let shown = Arc::clone(&hidden);
        let options = Options {
            name: "firehose",
            visible: Some(Arc::new(move |frame: &Frame| shown.shows(frame))),
            ..Options::default()
        };
        let stream = Stream::new(Arc::new(log.clone()), XrpcV0, options, parts.tasks.clone());
        let relays = Relays::new(
            parts.outbound,
            Arc::clone(&parts.clock),
            log.clone(),
            parts.crawlers,
            parts.host,
        );
        Ok(Self {
            database: parts.database,
            clock: parts.clock,
            tasks: parts.tasks,
            backfill: parts.backfill,
            stream,
            log,
            hidden,
            relays: Arc::new(relays),
        })
    }

    /// The stream that subscribers are served from.
    #[must_use]
    pub fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    /// Takes the frames of every commit, in order, once they are durable.
    #[must_use]
    pub fn publisher(&self) -> Publish {
        let own = self.clone();
        Arc::new(move |frames: &[Frame]| {
            let Some(last) = frames.last() else { return };
            own.log.advance(last.seq);
            own.stream.publish(frames.to_vec());
            own.relays.something_new();
        })
    }

    /// Stops sending the events of a deleted account from before `seq`, which tells of the deletion.
    pub fn hide(&self, account: AccountId, seq: u64) {
        self.hidden.hide(account, seq);
    }

    /// The number of the newest event.
    #[must_use]
    pub fn head(&self) -> u64 {
        use rochdale_service::stream::EventLog as _;
        self.log.head()
    }

    /// What is known of the relays, after a new look at how they see this server.
    pub async fn relay_status(&self) -> Vec<RelayStatus> {
        self.relays.look_at_all().await;
        self.relays.status()
    }

    /// Asks every relay to crawl this server, now.
    pub async fn request_crawl(&self) {
        self.relays.ask_all().await;
    }

    /// Trims the log and tells relays until a stop is asked for.
    pub async fn run(&self) {
        tokio::select! {
            () = self.tasks.requested() => {}
            () = self.run_trims() => {}
            () = self.relays.run(&self.stream) => {}
        }
    }

    async fn run_trims(&self) {
        loop {
            if let Err(error) = self.trim().await {
                tracing::warn!(%error, "old events were not removed");
            }
            tokio::time::sleep(TRIM_EVERY).await;
        }
    }

    /// Removes events past their time, in small values.
    ///
    /// # Errors
    /// When the store fails; the rest is left to the next call.
    pub async fn trim(&self) -> Result<(), StoreError> {
        let kept_us = u64::try_from(self.backfill.as_micros()).unwrap_or(u64::MAX);
        let before_us = self.clock.now_us().saturating_sub(kept_us);
        loop {
            let written: u64 = self
                .database
                .read_point(node::checkpoint)
                .map_err(read_error::<StoreError>)?;
            let gone = self
                .database
                .write_background(move |tx| event::trim(tx, before_us, written))
                .await
                .map_err(write_error::<StoreError>)?;
            if gone == 0 {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests;
