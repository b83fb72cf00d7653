//! Subscriptions over real connections, seen through another implementation's web socket client.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::State;
use futures::{FutureExt as _, SinkExt as _, StreamExt as _};
use parking_lot::RwLock;
use rochdale_protocol::sync::{error_frame, info_frame};
use serde::Deserialize;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error as ClientError, Message as Heard};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::*;
use crate::clock::SystemClock;
use crate::xrpc::{
    Kind, Limits, LimitsConfig, Query, RateLimits, ServeOptions, fallback, method, router, serve,
};

/// A log in memory.
#[derive(Default)]
struct Log {
    frames: RwLock<Vec<Frame>>,
    trimmed: AtomicU64,
    reads: AtomicU64,
}

fn event(seq: u64) -> Frame {
    Frame {
        seq,
        bytes: format!("event {seq}").into(),
        subject: seq % 10,
    }
}

impl Log {
    fn with(seqs: std::ops::RangeInclusive<u64>) -> Arc<Self> {
        let log = Self::default();
        log.frames.write().extend(seqs.map(event));
        Arc::new(log)
    }

    fn trim(&self, up_to: u64) {
        self.frames.write().retain(|frame| frame.seq > up_to);
        self.trimmed.store(up_to, Ordering::SeqCst);
    }
}

impl EventLog for Log {
    fn read(&self, after: u64, limit_bytes: usize) -> BoxFuture<'_, Result<Vec<Frame>, LogError>> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let frames = self.frames.read();
        let mut bytes = 0;
        let page: Vec<_> = frames
            .iter()
            .filter(|frame| frame.seq > after)
            .take_while(|frame| {
                bytes += frame.bytes.len();
                bytes <= limit_bytes
            })
            .cloned()
            .collect();
        futures::future::ready(Ok(page)).boxed()
    }

    fn head(&self) -> u64 {
        let last = self.frames.read().last().map_or(0, |frame| frame.seq);
        last.max(self.trimmed.load(Ordering::SeqCst))
    }

    fn trimmed(&self) -> BoxFuture<'_, Result<u64, LogError>> {
        futures::future::ready(Ok(self.trimmed.load(Ordering::SeqCst))).boxed()
    }
}

#[derive(Deserialize)]
struct Parameters {
    cursor: Option<u64>,
}

async fn subscribe(
    State(stream): State<Arc<Stream>>,
    Query(parameters): Query<Parameters>,
    client: ClientIp,
    upgrade: Upgrade,
) -> Result<Response, XrpcError> {
    stream.accept(upgrade, parameters.cursor, client)
}

async fn nothing() -> XrpcError {
    XrpcError::not_implemented("no such method")
}

struct Server {
    log: Arc<Log>,
    stream: Arc<Stream>,
    address: SocketAddr,
    shutdown: Shutdown,
}

impl Server {
    async fn start(log: Arc<Log>, dialect: impl Dialect, options: Options) -> Self {
        let shutdown = Shutdown::new();
        let stream = Stream::new(
            Arc::clone(&log) as Arc<dyn EventLog>,
            dialect,
            options,
            shutdown.clone(),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
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
        let app: Router = router(
            vec![row],
            fallback("none", Limits::DEFAULT, nothing),
            RateLimits::new(&off, SystemClock::shared()),
        )
        .with_state(Arc::clone(&stream));
        shutdown.spawn(
            "http",
            serve(listener, app, shutdown.clone(), ServeOptions::default()),
        );
        Self {
            log,
            stream,
            address,
            shutdown,
        }
    }

    fn publish(&self, seqs: std::ops::RangeInclusive<u64>) {
        let frames: Vec<_> = seqs.map(event).collect();
        self.log.frames.write().extend(frames.iter().cloned());
        self.stream.publish(frames);
    }

    async fn open(&self, query: &str) -> Result<Client, ClientError> {
        let url = format!("ws://{}/xrpc/test.subscribe{query}", self.address);
        tokio_tungstenite::connect_async(url)
            .await
            .map(|(socket, _)| Client(socket))
    }
}

struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Client {
    async fn hear(&mut self) -> Heard {
        let next = tokio::time::timeout(Duration::from_secs(5), self.0.next());
        next.await
            .expect("something is sent")
            .expect("not the end")
            .unwrap()
    }

    async fn expect(&mut self, seqs: std::ops::RangeInclusive<u64>) {
        for seq in seqs {
            assert_eq!(self.hear().await, Heard::Binary(event(seq).bytes));
        }
    }

    async fn expect_close(&mut self, code: u16, reason: &str) {
        let Heard::Close(Some(close)) = self.hear().await else {
            panic!("a close frame")
        };
        assert_eq!(
            (close.code, close.reason.as_str()),
            (CloseCode::from(code), reason)
        );
    }

    async fn is_silent(&mut self) -> bool {
        tokio::time::timeout(Duration::from_millis(60), self.0.next())
            .await
            .is_err()
    }
}

fn status_of(error: Result<Client, ClientError>) -> u16 {
    match error.map(drop) {
        Err(ClientError::Http(response)) => response.status().as_u16(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn without_a_cursor_only_new_events_come() {
    let server = Server::start(Log::with(1..=5), XrpcV0, Options::default()).await;
    let mut client = server.open("").await.unwrap();
    assert!(client.is_silent().await);
    server.publish(6..=8);
    client.expect(6..=8).await;
}

#[tokio::test]
async fn a_cursor_continues_after_it_over_the_log_and_into_the_live_edge() {
    // Ring and log overlap nowhere: the ring begins empty at the head.
    let server = Server::start(Log::with(1..=50), XrpcV0, Options::default()).await;
    server.publish(51..=60);
    let mut client = server.open("?cursor=20").await.unwrap();
    client.expect(21..=60).await;
    server.publish(61..=63);
    client.expect(61..=63).await;
    let mut all = server.open("?cursor=0").await.unwrap();
    all.expect(1..=63).await;
}

#[tokio::test]
async fn the_head_itself_is_a_cursor_and_the_number_after_it_is_the_future() {
    let server = Server::start(Log::with(1..=5), XrpcV0, Options::default()).await;
    let mut at_head = server.open("?cursor=5").await.unwrap();
    assert!(at_head.is_silent().await);
    server.publish(6..=6);
    at_head.expect(6..=6).await;
    let mut future = server.open("?cursor=7").await.unwrap();
    let text = "the cursor is ahead of the stream";
    assert_eq!(
        future.hear().await,
        Heard::Binary(error_frame("FutureCursor", Some(text)))
    );
    future.expect_close(1008, "FutureCursor").await;
}

#[tokio::test]
async fn an_empty_log_takes_cursor_zero_and_no_other() {
    let server = Server::start(Arc::default(), XrpcV0, Options::default()).await;
    let mut zero = server.open("?cursor=0").await.unwrap();
    assert!(zero.is_silent().await);
    server.publish(1..=2);
    zero.expect(1..=2).await;
    let mut future = server.open("?cursor=3").await.unwrap();
    assert!(matches!(future.hear().await, Heard::Binary(_)));
    future.expect_close(1008, "FutureCursor").await;
}

#[tokio::test]
async fn a_cursor_before_what_was_trimmed_is_told_so_and_gets_the_oldest() {
    let log = Log::with(1..=20);
    log.trim(10);
    let server = Server::start(log, XrpcV0, Options::default()).await;
    let text = "the cursor is older than what is kept; some events are missing";
    let outdated = Heard::Binary(info_frame("OutdatedCursor", Some(text)));
    for cursor in [0, 9] {
        let mut old = server.open(&format!("?cursor={cursor}")).await.unwrap();
        assert_eq!(old.hear().await, outdated);
        old.expect(11..=20).await;
    }
    let mut edge = server.open("?cursor=10").await.unwrap();
    edge.expect(11..=20).await;
}

#[tokio::test]
async fn a_cursor_after_which_everything_was_trimmed_goes_live() {
    let log = Log::with(1..=20);
    log.trim(20);
    let server = Server::start(log, XrpcV0, Options::default()).await;
    let mut old = server.open("?cursor=5").await.unwrap();
    assert!(matches!(old.hear().await, Heard::Binary(_)));
    server.publish(21..=21);
    old.expect(21..=21).await;
}

#[tokio::test]
async fn a_cursor_that_is_no_number_is_refused_before_the_upgrade() {
    let server = Server::start(Log::with(1..=5), XrpcV0, Options::default()).await;
    for cursor in ["-1", "five", "", "1.5", "99999999999999999999"] {
        assert_eq!(
            status_of(server.open(&format!("?cursor={cursor}")).await),
            400,
            "{cursor}"
        );
    }
}

#[tokio::test]
async fn a_plain_text_stream_closes_with_the_name_as_its_reason() {
    let log = Log::with(1..=20);
    log.trim(10);
    let server = Server::start(log, PlainText, Options::default()).await;
    let mut good = server.open("?cursor=19").await.unwrap();
    assert_eq!(good.hear().await, Heard::Text("event 20".into()));
    server
        .open("?cursor=21")
        .await
        .unwrap()
        .expect_close(1000, "FutureCursor")
        .await;
    server
        .open("?cursor=9")
        .await
        .unwrap()
        .expect_close(1000, "OutdatedCursor")
        .await;
}

#[tokio::test]
async fn there_are_only_so_many_seats_and_a_client_that_leaves_frees_its_own() {
    let options = Options {
        max_per_ip: 2,
        ..Options::default()
    };
    let server = Server::start(Log::with(1..=1), XrpcV0, options).await;
    let mut first = server.open("").await.unwrap();
    let _second = server.open("").await.unwrap();
    assert_eq!(status_of(server.open("").await), 429);
    first.0.close(None).await.unwrap();
    for _ in 0..100 {
        if server.stream.subscribers() < 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.open("").await.unwrap();
}

#[tokio::test]
async fn pings_are_answered_and_a_silent_stream_pings() {
    let options = Options {
        ping_interval: Duration::from_millis(100),
        ..Options::default()
    };
    let server = Server::start(Log::with(1..=1), XrpcV0, options).await;
    let mut client = server.open("").await.unwrap();
    client
        .0
        .send(Heard::Ping("are you there".into()))
        .await
        .unwrap();
    assert_eq!(client.hear().await, Heard::Pong("are you there".into()));
    assert_eq!(client.hear().await, Heard::Ping(Bytes::new()));
    // The client answers pings by itself: it is still served after many of them.
    for _ in 0..5 {
        client.hear().await;
    }
    server.publish(2..=2);
    while client.hear().await != Heard::Binary(event(2).bytes) {}
}

#[tokio::test]
async fn a_peer_that_answers_no_ping_is_dropped() {
    let options = Options {
        ping_interval: Duration::from_millis(30),
        ..Options::default()
    };
    let server = Server::start(Log::with(1..=1), XrpcV0, options).await;
    let _mute = server.open("").await.unwrap();
    for _ in 0..100 {
        if server.stream.subscribers() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the seat of a peer that is gone is never freed");
}

#[tokio::test]
async fn a_consumer_that_reads_nothing_is_dropped_without_holding_others_up() {
    let options = Options {
        stall_timeout: Duration::from_millis(300),
        ..Options::default()
    };
    let server = Server::start(Arc::default(), XrpcV0, options).await;
    let stalled = server.open("").await.unwrap();
    let mut reader = server.open("").await.unwrap();
    let large = Bytes::from(vec![7; 1 << 20]);
    for seq in 1..=30 {
        let frame = Frame {
            seq,
            bytes: large.clone(),
            subject: 0,
        };
        server.log.frames.write().push(frame.clone());
        server.stream.publish(vec![frame]);
        assert_eq!(reader.hear().await, Heard::Binary(large.clone()));
    }
    for _ in 0..100 {
        if server.stream.subscribers() == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(
        server.stream.subscribers(),
        1,
        "only the stalled one has left"
    );
    drop(stalled);
    server.publish(31..=31);
    reader.expect(31..=31).await;
}

#[tokio::test]
async fn a_consumer_that_falls_out_of_the_log_is_told_that_it_is_too_slow() {
    let options = Options {
        ring_bytes: 4 << 20,
        ..Options::default()
    };
    let server = Server::start(Arc::default(), XrpcV0, options).await;
    let mut slow = server.open("").await.unwrap();
    let large = Bytes::from(vec![7; 1 << 20]);
    for seq in 1..=40 {
        let frame = Frame {
            seq,
            bytes: large.clone(),
            subject: 0,
        };
        server.log.frames.write().push(frame.clone());
        server.stream.publish(vec![frame]);
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    server.log.trim(35);
    let mut heard = 0;
    let end = loop {
        match slow.hear().await {
            Heard::Binary(bytes) if bytes.len() == large.len() => heard += 1,
            other => break other,
        }
    };
    assert!(heard < 40, "some were lost");
    let text = "the consumer does not keep up with the stream";
    assert_eq!(
        end,
        Heard::Binary(error_frame("ConsumerTooSlow", Some(text)))
    );
    slow.expect_close(1008, "ConsumerTooSlow").await;
}

#[tokio::test]
async fn hidden_frames_are_sent_from_neither_ring_nor_log() {
    let options = Options {
        visible: Some(Arc::new(|frame| frame.subject != 3)),
        ..Options::default()
    };
    let server = Server::start(Log::with(1..=5), XrpcV0, options).await;
    server.publish(11..=15);
    let mut client = server.open("?cursor=0").await.unwrap();
    client.expect(1..=2).await;
    client.expect(4..=5).await;
    client.expect(11..=12).await;
    client.expect(14..=15).await;
}

#[tokio::test]
async fn a_stop_closes_every_subscriber_with_a_close_frame() {
    let server = Server::start(Log::with(1..=1), XrpcV0, Options::default()).await;
    let mut client = server.open("").await.unwrap();
    let finish = server.shutdown.finish(Duration::from_secs(4));
    let ((), left) = tokio::join!(client.expect_close(1001, "going away"), finish);
    assert_eq!(left, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn subscribers_that_come_and_go_miss_nothing_and_get_nothing_twice() {
    let options = Options {
        ring_bytes: 20_000,
        ..Options::default()
    };
    let server = Arc::new(Server::start(Log::with(1..=500), XrpcV0, options).await);
    let publisher = Arc::clone(&server);
    let publishing = tokio::spawn(async move {
        for seq in 501..=3_000 {
            publisher.publish(seq..=seq);
            if seq % 25 == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    });
    let mut clients = Vec::new();
    for start in [0_u64, 100, 480, 500] {
        let server = Arc::clone(&server);
        clients.push(tokio::spawn(async move {
            let mut cursor = start;
            while cursor < 3_000 {
                let mut client = server.open(&format!("?cursor={cursor}")).await.unwrap();
                let last = (cursor + 700).min(3_000);
                client.expect(cursor + 1..=last).await;
                cursor = last;
            }
        }));
    }
    publishing.await.unwrap();
    for client in clients {
        client.await.unwrap();
    }
    assert!(
        server.log.reads.load(Ordering::SeqCst) > 0,
        "the log was read as well"
    );
}

#[tokio::test]
async fn an_event_arrives_within_milliseconds() {
    let server = Server::start(Arc::default(), XrpcV0, Options::default()).await;
    let mut client = server.open("").await.unwrap();
    client.is_silent().await;
    let mut slowest = Duration::ZERO;
    for seq in 1..=50 {
        let published = std::time::Instant::now();
        server.publish(seq..=seq);
        client.expect(seq..=seq).await;
        slowest = slowest.max(published.elapsed());
    }
    // Far above what is measured: this is about forgotten wake-ups.
    assert!(slowest < Duration::from_millis(500), "{slowest:?}");
}
