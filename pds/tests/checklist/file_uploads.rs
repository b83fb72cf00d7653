//! File uploads: from the bytes of a body to a file that a record holds, and to the sweep.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use http::{Method, Request};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::account_migration::{arrives, export, import};
use crate::member::Member;
use crate::server::{PASSWORD, Server, eventually, ok, refused};

const UPLOAD: &str = "/xrpc/com.atproto.repo.uploadBlob";
const PUT: &str = "com.atproto.repo.putRecord";
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n picture";

async fn upload(
    server: &Server,
    who: &Member,
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> (u16, Value) {
    let auth = who.auth();
    let headers = [&[("authorization", auth.as_str())], headers].concat();
    let (status, _, answer) = server.send(Method::POST, UPLOAD, &headers, body).await;
    (status, answer)
}

/// An upload that succeeds: its blob.
async fn blob(server: &Server, who: &Member, kind: &str, body: impl Into<Body>) -> Value {
    let uploaded = upload(server, who, &[("content-type", kind)], body).await;
    ok(uploaded)["blob"].clone()
}

fn cid(blob: &Value) -> &str {
    blob["ref"]["$link"].as_str().unwrap()
}

async fn refer(server: &Server, who: &Member, rkey: &str, blob: &Value) -> (u16, Value) {
    let body = json!({
        "repo": who.did, "collection": "local.printer.page", "rkey": rkey,
        "record": { "scan": blob },
    });
    who.call(server, PUT, body).await
}

/// The file as anybody gets it: status, type and bytes.
async fn get(server: &Server, who: &Member, blob: &Value) -> (u16, String, Bytes) {
    let uri = format!(
        "{}/xrpc/com.atproto.sync.getBlob?did={}&cid={}",
        server.url,
        who.did,
        cid(blob)
    );
    let request = Request::get(uri).body(Body::empty()).unwrap();
    let (status, headers, bytes) = server.raw(request).await;
    let kind = headers["content-type"].to_str().unwrap().to_owned();
    (status, kind, bytes)
}

/// Files below a folder of blobs.
fn files(server: &Server, below: &str) -> usize {
    fn count(folder: &std::path::Path) -> usize {
        let Ok(entries) = std::fs::read_dir(folder) else {
            return 0;
        };
        let entries = entries.map(Result::unwrap);
        entries
            .map(|entry| match entry.file_type().unwrap().is_dir() {
                true => count(&entry.path()),
                false => 1,
            })
            .sum()
    }
    count(&server.folder().join("blobs").join(below))
}

#[tokio::test]
async fn file_uploads_that_a_client_breaks_off_leave_nothing() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let address = server.url.trim_start_matches("http://");
    let mut socket = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST {UPLOAD} HTTP/1.1\r\nhost: {address}\r\nauthorization: {}\r\n\
         content-type: text/plain\r\ncontent-length: 2000000\r\n\r\n",
        ada.auth()
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(&vec![b'x'; 1_000_000]).await.unwrap();
    eventually("the upload begins", async || files(&server, "temp") == 1).await;
    drop(socket);
    eventually("nothing is left", async || files(&server, "") == 0).await;
    let whole = blob(&server, &ada, "text/plain", vec![b'x'; 2_000_000]).await;
    assert_eq!(whole["size"], 2_000_000);
}

#[tokio::test]
async fn file_uploads_of_large_unknown_bytes_are_looked_at_without_waiting_for_their_end() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let piece = Bytes::from(vec![0xab; 100_000]);
    let pieces = (0..40).map(move |_| Ok::<_, std::io::Error>(piece.clone()));
    let body = Body::from_stream(stream::iter(pieces));
    let large = blob(&server, &ada, "application/x-weave", body).await;
    assert_eq!(large["size"], 4_000_000);
    assert_eq!(large["mimeType"], "application/x-weave");
    ok(refer(&server, &ada, "large", &large).await);
    let (status, _, bytes) = get(&server, &ada, &large).await;
    assert_eq!((status, bytes.len()), (200, 4_000_000));
    assert!(bytes.iter().all(|byte| *byte == 0xab));
}

#[tokio::test]
async fn file_uploads_are_temporary_until_a_record_that_may_hold_them_does() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let large = [PNG, &vec![0; 1_000_001]].concat();
    let large = blob(&server, &ada, "image/png", large).await;
    let text = blob(&server, &ada, "text/plain", "no picture").await;
    for (avatar, name) in [(&large, "BlobTooLarge"), (&text, "InvalidMimeType")] {
        refused_everywhere(&server, &ada, avatar).await;
        let body = json!({
            "repo": ada.did, "collection": "app.bsky.actor.profile", "rkey": "self",
            "record": { "avatar": avatar },
        });
        refused(ada.call(&server, PUT, body).await, (400, name));
        refused_everywhere(&server, &ada, avatar).await;
    }
    // A place without such limits may have them.
    for (rkey, file) in [("a", &large), ("b", &text)] {
        ok(refer(&server, &ada, rkey, file).await);
        assert_eq!(get(&server, &ada, file).await.0, 200);
    }
    assert_eq!(files(&server, "temp"), 0);
}

async fn refused_everywhere(server: &Server, who: &Member, blob: &Value) {
    assert_eq!(get(server, who, blob).await.0, 400);
    let list = format!("com.atproto.sync.listBlobs?did={}", who.did);
    assert_eq!(ok(server.ask(&list, "").await)["cids"], json!([]));
}

#[tokio::test]
async fn file_uploads_of_the_same_bytes_are_one_file_before_and_after_the_reference() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let first = blob(&server, &ada, "text/plain", "same").await;
    assert_eq!(blob(&server, &ada, "text/plain", "same").await, first);
    ok(refer(&server, &ada, "a", &first).await);
    assert_eq!(blob(&server, &ada, "text/plain", "same").await, first);
    assert_eq!(get(&server, &ada, &first).await.2, "same");
    assert_eq!(files(&server, ""), 1);
}

#[tokio::test]
async fn file_uploads_are_kept_byte_for_byte_once_they_are_decoded() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    // "hello hello hello hello \n", as gzip has it.
    let zipped = "1f8b0800000000000203cb48cdc9c957c8c020b9003393b75d19000000";
    let zipped = data_encoding::HEXLOWER.decode(zipped.as_bytes()).unwrap();
    let headers = [("content-type", "text/plain"), ("content-encoding", "gzip")];
    let plain = ok(upload(&server, &ada, &headers, zipped).await)["blob"].clone();
    let json = "{ \"a\" : 1.50, \"a\":\t\"\\u0041\" ";
    let text = "line\r\nline \u{fffd}";
    let broken = blob(&server, &ada, "application/json", json).await;
    let lines = blob(&server, &ada, "text/plain; charset=utf-8", text).await;
    for (rkey, file, kind, bytes) in [
        ("a", &plain, "text/plain", "hello hello hello hello \n"),
        ("b", &broken, "application/json", json),
        ("c", &lines, "text/plain", text),
    ] {
        assert_eq!(file["size"], bytes.len());
        assert_eq!(
            cid(file),
            rochdale_protocol::data::Cid::raw(bytes.as_bytes()).to_string()
        );
        ok(refer(&server, &ada, rkey, file).await);
        let kept = get(&server, &ada, file).await;
        assert_eq!(kept, (200, kind.to_owned(), Bytes::from(bytes)));
    }
}

#[tokio::test]
async fn file_uploads_have_the_type_of_their_bytes_or_the_given_one_or_none() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    for (given, bytes, wanted) in [
        ("text/plain", PNG, "image/png"),
        ("image/jpeg", PNG, "image/png"),
        ("*/*", PNG, "image/png"),
        (
            "application/x-weave",
            b"warp and weft",
            "application/x-weave",
        ),
        ("*/*", b"warp and weft", "application/octet-stream"),
        ("image/*", b"warp and weft", "application/octet-stream"),
        ("nonsense", b"warp and weft", "application/octet-stream"),
    ] {
        let file = blob(&server, &ada, given, bytes).await;
        assert_eq!(file["mimeType"], wanted, "{given}");
    }
    let untyped = ok(upload(&server, &ada, &[], "warp and weft").await);
    assert_eq!(untyped["blob"]["mimeType"], "application/octet-stream");
}

/// Row 35: what is swept is what no record of its own account holds, imported ones included.
#[tokio::test]
async fn row_35_the_sweep_takes_unused_files_and_nobody_elses_and_none_that_came_with_an_import() {
    let old = Server::start().await;
    let server = Server::beside(&old.directory, |_| {}).await;
    let (ada, ben) = (server.member("ada").await, server.member("ben").await);
    let unused = blob(&server, &ada, "text/plain", "shared").await;
    assert_eq!(blob(&server, &ben, "text/plain", "shared").await, unused);
    ok(refer(&server, &ben, "a", &unused).await);

    // Cleo moves here: one of her files comes before the records that hold it, one after.
    let cleo = old.member("cleo").await;
    let names = ["before", "after"];
    for name in names {
        let file = blob(&old, &cleo, "text/plain", name).await;
        ok(refer(&old, &cleo, name, &file).await);
    }
    let there = arrives(&old, &server, &cleo, "cleo").await;
    let early = blob(&server, &there, "text/plain", names[0]).await;
    let file = export(&old, &cleo, "").await;
    ok(import(&server, &there, file).await);
    let late = blob(&server, &there, "text/plain", names[1]).await;

    server.clock.advance(Duration::from_secs(13 * 3_600));
    let directory = std::sync::Arc::clone(&server.directory);
    // A sweep is the first thing after a start.
    let server = Server::on(server.stop().await, &directory, |_| {}).await;
    eventually("the unused file is gone", async || files(&server, "") == 3).await;
    assert_eq!(get(&server, &ben, &unused).await.0, 200);
    refused(
        refer(&server, &ada_again(&server).await, "a", &unused).await,
        (400, "BlobNotFound"),
    );
    let cleo = Member::of(&ok(server.sign_in(&there.did, PASSWORD).await));
    for file in [&early, &late] {
        let query = format!(
            "com.atproto.sync.getBlob?did={}&cid={}",
            cleo.did,
            cid(file)
        );
        ok(cleo.ask(&server, &query).await);
    }
}

async fn ada_again(server: &Server) -> Member {
    let session = server.sign_in("ada.test", PASSWORD).await;
    Member::of(&ok(session))
}
