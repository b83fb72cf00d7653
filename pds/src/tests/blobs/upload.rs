//! `uploadBlob`: limits, encodings, types, quotas and clients that go away.

use std::time::{Duration, Instant};

use rochdale_service::xrpc::LimitsConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

#[tokio::test]
async fn a_file_over_the_limit_is_refused_and_an_unknown_one_cannot_be_referred_to() {
    let server = Server::start_with(|raw| raw.blobs.limit_bytes = 1_000).await;
    let ada = server.member("ada").await;
    let (status, answer) = upload(&server, &ada, "text/plain", vec![b'x'; 1_001]).await;
    assert_eq!((status, &answer["error"]), (413, &json!("PayloadTooLarge")));
    assert_eq!(
        upload(&server, &ada, "text/plain", vec![b'x'; 1_000])
            .await
            .0,
        200
    );
    let cid = rochdale_protocol::data::Cid::raw(b"never uploaded");
    let blob = json!({
        "$type": "blob", "ref": { "$link": cid }, "mimeType": "text/plain", "size": 3,
    });
    let (status, answer) = refer(&server, &ada, &blob).await;
    assert_eq!((status, &answer["error"]), (400, &json!("BlobNotFound")));
}

#[tokio::test]
async fn the_limit_is_advertised_and_videos_fit() {
    let server = Server::start().await;
    let describe = "/xrpc/com.atproto.server.describeServer";
    let (_, described) = server.get(describe, &[]).await;
    assert_eq!(described["blobUploadLimit"], 100 << 20);
    let server = Server::start_with(|raw| raw.blobs.limit_bytes = 77).await;
    let (_, described) = server.get(describe, &[]).await;
    assert_eq!(described["blobUploadLimit"], 77);
}

/// A socket on which the head of an upload was sent.
async fn begun(server: &Server, member: &Member, lines: &str) -> TcpStream {
    let host = server.url.trim_start_matches("http://");
    let mut socket = TcpStream::connect(host).await.unwrap();
    let head = format!(
        "POST /xrpc/com.atproto.repo.uploadBlob HTTP/1.1\r\nHost: {host}\r\n\
         Authorization: {}\r\n{lines}\r\n",
        bearer(&member.access)
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    socket
}

async fn first_line(socket: &mut TcpStream) -> String {
    let mut text = String::new();
    while !text.ends_with("\r\n") {
        text.push(char::from(socket.read_u8().await.unwrap()));
    }
    text
}

#[tokio::test]
async fn a_length_over_the_limit_is_refused_before_the_body_is_asked_for() {
    let server = Server::start_with(|raw| raw.blobs.limit_bytes = 1_000).await;
    let ada = server.member("ada").await;
    let lines = "Expect: 100-continue\r\nContent-Length: 1001\r\n";
    let mut socket = begun(&server, &ada, lines).await;
    assert!(first_line(&mut socket).await.starts_with("HTTP/1.1 413"));
    let lines = "Expect: 100-continue\r\nContent-Length: 1000\r\n";
    let mut socket = begun(&server, &ada, lines).await;
    assert!(first_line(&mut socket).await.starts_with("HTTP/1.1 100"));

    // Without a length the bytes are counted as they come.
    let lines = "Transfer-Encoding: chunked\r\n";
    let mut socket = begun(&server, &ada, lines).await;
    let piece = format!("258\r\n{}\r\n", "x".repeat(600));
    socket.write_all(piece.as_bytes()).await.unwrap();
    socket.write_all(piece.as_bytes()).await.unwrap();
    assert!(first_line(&mut socket).await.starts_with("HTTP/1.1 413"));
}

fn temporary_files(server: &Server) -> usize {
    let folder = server.folder.path().join("blobs/temp");
    std::fs::read_dir(folder).unwrap().count()
}

#[tokio::test]
async fn a_client_that_goes_away_in_the_middle_leaves_nothing() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let mut socket = begun(&server, &ada, "Content-Length: 2000000\r\n").await;
    socket.write_all(&vec![b'x'; 1_000_000]).await.unwrap();
    let begun = Instant::now();
    while temporary_files(&server) == 0 {
        assert!(begun.elapsed() < Duration::from_secs(5), "the upload began");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    drop(socket);
    while temporary_files(&server) > 0 {
        assert!(begun.elapsed() < Duration::from_secs(10), "a file stays");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(used(&server, &ada).await["count"], 0);
}

#[tokio::test]
async fn encoded_bodies_are_decoded_before_they_are_hashed_and_counted() {
    let text = "hello ".repeat(100);
    let server = Server::start_with(|raw| raw.blobs.limit_bytes = 600).await;
    let ada = server.member("ada").await;
    let plain = upload(&server, &ada, "text/plain", text.into_bytes()).await;
    assert_eq!(plain.0, 200);
    for (encoding, body) in ENCODED {
        let body = data_encoding::HEXLOWER.decode(body.as_bytes()).unwrap();
        let headers = [
            ("content-type", "text/plain"),
            ("content-encoding", encoding),
        ];
        assert!(body.len() < 100);
        let same = upload_with(&server, &ada, &headers, body.clone()).await;
        assert_eq!(same, plain, "{encoding}");
        let (status, cut) =
            upload_with(&server, &ada, &headers, body[..body.len() / 2].to_vec()).await;
        assert_eq!(
            (status, &cut["error"]),
            (400, &json!("InvalidRequest")),
            "{encoding}"
        );
    }
    let small = Server::start_with(|raw| raw.blobs.limit_bytes = 599).await;
    let ben = small.member("ben").await;
    for (encoding, body) in ENCODED {
        let body = data_encoding::HEXLOWER.decode(body.as_bytes()).unwrap();
        let headers = [("content-encoding", encoding)];
        let (status, large) = upload_with(&small, &ben, &headers, body).await;
        assert_eq!((status, &large["error"]), (413, &json!("PayloadTooLarge")));
    }
    let headers = [("content-encoding", "zip")];
    let (status, unknown) = upload_with(&server, &ada, &headers, vec![1]).await;
    assert_eq!(
        (status, &unknown["error"]),
        (415, &json!("UnsupportedMediaType"))
    );
    assert_eq!(temporary_files(&server), 0);
}

#[tokio::test]
async fn the_type_is_found_in_the_bytes_and_else_believed() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let png = [
        &[0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a][..],
        &[0; 64],
    ]
    .concat();
    let json = br#"{"text": "not parsed" "#.to_vec();
    for (declared, bytes, expected) in [
        ("text/plain", png, "image/png"),
        ("application/json", json, "application/json"),
        ("Text/VTT; charset=utf-8", b"WEBVTT".to_vec(), "text/vtt"),
        ("*/*", vec![0; 300_000], "application/octet-stream"),
        ("text/plain", Vec::new(), "text/plain"),
    ] {
        let size = bytes.len();
        let (status, answer) = upload(&server, &ada, declared, bytes).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["blob"]["mimeType"], expected);
        assert_eq!(answer["blob"]["size"], size);
        assert_eq!(refer(&server, &ada, &answer["blob"]).await.0, 200);
    }
    let (status, answer) = upload_with(&server, &ada, &[], b"plain".to_vec()).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["blob"]["mimeType"], "application/octet-stream");
}

async fn used(server: &Server, member: &Member) -> Value {
    let path = format!("/xrpc/com.atproto.admin.getAccountInfo?did={}", member.did);
    let (status, view) = server.get(&path, &[("authorization", &basic())]).await;
    assert_eq!(status, 200, "{view}");
    view["blobUsage"].clone()
}

#[tokio::test]
async fn a_full_account_is_told_by_name_and_the_operator_sees_how_full() {
    let server = Server::start_with(|raw| {
        raw.blobs.quota_bytes = 10;
        raw.blobs.quota_count = 2;
    })
    .await;
    let ada = server.member("ada").await;
    assert_eq!(
        upload(&server, &ada, "text/plain", b"12345".to_vec())
            .await
            .0,
        200
    );
    let (status, refused) = upload(&server, &ada, "text/plain", b"123456".to_vec()).await;
    assert_eq!(
        (status, &refused["error"]),
        (400, &json!("BlobQuotaExceeded"))
    );
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .contains("10 are allowed")
    );
    assert_eq!(
        upload(&server, &ada, "text/plain", b"1".to_vec()).await.0,
        200
    );
    let (status, refused) = upload(&server, &ada, "text/plain", b"2".to_vec()).await;
    assert_eq!(
        (status, &refused["error"]),
        (400, &json!("BlobQuotaExceeded"))
    );
    assert!(refused["message"].as_str().unwrap().contains("2 blobs"));
    let seen = json!({ "count": 2, "bytes": 6, "quotaCount": 2, "quotaBytes": 10 });
    assert_eq!(used(&server, &ada).await, seen);
}

#[tokio::test]
async fn uploads_are_limited_by_account_and_not_by_address() {
    let limits = LimitsConfig {
        global_points: 1_000_000,
        ..LimitsConfig::default()
    };
    let server = Server::start_limited(limits, |_raw| {}).await;
    let (ada, ben) = (server.member("ada").await, server.member("ben").await);
    for (member, left) in [(&ada, "9999"), (&ada, "9998"), (&ben, "9999")] {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}/xrpc/com.atproto.repo.uploadBlob", server.url))
            .header("authorization", bearer(&member.access))
            .body(Body::from("hello"));
        let (status, headers, _) = server.raw(request.unwrap()).await;
        assert_eq!(status, 200);
        assert_eq!(headers["ratelimit-policy"], "10000;w=3600");
        assert_eq!(headers["ratelimit-remaining"], left);
    }
}

#[tokio::test]
async fn another_service_uploads_with_the_members_token_for_just_that() {
    let server = Server::start().await;
    let mut ada = server.member("ada").await;
    let describe = "/xrpc/com.atproto.server.describeServer";
    let (_, described) = server.get(describe, &[]).await;
    let aud = described["did"].as_str().unwrap().replace('%', "%25");
    let token = async |lxm: &str, access: &str| {
        let path = format!("com.atproto.server.getServiceAuth?aud={aud}&lxm={lxm}");
        let (status, answer) = server.ask(&path, access).await;
        assert_eq!(status, 200, "{answer}");
        answer["token"].as_str().unwrap().to_owned()
    };
    let good = token("com.atproto.repo.uploadBlob", &ada.access).await;
    let other = token("com.atproto.repo.getRecord", &ada.access).await;
    ada.access = other;
    let (status, refused) = upload(&server, &ada, "video/mp4", b"film".to_vec()).await;
    assert_eq!(status, 401, "{refused}");
    ada.access = good;
    let (status, answer) = upload(&server, &ada, "video/mp4", b"film".to_vec()).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(used(&server, &ada).await["bytes"], 4);
}

#[tokio::test]
async fn credentials_that_are_no_token_are_refused_before_the_body_is_read() {
    let server = Server::start().await;
    let mut ada = server.member("ada").await;
    for bad in ["x", "a.b.c", "..", "e30.e30.e30"] {
        ada.access = bad.to_owned();
        let (status, refused) = upload(&server, &ada, "text/plain", b"hello".to_vec()).await;
        assert!((400..402).contains(&status), "{bad}: {refused}");
    }
}

/// "hello " a hundred times.
const ENCODED: [(&str, &str); 3] = [
    (
        "gzip",
        "1f8b0800000000000003cb48cdc9c957c818254749aa9200f331a20d58020000",
    ),
    ("deflate", "789ccb48cdc9c957c818254749aa9200edd2dc51"),
    ("br", "1b5702f88d946ede445586966c206f515b1c80411c"),
];
