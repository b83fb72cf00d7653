//! Large files: whatever their size, the server's memory stays as it is.

use std::io::{Read, Write};
use std::net::TcpStream;

use bytes::Bytes;
use futures::StreamExt;
use rochdale_testing::{Member, Stack};
use serde_json::{Value, json};

use crate::BINARY;

const SIZE: usize = 100 << 20;
const PIECE: usize = 64 << 10;

/// A line of `/proc/PID/status`, in bytes.
fn memory_bytes(pid: u32, label: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(label)).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1_024
}

async fn upload(ada: &Member) -> Value {
    let piece = Bytes::from(vec![7; PIECE]);
    let pieces = (0..SIZE / PIECE).map(move |_| Ok::<_, std::io::Error>(piece.clone()));
    let body = reqwest::Body::wrap_stream(futures::stream::iter(pieces));
    let answer = ada
        .http
        .post(format!("{}/xrpc/com.atproto.repo.uploadBlob", ada.pds))
        .bearer_auth(&ada.access)
        .header("content-type", "video/mp4")
        .body(body)
        .send()
        .await
        .unwrap();
    let answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    assert_eq!(answer["blob"]["size"], SIZE, "{answer}");
    answer["blob"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_mebibytes_go_up_and_down_in_a_small_part_of_them() {
    let stack = Stack::start(BINARY);
    let ada = stack.member("ada").await;
    ada.posts("warm").await;
    // Hashing the password took more than a blob may.
    std::fs::write(format!("/proc/{}/clear_refs", stack.pid()), "5").unwrap();
    let before = memory_bytes(stack.pid(), "VmHWM:");

    let blob = upload(&ada).await;
    let record = json!({ "$type": "com.example.film", "file": blob });
    ada.creates("com.example.film", &record).await.unwrap();
    let cid = blob["ref"]["$link"].as_str().unwrap();
    let path = format!("/xrpc/com.atproto.sync.getBlob?did={}&cid={cid}", ada.did);
    let answer = ada.http.get(format!("{}{path}", stack.pds)).send().await;
    let mut pieces = answer.unwrap().bytes_stream();
    let mut length = 0;
    while let Some(piece) = pieces.next().await {
        let piece = piece.unwrap();
        assert!(piece.iter().all(|byte| *byte == 7));
        length += piece.len();
    }
    assert_eq!(length, SIZE);
    let grown = memory_bytes(stack.pid(), "VmHWM:").saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes more memory");

    // Readers that stop in the middle pin little each.
    let before = memory_bytes(stack.pid(), "VmRSS:");
    let host = stack.pds.trim_start_matches("http://");
    let stalled: Vec<TcpStream> = (0..32)
        .map(|_| {
            let mut socket = TcpStream::connect(host).unwrap();
            let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
            socket.write_all(request.as_bytes()).unwrap();
            socket.read_exact(&mut [0; 64]).unwrap();
            socket
        })
        .collect();
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let grown = memory_bytes(stack.pid(), "VmRSS:").saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes for 32 stalled readers");
    drop(stalled);
}
