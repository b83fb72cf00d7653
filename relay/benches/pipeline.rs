//! The whole relay, from a host's socket to a subscriber's: what an event costs, and how long it takes.
//!
//! `cargo bench -p rochdale-relay`. Processor time is that of the relay's own threads where they have a name; the sockets of
//! the host and of the subscribers live in the same process and are shown apart.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::panic,
    dead_code,
    reason = "a measurement, not the product"
)]

#[path = "../tests/support/network.rs"]
mod network;
#[path = "../tests/support/relay.rs"]
mod relay;
#[path = "../tests/support/repo.rs"]
mod repo;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt;
use rochdale_protocol::crypto::Curve;
use rochdale_protocol::data::cbor::Encoder;
use rochdale_protocol::repo::NoBlocks;
use rochdale_protocol::sync::FrameTemplate;
use rochdale_service::clock::{Clock, SystemClock};
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::Message;

use network::{Directory, FakeHost};
use relay::TestRelay;
use repo::Repo;

const ACCOUNTS: usize = 50;
const RECORDS: usize = 2_000;
const BURST: usize = 20_000;
const RATE: usize = 1_000;
const SECONDS: usize = 10;
const SUBSCRIBERS: usize = 100;

fn accounts(directory: &Directory, host: &FakeHost, curve: Curve) -> Vec<Repo> {
    let now_us = SystemClock.now_us() - 3_600_000_000;
    (0..ACCOUNTS)
        .map(|number| {
            let seed =
                u32::try_from(number).unwrap() + if curve == Curve::K256 { 1 } else { 1_000 };
            let mut repo = Repo::new(seed, curve, now_us);
            for record in 0..RECORDS {
                let cid = rochdale_protocol::data::Cid::dag_cbor(
                    Encoder::new().int(record as i64).as_bytes(),
                );
                let key = format!("app.bsky.feed.like/{record:013}");
                repo.tree
                    .insert(&NoBlocks, key.as_bytes(), cid.into())
                    .unwrap();
            }
            repo.sync();
            directory.publish(&repo, host);
            repo
        })
        .collect()
}

fn posts(accounts: &mut [Repo], from: usize, count: usize) -> Vec<FrameTemplate> {
    (from..from + count)
        .map(|number| accounts[number % ACCOUNTS].post(number as u64).template())
        .collect()
}

/// Processor time of this process's threads by name, in ms.
fn threads_ms() -> BTreeMap<String, f64> {
    let mut times = BTreeMap::new();
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let path = task.unwrap().path();
        let (Ok(stat), Ok(name)) = (
            std::fs::read_to_string(path.join("schedstat")),
            std::fs::read_to_string(path.join("comm")),
        ) else {
            continue;
        };
        let ns: f64 = stat.split(' ').next().unwrap().parse().unwrap();
        let name = name
            .trim()
            .trim_end_matches(|c: char| c.is_ascii_digit() || c == '-')
            .to_owned();
        *times.entry(name).or_default() += ns / 1e6;
    }
    times
}

async fn receive(relay: &TestRelay, count: usize) -> tokio::task::JoinHandle<Vec<Instant>> {
    let mut subscription = relay.subscribe(None).await;
    tokio::spawn(async move {
        let mut times = Vec::with_capacity(count);
        while times.len() < count {
            match subscription.socket.next().await {
                Some(Ok(Message::Binary(_))) => times.push(Instant::now()),
                Some(Ok(_)) => {}
                other => panic!("the stream ended after {}: {other:?}", times.len()),
            }
        }
        times
    })
}

async fn burst(relay: &TestRelay, host: &FakeHost, name: &str, events: &[FrameTemplate]) {
    let received = receive(relay, events.len()).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let before = threads_ms();
    let started = Instant::now();
    for event in events {
        host.send(event);
    }
    received.await.unwrap();
    let elapsed = started.elapsed();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let count = events.len() as f64;
    println!(
        "{name}: {} events in {elapsed:?}, {:.0}/s",
        events.len(),
        count / elapsed.as_secs_f64()
    );
    for (thread, ms) in threads_ms() {
        let used = ms - before.get(&thread).copied().unwrap_or(0.0);
        println!(
            "    {thread:<16} {:7.1} us per event",
            used * 1_000.0 / count
        );
    }
}

async fn latency(relay: &TestRelay, host: &FakeHost, events: &[FrameTemplate], subscribers: usize) {
    let probe = receive(relay, events.len()).await;
    let got = Arc::new(AtomicUsize::new(0));
    let mut others = Vec::new();
    for _ in 1..subscribers {
        let mut subscription = relay.subscribe(None).await;
        let got = Arc::clone(&got);
        others.push(tokio::spawn(async move {
            while let Some(Ok(message)) = subscription.socket.next().await {
                got.fetch_add(usize::from(message.is_binary()), Ordering::Relaxed);
            }
        }));
    }
    let before = threads_ms();
    let (mut sent, mut tick) = (
        Vec::new(),
        tokio::time::interval(Duration::from_micros(1_000_000 / RATE as u64)),
    );
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    for event in events {
        tick.tick().await;
        sent.push(Instant::now());
        host.send(event);
    }
    let times = probe.await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut waits: Vec<Duration> = sent
        .iter()
        .zip(&times)
        .map(|(sent, got)| got.duration_since(*sent))
        .collect();
    waits.sort();
    let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize];
    println!(
        "{subscribers} subscribers at {RATE}/s: p50 {:?}, p99 {:?}, most {:?}",
        at(0.5),
        at(0.99),
        at(1.0)
    );
    let expected = (subscribers - 1) * events.len();
    println!(
        "    {} of {expected} deliveries to the others",
        got.load(Ordering::Relaxed)
    );
    for (thread, ms) in threads_ms() {
        let used = ms - before.get(&thread).copied().unwrap_or(0.0);
        println!(
            "    {thread:<16} {:7.1} us per event",
            used * 1_000.0 / events.len() as f64
        );
    }
    others.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::main]
async fn main() {
    let directory = Directory::start().await;
    let host = FakeHost::start(100).await;
    let folder = TempDir::new().unwrap();
    let relay = TestRelay::start_with(folder.path(), &directory, |(raw, _)| {
        raw.verifiers = Some(1);
    })
    .await;
    relay.crawl(&host.name).await;
    relay::eventually("the relay listens", async || host.open() == 1).await;
    for (name, curve) in [("k256", Curve::K256), ("p256", Curve::P256)] {
        let mut accounts = accounts(&directory, &host, curve);
        burst(
            &relay,
            &host,
            &format!("{name}, cold"),
            &posts(&mut accounts, 0, 2_000),
        )
        .await;
        burst(&relay, &host, name, &posts(&mut accounts, 2_000, BURST)).await;
        if curve == Curve::K256 {
            let events = posts(&mut accounts, 2_000 + BURST, 2 * RATE * SECONDS);
            latency(&relay, &host, &events[..RATE * SECONDS], 1).await;
            latency(&relay, &host, &events[RATE * SECONDS..], SUBSCRIBERS).await;
        }
    }
    relay.stop().await;
}
