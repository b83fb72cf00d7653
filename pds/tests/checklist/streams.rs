//! Subscribe: where a cursor begins, what a reader is told of accounts, and what is hidden.

use std::time::Duration;

use rochdale_protocol::sync::{Event, Frame};
use serde_json::{Value, json};

use crate::firehose::Firehose;
use crate::server::{Server, ok, operator, refused};

#[tokio::test]
async fn subscribe_a_cursor_continues_after_it_nothing_means_live_and_zero_means_all() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let mut all = Firehose::open(&server, Some(0)).await;
    let mut seqs = Vec::new();
    for _ in 0..4 {
        seqs.push(all.event().await.0);
    }
    assert!(seqs.is_sorted_by(|a, b| a < b), "{seqs:?}");
    let mut live = Firehose::open(&server, None).await;
    let mut after = Firehose::open(&server, Some(seqs[1])).await;
    assert_eq!(after.event().await.0, seqs[2]);
    assert_eq!(after.event().await.0, seqs[3]);
    ok(ada.post(&server, "now").await);
    let next = live.event().await.0;
    assert_eq!(after.event().await.0, next);
    assert_eq!(all.event().await.0, next);
    // The head itself is no cursor of the future; one more is.
    let mut at_head = Firehose::open(&server, Some(next)).await;
    ok(ada.post(&server, "later").await);
    assert!(at_head.event().await.0 > next);
    let mut future = Firehose::open(&server, Some(next + 1_000_000_000)).await;
    let Frame::Error { name, .. } = future.frame().await else {
        panic!("no error")
    };
    assert_eq!(name, "FutureCursor");
    assert!(future.bytes().await.is_none(), "and the connection ends");
    for bad in ["x", "-1", ""] {
        let query = format!("com.atproto.sync.subscribeRepos?cursor={bad}");
        let (status, _) = server.ask(&query, "").await;
        assert!((400..500).contains(&status), "{bad:?}: {status}");
    }
}

#[tokio::test]
async fn subscribe_identity_is_sent_again_for_the_same_handle_and_states_stand_between() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let mut firehose = Firehose::open(&server, None).await;
    let same = json!({ "handle": "ada.test" });
    ok(ada
        .call(&server, "com.atproto.identity.updateHandle", same)
        .await);
    ok(ada.post(&server, "one").await);
    let sleep = "com.atproto.server.deactivateAccount";
    ok(ada.call(&server, sleep, json!({})).await);
    let wake = "com.atproto.server.activateAccount";
    ok(ada.call(&server, wake, Value::Null).await);
    ok(ada.call(&server, wake, Value::Null).await);
    ok(ada.post(&server, "two").await);
    let woken = ["account active", "identity", "sync"];
    let expected: Vec<&str> = ["identity", "commit", "account deactivated"]
        .into_iter()
        .chain(woken)
        .chain(woken)
        .chain(["commit"])
        .collect();
    assert_eq!(firehose.told(expected.len()).await, expected);
}

#[tokio::test]
async fn subscribe_a_deletion_wipes_what_came_before_it_at_once() {
    let server = Server::start().await;
    let (ada, ben) = (server.member("ada").await, server.member("ben").await);
    ok(ada.post(&server, "ada").await);
    ok(ben.post(&server, "ben").await);
    let mut before = Firehose::open(&server, Some(0)).await;
    let first = before.event().await.0;
    before.told(9).await;
    let delete = json!({ "did": ada.did });
    ok(server
        .call("com.atproto.admin.deleteAccount", &operator(), delete)
        .await);
    // From the log, and from what waits ready in memory.
    for cursor in [0, first - 1] {
        only_the_deletion_is_left(&server, cursor, &ada.did, &ben.did).await;
    }
    assert_eq!(before.told(1).await, ["account deleted"]);
    let status = format!("com.atproto.sync.getRepoStatus?did={}", ada.did);
    refused(server.ask(&status, "").await, (400, "RepoNotFound"));
}

async fn only_the_deletion_is_left(server: &Server, cursor: u64, ada: &str, ben: &str) {
    let mut after = Firehose::open(server, Some(cursor)).await;
    for _ in 0..6 {
        let (_, event) = after.event().await;
        match &event {
            Event::Commit(commit) => assert_eq!(commit.repo.as_str(), ben),
            Event::Sync(sync) => assert_eq!(sync.did.as_str(), ben),
            Event::Identity(identity) => assert_eq!(identity.did.as_str(), ben),
            Event::Account(account) if account.did.as_str() == ada => {
                assert_eq!(account.status.as_deref(), Some("deleted"));
            }
            Event::Account(account) => assert_eq!(account.did.as_str(), ben),
        }
    }
}

#[tokio::test]
async fn subscribe_a_cursor_from_before_the_window_is_told_so_and_goes_on_with_what_is_left() {
    let hours = |options: &mut crate::server::Options| options.raw.backfill_hours = 1;
    let server = Server::start_with(hours).await;
    let ada = server.member("ada").await;
    ok(ada.post(&server, "old").await);
    let first = Firehose::open(&server, Some(0)).await.event().await.0;
    server.clock.advance(Duration::from_secs(2 * 3_600));
    let directory = std::sync::Arc::clone(&server.directory);
    // Nodes are written at the stop, events past their time go after the start.
    let server = Server::on(server.stop().await, &directory, hours).await;
    let ada = {
        let session = server.sign_in("ada.test", crate::server::PASSWORD).await;
        crate::member::Member::of(&ok(session))
    };
    ok(ada.post(&server, "new").await);
    let outdated = async || {
        let mut firehose = Firehose::open(&server, Some(first)).await;
        match firehose.frame().await {
            Frame::Info(info) => {
                assert_eq!(info.name, "OutdatedCursor");
                true
            }
            _event => false,
        }
    };
    crate::server::eventually("old events go", outdated).await;
    let mut firehose = Firehose::open(&server, Some(first)).await;
    assert!(matches!(firehose.frame().await, Frame::Info(_)));
    firehose
        .until(|event| matches!(event, Event::Commit(commit) if commit.ops.len() == 1))
        .await;
}
