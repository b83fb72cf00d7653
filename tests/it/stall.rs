//! A reader that stalls in the middle of an export pins neither memory nor the write-ahead log.

use std::io::{Read, Write};
use std::net::TcpStream;

use rochdale_testing::{Member, Stack};
use serde_json::{Value, json};

use crate::BINARY;

fn resident_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        * 1_024
}

async fn fill(member: &Member, batches: usize, text: &str) {
    for batch in 0..batches {
        let writes: Vec<Value> = (0..200)
            .map(|n| {
                json!({
                    "$type": "com.atproto.repo.applyWrites#create",
                    "collection": "app.bsky.feed.post",
                    "value": Member::post(&format!("{text} {batch} {n}")),
                })
            })
            .collect();
        // Longer than a post may be: the size is what matters here.
        let body = json!({ "repo": member.did, "validate": false, "writes": writes });
        member
            .call("com.atproto.repo.applyWrites", &body)
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stalled_exports_keep_memory_and_the_log_bounded_while_writes_go_on() {
    let stack = Stack::start(BINARY);
    let ada = stack.member("ada").await;
    let padding = "x".repeat(2_000);
    fill(&ada, 15, &padding).await; // about 6 MB of repository, far above the socket buffers
    let before = resident_bytes(stack.pid());

    let host = stack
        .pds
        .trim_start_matches("http://")
        .replace("localhost", "127.0.0.1");
    let stalled: Vec<TcpStream> = (0..16)
        .map(|_| {
            let mut socket = TcpStream::connect(&host).unwrap();
            let request = format!(
                "GET /xrpc/com.atproto.sync.getRepo?did={} HTTP/1.1\r\nHost: {host}\r\n\r\n",
                ada.did
            );
            socket.write_all(request.as_bytes()).unwrap();
            let mut first = [0; 64];
            socket.read_exact(&mut first).unwrap();
            socket
        })
        .collect();

    let bob = stack.member("bob").await;
    fill(&bob, 25, &padding).await;
    let wal = std::fs::metadata(stack.data().join("pds.sqlite-wal")).map_or(0, |file| file.len());
    assert!(
        wal < 64 << 20,
        "the write-ahead log grew to {wal} bytes behind stalled readers"
    );
    let grown = resident_bytes(stack.pid()).saturating_sub(before);
    assert!(
        grown < 160 << 20,
        "{grown} bytes more memory with 16 stalled readers"
    );
    drop(stalled);
    rochdale_testing::verify_export(&stack, &ada).await;
}
