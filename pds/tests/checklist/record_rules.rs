//! Crud: which records, keys and values are taken, and what a write says of its check.

use rochdale_protocol::repo::Action;
use rochdale_protocol::sync::Event;
use serde_json::{Value, json};

use crate::firehose::Firehose;
use crate::member::Member;
use crate::server::{Server, ok, refused};

const CREATE: &str = "com.atproto.repo.createRecord";
const PUT: &str = "com.atproto.repo.putRecord";
const APPLY: &str = "com.atproto.repo.applyWrites";
const POST: &str = "app.bsky.feed.post";
/// A collection whose authority is never looked up: no network has a say.
const PAGE: &str = "local.printer.page";

fn post() -> Value {
    json!({ "text": "hello", "createdAt": "2026-01-01T00:00:00Z" })
}

/// A write, with `change` merged into it.
fn write(who: &Member, collection: &str, record: Value, change: Value) -> Value {
    let mut body = json!({ "repo": who.did, "collection": collection, "record": record });
    for (name, value) in change.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

async fn create(server: &Server, who: &Member, collection: &str, record: Value) -> (u16, Value) {
    let body = write(who, collection, record, json!({}));
    who.call(server, CREATE, body).await
}

async fn head(server: &Server, who: &Member) -> Value {
    let query = format!("com.atproto.sync.getLatestCommit?did={}", who.did);
    ok(server.ask(&query, "").await)
}

#[tokio::test]
async fn crud_bad_records_are_refused_by_every_method_and_change_nothing() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let before = head(&server, &ada).await;
    for record in [
        json!({ "text": "no date" }),
        json!({ "text": 7, "createdAt": "2026-01-01T00:00:00Z" }),
        json!({ "text": "x".repeat(3_001), "createdAt": "2026-01-01T00:00:00Z" }),
        json!({ "text": "x", "createdAt": "2026-01-01T00:00:00Z", "langs": "en" }),
        json!("text"),
        json!([post()]),
        json!(7),
        json!(null),
    ] {
        let rkey = json!({ "rkey": "3jzfcijpj2z2a" });
        let body = write(&ada, POST, record.clone(), rkey);
        for nsid in [CREATE, PUT] {
            let answer = ada.call(&server, nsid, body.clone()).await;
            refused(answer, (400, "InvalidRequest"));
        }
        let one = json!({
            "$type": "com.atproto.repo.applyWrites#create", "collection": POST, "value": record,
        });
        let body = json!({ "repo": ada.did, "writes": [one] });
        let answer = ada.call(&server, APPLY, body).await;
        refused(answer, (400, "InvalidRequest"));
    }
    assert_eq!(head(&server, &ada).await, before);
    ok(create(&server, &ada, POST, post()).await);
}

#[tokio::test]
async fn crud_the_type_is_filled_in_and_must_be_the_collections() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let given = json!({ "$type": PAGE, "n": 1 });
    let filled = ok(create(&server, &ada, PAGE, json!({ "n": 1 })).await);
    let same = ok(create(&server, &ada, PAGE, given.clone()).await);
    assert_eq!(filled["cid"], same["cid"]);
    let rkey = filled["uri"].as_str().unwrap().rsplit('/').next().unwrap();
    let query = format!(
        "com.atproto.repo.getRecord?repo={}&collection={PAGE}&rkey={rkey}",
        ada.did
    );
    assert_eq!(ok(server.ask(&query, "").await)["value"], given);
    for kind in [json!(POST), json!("local.printer"), json!(""), json!(7)] {
        let record = json!({ "$type": kind, "n": 1 });
        let answer = create(&server, &ada, PAGE, record).await;
        refused(answer, (400, "InvalidRequest"));
    }
}

#[tokio::test]
async fn crud_record_keys_have_their_characters_their_length_and_their_lexicons_kind() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let longest = "k".repeat(512);
    for (collection, rkey, fits) in [
        (PAGE, "3jui7kd54zh2y", true),
        (PAGE, "self", true),
        (PAGE, "example.com", true),
        (PAGE, "~1.2-3_", true),
        (PAGE, "pre:fix", true),
        (PAGE, "_", true),
        (PAGE, "...", true),
        (PAGE, longest.as_str(), true),
        (PAGE, &format!("{longest}k"), false),
        (PAGE, "", false),
        (PAGE, ".", false),
        (PAGE, "..", false),
        (PAGE, "a/b", false),
        (PAGE, "a b", false),
        (PAGE, "#extra", false),
        (PAGE, "number[3]", false),
        (PAGE, "dHJ1ZQ==", false),
        (PAGE, "bücher", false),
        (POST, "3jzfcijpj2z2a", true),
        (POST, "self", false),
        (POST, "3JZFCIJPJ2Z2A", false),
        ("app.bsky.actor.profile", "self", true),
        ("app.bsky.actor.profile", "other", false),
    ] {
        let record = if collection == POST {
            post()
        } else {
            json!({})
        };
        let body = write(&ada, collection, record, json!({ "rkey": rkey }));
        let answer = ada.call(&server, PUT, body).await;
        if fits {
            assert_eq!(answer.0, 200, "{collection} {rkey}: {}", answer.1);
        } else {
            refused(answer, (400, "InvalidRequest"));
        }
    }
}

#[tokio::test]
async fn crud_dates_have_a_time_a_zone_and_sense() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    for (date, fits) in [
        ("2026-02-28T23:20:50.123Z", true),
        ("2026-02-28T23:20:50Z", true),
        ("2026-02-28T23:20:50.123456789+02:00", true),
        ("2026-02-28", false),
        ("2026-02-28T23:20Z", false),
        ("2026-02-28T23:20:50.123", false),
        ("2026-02-28 23:20:50Z", false),
        ("2026-02-28t23:20:50z", false),
        ("2026-02-28T23:20:50-00:00", false),
        ("2026-13-28T23:20:50Z", false),
        ("2026-2-28T23:20:50Z", false),
        (" 2026-02-28T23:20:50Z", false),
        ("yesterday", false),
        ("", false),
    ] {
        let record = json!({ "text": "x", "createdAt": date });
        let answer = create(&server, &ada, POST, record).await;
        if fits {
            assert_eq!(answer.0, 200, "{date}: {}", answer.1);
        } else {
            refused(answer, (400, "InvalidRequest"));
        }
    }
}

#[tokio::test]
async fn crud_a_check_is_demanded_left_to_the_server_or_declined() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let bad = json!({ "text": 7 });
    for (collection, record, validate, wanted) in [
        (POST, post(), json!(null), Some(json!("valid"))),
        (POST, post(), json!(true), Some(json!("valid"))),
        (POST, post(), json!(false), Some(json!(null))),
        (POST, bad.clone(), json!(null), None),
        (POST, bad.clone(), json!(true), None),
        (POST, bad, json!(false), Some(json!(null))),
        (PAGE, json!({}), json!(null), Some(json!("unknown"))),
        (PAGE, json!({}), json!(true), None),
        (PAGE, json!({}), json!(false), Some(json!(null))),
    ] {
        let body = write(&ada, collection, record, json!({ "validate": validate }));
        let answer = ada.call(&server, CREATE, body).await;
        match wanted {
            Some(status) => {
                let written = ok(answer);
                assert_eq!(
                    written["validationStatus"], status,
                    "{collection} {validate}"
                );
            }
            None => {
                refused(answer, (400, "InvalidRequest"));
            }
        }
    }
}

#[tokio::test]
async fn crud_fractions_and_integers_beyond_2_to_the_53_are_refused_wherever_they_stand() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let auth = ada.auth();
    let send = async |value: &str| {
        let headers = [
            ("authorization", auth.as_str()),
            ("content-type", "application/json"),
        ];
        let body = format!(
            r#"{{"repo":"{}","collection":"{PAGE}","validate":false,"record":{{"deep":[{{"n":{value}}}]}}}}"#,
            ada.did
        );
        let path = format!("/xrpc/{CREATE}");
        let sent = server.send(http::Method::POST, &path, &headers, body).await;
        (sent.0, sent.2)
    };
    for good in ["0", "-1", "9007199254740991", "null", "true", "[]"] {
        let answer = send(good).await;
        assert_eq!(answer.0, 200, "{good}: {}", answer.1);
    }
    for bad in [
        "0.5",
        "-1.25",
        "1e400",
        "9007199254740992",
        "undefined",
        "NaN",
    ] {
        refused(send(bad).await, (400, "InvalidRequest"));
    }
}

#[tokio::test]
async fn crud_files_are_found_in_records_of_unknown_types_however_deep() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let auth = ada.auth();
    let headers = [
        ("authorization", auth.as_str()),
        ("content-type", "text/plain"),
    ];
    let path = "/xrpc/com.atproto.repo.uploadBlob";
    let (_, _, uploaded) = server
        .send(http::Method::POST, path, &headers, "deep")
        .await;
    let blob = &uploaded["blob"];
    let cid = blob["ref"]["$link"].as_str().unwrap();
    let get = format!("com.atproto.sync.getBlob?did={}&cid={cid}", ada.did);
    let list = format!("com.atproto.sync.listBlobs?did={}", ada.did);
    refused(server.ask(&get, "").await, (400, "BlobNotFound"));

    let record = json!({ "pages": [[{ "scan": { "of": blob } }], "text"] });
    let written = ok(create(&server, &ada, PAGE, record).await);
    assert_eq!(written["validationStatus"], "unknown");
    assert_eq!(ok(server.ask(&get, "").await), "deep");
    assert_eq!(ok(server.ask(&list, "").await)["cids"], json!([cid]));
    let rkey = written["uri"].as_str().unwrap().rsplit('/').next().unwrap();
    let body = json!({ "repo": ada.did, "collection": PAGE, "rkey": rkey });
    ok(ada
        .call(&server, "com.atproto.repo.deleteRecord", body)
        .await);
    refused(server.ask(&get, "").await, (400, "BlobNotFound"));
    assert_eq!(ok(server.ask(&list, "").await)["cids"], json!([]));
}

#[tokio::test]
async fn crud_a_put_creates_then_replaces_and_of_the_same_makes_no_commit() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let mut firehose = Firehose::open(&server, None).await;
    let put = async |n: i32| {
        let body = write(&ada, PAGE, json!({ "n": n }), json!({ "rkey": "one" }));
        ok(ada.call(&server, PUT, body).await)
    };
    for (n, wanted) in [
        (1, Some(Action::Create)),
        (1, None),
        (2, Some(Action::Update)),
    ] {
        let before = head(&server, &ada).await;
        let written = put(n).await;
        let after = head(&server, &ada).await;
        let Some(action) = wanted else {
            assert!(written.get("commit").is_none(), "{written}");
            assert_eq!(after, before);
            continue;
        };
        assert_eq!(written["commit"], after);
        let Event::Commit(commit) = firehose.event().await.1 else {
            panic!("no commit")
        };
        let [op] = &commit.ops[..] else {
            panic!("{:?}", commit.ops)
        };
        assert_eq!(
            (op.action, op.path.to_string()),
            (action, format!("{PAGE}/one"))
        );
        assert_eq!(op.cid.unwrap().to_string(), written["cid"]);
    }
}
