//! Hosts that come, go, misbehave and are shown the door.

use axum::extract::ws::Message;
use bytes::Bytes;
use rochdale_protocol::sync::MAX_FRAME_BYTES;
use serde_json::json;

use crate::network::{FakeHost, garbage};
use crate::relay::{TestRelay, eventually};
use crate::{World, account};

#[tokio::test(flavor = "multi_thread")]
async fn host_that_was_away_is_taken_up_where_it_stopped() {
    let mut world = World::start().await;
    let mut live = world.relay.subscribe(None).await;
    assert_eq!(world.host.cursors(), [None], "a new host starts live");
    world.host.send(&world.ada.post(1).template());
    live.event().await;
    world.host.set_refusing(true);
    eventually("the host is away", async || world.host.open() == 0).await;
    let missed = [world.ada.post(2), world.ada.post(3)];
    for event in &missed {
        world.host.send(&event.template());
    }
    world.host.set_refusing(false);
    for event in &missed {
        let rev = crate::rev_of(&live.event().await.1);
        assert_eq!(rev, event.rev.to_string());
    }
    assert_eq!(world.host.cursors().last(), Some(&Some(101)));
    world.relay.stop().await;
}

// 1, 2, 3, 7 and the rule that a bad frame must not hold a host's stream for ever.
#[tokio::test(flavor = "multi_thread")]
async fn unusable_frame_costs_the_connection_and_is_stepped_over() {
    let mut world = World::start().await;
    let mut live = world.relay.subscribe(None).await;
    world.host.send(&world.ada.post(0).template());
    live.event().await;
    let mut trailing = world.ada.clone().post(1).template().with_seq(106).to_vec();
    trailing.push(0);
    let unknown_op = [&[0xa1, 0x62, b'o', b'p', 0x02][..], &[0xa0]].concat();
    let high = world.ada.clone().post(1).template().with_seq(1 << 53);
    let bad = [
        garbage(),
        Message::Text("hello".into()),
        Message::Binary(trailing.into()),
        Message::Binary(unknown_op.into()),
        Message::Binary(high),
    ];
    for (number, message) in bad.into_iter().enumerate() {
        let connections = world.host.cursors().len();
        world.host.send_raw(message);
        let event = world.ada.post(10 + number as u64);
        world.host.send(&event.template());
        let rev = crate::rev_of(&live.event().await.1);
        assert_eq!(rev, event.rev.to_string(), "case {number}");
        eventually("it costs the connection", async || {
            world.host.cursors().len() > connections
        })
        .await;
    }
    let (_, hosts) = world.relay.admin_get("/admin/pds/list").await;
    assert!(
        hosts[0]["UnusableFramesSinceStartup"].as_u64() >= Some(5),
        "{hosts}"
    );
    world.relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_message_types_cost_nothing() {
    let mut world = World::start().await;
    let mut live = world.relay.subscribe(None).await;
    let mut out = rochdale_protocol::data::cbor::Encoder::new();
    out.map(2)
        .text("t")
        .text("#handle")
        .text("op")
        .int(1)
        .map(1)
        .text("seq")
        .int(101);
    world
        .host
        .send_raw(Message::Binary(out.into_bytes().into()));
    let info = rochdale_protocol::sync::info_frame("OutdatedCursor", None);
    world.host.send_raw(Message::Binary(info));
    world.host.send(&world.ada.post(1).template());
    live.event().await;
    assert_eq!(world.host.cursors().len(), 1, "the connection is kept");
    world.relay.stop().await;
}

// 11: identifiers are never folded, so this is nobody; the stream goes on after it.
#[tokio::test(flavor = "multi_thread")]
async fn upper_case_did_is_nobody() {
    let mut world = World::start().await;
    let mut live = world.relay.subscribe(None).await;
    let mut upper = world.ada.clone();
    let tail = world.ada.did.as_str().trim_start_matches("did:plc:");
    let did = format!("did:plc:{}", tail.to_uppercase());
    upper.did = did.parse().expect("in form a DID");
    world.directory.publish(&upper, &world.host);
    let asked = world.directory.asked();
    world.host.send(&upper.post(1).template());
    world.host.send(&upper.account(true, None).template());
    assert!(live.is_quiet().await);
    assert_eq!(world.directory.asked(), asked, "nobody is asked about it");
    world.host.send(&world.ada.post(1).template());
    assert_eq!(live.event().await.1.did(), &world.ada.did);
    assert_eq!(world.host.cursors().len(), 1, "the connection is kept");
    world.relay.stop().await;
}

// 4.
#[tokio::test(flavor = "multi_thread")]
async fn frame_above_five_megabytes_costs_the_connection_and_is_stepped_over() {
    let mut world = World::start().await;
    let mut live = world.relay.subscribe(None).await;
    world.host.send(&world.ada.post(0).template());
    live.event().await;
    world
        .host
        .send_raw(Message::Binary(Bytes::from(vec![0; MAX_FRAME_BYTES + 1])));
    world.host.send(&world.ada.post(1).template());
    live.event().await;
    assert_eq!(world.host.cursors()[1..], [Some(102)]);
    world.relay.stop().await;
}

// 50: a host that has lost its numbering comes back by itself.
#[tokio::test(flavor = "multi_thread")]
async fn host_that_lost_its_numbering_is_listened_to_live() {
    let mut world = World::start().await;
    let mut live = world.relay.subscribe(None).await;
    world.host.send(&world.ada.post(0).template());
    live.event().await;
    world.host.reset_numbers(3);
    eventually("it listens again", async || {
        world.host.cursors().len() >= 3 && world.host.open() == 1
    })
    .await;
    assert_eq!(world.host.cursors()[1..], [Some(101), None]);
    world.host.send(&world.ada.post(1).template());
    live.event().await;
    world.host.cut();
    eventually("it listens again", async || {
        world.host.cursors().last() == Some(&Some(4))
    })
    .await;
    world.relay.stop().await;
}

// 48: bans cut live streams, survive a restart, and the cursors being saved do not undo them.
#[tokio::test(flavor = "multi_thread")]
async fn blocked_host_stays_blocked() {
    let mut world = World::start().await;
    let mut live = world.relay.subscribe(None).await;
    world.host.send(&world.ada.post(0).template());
    live.event().await;
    let path = |what: &str| format!("/admin/pds/{what}?host={}", world.host.name);
    assert_eq!(
        world.relay.admin_post(&path("block"), &json!(null)).await.0,
        200
    );
    eventually("it hangs up", async || world.host.open() == 0).await;
    let body = json!({"hostname": world.host.name});
    let (code, answer) = world
        .relay
        .post("/xrpc/com.atproto.sync.requestCrawl", &body)
        .await;
    assert_eq!((code, &answer["error"]), (400, &json!("HostBanned")));
    // Longer than it takes to save the cursor that had moved.
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    let connections = world.host.cursors().len();
    world.relay.stop().await;

    let relay = TestRelay::start(world.folder.path(), &world.directory).await;
    let status = format!(
        "/xrpc/com.atproto.sync.getHostStatus?hostname={}",
        world.host.name
    );
    let (_, host) = relay.get(&status).await;
    assert_eq!(
        (&host["status"], &host["seq"]),
        (&json!("banned"), &json!(101))
    );
    assert_eq!(
        world.host.cursors().len(),
        connections,
        "not listened to after the restart"
    );
    world.host.send(&world.ada.post(1).template());
    assert_eq!(
        relay.admin_post(&path("unblock"), &json!(null)).await.0,
        200
    );
    let mut live = relay.subscribe(Some("0")).await;
    live.events(2).await;
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn banned_domain_cuts_every_host_below_it() {
    let world = World::start().await;
    let ban = json!({"Domain": world.host.name});
    assert_eq!(
        world
            .relay
            .admin_post("/admin/subs/banDomain", &ban)
            .await
            .0,
        200
    );
    eventually("it hangs up", async || world.host.open() == 0).await;
    let status = format!(
        "/xrpc/com.atproto.sync.getHostStatus?hostname={}",
        world.host.name
    );
    assert_eq!(world.relay.get(&status).await.1["status"], "banned");
    let (_, bans) = world.relay.admin_get("/admin/subs/listDomainBans").await;
    assert_eq!(bans, json!({"banned_domains": [world.host.name]}));
    assert_eq!(
        world
            .relay
            .admin_post("/admin/subs/banDomain", &json!({"Domain": "evil.org"}))
            .await
            .0,
        200
    );
    let refused = world
        .relay
        .post(
            "/xrpc/com.atproto.sync.requestCrawl",
            &json!({"hostname": "a.b.evil.org"}),
        )
        .await;
    assert_eq!(
        (refused.0, &refused.1["error"]),
        (400, &json!("HostBanned"))
    );
    assert_eq!(
        world
            .relay
            .admin_post("/admin/subs/unbanDomain", &ban)
            .await
            .0,
        200
    );
    eventually("it listens again", async || world.host.open() == 1).await;
    assert_eq!(
        world
            .relay
            .admin_post("/admin/subs/unbanDomain", &ban)
            .await
            .0,
        404
    );
    world.relay.stop().await;
}

// 49: what is refused, in which order, and what it leaves behind.
#[tokio::test(flavor = "multi_thread")]
async fn crawl_requests_are_checked_before_anybody_is_bothered() {
    let world = World::start().await;
    let crawl = async |hostname: &str| {
        let (code, answer) = world
            .relay
            .post(
                "/xrpc/com.atproto.sync.requestCrawl",
                &json!({"hostname": hostname}),
            )
            .await;
        (
            code,
            answer["error"].as_str().unwrap_or_default().to_owned(),
        )
    };
    for bad in [
        "127.0.0.1:2583",
        "[::1]:2583",
        "localhost",
        "https://pds.example.org/path",
        "user@pds.coop.org",
        "pds.coop.org.",
        "pds.coop.org:8443",
        "",
        "10.0.0.1",
    ] {
        assert_eq!(
            crawl(bad).await,
            (400, "InvalidRequest".to_owned()),
            "{bad:?}"
        );
    }
    let described = world.host.described();
    for _ in 0..20 {
        assert_eq!(crawl(&world.host.name).await, (200, String::new()));
    }
    assert_eq!(
        world.host.described(),
        described,
        "a connected host costs no request"
    );
    let other = FakeHost::start(0).await;
    other.set_is_pds(false);
    for _ in 0..3 {
        assert_eq!(crawl(&other.name).await, (400, "HostNotFound".to_owned()));
    }
    assert_eq!(other.described(), 1, "a refusal is remembered");
    let (_, hosts) = world.relay.get("/xrpc/com.atproto.sync.listHosts").await;
    assert_eq!(
        hosts["hosts"].as_array().map(Vec::len),
        Some(1),
        "no row is left behind"
    );
    let (code, _) = world
        .relay
        .post("/xrpc/com.atproto.sync.requestCrawl", &json!({}))
        .await;
    assert_eq!(code, 400);
    let alias = world
        .relay
        .post(
            "/xrpc/com.atproto.sync.notifyOfUpdate",
            &json!({"hostname": world.host.name}),
        )
        .await;
    assert_eq!(alias.0, 200);
    world.relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_requests_for_one_new_host_cost_it_one_look() {
    let world = World::start().await;
    let new = FakeHost::start(0).await;
    new.set_slow();
    futures::future::join_all((0..20).map(|_| world.relay.crawl(&new.name))).await;
    assert_eq!(new.described(), 1);
    eventually("it listens", async || new.open() == 1).await;
    assert_eq!(new.cursors().len(), 1);
    world.relay.stop().await;
}

// 49: another relay is not crawled by accident.
#[tokio::test(flavor = "multi_thread")]
async fn relay_is_not_listened_to_unless_that_is_wanted() {
    let world = World::start().await;
    let folder = tempfile::TempDir::new().expect("folder");
    let name = world.relay.url.trim_start_matches("http://").to_owned();
    let second = TestRelay::start_with(folder.path(), &world.directory, |(raw, _)| {
        raw.hosts = vec![name.clone()];
    })
    .await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let (_, connections) = second.admin_get("/admin/subs/getUpstreamConns").await;
    assert_eq!(connections, json!([]));
    second.stop().await;
    world.relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_hosts_per_day_are_counted_and_the_operator_is_not_bound() {
    let mut world = World::start().await;
    world.relay.stop().await;
    let relay = TestRelay::start_with(world.folder.path(), &world.directory, |(raw, limits)| {
        limits.enabled = true;
        raw.new_hosts_per_day = 1;
    })
    .await;
    let hosts = [FakeHost::start(0).await, FakeHost::start(0).await];
    relay.crawl(&hosts[0].name).await;
    let body = json!({"hostname": hosts[1].name});
    let (code, answer) = relay
        .post("/xrpc/com.atproto.sync.requestCrawl", &body)
        .await;
    assert_eq!((code, &answer["error"]), (429, &json!("RateLimitExceeded")));
    assert_eq!(hosts[1].described(), 0);
    assert_eq!(
        relay.admin_post("/admin/pds/requestCrawl", &body).await.0,
        200
    );
    eventually("it listens", async || hosts[1].open() == 1).await;
    world.ada = account(1);
    relay.stop().await;
}

// Hosts of the configuration start from their oldest event, so that nothing is lost.
#[tokio::test(flavor = "multi_thread")]
async fn configured_host_is_read_from_its_beginning() {
    let directory = crate::network::Directory::start().await;
    let host = FakeHost::start(0).await;
    let mut ada = account(1);
    directory.publish(&ada, &host);
    let events: Vec<_> = (0..3).map(|number| ada.post(number)).collect();
    for event in &events {
        host.send(&event.template());
    }
    let folder = tempfile::TempDir::new().expect("folder");
    let relay = TestRelay::start_with(folder.path(), &directory, |(raw, _)| {
        raw.hosts = vec![host.url.clone()];
    })
    .await;
    let mut live = relay.subscribe(Some("0")).await;
    for event in &events {
        assert_eq!(crate::rev_of(&live.event().await.1), event.rev.to_string());
    }
    assert_eq!(host.cursors(), [Some(0)]);
    relay.stop().await;
}

// A host over its limits waits; it loses nothing, and it shows.
#[tokio::test(flavor = "multi_thread")]
async fn host_over_its_event_rate_is_slowed_down_and_shown_as_throttled() {
    let world = World::start().await;
    world.relay.stop().await;
    let relay = TestRelay::start_with(world.folder.path(), &world.directory, |(_, limits)| {
        limits.enabled = true;
    })
    .await;
    eventually("it listens again", async || world.host.open() == 1).await;
    let mut live = relay.subscribe(None).await;
    let mut ada = world.ada.clone();
    let started = std::time::Instant::now();
    for number in 0..130 {
        world.host.send(&ada.post(number).template());
    }
    let path = format!(
        "/xrpc/com.atproto.sync.getHostStatus?hostname={}",
        world.host.name
    );
    eventually("it is throttled", async || {
        relay.get(&path).await.1["status"] == "throttled"
    })
    .await;
    live.events(130).await;
    let took = started.elapsed();
    assert!(
        took >= std::time::Duration::from_millis(1_000),
        "fifty a second: {took:?}"
    );
    eventually("it is active again", async || {
        world.host.send(&ada.account(true, None).template());
        live.event().await;
        relay.get(&path).await.1["status"] == "active"
    })
    .await;
    relay.stop().await;
}
