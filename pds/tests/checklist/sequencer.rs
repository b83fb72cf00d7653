//! The sequencer: the order of events, what each says, and that every reader gets them all.

use std::collections::HashMap;

use futures::future::join_all;
use rochdale_protocol::repo::{Commit, car};
use rochdale_protocol::sync::{Event, SyncEvent, check_commit};
use rochdale_service::clock::Clock;
use serde_json::{Value, json};

use crate::firehose::Firehose;
use crate::member::Member;
use crate::server::{PASSWORD, Server, ok, operator};

#[tokio::test]
async fn sequencer_readers_that_come_in_between_get_every_event_once_in_order() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    server.member("ben").await;
    let start = {
        let mut all = Firehose::open(&server, Some(0)).await;
        let mut last = 0;
        for _ in 0..8 {
            last = all.event().await.0;
        }
        last
    };
    for n in 0..40 {
        ok(ada.post(&server, &format!("before {n}")).await);
    }
    // What was before a restart is in the log alone: readers go over from there to what is new.
    let directory = std::sync::Arc::clone(&server.directory);
    let server = Server::on(server.stop().await, &directory, |_| {}).await;
    let writer = async |handle: &str| {
        let who = Member::of(&ok(server.sign_in(handle, PASSWORD).await));
        for n in 0..60 {
            ok(who.post(&server, &format!("{n}")).await);
        }
    };
    let reader = async || {
        let mut seen = Vec::new();
        let mut cursor = start;
        // Comes and goes, and goes on where it was.
        while seen.len() < 160 {
            let mut firehose = Firehose::open(&server, Some(cursor)).await;
            for _ in 0..17.min(160 - seen.len()) {
                let (seq, event) = firehose.event().await;
                assert!(seq > cursor);
                cursor = seq;
                assert!(matches!(event, Event::Commit(_)), "{event:?}");
                seen.push(seq);
            }
        }
        seen
    };
    let ((), (), one, two) =
        tokio::join!(writer("ada.test"), writer("ben.test"), reader(), reader());
    assert_eq!(one, two);
}

/// The commit that is all that a `#sync` holds.
fn commit_of(sync: &SyncEvent) -> Commit {
    let file = car::read(&sync.blocks, 1 << 20).unwrap();
    assert_eq!(file.blocks.len(), 1, "the commit and nothing else");
    let (cid, block) = file.blocks.iter().next().unwrap();
    assert_eq!(file.roots[0].as_cid().unwrap(), *cid);
    Commit::decode(block).unwrap()
}

/// Every commit can be undone from its own blocks, also one of deletions; revisions come from the clock.
#[tokio::test]
async fn invertible_ops_every_commit_leads_back_to_the_one_before() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let mut rkeys = Vec::new();
    // So many that the tree has levels, whatever the keys.
    for n in 0..60 {
        let post = ok(ada.post(&server, &format!("{n}")).await);
        let uri = post["uri"].as_str().unwrap().to_owned();
        rkeys.push(uri.rsplit('/').next().unwrap().to_owned());
    }
    let delete = |rkey: &String| {
        json!({ "$type": "com.atproto.repo.applyWrites#delete",
                "collection": "app.bsky.feed.post", "rkey": rkey })
    };
    for some in rkeys[..50].chunks(10) {
        let writes: Vec<Value> = some.iter().map(delete).collect();
        let body = json!({ "repo": ada.did, "writes": writes });
        ok(ada
            .call(&server, "com.atproto.repo.applyWrites", body)
            .await);
    }
    for rkey in &rkeys[50..] {
        let body = json!({ "repo": ada.did, "collection": "app.bsky.feed.post", "rkey": rkey });
        ok(ada
            .call(&server, "com.atproto.repo.deleteRecord", body)
            .await);
    }
    let wake = "com.atproto.server.activateAccount";
    ok(ada.call(&server, wake, Value::Null).await);
    let head = format!("com.atproto.sync.getLatestCommit?did={}", ada.did);
    let head = ok(server.ask(&head, "").await);

    let mut firehose = Firehose::open(&server, Some(0)).await;
    let (mut data, mut rev, mut syncs) = (None, None, 0);
    for _ in 0..(4 + 60 + 5 + 10 + 3) {
        match firehose.event().await.1 {
            Event::Commit(commit) => {
                let now_us = server.clock.now_us();
                let checked = check_commit(&commit, now_us).unwrap();
                assert_eq!(commit.prev_data, data);
                assert_eq!(commit.since, rev);
                assert!(commit.rev.micros() <= now_us + 1_000_000);
                (data, rev) = (Some(checked.data), Some(commit.rev));
            }
            Event::Sync(sync) => {
                syncs += 1;
                let commit = commit_of(&sync);
                assert_eq!(Some(commit.data), data);
                assert_eq!(commit.rev, sync.rev);
                rev = Some(commit.rev);
            }
            Event::Identity(_) | Event::Account(_) => {}
        }
    }
    assert_eq!(syncs, 2, "at creation and at activation");
    assert_eq!(head["rev"], rev.unwrap().to_string());
}

#[tokio::test]
async fn row_13_a_deletion_proves_its_inversion_and_sync_comes_with_no_write() {
    let server = Server::start().await;
    let mut firehose = Firehose::open(&server, None).await;
    let ada = server.member("ada").await;
    let kinds = async |firehose: &mut Firehose, count: usize| {
        let mut kinds = Vec::new();
        for _ in 0..count {
            kinds.push(firehose.event().await.1.kind());
        }
        kinds
    };
    let created = ["#identity", "#account", "#commit", "#sync"];
    assert_eq!(kinds(&mut firehose, 4).await, created);

    let mut rkeys = Vec::new();
    for n in 0..20 {
        let post = ok(ada.post(&server, &format!("{n}")).await);
        let uri = post["uri"].as_str().unwrap().to_owned();
        rkeys.push(uri.rsplit('/').next().unwrap().to_owned());
    }
    for rkey in &rkeys {
        let body = json!({ "repo": ada.did, "collection": "app.bsky.feed.post", "rkey": rkey });
        let delete = "com.atproto.repo.deleteRecord";
        ok(ada.call(&server, delete, body).await);
    }
    let mut before = None;
    for n in 0..40 {
        let Event::Commit(commit) = firehose.event().await.1 else {
            panic!("a write is a commit and nothing else")
        };
        let checked = check_commit(&commit, server.clock.now_us()).unwrap();
        assert!(n == 0 || commit.prev_data == before, "{n}");
        assert_eq!(commit.ops[0].prev.is_some(), n >= 20, "what was deleted");
        before = Some(checked.data);
    }

    for nsid in ["deactivateAccount", "activateAccount"] {
        let body = if nsid == "activateAccount" {
            Value::Null
        } else {
            json!({})
        };
        let nsid = format!("com.atproto.server.{nsid}");
        ok(ada.call(&server, &nsid, body).await);
    }
    let woken = ["#account", "#account", "#identity", "#sync"];
    assert_eq!(kinds(&mut firehose, 4).await, woken);
    let auth = operator();
    let headers = [
        ("authorization", auth.as_str()),
        ("content-type", "application/json"),
    ];
    let post = http::Method::POST;
    server.send(post, "/admin/recommit", &headers, "{}").await;
    let Event::Sync(repaired) = firehose.event().await.1 else {
        panic!("no sync")
    };
    assert_eq!(Some(commit_of(&repaired).data), before);
}

#[tokio::test]
async fn row_14_events_come_in_the_order_of_the_commits_when_writers_run_in_parallel() {
    let server = Server::start().await;
    let mut members = Vec::new();
    for name in ["ada", "ben", "cleo", "dora"] {
        members.push(server.member(name).await);
    }
    let mut live = Firehose::open(&server, None).await;
    // Writers that do not wait for one another, on four repositories.
    let writes = (0..120).map(|n| members[n % 4].post(&server, "x"));
    let mut answered = HashMap::<String, Vec<String>>::new();
    for answer in join_all(writes).await {
        let written = ok(answer);
        let did = written["uri"].as_str().unwrap().split('/').nth(2).unwrap();
        let rev = written["commit"]["rev"].as_str().unwrap().to_owned();
        answered.entry(did.to_owned()).or_default().push(rev);
    }
    let mut replay = Firehose::open(&server, Some(0)).await;
    for _ in 0..16 {
        replay.event().await;
    }
    let (mut last, mut told) = (0, HashMap::<String, Vec<String>>::new());
    for _ in 0..120 {
        let (seq, event) = live.event().await;
        assert_eq!(replay.event().await, (seq, event.clone()));
        assert!(seq > last, "{seq} after {last}");
        last = seq;
        let Event::Commit(commit) = event else {
            panic!("{event:?}")
        };
        let revs = told.entry(commit.repo.to_string()).or_default();
        if let Some(before) = revs.last() {
            assert_eq!(commit.since.unwrap().to_string(), *before);
        }
        revs.push(commit.rev.to_string());
    }
    for revs in answered.values_mut() {
        revs.sort();
    }
    assert_eq!(told, answered);
}

#[tokio::test]
async fn row_18_times_of_every_kind_of_event_have_milliseconds_and_a_z() {
    let server = Server::start().await;
    server.clock.set_us(4_000_000_000_007_000);
    let ada = server.member("ada").await;
    let delete = json!({ "did": ada.did });
    let nsid = "com.atproto.admin.deleteAccount";
    let mut firehose = Firehose::open(&server, Some(0)).await;
    let mut times = Vec::new();
    for _ in 0..4 {
        times.push(time(&firehose.event().await.1));
    }
    server.clock.set_us(4_000_000_010_120_999);
    ok(server.call(nsid, &operator(), delete).await);
    times.push(time(&firehose.event().await.1));
    let at_once = "2096-10-02T07:06:40.007Z";
    let later = "2096-10-02T07:06:50.120Z";
    assert_eq!(times, [at_once, at_once, at_once, at_once, later]);
}

fn time(event: &Event) -> String {
    let time = match event {
        Event::Commit(event) => &event.time,
        Event::Sync(event) => &event.time,
        Event::Identity(event) => &event.time,
        Event::Account(event) => &event.time,
    };
    time.as_str().to_owned()
}

#[tokio::test]
async fn sequencer_many_readers_who_take_their_time_get_the_same() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let mut readers = Vec::new();
    for cursor in [None, Some(0)] {
        for _ in 0..60 {
            readers.push((cursor, Firehose::open(&server, cursor).await));
        }
    }
    // Nobody reads meanwhile.
    for n in 0..50 {
        ok(ada.post(&server, &"long ".repeat(n)).await);
    }
    let mut expected = Vec::new();
    for (cursor, mut reader) in readers {
        if cursor.is_some() {
            reader.told(4).await;
        }
        let mut seen = Vec::new();
        for _ in 0..50 {
            let (seq, event) = reader.event().await;
            assert_eq!(event.kind(), "#commit");
            seen.push(seq);
        }
        if expected.is_empty() {
            expected.clone_from(&seen);
        }
        assert_eq!(seen, expected);
    }
    assert!(expected.is_sorted_by(|a, b| a < b));
}

/// Readers that are connected, as the operator sees them.
async fn readers(server: &Server) -> u64 {
    let auth = operator();
    let headers = [("authorization", auth.as_str())];
    let (_, said) = server.get("/admin/relays", &headers).await;
    said["subscribers"].as_u64().unwrap()
}

#[tokio::test]
async fn row_16_a_reader_that_vanishes_frees_its_seat() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(Firehose::open(&server, Some(0)).await);
    }
    assert_eq!(readers(&server).await, 3);
    // One in the middle of the past, one that has read everything.
    open[0].told(4).await;
    open[1].told(1).await;
    open.truncate(1);
    crate::server::eventually("two seats are free", async || readers(&server).await == 1).await;
    ok(ada.post(&server, "on").await);
    assert_eq!(open[0].told(1).await, ["commit"]);
    open.clear();
    crate::server::eventually("all are", async || readers(&server).await == 0).await;
}

#[tokio::test]
async fn row_16_numbers_go_on_after_a_restart_and_cursors_stay_good() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    ok(ada.post(&server, "one").await);
    let mut last = 0;
    let mut firehose = Firehose::open(&server, Some(0)).await;
    for _ in 0..5 {
        last = firehose.event().await.0;
    }
    drop(firehose);
    let directory = std::sync::Arc::clone(&server.directory);
    let server = Server::on(server.stop().await, &directory, |_| {}).await;
    let mut firehose = Firehose::open(&server, Some(last)).await;
    let session = server.sign_in("ada.test", PASSWORD).await;
    let ada = Member::of(&ok(session));
    ok(ada.post(&server, "two").await);
    assert!(firehose.event().await.0 > last);
    let mut replay = Firehose::open(&server, Some(0)).await;
    assert_eq!(
        replay.told(6).await,
        [
            "identity",
            "account active",
            "commit",
            "sync",
            "commit",
            "commit"
        ]
    );
}
