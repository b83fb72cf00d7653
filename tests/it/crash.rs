//! `kill -9` in the middle of writes, again and again: every acknowledged write is there, the
//! repositories verify, and neither stream has a gap, a reused number or a duplicate.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rochdale_testing::{Firehose, Member, Seen, Stack, verify_export};

use crate::BINARY;

const ROUNDS: usize = 20;
const WRITERS: usize = 8;

/// Writes until the server is gone; returns the acknowledged records.
async fn writes_until_killed(member: Member, round: usize) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for n in 0.. {
        let record = Member::post(&format!("round {round} write {n}"));
        let body = serde_json::json!({
            "repo": member.did, "collection": "app.bsky.feed.post", "record": record,
        });
        let request = member
            .http
            .post(format!("{}/xrpc/com.atproto.repo.createRecord", member.pds))
            .bearer_auth(&member.access)
            .json(&body);
        let Ok(answer) = request.send().await else {
            break;
        };
        if !answer.status().is_success() {
            break;
        }
        let Ok(created) = answer.json::<serde_json::Value>().await else {
            break;
        };
        acknowledged.push(created["uri"].as_str().unwrap().to_owned());
    }
    acknowledged
}

fn numbers_rise(frames: &[Seen], stream: &str) {
    for pair in frames.windows(2) {
        assert!(
            pair[0].seq < pair[1].seq,
            "{stream}: {} then {}",
            pair[0].seq,
            pair[1].seq
        );
    }
}

/// Each commit of a repository starts where the one before it ended.
fn commits_chain(frames: &[Seen], stream: &str) {
    let mut last: BTreeMap<&str, &str> = BTreeMap::new();
    for seen in frames.iter().filter(|seen| seen.kind == "#commit") {
        let rev = seen.rev.as_deref().unwrap();
        if let Some(before) = last.insert(&seen.did, rev) {
            assert_eq!(
                seen.since.as_deref(),
                Some(before),
                "{stream}: gap in {}",
                seen.did
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_kills_lose_no_acknowledged_write_and_leave_no_gap_in_either_stream() {
    let mut stack = Stack::start(BINARY);
    let mut members = Vec::new();
    for n in 0..WRITERS {
        members.push(stack.member(&format!("writer{n}")).await);
    }
    let mut acknowledged: Vec<BTreeSet<String>> = vec![BTreeSet::new(); WRITERS];
    let mut numbers: BTreeMap<u64, (String, Option<String>)> = BTreeMap::new();
    for round in 0..ROUNDS {
        let running: Vec<_> = members
            .iter()
            .map(|member| tokio::spawn(writes_until_killed(member.clone(), round)))
            .collect();
        // A different moment each round, so kills fall before, within and after commits.
        tokio::time::sleep(Duration::from_millis(60 + (round as u64 * 37) % 410)).await;
        stack.kill();
        for (mine, task) in acknowledged.iter_mut().zip(running) {
            mine.extend(task.await.unwrap());
        }
        stack.start_again();
        for seen in Firehose::replay(&stack.pds, 0).await {
            let event = (seen.did.clone(), seen.rev.clone());
            let before = numbers.insert(seen.seq, event.clone());
            assert!(
                before.is_none_or(|before| before == event),
                "seq {} was reused",
                seen.seq
            );
        }
    }
    let total: usize = acknowledged.iter().map(BTreeSet::len).sum();
    assert!(
        total > 1_000,
        "only {total} writes were acknowledged: the test proves too little"
    );

    for (member, mine) in members.iter().zip(&acknowledged) {
        let records: BTreeSet<String> = member
            .records("app.bsky.feed.post")
            .await
            .iter()
            .map(|record| record["uri"].as_str().unwrap().to_owned())
            .collect();
        let lost: Vec<_> = mine.difference(&records).collect();
        assert!(
            lost.is_empty(),
            "{} acknowledged writes lost: {lost:?}",
            lost.len()
        );
        assert_eq!(verify_export(&stack, member).await.len(), records.len());
    }

    let last = members[0].posts("the last one").await;
    let mut reader = Firehose::from(&stack.relay, 0).await;
    reader.commit_with(&members[0].did, &last.rev).await;
    for (base, name) in [(&stack.pds, "pds"), (&stack.relay, "relay")] {
        let frames = Firehose::replay(base, 0).await;
        numbers_rise(&frames, name);
        commits_chain(&frames, name);
        let written: usize = frames.iter().map(|seen| seen.ops).sum();
        assert!(
            written > total,
            "{name}: {written} operations for {total} writes"
        );
    }
}
