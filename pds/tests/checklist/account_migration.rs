//! Account migration: every step of the guide, from one server to another, and what an import may be.

use std::collections::BTreeSet;

use axum::body::Body;
use bytes::Bytes;
use http::Method;
use rochdale_protocol::crypto::{Curve, PublicKey, SigningKey};
use rochdale_protocol::data::{Cid, Link, cbor, json as data_json};
use rochdale_protocol::repo::mst::Builder;
use rochdale_protocol::repo::{BlockMap, Commit, UnsignedCommit, car};
use rochdale_protocol::syntax::Tid;
use serde_json::{Value, json};

use crate::member::Member;
use crate::server::{Server, bearer, ok, operator, refused, wish};

const CREATE: &str = "com.atproto.server.createAccount";
const STATUS: &str = "com.atproto.server.checkAccountStatus";

pub(crate) async fn export(server: &Server, member: &Member, more: &str) -> Bytes {
    let path = format!("/xrpc/com.atproto.sync.getRepo?did={}{more}", member.did);
    let request = http::Request::get(format!("{}{path}", server.url));
    let request = request.header("authorization", member.auth());
    let (status, _, file) = server.raw(request.body(Body::empty()).unwrap()).await;
    assert_eq!(status, 200);
    file
}

pub(crate) async fn import(server: &Server, member: &Member, file: Bytes) -> (u16, Value) {
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

/// The account at `to`, asleep, of the member who is called `name`.
pub(crate) async fn arrives(from: &Server, to: &Server, member: &Member, name: &str) -> Member {
    let aud = to.did().replace('%', "%25");
    let query = format!("com.atproto.server.getServiceAuth?aud={aud}&lxm={CREATE}");
    let word = ok(member.ask(from, &query).await);
    let mut body = wish(name);
    body["did"] = json!(member.did);
    let token = bearer(word["token"].as_str().unwrap());
    Member::of(&ok(to.call(CREATE, &token, body).await))
}

/// Points the DID to the new server and wakes the account there.
async fn activated(from: &Server, to: &Server, before: &Member, there: &Member) -> (u16, Value) {
    let recommended = "com.atproto.identity.getRecommendedDidCredentials";
    let mut wanted = ok(there.ask(to, recommended).await);
    let request = "com.atproto.identity.requestPlcOperationSignature";
    ok(before.call(from, request, json!(null)).await);
    wanted["token"] = json!(from.mailed_code());
    let sign = "com.atproto.identity.signPlcOperation";
    let signed = ok(before.call(from, sign, wanted).await);
    let submit = "com.atproto.identity.submitPlcOperation";
    ok(there.call(to, submit, signed).await);
    let wake = "com.atproto.server.activateAccount";
    there.call(to, wake, json!(null)).await
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

    let there = arrives(&old, &new, &ada, "ada").await;
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

    ok(activated(&old, &new, &ada, &there).await);
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
    let there = arrives(&old, &new, &ada, "ada").await;
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

/// Every block of a file.
fn content(file: &Bytes) -> BlockMap {
    car::read(file, 1 << 20).unwrap().blocks
}

#[tokio::test]
async fn row_7_bytes_and_links_keep_their_cids_through_an_import() {
    let old = Server::start().await;
    let new = Server::beside(&old.directory, |_| {}).await;
    let ada = old.member("ada").await;
    let link = Cid::dag_cbor(b"somewhere");
    let record = json!({
        "$type": "local.printer.page", "bytes": { "$bytes": "AAEC/w" }, "link": { "$link": link },
        "zz": [null, true, -7, 9007199254740991_i64], "a": "é\u{1f600}",
    });
    let body = json!({
        "repo": ada.did, "collection": "local.printer.page", "rkey": "one", "record": record,
    });
    let create = "com.atproto.repo.createRecord";
    let written = ok(ada.call(&old, create, body).await);
    let cid: Cid = written["cid"].as_str().unwrap().parse().unwrap();
    let file = export(&old, &ada, "").await;
    let block = content(&file)[&cid].clone();
    // A byte string of four, and tag 42 over a byte string of 37.
    for part in [&b"\x44\x00\x01\x02\xff"[..], b"\xd8\x2a\x58\x25\x00"] {
        assert!(block.windows(part.len()).any(|window| window == part));
    }
    let there = arrives(&old, &new, &ada, "ada").await;
    ok(import(&new, &there, file.clone()).await);
    let moved = export(&new, &there, "").await;
    assert_eq!(content(&moved)[&cid], block, "byte for byte");
    assert_eq!(blocks(&moved).1, blocks(&file).1);
    ok(activated(&old, &new, &ada, &there).await);
    let query = format!(
        "com.atproto.repo.getRecord?repo={}&collection=local.printer.page&rkey=one",
        ada.did
    );
    let shown = ok(new.ask(&query, "").await);
    assert_eq!((&shown["cid"], &shown["value"]), (&written["cid"], &record));
}

#[tokio::test]
async fn row_31_a_file_signed_with_an_older_key_is_taken_and_signed_anew() {
    let old = Server::start().await;
    let new = Server::beside(&old.directory, |_| {}).await;
    let ada = old.member("ada").await;
    ok(ada.post(&old, "one").await);
    let file = export(&old, &ada, "").await;
    let signing_key = async || {
        let (_, document) = old.directory.document(&ada.did).await;
        let key = document["verificationMethod"][0]["publicKeyMultibase"].clone();
        PublicKey::from_multibase(key.as_str().unwrap()).unwrap()
    };
    let older = signing_key().await;
    let reserve = "com.atproto.server.reserveSigningKey";
    let reserved = ok(old.call(reserve, "", json!({ "did": ada.did })).await);
    let change = json!({ "did": ada.did, "signingKey": reserved["signingKey"] });
    let nsid = "com.atproto.admin.updateAccountSigningKey";
    ok(old.call(nsid, &operator(), change).await);
    let there = arrives(&old, &new, &ada, "ada").await;
    let (signed, _) = blocks(&file);
    signed.verify(&older).expect("the key before");
    assert!(signed.verify(&signing_key().await).is_err());

    ok(import(&new, &there, file.clone()).await);
    ok(activated(&old, &new, &ada, &there).await);
    let (anew, records) = blocks(&export(&new, &there, "").await);
    anew.verify(&signing_key().await).expect("the new server's");
    assert_eq!((anew.data, records), (signed.data, blocks(&file).1));
    assert!(anew.rev > signed.rev);
}

/// A repository of one record, signed with a key that nobody knows.
fn repository_of(did: &str, path: &str, record: &Value) -> Bytes {
    let block = cbor::encode(&data_json::parse(record.to_string().as_bytes()).unwrap());
    let leaf = Cid::dag_cbor(&block);
    let mut builder = Builder::streaming();
    builder.push(path.as_bytes(), Link::from(leaf)).unwrap();
    let (data, nodes) = builder.finish();
    let commit = UnsignedCommit {
        did: did.parse().unwrap(),
        rev: Tid::from_u64(1 << 50),
        data,
    };
    let commit = commit.sign(&SigningKey::from_bytes(Curve::K256, &[7; 32]).unwrap());
    let mut file = car::Writer::new(&[commit.cid()]);
    file.block(&commit.cid(), &commit.encode());
    for (cid, node) in &nodes {
        file.block(cid, node);
    }
    file.block(&leaf, &block);
    file.into_bytes().into()
}

#[tokio::test]
async fn account_migration_takes_the_pictures_of_old_profiles_along_and_a_put_renews_them() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let picture = Bytes::from_static(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR");
    let cid = Cid::raw(&picture).to_string();
    let old = json!({ "cid": cid, "mimeType": "image/jpeg" });
    let profile = json!({ "$type": "app.bsky.actor.profile", "avatar": old, "banner": old });
    let file = repository_of(&ada.did, "app.bsky.actor.profile/self", &profile);
    ok(import(&server, &ada, file).await);
    let list = "com.atproto.repo.listMissingBlobs";
    let missing = ok(ada.ask(&server, list).await);
    assert_eq!(missing["blobs"][0]["cid"], json!(cid), "{missing}");

    let put = async |collection: &str, record: Value| {
        let body = json!({
            "repo": ada.did, "collection": collection, "rkey": "self", "record": record,
        });
        ada.call(&server, "com.atproto.repo.putRecord", body).await
    };
    let app_bsky = "app.bsky.actor.profile";
    let wish = json!({ "displayName": "Ada", "avatar": old, "banner": old });
    let said = refused(put(app_bsky, wish.clone()).await, (400, "InvalidRequest"));
    assert!(said.contains("$.avatar"), "not uploaded yet: {said}");
    upload(&server, &ada, picture, "image/png").await;
    assert_eq!(ok(ada.ask(&server, list).await)["blobs"], json!([]));
    let get = format!(
        "com.atproto.repo.getRecord?repo={}&collection={app_bsky}&rkey=self",
        ada.did
    );
    assert_eq!(ok(server.ask(&get, "").await)["value"], profile);

    ok(put(app_bsky, wish.clone()).await);
    let present = json!({
        "$type": "blob", "ref": { "$link": cid }, "mimeType": "image/png", "size": 16,
    });
    let value = ok(server.ask(&get, "").await)["value"].clone();
    assert_eq!((&value["avatar"], &value["banner"]), (&present, &present));
    let served = format!("com.atproto.sync.getBlob?did={}&cid={cid}", ada.did);
    assert_eq!(
        server.ask(&served, "").await.0,
        200,
        "it is still referred to"
    );

    refused(
        put("com.example.file", wish.clone()).await,
        (400, "InvalidRequest"),
    );
    let gone = json!({ "repo": ada.did, "collection": app_bsky, "rkey": "self" });
    ok(ada
        .call(&server, "com.atproto.repo.deleteRecord", gone)
        .await);
    refused(put(app_bsky, wish).await, (400, "InvalidRequest"));
}
