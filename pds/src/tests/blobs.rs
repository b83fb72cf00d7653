//! Uploading files and getting them back.

use axum::body::Body;
use http::{Method, Request};
use serde_json::{Value, json};

use super::support::{Member, Server, bearer};

async fn upload(server: &Server, member: &Member, kind: &str, bytes: Vec<u8>) -> (u16, Value) {
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("{}/xrpc/com.atproto.repo.uploadBlob", server.url))
        .header("authorization", bearer(&member.access))
        .header("content-type", kind)
        .body(Body::from(bytes))
        .unwrap();
    let (status, _, body) = server.raw(request).await;
    (status, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn a_file_comes_back_with_headers_that_keep_browsers_from_running_it() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let (status, answer) = upload(&server, &ada, "text/html", b"<p>hello".to_vec()).await;
    assert_eq!(status, 200, "{answer}");
    let blob = &answer["blob"];
    assert_eq!((&blob["$type"], &blob["size"]), (&json!("blob"), &json!(8)));
    let cid = blob["ref"]["$link"].as_str().unwrap();
    let path = format!("/xrpc/com.atproto.sync.getBlob?did={}&cid={cid}", ada.did);
    let (status, refused) = server.get(&path, &[]).await;
    assert_eq!((status, &refused["error"]), (400, &json!("BlobNotFound")));
    let record = json!({
        "repo": ada.did, "collection": "com.example.note", "record": { "file": blob },
    });
    let auth = bearer(&ada.access);
    let (status, written) = server
        .call("com.atproto.repo.createRecord", &auth, &record)
        .await;
    assert_eq!(status, 200, "{written}");

    let request = |header: Option<(&str, &str)>| {
        let mut request = Request::builder().uri(format!("{}{path}", server.url));
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        request.body(Body::empty()).unwrap()
    };
    let (status, headers, bytes) = server.raw(request(None)).await;
    assert_eq!((status, &bytes[..]), (200, &b"<p>hello"[..]));
    for (name, value) in [
        ("content-type", "text/html"),
        ("content-length", "8"),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "default-src 'none'; sandbox"),
        (
            "content-disposition",
            &*format!("attachment; filename=\"{cid}\""),
        ),
    ] {
        assert_eq!(headers[name], value);
    }
    let tag = headers["etag"].to_str().unwrap();
    let (status, _, bytes) = server.raw(request(Some(("if-none-match", tag)))).await;
    assert_eq!((status, bytes.len()), (304, 0));
    let list = format!("/xrpc/com.atproto.sync.listBlobs?did={}", ada.did);
    assert_eq!(server.get(&list, &[]).await.1["cids"], json!([cid]));
}

#[tokio::test]
async fn a_file_over_the_limit_is_refused_and_an_unknown_one_cannot_be_referred_to() {
    let server = Server::start_with(|raw| raw.blob_limit_bytes = 1_000).await;
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
    let record = json!({
        "repo": ada.did, "collection": "com.example.note",
        "record": { "file": {
            "$type": "blob", "ref": { "$link": cid }, "mimeType": "text/plain", "size": 3,
        } },
    });
    let auth = bearer(&ada.access);
    let (status, answer) = server
        .call("com.atproto.repo.createRecord", &auth, &record)
        .await;
    assert_eq!((status, &answer["error"]), (400, &json!("BlobNotFound")));
}
