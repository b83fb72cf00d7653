//! The HTTP/1.1 server: connections are bounded and watched, requests get an id, failures are logged
//! once, and a stop is orderly.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use futures::FutureExt as _;
use http::Request;
use hyper::body::Incoming;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use tower::Service as _;

use super::error::{Failure, XrpcError};
use super::request::{RequestId, RequestInfo};
use crate::clock;
use crate::shutdown::Shutdown;

/// Limits of one listener.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// Connections at the same time; more wait in the kernel's queue.
    pub max_connections: usize,
    /// How long a request's head may take from its first byte on.
    pub head_timeout: Duration,
    /// How long a connection may neither read nor write outside of a handler.
    pub idle_timeout: Duration,
    /// How long requests in progress may go on after a stop was asked for.
    pub drain_timeout: Duration,
    /// Largest request head, in bytes.
    pub max_head_bytes: usize,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            max_connections: 8_192,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(90),
            drain_timeout: Duration::from_millis(3_000),
            max_head_bytes: 64 << 10,
        }
    }
}

impl ServeOptions {
    /// How often a connection looks at its own clock.
    fn look(&self) -> Duration {
        (self.head_timeout.min(self.idle_timeout) / 2).max(Duration::from_millis(10))
    }
}

/// Serves `router` on `listener` until a stop is asked for, then drains.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: Shutdown,
    options: ServeOptions,
) {
    let slots = Arc::new(Semaphore::new(options.max_connections));
    let connections = TaskTracker::new();
    let shared = Arc::new(Shared {
        router,
        options,
        ids: AtomicU64::new(u64::from_le_bytes(clock::random())),
        open: metrics::gauge!("rochdale_http_connections"),
    });
    let mut stop = pin!(shutdown.requested());
    loop {
        let next = async {
            let slot = Arc::clone(&slots).acquire_owned().await;
            (listener.accept().await, slot)
        };
        let (accepted, slot) = tokio::select! {
            () = stop.as_mut() => break,
            next = next => next,
        };
        match accepted {
            Ok((stream, peer)) => {
                let connection = connection(Arc::clone(&shared), stream, peer, shutdown.clone());
                connections.spawn(async move {
                    connection.await;
                    drop(slot);
                });
            }
            Err(cause) => {
                // Out of file descriptors, mostly: the connection stays in the queue meanwhile.
                tracing::warn!(%cause, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    connections.close();
    // Each connection bounds itself; this bound is for the sum of what they do in turn.
    let limit = shared.options.drain_timeout + Duration::from_millis(500);
    if tokio::time::timeout(limit, connections.wait())
        .await
        .is_err()
    {
        tracing::warn!(left = connections.len(), "connections were cut at the stop");
    }
}

struct Shared {
    router: Router,
    options: ServeOptions,
    ids: AtomicU64,
    open: metrics::Gauge,
}

async fn connection(shared: Arc<Shared>, stream: TcpStream, peer: SocketAddr, shutdown: Shutdown) {
    shared.open.increment(1.0);
    // Without it only latency suffers.
    let _delayed = stream.set_nodelay(true);
    let phase = Arc::new(Phase::new());
    let io = Watched {
        io: TokioIo::new(stream),
        phase: Arc::clone(&phase),
    };
    let service = Entry {
        shared: Arc::clone(&shared),
        phase: Arc::clone(&phase),
        peer,
    };
    let mut builder = http1::Builder::new();
    builder
        .half_close(false)
        .max_buf_size(shared.options.max_head_bytes.max(8_192));
    let mut served = pin!(builder.serve_connection(io, service).with_upgrades());
    let mut stop = pin!(shutdown.requested());
    let mut look = pin!(tokio::time::sleep(shared.options.look()));
    let mut drain_until = None::<Instant>;
    loop {
        tokio::select! {
            biased;
            result = served.as_mut() => {
                if let Err(cause) = result {
                    tracing::debug!(%peer, %cause, "a connection ended badly");
                }
                break;
            }
            () = stop.as_mut(), if drain_until.is_none() => {
                drain_until = Some(Instant::now() + shared.options.drain_timeout);
                served.as_mut().graceful_shutdown();
                look.as_mut().reset(tokio::time::Instant::now() + shared.options.drain_timeout);
            }
            () = look.as_mut() => {
                if drain_until.is_some_and(|until| until <= Instant::now())
                    || phase.is_overdue(&shared.options)
                {
                    break;
                }
                look.as_mut().reset(tokio::time::Instant::now() + shared.options.look());
            }
        }
    }
    shared.open.decrement(1.0);
}

/// What a connection is doing, and since when.
struct Phase {
    base: Instant,
    /// Milliseconds since `base`, shifted left by two, and one of the constants below.
    state: AtomicU64,
}

/// Between requests, or sending an answer.
const IDLE: u64 = 0;
/// Reading a request's head.
const HEAD: u64 = 1;
/// A handler is at work.
const BUSY: u64 = 2;

impl Phase {
    fn new() -> Self {
        // A new connection owes a request at once.
        Self {
            base: Instant::now(),
            state: AtomicU64::new(HEAD),
        }
    }

    fn set(&self, phase: u64) {
        let now_ms = u64::try_from(self.base.elapsed().as_millis()).unwrap_or(u64::MAX >> 2);
        self.state.store(now_ms << 2 | phase, Ordering::Relaxed);
    }

    fn did_read(&self) {
        if self.state.load(Ordering::Relaxed) & 3 == IDLE {
            self.set(HEAD);
        }
    }

    fn did_write(&self) {
        if self.state.load(Ordering::Relaxed) & 3 == IDLE {
            self.set(IDLE);
        }
    }

    fn is_overdue(&self, options: &ServeOptions) -> bool {
        let state = self.state.load(Ordering::Relaxed);
        let since = self
            .base
            .elapsed()
            .saturating_sub(Duration::from_millis(state >> 2));
        match state & 3 {
            HEAD => since > options.head_timeout,
            BUSY => false,
            _ => since > options.idle_timeout,
        }
    }
}

/// One connection's requests.
struct Entry {
    shared: Arc<Shared>,
    phase: Arc<Phase>,
    peer: SocketAddr,
}

impl hyper::service::Service<Request<Incoming>> for Entry {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.phase.set(BUSY);
        let started = Instant::now();
        let mut request = request.map(Body::new);
        let id = RequestId(self.shared.ids.fetch_add(1, Ordering::Relaxed));
        request.extensions_mut().insert(RequestInfo {
            peer: self.peer,
            id,
        });
        let line = (request.method().clone(), request.uri().clone());
        let answer = AssertUnwindSafe(self.shared.router.clone().call(request)).catch_unwind();
        let phase = Arc::clone(&self.phase);
        Box::pin(async move {
            let response = match answer.await {
                Ok(Ok(response)) => response,
                Ok(Err(never)) => match never {},
                Err(_) => {
                    metrics::counter!("rochdale_panics_total", "where" => "http").increment(1);
                    XrpcError::internal("the handler panicked").into_response()
                }
            };
            phase.set(IDLE);
            log(id, &line, &response, started);
            Ok(response)
        })
    }
}

/// The one line about a request. Only the path is shown: parameters may hold anything.
fn log(
    id: RequestId,
    (verb, uri): &(http::Method, http::Uri),
    response: &Response,
    started: Instant,
) {
    let status = response.status().as_u16();
    let path = uri.path();
    if let Some(Failure { cause }) = response.extensions().get() {
        let cause = chain(&**cause);
        tracing::error!(%id, %verb, path, status, cause, "request failed");
    } else if status >= 500 && status != 501 {
        tracing::info!(%id, %verb, path, status, "request refused");
    } else {
        tracing::debug!(%id, %verb, path, status, took_us = started.elapsed().as_micros(), "request");
    }
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let more = error.to_string();
        // Transparent wrappers repeat their cause.
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        next = error.source();
    }
    text
}

/// A connection that notes when it moves.
struct Watched {
    io: TokioIo<TcpStream>,
    phase: Arc<Phase>,
}

impl Read for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_read(cx, buffer);
        if polled.is_ready() {
            self.phase.did_read();
        }
        polled
    }
}

impl Write for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(cx, bytes);
        if polled.is_ready() {
            self.phase.did_write();
        }
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        if polled.is_ready() {
            self.phase.did_write();
        }
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
