//! The relay as a whole, over real sockets: hosts on one side, subscribers on the other.
//!
//! Numbers in comments are those of the checklist of what relays commonly get wrong.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails"
)]

#[path = "support/network.rs"]
mod network;
#[path = "support/relay.rs"]
mod relay;
#[path = "support/repo.rs"]
#[expect(dead_code, reason = "shared with the unit tests")]
mod repo;

#[path = "relay/accounts.rs"]
mod accounts;
#[path = "relay/api.rs"]
mod api;
#[path = "relay/hosts.rs"]
mod hosts;
#[path = "relay/identity.rs"]
mod identity;
#[path = "relay/idle.rs"]
mod idle;
#[path = "relay/restart.rs"]
mod restart;
#[path = "relay/stream.rs"]
mod stream;

use rochdale_protocol::crypto::Curve;
use rochdale_protocol::sync::Event;
use tempfile::TempDir;

use network::{Directory, FakeHost};
use relay::TestRelay;
use repo::Repo;

/// One of everything: a directory, a host, a relay that listens to it, an account.
struct World {
    folder: TempDir,
    directory: Directory,
    host: FakeHost,
    relay: TestRelay,
    ada: Repo,
}

impl World {
    async fn start() -> Self {
        let directory = Directory::start().await;
        let host = FakeHost::start(100).await;
        let folder = TempDir::new().expect("folder");
        let relay = TestRelay::start(folder.path(), &directory).await;
        relay.crawl(&host.name).await;
        let ada = account(1);
        directory.publish(&ada, &host);
        let world = Self {
            folder,
            directory,
            host,
            relay,
            ada,
        };
        world.is_connected().await;
        world
    }

    async fn is_connected(&self) {
        relay::eventually("the relay listens", async || self.host.open() == 1).await;
    }

    /// A further account at the host.
    fn account(&self, seed: u32) -> Repo {
        let account = account(seed);
        self.directory.publish(&account, &self.host);
        account
    }
}

/// An account with its own key.
fn account(seed: u32) -> Repo {
    use rochdale_service::clock::{Clock, SystemClock};
    Repo::new(seed, Curve::K256, SystemClock.now_us() - 60_000_000)
}

fn rev_of(event: &Event) -> String {
    match event {
        Event::Commit(event) => event.rev.to_string(),
        Event::Sync(event) => event.rev.to_string(),
        Event::Identity(_) | Event::Account(_) => panic!("no rev: {event:?}"),
    }
}
