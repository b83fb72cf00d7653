//! One connection to a host: read frames, check the envelope, keep to the limits, hand events on.

use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, SinkExt, StreamExt};
use rochdale_protocol::sync::{FrameError, Peek, decode_frame, peek};
use rochdale_protocol::syntax::Did;
use rochdale_service::outbound::Socket;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout, timeout_at};
use tokio_tungstenite::tungstenite::error::CapacityError;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};
use tokio_util::sync::CancellationToken;

use super::{Host, Subscriber, Turn};
use crate::log::Kind;
use crate::verify::Incoming;

const PING_EVERY: Duration = Duration::from_secs(30);
const WRITE_LIMIT: Duration = Duration::from_secs(10);
/// A host that says nothing for so long, not even in answer to pings, is gone.
const SILENCE_LIMIT: Duration = Duration::from_secs(100);
/// While it waits for its limits, a host is looked at this often.
const THROTTLE_STEP_MS: u64 = 1_000;

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// It was told to.
    Cancelled,
    /// The host went away, or never was there.
    Lost(String),
    /// The host says that it has never sent what we ask to continue after.
    FutureCursor,
    /// A frame was unusable and did not even show its number.
    BadFrame(&'static str),
    /// An event was unreadable; its number is known, and it is done with.
    Unreadable,
    /// An event could not be taken now and is to come again.
    PutOff,
    /// Nothing has come for so long that the connection is not worth keeping.
    Idle,
}

/// What a connection was good for.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) end: End,
    /// Frames with new numbers.
    pub(super) progress: u64,
}

/// The numbers seen on one connection. They must rise; gaps are fine. A new connection starts afresh, and what the host
/// repeats there is told by its revision.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Numbers {
    last: Option<u64>,
}

impl Numbers {
    /// Whether `seq` is a new number.
    pub(crate) fn take(&mut self, seq: u64) -> bool {
        let rises = self.last.is_none_or(|last| seq > last);
        if rises {
            self.last = Some(seq);
        }
        rises
    }
}

/// One open connection.
pub(super) struct Connection<'a> {
    pub(super) subscriber: &'a Subscriber,
    pub(super) host: &'a Arc<Host>,
    pub(super) cancel: &'a CancellationToken,
    /// What the host was asked to continue after.
    pub(super) cursor: Option<u64>,
    /// How long the first event may take to come; see [`Subscriber::patience`].
    pub(super) patience: Option<Duration>,
    pub(super) numbers: Numbers,
    pub(super) progress: u64,
}

impl Connection<'_> {
    /// Reads until something ends it.
    pub(super) async fn run(mut self, mut socket: Socket) -> Outcome {
        // What was wrong on an earlier connection has cost that one.
        let _stale = self.host.unreadable.notified().now_or_never();
        let _stale = self.host.put_off.notified().now_or_never();
        let end = self.read(&mut socket).await;
        // A close frame is good manners; a host that does not take it is left without.
        drop(timeout(Duration::from_secs(1), socket.close(None)).await);
        Outcome {
            end,
            progress: self.progress,
        }
    }

    async fn read(&mut self, socket: &mut Socket) -> End {
        let mut ping = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut silent_until = Instant::now() + SILENCE_LIMIT;
        let mut last_frame = Instant::now();
        loop {
            let patience = if self.progress == 0 {
                self.patience
            } else {
                self.subscriber.patience
            };
            let idle = async {
                match patience {
                    Some(patience) => tokio::time::sleep_until(last_frame + patience).await,
                    None => std::future::pending().await,
                }
            };
            let received = tokio::select! {
                biased;
                () = self.cancel.cancelled() => return End::Cancelled,
                () = self.host.unreadable.notified() => return End::Unreadable,
                () = self.host.put_off.notified() => return End::PutOff,
                _ = ping.tick() => {
                    match timeout(WRITE_LIMIT, socket.send(Message::Ping(Bytes::new()))).await {
                        Ok(Ok(())) => continue,
                        Ok(Err(error)) => return End::Lost(error.to_string()),
                        Err(_) => return End::Lost("it does not take what is sent to it".to_owned()),
                    }
                }
                received = timeout_at(silent_until, socket.next()) => received,
                () = idle => {
                    if self.host.may_idle() {
                        return End::Idle;
                    }
                    last_frame = Instant::now();
                    continue;
                }
            };
            let message = match received {
                Err(_) => return End::Lost("it has gone silent".to_owned()),
                Ok(None) => return End::Lost("it closed the connection".to_owned()),
                Ok(Some(Err(Error::Capacity(CapacityError::MessageTooLong { .. })))) => {
                    return End::BadFrame("a frame is too large");
                }
                Ok(Some(Err(error))) => return End::Lost(error.to_string()),
                Ok(Some(Ok(message))) => message,
            };
            match message {
                Message::Binary(frame) => {
                    last_frame = Instant::now();
                    if let Err(end) = self.frame(frame).await {
                        return end;
                    }
                }
                Message::Text(_) => return End::BadFrame("a frame is text"),
                Message::Close(_) => return End::Lost("it closed the connection".to_owned()),
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
            silent_until = Instant::now() + SILENCE_LIMIT;
        }
    }

    async fn frame(&mut self, frame: Bytes) -> Result<(), End> {
        let arrival_us = self.subscriber.clock.now_us();
        let Peek { t, seq, did } = peek(&frame).map_err(|error| End::BadFrame(name_of(&error)))?;
        let Some(t) = t else {
            return Err(error_frame(&frame));
        };
        let kind = Kind::ALL
            .into_iter()
            .find(|kind| t.strip_prefix('#') == Some(kind.name()));
        let Some(seq) = seq else {
            if kind.is_some() {
                return Err(End::BadFrame("an event has no number"));
            }
            tracing::debug!(host = %self.host.name, frame = ?decode_frame(&frame).ok(), "note from a host");
            return Ok(());
        };
        let first = self.numbers == Numbers::default();
        if !self.numbers.take(seq) {
            count_dropped("repeated_seq");
            return Ok(());
        }
        self.progress += 1;
        if first {
            self.check_start(seq).await;
        }
        let did = did
            .and_then(|did| did.parse::<Did>().ok())
            .filter(|did| did.is_plc() || did.is_web());
        let (Some(kind), Some(did)) = (kind, did) else {
            count_dropped(if kind.is_some() {
                "bad_did"
            } else {
                "unknown_type"
            });
            self.host.flow.pass(seq);
            return Ok(());
        };
        self.host.count_event();
        if !self.take_turn(&did).await? {
            self.host.count_drop();
            count_dropped("account_rate");
            self.host.flow.pass(seq);
            return Ok(());
        }
        self.hand_on(seq, kind, did, frame, arrival_us).await
    }

    /// Waits for room on the way, and hands the event to its shard.
    async fn hand_on(
        &self,
        seq: u64,
        kind: Kind,
        did: Did,
        frame: Bytes,
        arrival_us: u64,
    ) -> Result<(), End> {
        let host = Arc::clone(self.host);
        let event = async {
            let token = host
                .flow
                .admit(seq, frame.len(), &self.subscriber.room)
                .await;
            let event = Incoming {
                host: Arc::clone(&host),
                kind,
                did,
                frame,
                arrival_us,
                token,
            };
            self.subscriber.shards.dispatch(event).await
        };
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(End::Cancelled),
            sent = event => sent.map_err(|_| End::Cancelled),
        }
    }

    /// A host that goes on below what it was asked to continue after has lost its numbering. One that is heard for the first
    /// time begins here, and that is remembered before anything else: after a crash it is not taken up "live" once more.
    async fn check_start(&self, seq: u64) {
        let flow = &self.host.flow;
        if self.cursor.is_some_and(|cursor| seq < cursor) {
            tracing::warn!(host = %self.host.name, cursor = self.cursor, seq, "a host has started a new numbering");
            flow.restart(seq.checked_sub(1));
        } else if flow.received().is_none() {
            flow.restart(seq.checked_sub(1));
        } else {
            return;
        }
        if let Err(error) = self.subscriber.hosts.save_cursors().await {
            tracing::warn!(host = %self.host.name, %error, "the start of a host's stream was not saved");
        }
    }

    /// Waits until the host's windows have room; `false` for an account that has had far more than its share of them. While
    /// it waits nothing is lost: the host is simply not read.
    async fn take_turn(&self, did: &Did) -> Result<bool, End> {
        loop {
            let turn = self.host.take_event(did, self.subscriber.clock.now_ms());
            let Turn::After(wait_ms) = turn else {
                self.host.set_throttled(false);
                return Ok(turn == Turn::Now);
            };
            self.host.set_throttled(true);
            tokio::select! {
                () = self.cancel.cancelled() => return Err(End::Cancelled),
                () = tokio::time::sleep(Duration::from_millis(wait_ms.min(THROTTLE_STEP_MS))) => {}
            }
        }
    }
}

fn count_dropped(reason: &'static str) {
    metrics::counter!("rochdale_relay_dropped_total", "reason" => reason).increment(1);
}

fn error_frame(frame: &Bytes) -> End {
    match decode_frame(frame) {
        Ok(rochdale_protocol::sync::Frame::Error { name, .. }) if name == "FutureCursor" => {
            End::FutureCursor
        }
        Ok(rochdale_protocol::sync::Frame::Error { name, message }) => End::Lost(format!(
            "it ended the stream: {} {}",
            shorten(&name),
            shorten(&message.unwrap_or_default())
        )),
        Ok(_) | Err(_) => End::BadFrame("an error frame cannot be read"),
    }
}

fn shorten(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

fn name_of(error: &FrameError) -> &'static str {
    match error {
        FrameError::TooLarge(_) => "a frame is too large",
        FrameError::Seq => "a number is out of range",
        FrameError::Header => "a frame has an unknown op",
        _ => "a frame cannot be read",
    }
}
