//! Recovery: what is done when the store, the clock or a back-up was wrong.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use rochdale_pds::Config;
use rochdale_pds::config::{Raw, Shared};
use rochdale_protocol::repo::{Commit, car};
use rochdale_protocol::sync::Event;
use rochdale_service::Env;
use rochdale_service::clock::Clock;
use rochdale_service::config::Secret;
use rochdale_service::shutdown::Shutdown;
use rochdale_service::xrpc::LimitsConfig;
use serde_json::{Value, json};

use crate::directory::Directory;
use crate::firehose::Firehose;
use crate::member::Member;
use crate::server::{PASSWORD, Server, ok, operator, refused};

async fn recommit(server: &Server, body: Value) -> (u16, Value) {
    let auth = operator();
    let headers = [
        ("authorization", auth.as_str()),
        ("content-type", "application/json"),
    ];
    let body = body.to_string();
    let (status, _, answer) = server
        .send(Method::POST, "/admin/recommit", &headers, body)
        .await;
    (status, answer)
}

async fn rev(server: &Server, did: &str) -> String {
    let query = format!("com.atproto.sync.getLatestCommit?did={did}");
    let head = ok(server.ask(&query, "").await);
    head["rev"].as_str().unwrap().to_owned()
}

async fn records(server: &Server, did: &str) -> usize {
    let query =
        format!("com.atproto.repo.listRecords?repo={did}&collection=app.bsky.feed.post&limit=100");
    let listed = ok(server.ask(&query, "").await);
    listed["records"].as_array().unwrap().len()
}

/// Row 15: after the clock was in the future, nothing more is sent that nobody would take, and the
/// operator's repair brings the account back.
#[tokio::test]
async fn row_15_a_revision_from_the_future_is_not_followed_but_recommitted() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    ok(ada.post(&server, "in time").await);
    let directory = Arc::clone(&server.directory);
    server.clock.advance(Duration::from_secs(30 * 86_400));
    let session = server.sign_in("ada.test", PASSWORD).await;
    let ahead = Member::of(&ok(session));
    ok(ahead.post(&server, "too early").await);
    let future = rev(&server, &ada.did).await;
    let right = server.clock.now_us() - 30 * 86_400 * 1_000_000;
    server.clock.set_us(right);
    let server = Server::on(server.stop().await, &directory, |_| {}).await;

    let session = server.sign_in("ada.test", PASSWORD).await;
    let ada = Member::of(&ok(session));
    let told = refused(ada.post(&server, "now").await, (503, "NotEnoughResources"));
    assert!(told.contains(&future) && told.contains("clock"), "{told}");
    assert_eq!(rev(&server, &ada.did).await, future, "nothing was signed");

    let mut firehose = Firehose::open(&server, None).await;
    let done = ok(recommit(&server, json!({ "account": "ada.test" })).await);
    assert_eq!(done["recommitted"], 1);
    let present = rev(&server, &ada.did).await;
    assert!(present < future);
    let Event::Sync(sync) = firehose.event().await.1 else {
        panic!("no sync")
    };
    assert_eq!(sync.rev.to_string(), present);
    ok(ada.post(&server, "now").await);
    assert!(rev(&server, &ada.did).await > present);
    assert_eq!(records(&server, &ada.did).await, 3);
}

/// Row 15: nothing is signed at a time that no clock that was set says.
#[tokio::test]
async fn row_15_a_server_whose_clock_was_never_set_does_not_start() {
    let directory = Directory::start().await;
    directory.clock.set_us(3_600 * 1_000_000);
    let folder = tempfile::tempdir().unwrap();
    let raw = Raw {
        port: 0,
        data_dir: folder.path().to_owned(),
        admin_password: Some(Secret::new("x")),
        plc_url: directory.url.clone(),
        ..Raw::default()
    };
    let shared = Shared {
        resolver: rochdale_resolver::Config::new(directory.url.clone()),
        limits: LimitsConfig::default(),
    };
    let env = Env {
        clock: directory.clock.shared(),
        shutdown: Shutdown::new(),
        outbound: directory.client.clone(),
        dev: true,
    };
    let config = Config::validate(raw, shared).unwrap();
    let refusal = rochdale_pds::start(config, env).await.unwrap_err();
    let told = refusal.to_string();
    assert!(told.contains("1970-01-01T01:00:00.000Z"), "{told}");
}

/// A server that was restored from an older copy tells readers to start over, with every repository.
#[tokio::test]
async fn recovery_after_a_restored_backup_every_active_repository_is_announced_anew() {
    let server = Server::start().await;
    let (ada, ben) = (server.member("ada").await, server.member("ben").await);
    ok(ada.post(&server, "one").await);
    let sleep = "com.atproto.server.deactivateAccount";
    ok(ben.call(&server, sleep, json!({})).await);
    let before = rev(&server, &ada.did).await;
    let mut firehose = Firehose::open(&server, None).await;
    let done = ok(recommit(&server, json!({})).await);
    assert_eq!(
        (&done["recommitted"], &done["failed"]),
        (&json!(2), &json!(0))
    );
    let Event::Sync(sync) = firehose.event().await.1 else {
        panic!("no sync")
    };
    assert_eq!(sync.did.as_str(), ada.did);
    let file = car::read(&sync.blocks, 1 << 20).unwrap();
    let commit = Commit::decode(file.blocks.values().next().unwrap()).unwrap();
    assert!(commit.rev.to_string() > before);
    // Nothing of the sleeping one.
    ok(ada.post(&server, "two").await);
    assert_eq!(firehose.told(1).await, ["commit"]);
    let (status, _) = server.get("/admin/recommit", &[]).await;
    assert_eq!(status, 405);
    let bad = recommit(&server, json!({ "account": "ada.test", "from": 1 })).await;
    assert_eq!(bad.0, 400, "{}", bad.1);
    refused(
        recommit(&server, json!({ "account": "nobody.test" })).await,
        (400, "NotFound"),
    );
}

/// Rows of records that are lost while their events are kept come back by themselves; where the
/// events are gone too, the repository is closed until the operator takes what is left for right.
#[tokio::test]
async fn recovery_lost_records_come_back_from_the_events_or_close_the_repository() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    for n in 0..20 {
        ok(ada.post(&server, &format!("{n}")).await);
    }
    let directory = Arc::clone(&server.directory);
    let before = rev(&server, &ada.did).await;
    let damage = |folder: &std::path::Path, sql: &str| {
        let database = rusqlite::Connection::open(folder.join("pds.sqlite")).unwrap();
        // Without its nodes the tree is made of the records.
        let nodes = "DELETE FROM node; UPDATE repo SET nodes_root = zeroblob(32);";
        database.execute_batch(&format!("{sql} {nodes}")).unwrap();
    };
    let lost = "DELETE FROM record WHERE rkey IN (SELECT rkey FROM record ORDER BY rkey LIMIT 7);";
    let folder = server.stop().await;
    damage(folder.path(), lost);
    let server = Server::on(folder, &directory, |_| {}).await;
    let ada = Member::of(&ok(server.sign_in("ada.test", PASSWORD).await));
    let export = format!("com.atproto.sync.getRepo?did={}", ada.did);
    assert_eq!(server.ask(&export, "").await.0, 200);
    assert_eq!(records(&server, &ada.did).await, 20);
    assert_eq!(rev(&server, &ada.did).await, before, "the same commit");

    let folder = server.stop().await;
    damage(folder.path(), &format!("{lost} DELETE FROM event;"));
    let server = Server::on(folder, &directory, |_| {}).await;
    let ada = Member::of(&ok(server.sign_in("ada.test", PASSWORD).await));
    assert_eq!(ada.post(&server, "x").await.0, 500);
    assert_eq!(
        recommit(&server, json!({ "account": ada.did })).await.0,
        500
    );
    let mut firehose = Firehose::open(&server, None).await;
    let body = json!({ "account": ada.did, "fromRecords": true });
    ok(recommit(&server, body).await);
    assert_eq!(firehose.told(1).await, ["sync"]);
    ok(ada.post(&server, "x").await);
    assert_eq!(records(&server, &ada.did).await, 14);
    assert_eq!(server.ask(&export, "").await.0, 200);
}
