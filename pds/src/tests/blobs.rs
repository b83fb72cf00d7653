//! Uploading files and getting them back.

mod download;
mod objects;
mod upload;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use serde_json::{Value, json};

use super::support::{Member, Server, basic, bearer};

async fn upload(server: &Server, member: &Member, kind: &str, bytes: Vec<u8>) -> (u16, Value) {
    upload_with(server, member, &[("content-type", kind)], bytes).await
}

async fn upload_with(
    server: &Server,
    member: &Member,
    headers: &[(&str, &str)],
    bytes: Vec<u8>,
) -> (u16, Value) {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(format!("{}/xrpc/com.atproto.repo.uploadBlob", server.url))
        .header("authorization", bearer(&member.access));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (status, _, body) = server.raw(request.body(Body::from(bytes)).unwrap()).await;
    (status, serde_json::from_slice(&body).unwrap())
}

/// Uploads a file and refers to it from a record; answers its CID.
async fn publish(server: &Server, member: &Member, kind: &str, bytes: &[u8]) -> String {
    let (status, answer) = upload(server, member, kind, bytes.to_vec()).await;
    assert_eq!(status, 200, "{answer}");
    let (status, written) = refer(server, member, &answer["blob"]).await;
    assert_eq!(status, 200, "{written}");
    answer["blob"]["ref"]["$link"].as_str().unwrap().to_owned()
}

async fn refer(server: &Server, member: &Member, blob: &Value) -> (u16, Value) {
    let record = json!({
        "repo": member.did, "collection": "com.example.note", "record": { "file": blob },
    });
    server
        .call(
            "com.atproto.repo.createRecord",
            &bearer(&member.access),
            &record,
        )
        .await
}

fn path(member: &Member, cid: &str) -> String {
    format!(
        "/xrpc/com.atproto.sync.getBlob?did={}&cid={cid}",
        member.did
    )
}

async fn get(
    server: &Server,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> (u16, HeaderMap, Bytes) {
    let mut request = Request::builder()
        .method(method)
        .uri(format!("{}{path}", server.url));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    server.raw(request.body(Body::empty()).unwrap()).await
}

/// Hides a blob or shows it again.
async fn take_down(server: &Server, member: &Member, cid: &str, applied: bool) -> (u16, Value) {
    let body = json!({
        "subject": {
            "$type": "com.atproto.admin.defs#repoBlobRef", "did": member.did, "cid": cid,
        },
        "takedown": { "applied": applied, "ref": "case 1" },
    });
    server
        .call("com.atproto.admin.updateSubjectStatus", &basic(), &body)
        .await
}
