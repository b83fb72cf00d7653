//! What the shared parts cost on this machine: commits and reads of SQLite, requests through the
//! dispatcher over a real connection, events to many subscribers.
//!
//! `cargo run --release -p rochdale-service --example rates -- [sqlite|http|stream] [SUBSCRIBERS]`

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a program for developers that prints figures and may stop at any failure"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use rochdale_service::clock::SystemClock;
use rochdale_service::shutdown::Shutdown;
use rochdale_service::sqlite::{Database, Migration, Options};
use rochdale_service::stream::{self, EventLog, Frame, LogError, Stream, Upgrade, XrpcV0};
use rochdale_service::xrpc::{
    ClientIp, Kind, Limits, LimitsConfig, Output, Query, RateLimits, ServeOptions, XrpcError,
    fallback, method, router, serve,
};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next().unwrap_or_default();
    let number = arguments
        .next()
        .and_then(|text| text.parse().ok())
        .unwrap_or(100);
    match what.as_str() {
        "sqlite" => sqlite().await,
        "http" => http().await,
        "stream" => events(number).await,
        _ => println!("usage: rates sqlite|http|stream [SUBSCRIBERS]"),
    }
}

/// Processor time of this process so far, user and system.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or("")
        .split_whitespace()
        .collect();
    let ticks = |index: usize| fields.get(index).and_then(|text| text.parse::<u64>().ok());
    Duration::from_millis((ticks(11).unwrap_or(0) + ticks(12).unwrap_or(0)) * 10)
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn report(what: &str, count: u64, took: Duration, used: Duration) {
    let per_second = count as f64 / took.as_secs_f64();
    let each_us = used.as_secs_f64() * 1e6 / count as f64;
    println!("{what}: {count} in {took:.2?}, {per_second:.0}/s, {each_us:.1} us of processor each");
}

const SCHEMA: &[Migration] = &[Migration {
    number: 1,
    name: "items",
    sql: "CREATE TABLE item (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT",
}];

async fn sqlite() {
    let folder = tempfile::TempDir::new_in(".").expect("a folder here");
    let database =
        Database::open(folder.path().join("t.sqlite"), SCHEMA, Options::default()).unwrap();
    for writers in [1_u64, 64] {
        let (started, used) = (Instant::now(), cpu());
        let each = if writers == 1 { 2_000 } else { 1_000 };
        let before = database.stats();
        let tasks = (0..writers).map(|_| {
            let database = database.clone();
            tokio::spawn(async move {
                for _ in 0..each {
                    let write = database.write(|tx| {
                        tx.prepare_cached("INSERT INTO item (bytes) VALUES (?1)")?
                            .execute([vec![7_u8; 1_000]])
                    });
                    write.await.unwrap();
                }
            })
        });
        futures::future::join_all(tasks).await;
        let commits = database.stats().commits - before.commits;
        report(
            &format!("writes of {writers} writers ({commits} commits)"),
            writers * each,
            started.elapsed(),
            cpu() - used,
        );
    }
    let by_id = |connection: &rusqlite::Connection, id: u64| {
        connection
            .prepare_cached("SELECT bytes FROM item WHERE id = ?1")?
            .query_row([i64::try_from(id % 60_000 + 1).unwrap()], |row| {
                row.get::<_, Vec<u8>>(0)
            })
    };
    let count = 200_000;
    let (started, used) = (Instant::now(), cpu());
    for id in 0..count {
        database
            .read_point(|connection| by_id(connection, id))
            .unwrap();
    }
    report(
        "reads on the caller's thread",
        count,
        started.elapsed(),
        cpu() - used,
    );
    for readers in [1, 64] {
        let (started, used) = (Instant::now(), cpu());
        let tasks = (0..readers).map(|reader| {
            let database = database.clone();
            tokio::spawn(async move {
                for number in 0..count / 4 / readers {
                    let id = number * readers + reader;
                    database
                        .read(move |connection| by_id(connection, id))
                        .await
                        .unwrap();
                }
            })
        });
        futures::future::join_all(tasks).await;
        let what = format!("reads handed to a thread by {readers} tasks");
        report(&what, count / 4, started.elapsed(), cpu() - used);
    }
}

#[derive(Deserialize)]
struct Wanted {
    name: String,
}

#[derive(Serialize)]
struct Greeting {
    text: String,
}

async fn greet(Query(wanted): Query<Wanted>) -> Output<Greeting> {
    Output(Greeting {
        text: format!("hello {}", wanted.name),
    })
}

async fn unknown() -> XrpcError {
    XrpcError::not_implemented("no such method")
}

async fn http() {
    for enabled in [false, true] {
        let shutdown = Shutdown::new();
        let config = LimitsConfig {
            enabled,
            global_points: u32::MAX,
            ..LimitsConfig::default()
        };
        let app = router(
            vec![method(
                "test.greet",
                Kind::Query,
                "none",
                Limits::DEFAULT,
                greet,
            )],
            fallback("none", Limits::DEFAULT, unknown),
            RateLimits::new(&config, SystemClock::shared()),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        shutdown.spawn(
            "http",
            serve(listener, app, shutdown.clone(), ServeOptions::default()),
        );
        let (started, used) = (Instant::now(), cpu());
        let (clients, each) = (32_u64, 4_000_u64);
        let tasks = (0..clients).map(|_| {
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.set_nodelay(true).unwrap();
                let request = b"GET /xrpc/test.greet?name=ada HTTP/1.1\r\nhost: localhost\r\n\r\n";
                let mut answer = [0; 4_096];
                for _ in 0..each {
                    stream.write_all(request).await.unwrap();
                    assert!(stream.read(&mut answer).await.unwrap() > 0);
                }
            })
        });
        futures::future::join_all(tasks).await;
        let what = format!("requests, client included, limits on: {enabled}");
        report(&what, clients * each, started.elapsed(), cpu() - used);
        shutdown.finish(Duration::from_secs(4)).await;
    }
}

/// A log that is always behind the ring.
struct Nothing;

impl EventLog for Nothing {
    fn read(&self, _: u64, _: usize) -> BoxFuture<'_, Result<Vec<Frame>, LogError>> {
        futures::future::ready(Ok(Vec::new())).boxed()
    }

    fn head(&self) -> u64 {
        0
    }

    fn trimmed(&self) -> BoxFuture<'_, Result<u64, LogError>> {
        futures::future::ready(Ok(0)).boxed()
    }
}

async fn subscribe(
    State(stream): State<Arc<Stream>>,
    client: ClientIp,
    upgrade: Upgrade,
) -> Result<Response, XrpcError> {
    stream.accept(upgrade, None, client)
}

const EVENTS: u64 = 5_000;
const EVENT_BYTES: usize = 3_000;

/// What the reading side has seen.
#[derive(Default)]
struct Seen {
    bytes: AtomicU64,
    /// Microseconds from publishing to reading, of the first event of each read of one subscriber.
    waits_us: Mutex<Vec<u64>>,
}

async fn start_stream(shutdown: &Shutdown) -> (Arc<Stream>, SocketAddr) {
    let options = stream::Options {
        max_per_ip: 10_000,
        ..stream::Options::default()
    };
    let stream = Stream::new(Arc::new(Nothing), XrpcV0, options, shutdown.clone());
    let off = LimitsConfig {
        enabled: false,
        ..LimitsConfig::default()
    };
    let row = method(
        "test.subscribe",
        Kind::Subscription,
        "none",
        Limits::DEFAULT,
        subscribe,
    );
    let app = router(
        vec![row],
        fallback("none", Limits::DEFAULT, unknown),
        RateLimits::new(&off, SystemClock::shared()),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = app.with_state(Arc::clone(&stream));
    shutdown.spawn(
        "http",
        serve(listener, app, shutdown.clone(), ServeOptions::default()),
    );
    (stream, address)
}

/// Opens a subscription and reads it for ever.
async fn read_stream(address: SocketAddr, seen: Arc<Seen>, base: Instant, is_timed: bool) {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request = b"GET /xrpc/test.subscribe HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\n\
        connection: upgrade\r\nsec-websocket-version: 13\r\n\
        sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    socket.write_all(request).await.unwrap();
    let mut buffer = vec![0; 64 << 10];
    assert!(socket.read(&mut buffer).await.unwrap() > 0);
    tokio::spawn(async move {
        loop {
            let read = socket.read(&mut buffer).await.unwrap_or(0);
            if read == 0 {
                return;
            }
            seen.bytes.fetch_add(read as u64, Ordering::Relaxed);
            // The first eight bytes of a payload say when it was published.
            if is_timed && read.is_multiple_of(EVENT_BYTES + 4) {
                let stamp = buffer.get(4..12).and_then(|bytes| bytes.try_into().ok());
                let sent_us = u64::from_be_bytes(stamp.unwrap_or_default());
                let now_us = u64::try_from(base.elapsed().as_micros()).unwrap_or(0);
                seen.waits_us.lock().push(now_us.saturating_sub(sent_us));
            }
        }
    });
}

async fn events(subscribers: u64) {
    let shutdown = Shutdown::new();
    let (stream, address) = start_stream(&shutdown).await;
    let seen = Arc::new(Seen::default());
    let base = Instant::now();
    for number in 0..subscribers {
        read_stream(address, Arc::clone(&seen), base, number == 0).await;
    }
    while stream.subscribers() < usize::try_from(subscribers).unwrap() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (started, used) = (Instant::now(), cpu());
    for seq in 1..=EVENTS {
        let mut bytes = vec![7; EVENT_BYTES];
        let now_us = u64::try_from(base.elapsed().as_micros()).unwrap_or(0);
        bytes.splice(..8, now_us.to_be_bytes());
        stream.publish(vec![Frame {
            seq,
            bytes: Bytes::from(bytes),
            subject: 0,
        }]);
        // 1,000 a second.
        tokio::time::sleep_until((started + Duration::from_millis(seq)).into()).await;
    }
    let all = subscribers * EVENTS * (EVENT_BYTES as u64 + 4);
    while seen.bytes.load(Ordering::Relaxed) < all {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    report(
        &format!("events to {subscribers} subscribers, reading included"),
        subscribers * EVENTS,
        started.elapsed(),
        cpu() - used,
    );
    let mut waits = std::mem::take(&mut *seen.waits_us.lock());
    waits.sort_unstable();
    for percent in [50, 99, 100] {
        let at = (waits.len() * percent / 100).min(waits.len().saturating_sub(1));
        println!(
            "{percent} % of events arrived within {} us",
            waits.get(at).unwrap_or(&0)
        );
    }
    shutdown.finish(Duration::from_secs(4)).await;
}
