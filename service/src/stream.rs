//! Serving an ordered log of events to many web sockets (atproto event stream spec).
//!
//! A subscriber is a cursor that pulls, not a queue that fills: the newest frames wait in one bounded
//! ring, older ones are read from the log, and whoever is slow reads from further back until it falls
//! out of what the log keeps. Frames are made once and shared, and what is ready is written together.
//!
//! It knows no event format: bytes come from the service's [`EventLog`], and how a stream says that a
//! cursor is wrong or a consumer too slow is its [`Dialect`]'s.

mod dialect;
mod ring;
mod seats;
mod socket;
mod subscriber;
mod upgrade;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::HeaderValue;
use http::StatusCode;
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, UPGRADE};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, Semaphore, watch};

pub use dialect::{Dialect, End, Farewell, Message, PlainText, XrpcV0};
pub use upgrade::Upgrade;

use crate::shutdown::Shutdown;
use crate::xrpc::{ClientIp, XrpcError};
use ring::Ring;
use seats::{Seat, Seats};
use subscriber::Subscriber;

/// One event as subscribers get it.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Its place in the order.
    pub seq: u64,
    /// The message.
    pub bytes: Bytes,
    /// Whom it is about, as a hash that only filters look at; 0 for nobody.
    pub subject: u64,
}

/// Why a log could not be read; logged, never sent.
#[derive(Debug, thiserror::Error)]
#[error("the event log cannot be read: {0}")]
pub struct LogError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// The durable log behind a stream.
pub trait EventLog: Send + Sync + 'static {
    /// The frames after `after`, oldest first: about `limit_bytes` of them, but at least one if there
    /// is any.
    fn read(&self, after: u64, limit_bytes: usize) -> BoxFuture<'_, Result<Vec<Frame>, LogError>>;

    /// The highest number that was given out; 0 when none was.
    fn head(&self) -> u64;

    /// The highest number that was removed because of its age; 0 when none was. Cursors below it have
    /// missed something. A log that does not remember answers the oldest number it keeps minus one.
    fn trimmed(&self) -> BoxFuture<'_, Result<u64, LogError>>;
}

/// Decides whether a frame may still be handed out, such as one of an account taken down meanwhile.
pub type Visible = Arc<dyn Fn(&Frame) -> bool + Send + Sync>;

/// Limits of one stream.
#[derive(Clone)]
pub struct Options {
    /// Name in metrics, such as `firehose`.
    pub name: &'static str,
    /// Newest frames kept ready in memory, in bytes.
    pub ring_bytes: usize,
    /// Subscribers at the same time.
    pub max_subscribers: usize,
    /// Subscribers of one address at the same time.
    pub max_per_ip: usize,
    /// How long a subscriber may accept no byte.
    pub stall_timeout: Duration,
    /// Silence after which a subscriber is pinged.
    pub ping_interval: Duration,
    /// Least time between two wake-ups of all subscribers: events in between are written together.
    pub pace: Duration,
    /// Asked about every frame that is handed out; hidden ones are skipped.
    pub visible: Option<Visible>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: "stream",
            ring_bytes: 16 << 20,
            max_subscribers: 1_000,
            max_per_ip: 256,
            stall_timeout: Duration::from_secs(30),
            ping_interval: Duration::from_secs(30),
            pace: Duration::from_millis(2),
            visible: None,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("name", &self.name)
            .field("ring_bytes", &self.ring_bytes)
            .field("max_subscribers", &self.max_subscribers)
            .field("max_per_ip", &self.max_per_ip)
            .finish_non_exhaustive()
    }
}

/// Reads of the log at the same time, over all subscribers.
const COLD_READERS: usize = 8;

/// A stream that web sockets can subscribe to.
pub struct Stream {
    log: Arc<dyn EventLog>,
    dialect: Box<dyn Dialect>,
    options: Options,
    ring: Mutex<Ring>,
    /// Tells the pacer that something was published.
    published: Arc<Notify>,
    /// The newest number subscribers were told of.
    head: watch::Sender<u64>,
    cold_readers: Semaphore,
    seats: Arc<Seats>,
    /// Told when a subscriber is gone.
    left: Notify,
    shutdown: Shutdown,
    sent: metrics::Counter,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Stream {
    /// A stream over `log`. Must be called inside a runtime: one small task paces the wake-ups.
    pub fn new(
        log: Arc<dyn EventLog>,
        dialect: impl Dialect,
        options: Options,
        shutdown: Shutdown,
    ) -> Arc<Self> {
        let ring = Ring::new(options.ring_bytes, log.head());
        let name = options.name;
        let stream = Arc::new(Self {
            head: watch::Sender::new(ring.head()),
            ring: Mutex::new(ring),
            dialect: Box::new(dialect),
            published: Arc::default(),
            cold_readers: Semaphore::new(COLD_READERS),
            seats: Arc::new(Seats::new(
                name,
                options.max_subscribers,
                options.max_per_ip,
            )),
            left: Notify::new(),
            sent: metrics::counter!("rochdale_stream_frames_sent_total", "stream" => name),
            log,
            options,
            shutdown: shutdown.clone(),
        });
        let (weak, pace) = (Arc::downgrade(&stream), stream.options.pace);
        let published = Arc::clone(&stream.published);
        shutdown.clone().spawn("stream pacer", async move {
            loop {
                tokio::select! {
                    () = published.notified() => {}
                    () = shutdown.requested() => return,
                }
                let Some(stream) = weak.upgrade() else { return };
                stream.head.send_replace(stream.ring.lock().head());
                drop(stream);
                tokio::time::sleep(pace).await;
            }
        });
        stream
    }

    /// Hands frames to the subscribers. They must already be in the log, in order, and come after all
    /// that were published before. Callable from any thread; it never waits for a subscriber.
    pub fn publish(&self, frames: Vec<Frame>) {
        // Wrapped outside of the lock.
        let wrapped: Vec<_> = frames
            .into_iter()
            .map(|frame| (socket::encode(&self.dialect.wrap(&frame)), frame))
            .collect();
        let mut ring = self.ring.lock();
        for (wire, frame) in wrapped {
            if !ring.push(frame, wire) {
                tracing::error!(
                    stream = self.options.name,
                    "a frame was published out of order"
                );
            }
        }
        drop(ring);
        self.published.notify_one();
    }

    /// Subscribers connected now.
    pub fn subscribers(&self) -> usize {
        self.seats.taken()
    }

    /// Waits until a subscriber has gone since the last call. For one task.
    pub async fn somebody_left(&self) {
        self.left.notified().await;
    }

    /// Turns a request into a subscriber: `cursor` is the last number it has seen, or nothing for
    /// events from now on.
    ///
    /// # Errors
    /// 429 when there are too many subscribers.
    pub fn accept(
        self: &Arc<Self>,
        upgrade: Upgrade,
        cursor: Option<u64>,
        client: ClientIp,
    ) -> Result<Response, XrpcError> {
        let seat = Seats::take(&self.seats, client)?;
        let (stream, start) = (Arc::clone(self), self.start(cursor));
        let accept = upgrade.accept;
        self.shutdown.spawn("subscriber", async move {
            match upgrade.upgraded.await {
                Ok(upgraded) => stream.run(TokioIo::new(upgraded), start, seat).await,
                Err(cause) => tracing::debug!(%cause, "a web socket was not opened"),
            }
        });
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        Ok(response)
    }

    /// Serves one subscriber over a connection that has become a web socket, until it ends.
    ///
    /// # Errors
    /// 429 when there are too many subscribers.
    pub async fn serve<I>(
        self: &Arc<Self>,
        io: I,
        cursor: Option<u64>,
        client: ClientIp,
    ) -> Result<(), XrpcError>
    where
        I: AsyncRead + AsyncWrite + Send + Unpin,
    {
        let seat = Seats::take(&self.seats, client)?;
        self.run(io, self.start(cursor), seat).await;
        Ok(())
    }

    fn start(&self, cursor: Option<u64>) -> Start {
        match cursor {
            Some(cursor) => Start::After(cursor),
            // Taken before the client is answered: what follows the answer is not missed.
            None => Start::Live(self.ring.lock().head()),
        }
    }

    async fn run<I>(self: &Arc<Self>, io: I, start: Start, seat: Seat)
    where
        I: AsyncRead + AsyncWrite + Send + Unpin,
    {
        let mut subscriber = Subscriber::new(self, io);
        let end = tokio::select! {
            end = subscriber.run(start) => end,
            () = self.shutdown.requested() => End::Shutdown,
        };
        metrics::counter!(
            "rochdale_stream_ended_total", "stream" => self.options.name, "why" => end.label()
        )
        .increment(1);
        subscriber.part(end).await;
        drop(seat);
        self.left.notify_one();
    }
}

/// Where a subscriber begins.
#[derive(Debug, Clone, Copy)]
enum Start {
    After(u64),
    Live(u64),
}
