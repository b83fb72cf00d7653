//! Records held against their lexicons.

use http::{Method, Request};
use serde_json::{Value, json};

use super::support::{Member, Server, bearer};

const CREATE: &str = "com.atproto.repo.createRecord";
const PUT: &str = "com.atproto.repo.putRecord";
const APPLY: &str = "com.atproto.repo.applyWrites";
const POST: &str = "app.bsky.feed.post";
const PROFILE: &str = "app.bsky.actor.profile";

fn post(text: &str) -> Value {
    json!({ "text": text, "createdAt": "2026-01-01T00:00:00Z" })
}

fn write(member: &Member, collection: &str, record: &Value) -> Value {
    json!({ "repo": member.did, "collection": collection, "record": record })
}

fn refusal(answer: &(u16, Value)) -> (u16, &str, &str) {
    let text = |key: &str| answer.1[key].as_str().unwrap_or_default();
    (answer.0, text("error"), text("message"))
}

#[tokio::test]
async fn a_record_of_a_known_type_is_checked_unless_its_writer_forbids_it() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let auth = bearer(&ada.access);
    let written = async |record: Value, validate: Value| {
        let mut input = write(&ada, POST, &record);
        input["validate"] = validate;
        server.call(CREATE, &auth, &input).await
    };
    for (validate, status) in [
        (json!(null), json!("valid")),
        (json!(true), json!("valid")),
        (json!(false), json!(null)),
    ] {
        let (code, answer) = written(post("hello"), validate.clone()).await;
        assert_eq!(
            (code, &answer["validationStatus"]),
            (200, &status),
            "{validate}"
        );
    }
    for validate in [json!(null), json!(true)] {
        let answer = written(post(&"x".repeat(3001)), validate).await;
        let message = "Invalid app.bsky.feed.post record: Record/text must not be longer than 3000 characters (UTF-8 bytes)";
        assert_eq!(refusal(&answer), (400, "InvalidRequest", message));
    }
    assert_eq!(written(json!({ "text": 7 }), json!(false)).await.0, 200);
    let answer = written(json!({ "text": "x" }), json!(null)).await;
    let message = "Invalid app.bsky.feed.post record: Record must have the property \"createdAt\"";
    assert_eq!(refusal(&answer), (400, "InvalidRequest", message));
}

#[tokio::test]
async fn every_writing_method_checks_records_and_their_keys() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let auth = bearer(&ada.access);
    let mut profile = write(&ada, PROFILE, &json!({ "displayName": "Ada" }));
    profile["rkey"] = json!("self");
    let (_, answer) = server.call(PUT, &auth, &profile).await;
    assert_eq!(answer["validationStatus"], "valid", "{answer}");
    profile["rkey"] = json!("other");
    let message = "Invalid record key: app.bsky.actor.profile wants a record key of type literal:self, not `other`";
    for method in [PUT, CREATE] {
        let answer = server.call(method, &auth, &profile).await;
        assert_eq!(
            refusal(&answer),
            (400, "InvalidRequest", message),
            "{method}"
        );
    }
    // A key that is made here is a TID, which is no profile's.
    let answer = server
        .call(CREATE, &auth, &write(&ada, PROFILE, &json!({})))
        .await;
    assert_eq!(answer.0, 400, "{}", answer.1);

    let apply = async |kind: &str, rkey: Value, value: Value| {
        let mut operation = json!({
            "$type": format!("com.atproto.repo.applyWrites#{kind}"),
            "collection": POST, "value": value,
        });
        if rkey.is_string() {
            operation["rkey"] = rkey;
        }
        let batch = json!({ "repo": ada.did, "writes": [operation] });
        server.call(APPLY, &auth, &batch).await
    };
    let (code, answer) = apply("create", json!(null), post("a")).await;
    assert_eq!(
        (code, &answer["results"][0]["validationStatus"]),
        (200, &json!("valid"))
    );
    let rkey = answer["results"][0]["uri"]
        .as_str()
        .unwrap()
        .rsplit('/')
        .next()
        .unwrap()
        .to_owned();
    let (code, answer) = apply("update", json!(rkey), post("b")).await;
    assert_eq!(
        (code, &answer["results"][0]["validationStatus"]),
        (200, &json!("valid"))
    );
    let bad = apply("update", json!(rkey), json!({ "text": 1 })).await;
    assert_eq!(refusal(&bad).0, 400);
    let bad = apply("create", json!("not-a-tid"), post("c")).await;
    assert!(
        refusal(&bad).2.starts_with("Invalid record key: "),
        "{}",
        bad.1
    );
}

#[tokio::test]
async fn a_record_of_an_unknown_type_is_taken_unless_a_known_one_is_demanded() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let auth = bearer(&ada.access);
    // An authority that is never looked up, so that no network has a say.
    let mut input = write(
        &ada,
        "local.printer.page",
        &json!({ "any": [1, { "thing": null }] }),
    );
    let (code, answer) = server.call(CREATE, &auth, &input).await;
    assert_eq!(
        (code, &answer["validationStatus"]),
        (200, &json!("unknown"))
    );
    input["validate"] = json!(true);
    let answer = server.call(CREATE, &auth, &input).await;
    let (code, name, message) = refusal(&answer);
    assert_eq!((code, name), (400, "InvalidRequest"));
    assert!(
        message.starts_with("Unknown lexicon type: local.printer.page ("),
        "{message}"
    );
    // A schema that is known, but not of a record.
    input["collection"] = json!("com.atproto.repo.strongRef");
    assert_eq!(server.call(CREATE, &auth, &input).await.0, 400);
}

#[tokio::test]
async fn a_file_of_another_type_or_size_than_its_place_takes_is_refused_by_name() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let auth = bearer(&ada.access);
    let upload = async |mime: &str, bytes: Vec<u8>| {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}/xrpc/com.atproto.repo.uploadBlob", server.url))
            .header("authorization", &auth)
            .header("content-type", mime)
            .body(axum::body::Body::from(bytes));
        let (_, _, answer) = server.raw(request.unwrap()).await;
        serde_json::from_slice::<Value>(&answer).unwrap()["blob"].clone()
    };
    let with = |avatar: &Value| {
        let mut input = write(&ada, PROFILE, &json!({ "avatar": avatar }));
        input["rkey"] = json!("self");
        input
    };
    let text = upload("text/plain", b"no picture".to_vec()).await;
    let answer = server.call(PUT, &auth, &with(&text)).await;
    let message = "Invalid app.bsky.actor.profile record: Record/avatar must be of type image/png, image/jpeg, not text/plain";
    assert_eq!(refusal(&answer), (400, "InvalidMimeType", message));
    let large = upload(
        "image/PNG",
        [&b"\x89PNG\r\n\x1a\n"[..], &[0; 3_000_000]].concat(),
    )
    .await;
    let answer = server.call(PUT, &auth, &with(&large)).await;
    assert_eq!(refusal(&answer).1, "BlobTooLarge", "{}", answer.1);
    let small = upload("image/png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec()).await;
    let (code, answer) = server.call(PUT, &auth, &with(&small)).await;
    assert_eq!(code, 200, "{answer}");
}

#[tokio::test]
async fn the_operators_own_schemas_win() {
    let folder = tempfile::tempdir().unwrap();
    let schema = json!({
        "lexicon": 1, "id": POST, "defs": { "main": {
            "type": "record", "key": "any",
            "record": { "type": "object", "properties": { "text": { "type": "integer" } } },
        } },
    });
    std::fs::write(folder.path().join("post.json"), schema.to_string()).unwrap();
    let path = folder.path().to_owned();
    let server = Server::start_with(|raw| raw.lexicon_dir = Some(path)).await;
    let ada = server.member("ada").await;
    let auth = bearer(&ada.access);
    let mut input = write(&ada, POST, &json!({ "text": 7 }));
    input["rkey"] = json!("no-tid");
    let (code, answer) = server.call(CREATE, &auth, &input).await;
    assert_eq!(
        (code, &answer["validationStatus"]),
        (200, &json!("valid")),
        "{answer}"
    );
    assert_eq!(
        server
            .call(CREATE, &auth, &write(&ada, POST, &post("x")))
            .await
            .0,
        400
    );
}

#[tokio::test]
async fn a_schema_that_nobody_publishes_is_not_resolved() {
    let server = Server::start().await;
    let path = "/xrpc/com.atproto.lexicon.resolveLexicon?nsid=";
    let answer = server.get(&format!("{path}local.printer.page"), &[]).await;
    assert_eq!((answer.0, refusal(&answer).1), (400, "LexiconNotFound"));
    let answer = server.get(&format!("{path}nonsense"), &[]).await;
    assert_eq!((answer.0, refusal(&answer).1), (400, "InvalidRequest"));
}
