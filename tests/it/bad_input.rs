//! Bad input: each case gets the named error, never a 500, and the server goes on.

use rochdale_testing::{Member, Stack};
use serde_json::{Value, json};

use crate::BINARY;

/// Sends `body` to createRecord as it stands.
async fn create_raw(member: &Member, content_type: &str, body: Vec<u8>) -> (u16, String) {
    let answer = member
        .http
        .post(format!("{}/xrpc/com.atproto.repo.createRecord", member.pds))
        .bearer_auth(&member.access)
        .header("content-type", content_type)
        .body(body)
        .send()
        .await
        .unwrap();
    let status = answer.status().as_u16();
    let body: Value = answer.json().await.unwrap();
    assert!(
        body["message"]
            .as_str()
            .is_some_and(|text| !text.is_empty()),
        "{body}"
    );
    (status, body["error"].as_str().unwrap().to_owned())
}

fn with_record(member: &Member, record: &str) -> Vec<u8> {
    let did = &member.did;
    format!(r#"{{"repo":"{did}","collection":"app.bsky.feed.post","record":{record}}}"#)
        .into_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_malformed_record_is_refused_by_name() {
    let stack = Stack::start(BINARY);
    let ada = stack.member("ada").await;
    let deep = format!("{}1{}", r#"{"a":"#.repeat(1_000), "}".repeat(1_000));
    let wide = format!("{{\"text\":\"{}\"}}", "x".repeat(1_100_000));
    let invalid = "InvalidRequest";
    let cases: Vec<(&str, Vec<u8>, u16, &str)> = vec![
        ("malformed JSON", b"{\"repo\":".to_vec(), 400, invalid),
        ("not an object", b"[]".to_vec(), 400, invalid),
        (
            "a record that is no object",
            with_record(&ada, "7"),
            400,
            invalid,
        ),
        ("a float", with_record(&ada, r#"{"n":1.5}"#), 400, invalid),
        (
            "a float deep inside",
            with_record(&ada, r#"{"a":[{"b":[{"c":0.1}]}]}"#),
            400,
            invalid,
        ),
        (
            "a huge exponent",
            with_record(&ada, r#"{"n":1e400}"#),
            400,
            invalid,
        ),
        (
            "a duplicate key",
            with_record(&ada, r#"{"a":1,"a":2}"#),
            400,
            invalid,
        ),
        ("1,000-deep nesting", with_record(&ada, &deep), 400, invalid),
        (
            "a link that is no CID",
            with_record(&ada, r#"{"l":{"$link":"nope"}}"#),
            400,
            invalid,
        ),
        (
            "a link with company",
            with_record(
                &ada,
                r#"{"l":{"$link":"bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm","x":1}}"#,
            ),
            400,
            invalid,
        ),
        (
            "bytes that are no base64",
            with_record(&ada, r#"{"b":{"$bytes":"***"}}"#),
            400,
            invalid,
        ),
        (
            "an empty $type",
            with_record(&ada, r#"{"a":{"$type":""}}"#),
            400,
            invalid,
        ),
        (
            "another $type",
            with_record(&ada, r#"{"$type":"app.bsky.feed.like"}"#),
            400,
            invalid,
        ),
        (
            "an oversized body",
            with_record(&ada, &wide),
            413,
            "PayloadTooLarge",
        ),
        (
            "a lone surrogate",
            with_record(&ada, r#"{"t":"\ud800"}"#),
            400,
            invalid,
        ),
    ];
    for (name, body, status, error) in cases {
        let got = create_raw(&ada, "application/json", body).await;
        assert_eq!(got, (status, error.to_owned()), "{name}");
    }
    let body = with_record(&ada, r#"{"text":"hi"}"#);
    assert_eq!(
        create_raw(&ada, "text/plain", body).await.0,
        400,
        "wrong content type"
    );
    assert_eq!(
        ada.records("app.bsky.feed.post").await.len(),
        0,
        "nothing was written"
    );
    ada.posts("and the next write succeeds").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_keys_parameters_and_cursors_are_refused_by_name() {
    let stack = Stack::start(BINARY);
    let ada = stack.member("ada").await;
    for rkey in ["..", ".", "a/b", "", "%20", &"k".repeat(513)] {
        let body = json!({
            "repo": ada.did, "collection": "app.bsky.feed.post", "rkey": rkey,
            "record": Member::post("x"),
        });
        let answer = ada
            .call("com.atproto.repo.putRecord", &body)
            .await
            .unwrap_err();
        assert_eq!(
            (answer.status, answer.name.as_str()),
            (400, "InvalidRequest"),
            "rkey {rkey:?}"
        );
    }
    let did = &ada.did;
    let queries = [
        (
            "com.atproto.repo.listRecords",
            format!("repo={did}&collection=app.bsky.feed.post&limit=101"),
            "InvalidRequest",
        ),
        (
            "com.atproto.repo.listRecords",
            format!("repo={did}&collection=app.bsky.feed.post&limit=many"),
            "InvalidRequest",
        ),
        (
            "com.atproto.repo.listRecords",
            format!("repo={did}"),
            "InvalidRequest",
        ),
        (
            "com.atproto.repo.getRecord",
            format!("repo={did}&collection=app.bsky.feed.post&rkey=none"),
            "RecordNotFound",
        ),
        (
            "com.atproto.sync.getRepo",
            "did=did:plc:aaaaaaaaaaaaaaaaaaaaaaaa".to_owned(),
            "RepoNotFound",
        ),
        (
            "com.atproto.sync.getRepo",
            "did=nonsense".to_owned(),
            "InvalidRequest",
        ),
        (
            "com.atproto.sync.getBlob",
            format!("did={did}&cid=nonsense"),
            "InvalidRequest",
        ),
        (
            "com.atproto.sync.listRepos",
            "cursor=nonsense".to_owned(),
            "InvalidRequest",
        ),
        (
            "com.atproto.identity.resolveHandle",
            "handle=nobody.test".to_owned(),
            "HandleNotFound",
        ),
    ];
    for (nsid, query, error) in queries {
        let answer = ada.ask(nsid, &query).await.unwrap_err();
        assert_eq!(
            (answer.status, answer.name.as_str()),
            (400, error),
            "{nsid}?{query}"
        );
    }
    for base in [&stack.pds, &stack.relay] {
        for cursor in ["text", "-1", "1.5", "99999999999999999999999999"] {
            let status = rochdale_testing::Firehose::refused(base, cursor).await;
            assert_eq!(status, 400, "{base} cursor {cursor}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cursors_of_the_future_and_of_last_year_are_told_apart() {
    let stack = Stack::start(BINARY);
    stack.member("ada").await.posts("something to replay").await;
    for base in [&stack.pds, &stack.relay] {
        let mut future = rochdale_testing::Firehose::from(base, 9_007_199_254_740_990).await;
        assert_eq!(future.next_error().await, "FutureCursor", "{base}");
        let last_year = rochdale_testing::Firehose::replay(base, 1).await;
        let everything = rochdale_testing::Firehose::replay(base, 0).await;
        let numbers = |frames: Vec<rochdale_testing::Seen>| -> Vec<u64> {
            frames
                .into_iter()
                .map(|seen| seen.seq)
                .filter(|seq| *seq > 0)
                .collect()
        };
        let (last_year, everything) = (numbers(last_year), numbers(everything));
        assert!(everything.len() > 3, "{base}: only {everything:?}");
        assert_eq!(last_year, everything, "{base}: the whole window");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_directory_refuses_operations_that_are_not_the_owners() {
    let stack = Stack::start(BINARY);
    let ada = stack.member("ada").await;
    let bob = stack.member("bob").await;
    let last = stack
        .get(&stack.identity, &format!("/{}/log/last", ada.did))
        .await
        .unwrap();
    let post = |did: &str, body: String| {
        let request = stack.http.post(format!("{}/{did}", stack.identity));
        request
            .header("content-type", "application/json")
            .body(body)
            .send()
    };
    let cases = [
        (
            "somebody else's operation",
            bob.did.as_str(),
            last.to_string(),
        ),
        ("malformed JSON", ada.did.as_str(), "{".to_owned()),
        ("unknown fields", ada.did.as_str(), {
            let mut more = last.clone();
            more["extra"] = json!(1);
            more.to_string()
        }),
        ("an empty signature", ada.did.as_str(), {
            let mut unsigned = last.clone();
            unsigned["sig"] = json!("");
            unsigned.to_string()
        }),
        ("a DID that is none", "did:plc:short", last.to_string()),
    ];
    for (name, did, body) in cases {
        let answer = post(did, body).await.unwrap();
        assert_eq!(answer.status().as_u16(), 400, "{name}");
        let body: Value = answer.json().await.unwrap();
        assert!(body["message"].is_string(), "{name}: {body}");
    }
    let answer = post(&ada.did, "x".repeat(200_000)).await.unwrap();
    assert_eq!(answer.status().as_u16(), 413);
}
