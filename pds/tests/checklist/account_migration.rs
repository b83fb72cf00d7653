//! Account migration: every step of the guide, from one server to another, and what an import may be.

use std::collections::BTreeSet;

use axum::body::Body;
use bytes::Bytes;
use http::Method;
use rochdale_protocol::data::Cid;
use rochdale_protocol::repo::{Commit, car};
use serde_json::{Value, json};

use crate::member::Member;
use crate::server::{Server, bearer, ok, refused, wish};

const CREATE: &str = "com.atproto.server.createAccount";
const STATUS: &str = "com.atproto.server.checkAccountStatus";

async fn export(server: &Server, member: &Member, more: &str) -> Bytes {
    let path = format!("/xrpc/com.atproto.sync.getRepo?did={}{more}", member.did);
    let request = http::Request::get(format!("{}{path}", server.url));
    let request = request.header("authorization", member.auth());
    let (status, _, file) = server.raw(request.body(Body::empty()).unwrap()).await;
    assert_eq!(status, 200);
    file
}

async fn import(server: &Server, member: &Member, file: Bytes) -> (u16, Value) {
    let auth = member.auth();
    let headers = [
        ("authorization", auth.as_str()),
        ("content-type", car::MEDIA_TYPE),
    ];
    let path = "/xrpc/com.atproto.repo.importRepo";
    let (status, _, answer) = server.send(Method::POST, path, &headers, file).await;
    (status, answer)
}

/// The commit of an export, and the names of all its other blocks.
fn blocks(file: &Bytes) -> (Commit, BTreeSet<Cid>) {
    let car = car::read(file, 1 << 20).unwrap();
    let root = car.roots[0].as_cid().unwrap();
    let commit = Commit::decode(&car.blocks[&root]).unwrap();
    let others = car.blocks.keys().copied();
    (commit, others.filter(|cid| *cid != root).collect())
}

async fn upload(server: &Server, member: &Member, bytes: Bytes, kind: &str) -> Value {
    let auth = member.auth();
    let headers = [("authorization", auth.as_str()), ("content-type", kind)];
    let path = "/xrpc/com.atproto.repo.uploadBlob";
    let (status, _, uploaded) = server.send(Method::POST, path, &headers, bytes).await;
    ok((status, uploaded))["blob"].clone()
}

/// The member's account at `to`, asleep.
async fn arrives(from: &Server, to: &Server, member: &Member) -> Member {
    let aud = to.did().replace('%', "%25");
    let query = format!("com.atproto.server.getServiceAuth?aud={aud}&lxm={CREATE}");
    let word = ok(member.ask(from, &query).await);
    let mut body = wish("ada");
    body["did"] = json!(member.did);
    let token = bearer(word["token"].as_str().unwrap());
    Member::of(&ok(to.call(CREATE, &token, body).await))
}

#[tokio::test]
async fn account_migration_takes_every_record_and_blob_along_and_writes_go_on() {
    let old = Server::start().await;
    let new = Server::beside(&old.directory, |_| {}).await;
    let ada = old.member("ada").await;
    let picture = Bytes::from_static(b"a picture of Toad Lane");
    let blob = upload(&old, &ada, picture.clone(), "text/plain").await;
    let record = json!({ "$type": "com.example.file", "file": blob });
    let write = json!({ "repo": ada.did, "collection": "com.example.file", "record": record });
    ok(ada.call(&old, "com.atproto.repo.createRecord", write).await);
    for text in ["one", "two", "three"] {
        ok(ada.post(&old, text).await);
    }
    let file = export(&old, &ada, "").await;

    let there = arrives(&old, &new, &ada).await;
    ok(import(&new, &there, file.clone()).await);
    let list = "com.atproto.repo.listMissingBlobs";
    let missing = ok(there.ask(&new, list).await);
    let cid = blob["ref"]["$link"].as_str().unwrap();
    assert_eq!(missing["blobs"][0]["cid"], json!(cid));
    let status = ok(there.ask(&new, STATUS).await);
    assert_eq!(
        (&status["expectedBlobs"], &status["importedBlobs"]),
        (&json!(1), &json!(0))
    );
    upload(&new, &there, picture.clone(), "text/plain").await;
    assert_eq!(ok(there.ask(&new, list).await)["blobs"], json!([]));
    let (before, records) = blocks(&file);
    let status = ok(there.ask(&new, STATUS).await);
    assert_eq!(status["importedBlobs"], json!(1));
    assert_eq!(status["indexedRecords"], json!(4));
    assert_eq!(status["repoBlocks"], json!(records.len() + 1));

    let recommended = "com.atproto.identity.getRecommendedDidCredentials";
    let mut wanted = ok(there.ask(&new, recommended).await);
    let request = "com.atproto.identity.requestPlcOperationSignature";
    ok(ada.call(&old, request, json!(null)).await);
    wanted["token"] = json!(old.mailed_code());
    let signed = ok(ada
        .call(&old, "com.atproto.identity.signPlcOperation", wanted)
        .await);
    ok(there
        .call(&new, "com.atproto.identity.submitPlcOperation", signed)
        .await);
    ok(there
        .call(&new, "com.atproto.server.activateAccount", json!(null))
        .await);
    ok(ada
        .call(&old, "com.atproto.server.deactivateAccount", json!({}))
        .await);

    let (after, same) = blocks(&export(&new, &there, "").await);
    assert_eq!((after.data, same), (before.data, records));
    assert!(after.rev > before.rev);
    let get = format!("com.atproto.sync.getBlob?did={}&cid={cid}", ada.did);
    let text = String::from_utf8(picture.to_vec()).unwrap();
    assert_eq!(new.ask(&get, "").await, (200, json!(text)));
    ok(there.post(&new, "at the new place").await);
    refused(old.ask(&get, "").await, (400, "RepoDeactivated"));
}

#[tokio::test]
async fn row_31_an_import_twice_or_of_what_is_new_catches_up() {
    let old = Server::start().await;
    let new = Server::beside(&old.directory, |_| {}).await;
    let ada = old.member("ada").await;
    for text in ["one", "two", "three"] {
        ok(ada.post(&old, text).await);
    }
    let there = arrives(&old, &new, &ada).await;
    let file = export(&old, &ada, "").await;
    let (first, _) = blocks(&file);
    for _ in 0..2 {
        ok(import(&new, &there, file.clone()).await);
        assert_eq!(blocks(&export(&new, &there, "").await).0.data, first.data);
    }
    ok(ada.post(&old, "four").await);
    let since = export(&old, &ada, &format!("&since={}", first.rev)).await;
    assert!(since.len() < file.len());
    ok(import(&new, &there, since).await);
    let (now, _) = blocks(&export(&old, &ada, "").await);
    assert_eq!(blocks(&export(&new, &there, "").await).0.data, now.data);
    assert_eq!(
        ok(there.ask(&new, STATUS).await)["indexedRecords"],
        json!(4)
    );
}
