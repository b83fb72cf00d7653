//! Clients that hang up in the middle of a write: it happens wholly or not at all.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use rochdale_testing::{Member, Stack};
use serde_json::json;

use crate::BINARY;

/// Sends a createRecord request, or a part of it, and closes the socket without reading.
fn post_and_hang_up(member: &Member, number: usize) {
    let body = json!({
        "repo": member.did,
        "collection": "app.bsky.feed.post",
        "record": Member::post(&format!("hang-up {number}")),
    })
    .to_string();
    let host = member.pds.trim_start_matches("http://");
    let request = format!(
        "POST /xrpc/com.atproto.repo.createRecord HTTP/1.1\r\nHost: {host}\r\n\
         Authorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        member.access,
        body.len()
    );
    // One in four is cut inside the body; the others are whole but nobody waits for the answer.
    let sent = if number.is_multiple_of(4) {
        request.len() - body.len() / 2
    } else {
        request.len()
    };
    let mut socket = TcpStream::connect(host.replace("localhost", "127.0.0.1")).unwrap();
    socket.write_all(&request.as_bytes()[..sent]).unwrap();
    if number.is_multiple_of(3) {
        std::thread::yield_now();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_hang_ups_leave_a_repository_that_verifies_and_takes_the_next_write() {
    let stack = Stack::start(BINARY);
    let ada = stack.member("ada").await;
    let writer = ada.clone();
    tokio::task::spawn_blocking(move || (0..1_000).for_each(|n| post_and_hang_up(&writer, n)))
        .await
        .unwrap();

    // Writes whose client has gone may still be on their way: wait until the head rests.
    let mut head = ada.head().await;
    loop {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let now = ada.head().await;
        if now == head {
            break;
        }
        head = now;
    }
    let created = ada.posts("after the storm").await;
    let records = ada.records("app.bsky.feed.post").await;
    assert!(
        records
            .iter()
            .any(|record| record["uri"] == created.uri.as_str())
    );
    assert!(
        records.len() > 100,
        "only {} of 1,000 whole writes arrived",
        records.len()
    );

    let repo = rochdale_testing::verify_export(&stack, &ada).await;
    assert_eq!(repo.len(), records.len(), "the tree and the records agree");
    let frames = rochdale_testing::Firehose::replay(&stack.pds, 0).await;
    let created_ops: usize = frames
        .iter()
        .filter(|seen| seen.did == ada.did)
        .map(|seen| seen.ops)
        .sum();
    assert_eq!(
        created_ops,
        records.len(),
        "every write has exactly one event"
    );
}
