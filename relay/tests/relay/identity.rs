//! Nothing that was known of an identity goes cold: an event of a known account never waits for a look-up.

use std::time::{Duration, Instant};

use rochdale_service::clock::{Clock, ManualClock, SystemClock};
use tempfile::TempDir;

use crate::network::{Directory, FakeHost};
use crate::relay::{Subscription, TestRelay, eventually};
use crate::repo::Repo;
use crate::{World, account};

const HOUR: Duration = Duration::from_secs(3_600);

/// Sends a post while the directory answers nobody, and takes it from the stream.
async fn passes_at_once(
    directory: &Directory,
    host: &FakeHost,
    ada: &mut Repo,
    live: &mut Subscription,
) {
    directory.set_hanging(true);
    let sent = Instant::now();
    host.send(&ada.post(ada.rev.map_or(0, |rev| rev.micros())).template());
    live.event().await;
    directory.set_hanging(false);
    assert!(sent.elapsed() < Duration::from_secs(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn first_event_after_hours_of_silence_waits_for_no_look_up() {
    let (directory, host) = (Directory::start().await, FakeHost::start(100).await);
    let clock = ManualClock::at_us(SystemClock.now_us());
    let folder = TempDir::new().expect("folder");
    let relay =
        TestRelay::start_at(folder.path(), &directory, clock.shared(), |_| {}, |_| {}).await;
    let mut ada = account(1);
    directory.publish(&ada, &host);
    relay.crawl(&host.name).await;
    eventually("it listens", async || host.open() == 1).await;
    let mut live = relay.subscribe(None).await;
    host.send(&ada.post(0).template());
    live.event().await;
    let asked = directory.asked();

    clock.advance(HOUR);
    passes_at_once(&directory, &host, &mut ada, &mut live).await;
    assert_eq!(directory.asked(), asked, "an hour is no reason to ask");

    clock.advance(25 * HOUR);
    passes_at_once(&directory, &host, &mut ada, &mut live).await;
    eventually("it is renewed meanwhile", async || {
        directory.asked() == asked + 1
    })
    .await;
    passes_at_once(&directory, &host, &mut ada, &mut live).await;
    assert_eq!(directory.asked(), asked + 1);
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn first_event_after_a_restart_waits_for_no_look_up() {
    let mut world = World::start().await;
    let mut live = world.relay.subscribe(None).await;
    world.host.send(&world.ada.post(1).template());
    live.event().await;
    world.relay.stop().await;

    let relay = TestRelay::start(world.folder.path(), &world.directory).await;
    world.is_connected().await;
    let mut live = relay.subscribe(None).await;
    passes_at_once(&world.directory, &world.host, &mut world.ada, &mut live).await;
    // What was found anew is what the next start knows.
    let new_key = account(2).key;
    world.ada.key = new_key;
    world.directory.publish(&world.ada, &world.host);
    world.host.send(&world.ada.post(3).template());
    live.event().await;
    relay.stop().await;

    let relay = TestRelay::start(world.folder.path(), &world.directory).await;
    world.is_connected().await;
    let mut live = relay.subscribe(None).await;
    passes_at_once(&world.directory, &world.host, &mut world.ada, &mut live).await;
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn account_that_left_memory_waits_for_no_look_up() {
    let (directory, host) = (Directory::start().await, FakeHost::start(100).await);
    let folder = TempDir::new().expect("folder");
    let clock = ManualClock::at_us(SystemClock.now_us());
    let small = |(raw, _): &mut (rochdale_relay::config::Raw, _)| {
        raw.hot_accounts = 100;
        raw.verifiers = Some(1);
    };
    let relay = TestRelay::start_at(folder.path(), &directory, clock.shared(), small, |_| {}).await;
    relay.crawl(&host.name).await;
    eventually("it listens", async || host.open() == 1).await;
    let mut live = relay.subscribe(None).await;
    let mut ada = account(1);
    directory.publish(&ada, &host);
    host.send(&ada.post(0).template());
    live.event().await;
    for seed in 2..302 {
        let mut other = account(seed);
        directory.publish(&other, &host);
        host.send(&other.post(0).template());
        live.event().await;
    }
    // Longer than a resolver remembers.
    clock.advance(2 * HOUR);
    passes_at_once(&directory, &host, &mut ada, &mut live).await;
    relay.stop().await;
}
