//! Hosts that have nothing to say.

use std::time::Duration;

use rochdale_service::clock::SystemClock;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::account;
use crate::network::{Directory, FakeHost};
use crate::relay::{QUIET, TestRelay, eventually};

const PATIENCE: Duration = Duration::from_millis(600);

async fn start(folder: &TempDir, directory: &Directory, hosts: Vec<String>) -> TestRelay {
    let configured = |(raw, _): &mut (rochdale_relay::config::Raw, _)| raw.hosts = hosts;
    let clock = SystemClock::shared();
    TestRelay::start_at(folder.path(), directory, clock, configured, |config| {
        config.idle_after = Some(PATIENCE);
    })
    .await
}

async fn status(relay: &TestRelay, host: &FakeHost) -> Value {
    let path = format!(
        "/xrpc/com.atproto.sync.getHostStatus?hostname={}",
        host.name
    );
    relay.get(&path).await.1["status"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn small_host_that_says_nothing_is_left_alone_until_it_asks() {
    let (directory, host) = (Directory::start().await, FakeHost::start(100).await);
    let folder = TempDir::new().expect("folder");
    let relay = start(&folder, &directory, Vec::new()).await;
    let mut ada = account(1);
    directory.publish(&ada, &host);
    relay.crawl(&host.name).await;
    eventually("it listens", async || host.open() == 1).await;
    let mut live = relay.subscribe(None).await;
    host.send(&ada.post(1).template());
    live.event().await;

    eventually("it hangs up", async || host.open() == 0).await;
    eventually("it says so", async || status(&relay, &host).await == "idle").await;
    host.send(&ada.post(2).template());
    let connections = host.cursors().len();
    assert!(live.is_quiet().await);
    assert_eq!(host.cursors().len(), connections, "it is left alone");

    relay.crawl(&host.name).await;
    live.event().await;
    assert_eq!(host.cursors().last(), Some(&Some(101)), "nothing is missed");
    assert_eq!(status(&relay, &host).await, json!("active"));
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn host_of_the_configuration_is_never_hung_up_on() {
    let (directory, host) = (Directory::start().await, FakeHost::start(100).await);
    let folder = TempDir::new().expect("folder");
    let relay = start(&folder, &directory, vec![host.url.clone()]).await;
    eventually("it listens", async || host.open() == 1).await;
    tokio::time::sleep(PATIENCE + QUIET).await;
    assert_eq!((host.open(), host.cursors().len()), (1, 1));
    relay.stop().await;
}
