//! Accounts: identities, keys, hosts, takedowns.

use rochdale_protocol::sync::Event;
use serde_json::json;

use crate::network::FakeHost;
use crate::relay::eventually;
use crate::{World, account};

fn status(event: &Event) -> (bool, Option<&str>) {
    let Event::Account(event) = event else {
        panic!("an #account: {event:?}")
    };
    (event.active, event.status.as_deref())
}

// 37: the whole path of a takedown.
#[tokio::test(flavor = "multi_thread")]
async fn takedown_is_told_at_once_hides_the_past_and_can_be_reversed() {
    let mut world = World::start().await;
    let mut bob = world.account(2);
    let mut live = world.relay.subscribe(None).await;
    for number in 0..3 {
        world.host.send(&world.ada.post(number).template());
        world.host.send(&bob.post(number).template());
    }
    live.events(6).await;
    let did = json!({"did": world.ada.did.as_str()});
    assert_eq!(world.relay.post("/admin/repo/takeDown", &did).await.0, 401);
    assert_eq!(
        world.relay.admin_post("/admin/repo/takeDown", &did).await.0,
        200
    );
    assert_eq!(status(&live.event().await.1), (false, Some("takendown")));

    let mut replay = world.relay.subscribe(Some("0")).await;
    let seen = replay.events(4).await;
    assert!(
        seen[..3].iter().all(|(_, event)| event.did() == &bob.did),
        "the past of the account is hidden"
    );
    assert_eq!(status(&seen[3].1), (false, Some("takendown")));

    world.host.send(&world.ada.post(9).template());
    world.host.send(&world.ada.account(true, None).template());
    world.host.send(&bob.post(9).template());
    assert_eq!(
        live.event().await.1.did(),
        &bob.did,
        "later commits and the host's word are dropped"
    );
    assert_is_taken_down(&world).await;
    let (_, takedowns) = world.relay.admin_get("/admin/repo/takedowns").await;
    assert_eq!(takedowns, json!({"dids": [world.ada.did.as_str()]}));

    assert_eq!(
        world
            .relay
            .admin_post("/admin/repo/reverseTakedown", &did)
            .await
            .0,
        200
    );
    assert_eq!(status(&live.event().await.1), (true, None));
    assert_eq!(
        world
            .relay
            .admin_post("/admin/repo/reverseTakedown", &did)
            .await
            .0,
        404
    );
    world.host.send(&world.ada.post(10).template());
    assert_eq!(live.event().await.1.did(), &world.ada.did);
    world.relay.stop().await;
}

async fn assert_is_taken_down(world: &World) {
    let did = world.ada.did.as_str();
    for method in ["getLatestCommit", "getRepo"] {
        let (code, answer) = world
            .relay
            .get(&format!("/xrpc/com.atproto.sync.{method}?did={did}"))
            .await;
        assert_eq!(
            (code, &answer["error"]),
            (403, &json!("RepoTakendown")),
            "{method}"
        );
    }
    let (_, answer) = world
        .relay
        .get(&format!("/xrpc/com.atproto.sync.getRepoStatus?did={did}"))
        .await;
    assert_eq!(
        answer,
        json!({"did": did, "active": false, "status": "takendown"})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn account_never_seen_can_be_taken_down_beforehand() {
    let mut world = World::start().await;
    let mut live = world.relay.subscribe(None).await;
    let did = json!({"did": world.ada.did.as_str()});
    assert_eq!(
        world.relay.admin_post("/admin/repo/takeDown", &did).await.0,
        200
    );
    world.host.send(&world.ada.post(1).template());
    assert!(live.is_quiet().await);
    assert_eq!(
        world
            .relay
            .admin_post("/admin/repo/takeDown", &json!({"did": "nonsense"}))
            .await
            .0,
        400
    );
    world.relay.stop().await;
}

// 8, 9: two hosts for one DID.
#[tokio::test(flavor = "multi_thread")]
async fn account_moves_when_its_document_does_and_the_old_host_has_no_say() {
    let mut world = World::start().await;
    let mut live = world.relay.subscribe(None).await;
    let second = FakeHost::start(0).await;
    world.relay.crawl(&second.name).await;
    eventually("the relay listens to the second host", async || {
        second.open() == 1
    })
    .await;
    world.host.send(&world.ada.post(1).template());
    live.event().await;
    let mut impostor = world.ada.clone();
    second.send(&impostor.post(2).template());
    assert!(
        live.is_quiet().await,
        "a host that the document does not name"
    );

    world.directory.publish(&world.ada, &second);
    second.send(&world.ada.post(2).template());
    live.event().await;
    world
        .host
        .send(&world.ada.account(false, Some("deactivated")).template());
    second.send(&world.ada.post(3).template());
    assert!(
        matches!(live.event().await.1, Event::Commit(_)),
        "the old host's word is ignored"
    );
    let (_, hosts) = world.relay.get("/xrpc/com.atproto.sync.listHosts").await;
    let counts: Vec<_> = hosts["hosts"]
        .as_array()
        .expect("hosts")
        .iter()
        .map(|host| host["accountCount"].clone())
        .collect();
    assert_eq!(counts, [0, 1]);
    world.relay.stop().await;
}

// 15.
#[tokio::test(flavor = "multi_thread")]
async fn first_commit_with_a_rotated_key_passes() {
    let mut world = World::start().await;
    let mut live = world.relay.subscribe(None).await;
    world.host.send(&world.ada.post(1).template());
    live.event().await;
    world.ada.key = account(77).key;
    world.directory.publish(&world.ada, &world.host);
    world.host.send(&world.ada.post(2).template());
    live.event().await;
    let asked = world.directory.asked();
    let mut forged = world.ada.clone();
    forged.key = account(78).key;
    for number in 3..30 {
        world.host.send(&forged.post(number).template());
    }
    world.host.send(&world.ada.post(3).template());
    live.event().await;
    assert!(
        world.directory.asked() <= asked + 2,
        "bad signatures do not fetch without end"
    );
    world.relay.stop().await;
}

// 18: an identity that cannot be fetched now is waited for; other accounts are not kept waiting.
#[tokio::test(flavor = "multi_thread")]
async fn unknown_account_waits_for_the_directory_and_nobody_else_does() {
    let mut world = World::start().await;
    let mut live = world.relay.subscribe(None).await;
    world.host.send(&world.ada.post(1).template());
    live.event().await;
    let mut bob = world.account(2);
    world.directory.set_down(true);
    world.host.send(&bob.post(1).template());
    world.host.send(&bob.post(2).template());
    world.host.send(&world.ada.post(2).template());
    assert_eq!(live.event().await.1.did(), &world.ada.did);
    world.directory.set_down(false);
    for _ in 0..2 {
        assert_eq!(live.event().await.1.did(), &bob.did);
    }
    world.relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn host_is_asked_which_of_its_two_words_it_means() {
    let mut world = World::start().await;
    let mut live = world.relay.subscribe(None).await;
    world
        .host
        .send(&world.ada.account(false, Some("deactivated")).template());
    assert_eq!(status(&live.event().await.1), (false, Some("deactivated")));
    world.host.set_status(
        world.ada.did.as_str(),
        json!({"did": world.ada.did.as_str(), "active": true}),
    );
    world.host.send(&world.ada.post(1).template());
    assert_eq!(
        status(&live.event().await.1),
        (true, None),
        "subscribers are told first"
    );
    assert!(matches!(live.event().await.1, Event::Commit(_)));
    world.relay.stop().await;
}

// 39: quota, with limits on.
#[tokio::test(flavor = "multi_thread")]
async fn account_above_the_quota_is_throttled_until_the_quota_is_raised() {
    let mut world = World::start().await;
    world.relay.stop().await;
    let relay = crate::relay::TestRelay::start_with(
        world.folder.path(),
        &world.directory,
        |(raw, limits)| {
            limits.enabled = true;
            raw.accounts_per_host = 1;
        },
    )
    .await;
    // The host was added while limits were off, with the default quota.
    let limit = |count: u64| json!({"host": world.host.name, "repo_limit": count});
    assert_eq!(
        relay
            .admin_post("/admin/pds/changeLimits", &limit(1))
            .await
            .0,
        200
    );
    let mut live = relay.subscribe(None).await;
    let mut bob = world.account(2);
    world.host.send(&world.ada.post(1).template());
    live.event().await;
    world.host.send(&bob.post(1).template());
    assert!(live.is_quiet().await);
    let path = format!("/xrpc/com.atproto.sync.getRepoStatus?did={}", bob.did);
    eventually("the account shows as throttled", async || {
        relay.get(&path).await.1["status"] == "throttled"
    })
    .await;
    eventually("its row is stored", async || {
        relay.admin_get("/admin/pds/list").await.1[0]["RepoCount"] == 2
    })
    .await;
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert_eq!(
        relay
            .admin_post("/admin/pds/changeLimits", &limit(5))
            .await
            .0,
        200
    );
    assert_eq!(status(&live.event().await.1), (true, None));
    world.host.send(&bob.post(2).template());
    assert_eq!(live.event().await.1.did(), &bob.did);
    relay.stop().await;
}

// A burst of one account while its identity is being fetched: more than may wait, and nothing is lost.
#[tokio::test(flavor = "multi_thread")]
async fn burst_of_an_account_whose_identity_is_not_known_yet_arrives_whole() {
    let mut world = World::start().await;
    let mut live = world.relay.subscribe(None).await;
    world.directory.set_down(true);
    for number in 0..900 {
        world.host.send(&world.ada.post(number).template());
    }
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    world.directory.set_down(false);
    let events = live.events(900).await;
    let revs: std::collections::BTreeSet<String> = events
        .iter()
        .map(|(_, event)| crate::rev_of(event))
        .collect();
    assert_eq!(revs.len(), 900);
    assert!(live.is_quiet().await);
    world.relay.stop().await;
}
