//! Repositories as blocks: exports that verify, what came since, proofs.

use axum::body::Body;
use bytes::Bytes;
use http::Request;
use rochdale_protocol::crypto::PublicKey;
use rochdale_protocol::data::Cid;
use rochdale_protocol::repo::{BlockMap, Commit, Tree, car, proof};
use serde_json::json;

use crate::member::Member;
use crate::server::{Server, ok};

async fn fetch(server: &Server, query: &str) -> (u16, Bytes) {
    let uri = format!("{}/xrpc/com.atproto.sync.{query}", server.url);
    let request = Request::builder().uri(uri).body(Body::empty()).unwrap();
    let (status, headers, bytes) = server.raw(request).await;
    if status == 200 {
        assert_eq!(headers["content-type"], "application/vnd.ipld.car");
    }
    (status, bytes)
}

async fn signing_key(server: &Server, who: &Member) -> PublicKey {
    let document = server.directory.document(&who.did).await.1;
    let multibase = document["verificationMethod"][0]["publicKeyMultibase"]
        .as_str()
        .unwrap();
    PublicKey::from_multibase(multibase).unwrap()
}

/// The commit of a file and its blocks, checked under the key of the DID document.
async fn verified(server: &Server, who: &Member, file: &Bytes) -> (Commit, BlockMap) {
    let file = car::read(file, 1 << 20).unwrap();
    let root: Cid = file.roots[0].as_cid().unwrap();
    let commit = Commit::decode(file.blocks.get(&root).unwrap()).unwrap();
    assert_eq!(commit.did.as_str(), who.did);
    commit
        .verify(&signing_key(server, who).await)
        .expect("a good signature");
    (commit, file.blocks)
}

fn paths(blocks: &BlockMap, data: Cid) -> Vec<(String, Cid)> {
    Tree::load(data)
        .walk(blocks, b"")
        .map(|leaf| {
            let (key, link) = leaf.expect("a whole tree");
            (
                String::from_utf8(key.into()).unwrap(),
                link.as_cid().unwrap(),
            )
        })
        .collect()
}

async fn put(server: &Server, who: &Member, rkey: &str, text: &str) {
    let body = json!({
        "repo": who.did, "collection": "com.example.note", "rkey": rkey, "record": { "text": text },
    });
    ok(who.call(server, "com.atproto.repo.putRecord", body).await);
}

#[tokio::test]
async fn sync_an_export_verifies_and_what_came_since_completes_an_older_one() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    for n in 0..40 {
        put(&server, &ada, &format!("n{n:02}"), "old").await;
    }
    let export = format!("getRepo?did={}", ada.did);
    let (_, file) = fetch(&server, &export).await;
    let (old, mut held) = verified(&server, &ada, &file).await;
    let before = paths(&held, old.data);
    assert_eq!(before.len(), 40);
    put(&server, &ada, "n07", "new").await;
    put(&server, &ada, "added", "new").await;
    let body = json!({ "repo": ada.did, "collection": "com.example.note", "rkey": "n20" });
    ok(ada
        .call(&server, "com.atproto.repo.deleteRecord", body)
        .await);

    let (_, whole) = fetch(&server, &export).await;
    let (_, diff) = fetch(&server, &format!("{export}&since={}", old.rev)).await;
    assert!(diff.len() < whole.len() / 2, "only what is new");
    let (new, blocks) = verified(&server, &ada, &diff).await;
    held.extend(blocks);
    let completed = paths(&held, new.data);
    for (path, cid) in &completed {
        assert!(held.contains_key(cid), "{path}");
    }
    let (same, blocks) = verified(&server, &ada, &whole).await;
    assert_eq!(same, new);
    assert_eq!(paths(&blocks, same.data), completed);
    assert_eq!(completed.len(), 40);
    // Whoever is up to date gets the commit; a revision nobody knows gets more, not an error.
    let (status, _) = fetch(&server, &format!("{export}&since={}", new.rev)).await;
    assert_eq!(status, 200);
    let (_, all) = fetch(&server, &format!("{export}&since=2222222222222")).await;
    assert_eq!(car::read(&all, 1 << 20).unwrap().blocks.len(), blocks.len());
    assert_eq!(fetch(&server, &format!("{export}&since=x")).await.0, 400);
    // The deprecated twin gives the same.
    let (_, checkout) = fetch(&server, &format!("getCheckout?did={}", ada.did)).await;
    assert_eq!(checkout, whole);
}

#[tokio::test]
async fn sync_a_record_and_its_absence_are_proven() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    for n in 0..40 {
        put(&server, &ada, &format!("n{n:02}"), "x").await;
    }
    let key = signing_key(&server, &ada).await;
    let did = ada.did.parse().unwrap();
    for (rkey, is_there) in [("n17", true), ("nothing", false)] {
        let query = format!(
            "getRecord?did={}&collection=com.example.note&rkey={rkey}",
            ada.did
        );
        let (status, file) = fetch(&server, &query).await;
        assert_eq!(status, 200);
        let path = format!("com.example.note/{rkey}").parse().unwrap();
        let proven = proof::verify(&file, &did, &path, &key).expect("a proof");
        assert_eq!(proven.record.is_some(), is_there, "{rkey}");
        let held = car::read(&file, 1 << 20).unwrap().blocks.len();
        assert!(held < 12, "a path, not the tree: {held} blocks");
    }
}

/// Row 10: fields and lists as the lexicon has them.
#[tokio::test]
async fn row_10_the_newest_commit_is_named_and_many_blocks_are_given_at_once() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    for n in 0..30 {
        put(&server, &ada, &format!("n{n:02}"), &format!("{n}")).await;
    }
    let latest = format!("com.atproto.sync.getLatestCommit?did={}", ada.did);
    let head = ok(server.ask(&latest, "").await);
    let old = format!("com.atproto.sync.getHead?did={}", ada.did);
    assert_eq!(ok(server.ask(&old, "").await)["root"], head["cid"]);
    let (_, file) = fetch(&server, &format!("getRepo?did={}", ada.did)).await;
    let held = car::read(&file, 1 << 20).unwrap().blocks;
    let cids: Vec<String> = held.keys().map(|cid| format!("&cids={cid}")).collect();
    let ask = async |cids: &str| fetch(&server, &format!("getBlocks?did={}{cids}", ada.did)).await;
    let (status, given) = ask(&cids.concat()).await;
    assert_eq!(status, 200);
    let given = car::read(&given, 1 << 20).unwrap();
    assert!(given.roots.is_empty());
    assert_eq!(given.blocks, held);
    let unknown = Cid::dag_cbor(b"nowhere");
    for (cids, name) in [
        ("&cids=nope".to_owned(), "InvalidRequest"),
        (format!("&cids={unknown}"), "BlockNotFound"),
        (format!("{}&cids={unknown}", cids[0]), "BlockNotFound"),
        (String::new(), "InvalidRequest"),
    ] {
        let (status, answer) = ask(&cids).await;
        assert_eq!(status, 400);
        let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(answer["error"], name, "{answer}");
    }
}

#[tokio::test]
async fn server_large_answers_are_compressed_for_who_takes_it_and_small_ones_never() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    for n in 0..30 {
        put(&server, &ada, &format!("n{n:02}"), &"long ".repeat(40)).await;
    }
    let list = format!(
        "repo.listRecords?repo={}&collection=com.example.note",
        ada.did
    );
    let export = format!("sync.getRepo?did={}", ada.did);
    let status = format!("sync.getRepoStatus?did={}", ada.did);
    let ask = async |query: &str, encodings: &str| {
        let uri = format!("{}/xrpc/com.atproto.{query}", server.url);
        let request = Request::builder()
            .uri(uri)
            .header("accept-encoding", encodings);
        let request = request.body(Body::empty()).unwrap();
        let (status, headers, bytes) = server.raw(request).await;
        assert_eq!(status, 200);
        (headers.get("content-encoding").cloned(), bytes)
    };
    for query in [&list, &export] {
        let (encoding, plain) = ask(query, "identity").await;
        assert!(encoding.is_none());
        let (encoding, zipped) = ask(query, "gzip, deflate").await;
        assert_eq!(encoding.unwrap(), "gzip");
        assert!(zipped.starts_with(b"\x1f\x8b") && zipped.len() < plain.len());
    }
    assert!(ask(&status, "gzip").await.0.is_none());
}
