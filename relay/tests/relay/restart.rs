//! Stops, clean and not.

use std::path::Path;

use tempfile::TempDir;

use crate::relay::{TestRelay, eventually};
use crate::{World, rev_of};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_repeated_over_a_clean_restart() {
    let mut world = World::start().await;
    let mut live = world.relay.subscribe(None).await;
    for number in 0..5 {
        world.host.send(&world.ada.post(number).template());
    }
    let before: Vec<u64> = live
        .events(5)
        .await
        .into_iter()
        .map(|(seq, _)| seq)
        .collect();
    world.relay.stop().await;
    for number in 5..10 {
        world.host.send(&world.ada.post(number).template());
    }
    let relay = TestRelay::start(world.folder.path(), &world.directory).await;
    let mut replay = relay.subscribe(Some("0")).await;
    let all = replay.events(10).await;
    assert_eq!(
        all[..5].iter().map(|(seq, _)| *seq).collect::<Vec<_>>(),
        before
    );
    let revs: Vec<String> = all.iter().map(|(_, event)| rev_of(event)).collect();
    assert!(revs.windows(2).all(|pair| pair[0] < pair[1]), "{revs:?}");
    assert_eq!(
        world.host.cursors().last(),
        Some(&Some(105)),
        "the cursor was saved"
    );
    // 43: a cursor from before the restart, and one from within.
    for at in [2, 4, 6] {
        let mut subscriber = relay.subscribe(Some(&all[at].0.to_string())).await;
        assert_eq!(subscriber.event().await.0, all[at + 1].0);
    }
    relay.stop().await;
}

/// What a kill at this moment would leave: the state as of its last commit, then the log, which is written before it.
fn image_of(folder: &Path) -> TempDir {
    let image = TempDir::new().expect("folder");
    let database = rusqlite::Connection::open(folder.join("relay.sqlite")).expect("opens");
    let target = image.path().join("relay.sqlite");
    database
        .execute("VACUUM INTO ?1", [target.to_str().expect("text")])
        .expect("copied");
    std::fs::create_dir(image.path().join("relay-log")).expect("folder");
    for entry in std::fs::read_dir(folder.join("relay-log")).expect("folder") {
        let entry = entry.expect("entry");
        let target = image.path().join("relay-log").join(entry.file_name());
        std::fs::copy(entry.path(), target).expect("copied");
    }
    image
}

// 47: what a kill leaves behind, taken at many moments of a busy relay.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_kill_no_number_is_used_twice_and_no_event_is_lost_or_repeated() {
    let mut world = World::start().await;
    let mut accounts: Vec<_> = (2..6).map(|seed| world.account(seed)).collect();
    let mut live = world.relay.subscribe(None).await;
    let mut images = Vec::new();
    let mut sent = 0;
    for _ in 0..6 {
        for _ in 0..40 {
            let account = sent % accounts.len();
            world
                .host
                .send(&accounts[account].post(sent as u64).template());
            sent += 1;
        }
        live.events(25).await;
        images.push(image_of(world.folder.path()));
    }
    let shown: Vec<u64> = live
        .events(sent - 6 * 25)
        .await
        .into_iter()
        .map(|(seq, _)| seq)
        .collect();
    let last_shown = shown.into_iter().max().expect("events");
    world.relay.stop().await;
    world.ada.post(0);

    for (number, image) in images.into_iter().enumerate() {
        let relay = TestRelay::start(image.path(), &world.directory).await;
        let mut replay = relay.subscribe(Some("0")).await;
        let events = replay.events(sent).await;
        assert!(replay.is_quiet().await, "nothing comes twice");
        assert!(events.windows(2).all(|pair| pair[0].0 < pair[1].0));
        let mut revs: Vec<String> = events
            .iter()
            .map(|(_, event)| format!("{} {}", event.did(), rev_of(event)))
            .collect();
        for account in &accounts {
            let of_account: Vec<&String> = revs
                .iter()
                .filter(|rev| rev.starts_with(account.did.as_str()))
                .collect();
            assert!(
                of_account.windows(2).all(|pair| pair[0] < pair[1]),
                "the order of one account holds"
            );
        }
        revs.sort();
        revs.dedup();
        assert_eq!(revs.len(), sent);
        let new = accounts[0].clone().post(9_000 + number as u64);
        world.host.send(&new.template());
        assert!(
            replay.event().await.0 > last_shown,
            "numbers go on above everything ever shown"
        );
        relay.stop().await;
        accounts[0].post(9_000 + number as u64);
        sent += 1;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn takedown_survives_a_restart() {
    let mut world = World::start().await;
    let mut live = world.relay.subscribe(None).await;
    world.host.send(&world.ada.post(1).template());
    live.event().await;
    let did = serde_json::json!({"did": world.ada.did.as_str()});
    assert_eq!(
        world.relay.admin_post("/admin/repo/takeDown", &did).await.0,
        200
    );
    world.relay.stop().await;
    let relay = TestRelay::start(world.folder.path(), &world.directory).await;
    world.host.send(&world.ada.post(2).template());
    eventually("the host is read again", async || world.host.open() == 1).await;
    let mut replay = relay.subscribe(Some("0")).await;
    let (_, event) = replay.event().await;
    assert!(matches!(event, rochdale_protocol::sync::Event::Account(event) if !event.active));
    assert!(replay.is_quiet().await);
    relay.stop().await;
}
