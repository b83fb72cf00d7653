//! Records created, read, replaced and deleted: the answers that clients build on.

use rochdale_protocol::repo::car;
use serde_json::{Value, json};

use crate::member::Member;
use crate::server::{Server, ok, refused};

const NOTE: &str = "com.example.note";
const CREATE: &str = "com.atproto.repo.createRecord";
const PUT: &str = "com.atproto.repo.putRecord";
const DELETE: &str = "com.atproto.repo.deleteRecord";
const APPLY: &str = "com.atproto.repo.applyWrites";

fn at(who: &Member, rkey: &str) -> Value {
    json!({ "repo": who.did, "collection": NOTE, "rkey": rkey })
}

fn with(mut body: Value, field: &str, value: Value) -> Value {
    body[field] = value;
    body
}

fn note(who: &Member, rkey: &str, text: &str) -> Value {
    with(at(who, rkey), "record", json!({ "text": text }))
}

async fn get(server: &Server, repo: &str, rkey: &str) -> (u16, Value) {
    let query = format!("com.atproto.repo.getRecord?repo={repo}&collection={NOTE}&rkey={rkey}");
    server.ask(&query, "").await
}

async fn file(server: &Server, did: &str) -> car::Car {
    let uri = format!("{}/xrpc/com.atproto.sync.getRepo?did={did}", server.url);
    let request = http::Request::builder().uri(uri);
    let request = request.body(axum::body::Body::empty()).unwrap();
    let (status, _, bytes) = server.raw(request).await;
    assert_eq!(status, 200);
    car::read(&bytes, 1 << 20).unwrap()
}

/// Row 8: every way to miss has a name, and nothing is written.
#[tokio::test]
async fn row_8_creating_what_is_there_and_changing_what_is_not_have_names() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    ok(ada.call(&server, CREATE, note(&ada, "one", "a")).await);
    refused(
        ada.call(&server, CREATE, note(&ada, "one", "b")).await,
        (400, "RecordAlreadyExists"),
    );
    let operation = |kind: &str, rkey: &str| {
        let mut one = json!({
            "$type": format!("com.atproto.repo.applyWrites#{kind}"), "collection": NOTE, "rkey": rkey,
        });
        if kind != "delete" {
            one["value"] = json!({ "text": kind });
        }
        one
    };
    let head = format!("com.atproto.sync.getLatestCommit?did={}", ada.did);
    let before = ok(server.ask(&head, "").await);
    for (writes, name) in [
        (vec![operation("update", "none")], "RecordNotFound"),
        (vec![operation("delete", "none")], "RecordNotFound"),
        (
            vec![operation("create", "new"), operation("create", "one")],
            "RecordAlreadyExists",
        ),
        (
            vec![operation("create", "two"), operation("create", "two")],
            "InvalidRequest",
        ),
        (
            vec![operation("create", "two"), operation("delete", "two")],
            "InvalidRequest",
        ),
        (vec![operation("upsert", "two")], "InvalidRequest"),
        (vec![json!({}), json!(7)], "InvalidRequest"),
        (
            (0..201)
                .map(|n| operation("create", &format!("r{n}")))
                .collect(),
            "InvalidRequest",
        ),
    ] {
        let body = json!({ "repo": ada.did, "writes": writes });
        refused(ada.call(&server, APPLY, body).await, (400, name));
    }
    assert_eq!(ok(server.ask(&head, "").await), before);
}

/// Row 9: AppView clients match the text.
#[tokio::test]
async fn row_9_a_missing_record_is_named_with_its_address() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let told = refused(
        get(&server, &ada.did, "none").await,
        (400, "RecordNotFound"),
    );
    let uri = format!("at://{}/{NOTE}/none", ada.did);
    assert_eq!(told, format!("Could not locate record: {uri}"));
    let one = ok(ada.call(&server, CREATE, note(&ada, "one", "a")).await);
    let two = ok(ada.call(&server, PUT, note(&ada, "one", "b")).await);
    let version = |cid: &Value| {
        let cid = cid.as_str().unwrap();
        format!(
            "com.atproto.repo.getRecord?repo={}&collection={NOTE}&rkey=one&cid={cid}",
            ada.did
        )
    };
    refused(
        server.ask(&version(&one["cid"]), "").await,
        (400, "RecordNotFound"),
    );
    let found = ok(server.ask(&version(&two["cid"]), "").await);
    assert_eq!(found["uri"], two["uri"]);
    // By handle too, and the address has the DID.
    let found = ok(get(&server, "ada.test", "one").await);
    assert_eq!(found["uri"], two["uri"]);
}

/// Rows 10 and 11: fields of the lexicon, empty lists as lists, absent fields absent.
#[tokio::test]
async fn row_11_empty_lists_are_lists_and_absent_fields_are_absent() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let list = format!(
        "com.atproto.repo.listRecords?repo={}&collection={NOTE}",
        ada.did
    );
    assert_eq!(ok(server.ask(&list, "").await), json!({ "records": [] }));
    let blobs = format!("com.atproto.sync.listBlobs?did={}", ada.did);
    assert_eq!(ok(server.ask(&blobs, "").await), json!({ "cids": [] }));
    let missing = "com.atproto.repo.listMissingBlobs";
    assert_eq!(ok(ada.ask(&server, missing).await), json!({ "blobs": [] }));
    let describe = format!("com.atproto.repo.describeRepo?repo={}", ada.did);
    let described = ok(server.ask(&describe, "").await);
    assert_eq!(described["collections"], json!([]));
    assert_eq!(described["handleIsCorrect"], true);
    let head = format!("com.atproto.sync.getLatestCommit?did={}", ada.did);
    let head = ok(server.ask(&head, "").await);
    assert!(head["cid"].is_string() && head["rev"].is_string());
    let gone = ok(ada.call(&server, DELETE, at(&ada, "none")).await);
    assert_eq!(gone, json!({}), "nothing was there: no commit");
    let same = ok(ada.call(&server, PUT, note(&ada, "one", "a")).await);
    assert!(same["commit"].is_object());
    let same = ok(ada.call(&server, PUT, note(&ada, "one", "a")).await);
    assert!(same.get("commit").is_none(), "nothing changed: no commit");
}

/// Row 12: pages end, and a cursor is not shown again.
#[tokio::test]
async fn row_12_pages_go_both_ways_and_end() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    for n in 0..7 {
        ok(ada
            .call(&server, CREATE, note(&ada, &format!("n{n}"), "x"))
            .await);
    }
    for (order, expected) in [("false", "6543210"), ("true", "0123456")] {
        for limit in [1, 3, 7, 8] {
            let (mut seen, mut cursor) = (String::new(), String::new());
            for _ in 0..9 {
                let query = format!(
                    "com.atproto.repo.listRecords?repo={}&collection={NOTE}&limit={limit}&reverse={order}{cursor}",
                    ada.did
                );
                let page = ok(server.ask(&query, "").await);
                for record in page["records"].as_array().unwrap() {
                    seen.push_str(record["uri"].as_str().unwrap().split("/n").last().unwrap());
                }
                match page["cursor"].as_str() {
                    Some(next) => cursor = format!("&cursor={next}"),
                    None => break,
                }
            }
            assert_eq!(seen, expected, "{order} by {limit}");
        }
    }
    for limit in ["0", "101", "x"] {
        let query = format!(
            "com.atproto.repo.listRecords?repo={}&collection={NOTE}&limit={limit}",
            ada.did
        );
        refused(server.ask(&query, "").await, (400, "InvalidRequest"));
    }
}

#[tokio::test]
async fn crud_swaps_hold_only_for_what_is_there() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let one = ok(ada.call(&server, CREATE, note(&ada, "one", "a")).await);
    let first = one["commit"]["cid"].clone();
    let two = ok(ada.call(&server, CREATE, note(&ada, "two", "b")).await);
    let stale = |body: Value| with(body, "swapCommit", first.clone());
    let swap = |body: Value, cid: &Value| with(body, "swapRecord", cid.clone());
    let writes = json!([{
        "$type": "com.atproto.repo.applyWrites#delete", "collection": NOTE, "rkey": "one",
    }]);
    let apply = json!({ "repo": ada.did, "writes": writes });
    for (nsid, body) in [
        (CREATE, stale(note(&ada, "three", "c"))),
        (PUT, stale(note(&ada, "one", "c"))),
        (DELETE, stale(at(&ada, "one"))),
        (APPLY, stale(apply.clone())),
        (PUT, swap(note(&ada, "one", "c"), &two["cid"])),
        (PUT, swap(note(&ada, "one", "c"), &Value::Null)),
        (PUT, swap(note(&ada, "none", "c"), &one["cid"])),
        (DELETE, swap(at(&ada, "one"), &two["cid"])),
    ] {
        refused(
            ada.call(&server, nsid, body.clone()).await,
            (400, "InvalidSwap"),
        );
    }
    ok(ada
        .call(&server, PUT, swap(note(&ada, "new", "c"), &Value::Null))
        .await);
    ok(ada
        .call(&server, PUT, swap(note(&ada, "one", "c"), &one["cid"]))
        .await);
    let head = format!("com.atproto.sync.getLatestCommit?did={}", ada.did);
    let head = ok(server.ask(&head, "").await);
    let fresh = with(apply, "swapCommit", head["cid"].clone());
    ok(ada.call(&server, APPLY, fresh).await);
}

#[tokio::test]
async fn crud_a_block_that_two_records_share_survives_the_deletion_of_one() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let one = ok(ada.call(&server, CREATE, note(&ada, "one", "same")).await);
    let two = ok(ada.call(&server, CREATE, note(&ada, "two", "same")).await);
    assert_eq!(one["cid"], two["cid"]);
    ok(ada.call(&server, DELETE, at(&ada, "one")).await);
    let cid = two["cid"].as_str().unwrap();
    let parsed = cid.parse().unwrap();
    assert!(file(&server, &ada.did).await.blocks.contains_key(&parsed));
    let query = format!("com.atproto.sync.getBlocks?did={}&cids={cid}", ada.did);
    assert_eq!(server.ask(&query, "").await.0, 200);
    ok(get(&server, &ada.did, "two").await);
    ok(ada.call(&server, DELETE, at(&ada, "two")).await);
    assert!(!file(&server, &ada.did).await.blocks.contains_key(&parsed));
    refused(server.ask(&query, "").await, (400, "BlockNotFound"));
}

#[tokio::test]
async fn crud_a_second_like_repost_follow_or_block_of_one_subject_replaces_the_first() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let post = json!({
        "uri": format!("at://{}/app.bsky.feed.post/abc", ada.did),
        "cid": "bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm",
    });
    let person = json!("did:plc:ewvi7nxzyoun6zhxrhs64oiz");
    for (collection, subject) in [
        ("app.bsky.feed.like", &post),
        ("app.bsky.feed.repost", &post),
        ("app.bsky.graph.follow", &person),
        ("app.bsky.graph.block", &person),
    ] {
        let record = json!({ "subject": subject, "createdAt": "2026-01-01T00:00:00Z" });
        let body = json!({ "repo": ada.did, "collection": collection, "record": record });
        let first = ok(ada.call(&server, CREATE, body.clone()).await);
        let second = ok(ada.call(&server, CREATE, body).await);
        let list = format!(
            "com.atproto.repo.listRecords?repo={}&collection={collection}",
            ada.did
        );
        let listed = ok(server.ask(&list, "").await);
        let uris: Vec<&Value> = listed["records"]
            .as_array()
            .unwrap()
            .iter()
            .map(|record| &record["uri"])
            .collect();
        assert_eq!(uris, [&second["uri"]], "{collection}");
        assert_ne!(first["uri"], second["uri"]);
    }
}

#[tokio::test]
async fn crud_nobody_writes_in_anothers_repository() {
    let server = Server::start().await;
    let (ada, ben) = (server.member("ada").await, server.member("ben").await);
    let apply = json!({ "repo": ada.did, "writes": [] });
    for (nsid, body) in [
        (CREATE, note(&ada, "one", "x")),
        (PUT, note(&ada, "one", "x")),
        (DELETE, at(&ada, "one")),
        (APPLY, apply),
    ] {
        let (status, answer) = ben.call(&server, nsid, body.clone()).await;
        assert_eq!(status, 401, "{nsid}: {answer}");
        let by_handle = with(body, "repo", json!("ben.test"));
        ok(ben.call(&server, nsid, by_handle).await);
    }
}
