//! A relay under load: this program is its host, its directory and its subscribers at once.
//!
//! The stream is signed and framed before the clock starts, so that sending it costs next to nothing.

mod fleet;
mod stand_in;

use crate::Failure;
use crate::client::Client;
use crate::frames::{Subscription, revision};
use crate::report::{Latencies, Outcome, Watch, WatchOptions, note, rounded};
use clap::Args;
use fleet::Fleet;
use rochdale_protocol::crypto::Curve;
use serde_json::json;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;
use url::Url;

/// How long the relay may take to come up, to connect, or to pass on one more event.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes handed to the socket at once.
const CHUNK_BYTES: usize = 256 * 1024;

#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Origin of the relay
    #[arg(long)]
    url: Url,
    /// Port on which the fake host and the directory stand-in listen, on localhost
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Register the accounts at this directory; else the relay must be set to use the stand-in
    #[arg(long)]
    directory: Option<Url>,
    /// The relay knows the host already: do not request a crawl
    #[arg(long)]
    no_crawl: bool,
    /// Accounts of the host
    #[arg(long, default_value_t = 1_000)]
    accounts: usize,
    /// Curve of the accounts' signing keys: k256 or p256
    #[arg(long, default_value = "k256", value_parser = curve)]
    curve: Curve,
    /// Records in each repository beforehand
    #[arg(long, default_value_t = 100)]
    records: usize,
    /// Commits sent while the clock runs
    #[arg(long, default_value_t = 50_000)]
    commits: usize,
    /// Commits a second; nought sends flat out
    #[arg(long, default_value_t = 0.0)]
    rate: f64,
    /// Sockets that follow the relay
    #[arg(long, default_value_t = 1)]
    subscribers: usize,
}

/// What the subscribers saw.
#[derive(Debug, Default)]
struct Arrivals {
    /// Events that the first subscriber got.
    first: Cell<usize>,
    /// Events that all subscribers got.
    total: Cell<u64>,
    last: Cell<Option<Instant>>,
    latencies: RefCell<Latencies>,
    broken: RefCell<Option<String>>,
}

/// Runs the bench.
pub(crate) async fn run(options: Options, watch: &WatchOptions) -> Result<(), Failure> {
    let listener = TcpListener::bind(("127.0.0.1", options.port)).await?;
    let origin = format!("http://localhost:{}", listener.local_addr()?.port());
    let started = Instant::now();
    let fleet = Fleet::prepare(
        &origin,
        options.curve,
        options.accounts,
        options.records,
        options.commits,
    )?;
    let took = started.elapsed().as_secs_f64();
    note(&format!(
        "{} frames signed in {took:.1} s; host and directory at {origin}",
        fleet.frames.len()
    ));
    let fleet = Rc::new(fleet);
    let local = LocalSet::new();
    let (upgraded, mut sockets) = tokio::sync::mpsc::channel(4);
    local.spawn_local(stand_in::serve(listener, Rc::clone(&fleet), upgraded));
    local
        .run_until(async {
            if let Some(directory) = &options.directory {
                fleet.register(directory).await?;
            }
            relay_is_up(&options.url).await?;
            let arrivals = Rc::new(Arrivals::default());
            let sent = Rc::new(RefCell::new(vec![None; fleet.frames.len()]));
            for index in 0..options.subscribers {
                let path = "/xrpc/com.atproto.sync.subscribeRepos";
                let subscription = Subscription::open(&options.url, path).await?;
                let follower = Follower {
                    is_first: index == 0,
                    fleet: Rc::clone(&fleet),
                    arrivals: Rc::clone(&arrivals),
                    sent: Rc::clone(&sent),
                };
                tokio::task::spawn_local(follower.follow(subscription));
            }
            if !options.no_crawl {
                request_crawl(&options.url, &origin).await?;
            }
            let socket = tokio::time::timeout(PATIENCE, sockets.recv());
            let socket = socket.await?.ok_or("the relay did not connect")?;
            measure(&options, watch, &fleet, &arrivals, &sent, socket).await
        })
        .await
}

async fn measure(
    options: &Options,
    watch: &WatchOptions,
    fleet: &Fleet,
    arrivals: &Arrivals,
    sent: &RefCell<Vec<Option<Instant>>>,
    mut socket: TcpStream,
) -> Result<(), Failure> {
    let warm_up = fleet.warm_up;
    send(&mut socket, fleet, 0..warm_up, 0.0, sent).await?;
    wait_for(arrivals, warm_up).await?;
    note(&format!("the relay knows {} accounts", options.accounts));
    arrivals.latencies.take();
    let total_before = arrivals.total.get();
    let watch = Watch::start(watch)?;
    let start = Instant::now();
    send(
        &mut socket,
        fleet,
        warm_up..fleet.frames.len(),
        options.rate,
        sent,
    )
    .await?;
    let sent_seconds = start.elapsed().as_secs_f64();
    let late = wait_for(arrivals, fleet.frames.len()).await.err();
    let end = arrivals.last.get().unwrap_or(start);
    let seconds = end.duration_since(start).as_secs_f64();
    let passed = (arrivals.first.get() - warm_up) as u64;
    let deliveries = arrivals.total.get() - total_before;
    let outcome = Outcome {
        count: passed,
        seconds,
        latencies: arrivals.latencies.take(),
        errors: (options.commits as u64).saturating_sub(passed),
        first_error: late.map(|error| error.to_string()),
    };
    let extra = json!({
        "accounts": options.accounts,
        "curve": format!("{:?}", options.curve).to_lowercase(),
        "subscribers": options.subscribers,
        "rate": options.rate,
        "deliveries_per_second": rounded(deliveries as f64 / seconds),
        "sent_seconds": rounded(sent_seconds),
        "frame_bytes": fleet.frame_bytes / fleet.frames.len().max(1),
    });
    watch.finish("relay.commits", &outcome, extra)
}

/// Sends the frames, flat out or at a rate, and notes when.
async fn send(
    socket: &mut TcpStream,
    fleet: &Fleet,
    range: std::ops::Range<usize>,
    rate: f64,
    sent: &RefCell<Vec<Option<Instant>>>,
) -> Result<(), Failure> {
    let start = Instant::now();
    let mut chunk = Vec::with_capacity(CHUNK_BYTES);
    let mut next = range.start;
    while next < range.end {
        let due = if rate > 0.0 {
            range.start + (start.elapsed().as_secs_f64() * rate) as usize + 1
        } else {
            range.end
        };
        chunk.clear();
        let first = next;
        while next < due.min(range.end) && chunk.len() < CHUNK_BYTES {
            crate::frames::push_frame(&mut chunk, fleet.frames.get(next).map_or(&[], |f| f));
            next += 1;
        }
        let now = Instant::now();
        for time in sent.borrow_mut().iter_mut().take(next).skip(first) {
            *time = Some(now);
        }
        if chunk.is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        } else {
            socket.write_all(&chunk).await?;
            tokio::task::yield_now().await;
        }
    }
    Ok(())
}

/// Waits until the first subscriber has so many events, or none has come for too long.
async fn wait_for(arrivals: &Arrivals, wanted: usize) -> Result<(), Failure> {
    let mut seen = arrivals.first.get();
    let mut since = Instant::now();
    while seen < wanted {
        if let Some(broken) = arrivals.broken.borrow().as_ref() {
            return Err(broken.clone().into());
        }
        if since.elapsed() > PATIENCE {
            return Err(format!("{seen} of {wanted} events came through").into());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
        if arrivals.first.get() > seen {
            seen = arrivals.first.get();
            since = Instant::now();
        }
    }
    Ok(())
}

/// One subscriber of the relay.
struct Follower {
    is_first: bool,
    fleet: Rc<Fleet>,
    arrivals: Rc<Arrivals>,
    sent: Rc<RefCell<Vec<Option<Instant>>>>,
}

impl Follower {
    async fn follow(self, mut subscription: Subscription) {
        loop {
            let read = subscription.read(|frame| self.look(frame)).await;
            if let Err(error) = read {
                let error = format!("a subscriber lost the relay: {error}");
                self.arrivals.broken.replace(Some(error));
                return;
            }
        }
    }

    fn look(&self, frame: &[u8]) {
        let Some(index) = revision(frame).and_then(|rev| self.fleet.index_of(rev)) else {
            return;
        };
        let now = Instant::now();
        let arrivals = &self.arrivals;
        arrivals.total.set(arrivals.total.get() + 1);
        arrivals.last.set(Some(now));
        if self.is_first {
            arrivals.first.set(arrivals.first.get() + 1);
        }
        if let Some(Some(sent)) = self.sent.borrow().get(index) {
            let latency = now.saturating_duration_since(*sent);
            arrivals.latencies.borrow_mut().add(latency);
        }
    }
}

fn curve(name: &str) -> Result<Curve, String> {
    match name {
        "k256" => Ok(Curve::K256),
        "p256" => Ok(Curve::P256),
        _ => Err(format!("{name} is neither k256 nor p256")),
    }
}

async fn relay_is_up(url: &Url) -> Result<(), Failure> {
    let end = Instant::now() + PATIENCE;
    let mut client = Client::new(url)?;
    loop {
        let answer = client.get("/xrpc/_health").await;
        if answer
            .as_ref()
            .is_ok_and(|answer| answer.status.is_success())
        {
            return Ok(());
        }
        if Instant::now() > end {
            return Err(format!("the relay is not up: {answer:?}").into());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn request_crawl(relay: &Url, origin: &str) -> Result<(), Failure> {
    let body = json!({ "hostname": origin.trim_start_matches("http://") });
    let path = "/xrpc/com.atproto.sync.requestCrawl";
    let answer = Client::new(relay)?
        .post(path, None, body.to_string())
        .await?;
    answer.success().map(|_| ())
}
