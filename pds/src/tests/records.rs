//! Writing and reading records.

use serde_json::{Value, json};

use super::support::{Member, Server, bearer};

const CREATE: &str = "com.atproto.repo.createRecord";
const PUT: &str = "com.atproto.repo.putRecord";
const DELETE: &str = "com.atproto.repo.deleteRecord";
const APPLY: &str = "com.atproto.repo.applyWrites";

fn note(member: &Member, rkey: &str) -> Value {
    json!({
        "repo": member.did, "collection": "com.example.note", "rkey": rkey,
        "record": { "text": rkey },
    })
}

async fn read(server: &Server, member: &Member, rkey: &str) -> (u16, Value) {
    let query = format!(
        "/xrpc/com.atproto.repo.getRecord?repo={}&collection=com.example.note&rkey={rkey}",
        member.did
    );
    server.get(&query, &[]).await
}

fn refusal(answer: &(u16, Value)) -> (u16, &str) {
    (answer.0, answer.1["error"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn a_record_is_read_back_as_written_with_its_type_filled_in() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let auth = bearer(&ada.access);
    let mut input = note(&ada, "one");
    input["repo"] = json!("ada.test");
    input["record"] = json!({
        "text": "grüße \"quoted\" \u{1}", "n": 7, "deep": [{ "none": null, "yes": true }],
        "link": { "$link": "bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm" },
        "bytes": { "$bytes": "AQID" },
    });
    let (status, written) = server.call(CREATE, &auth, &input).await;
    assert_eq!(status, 200, "{written}");
    assert_eq!(
        written["uri"],
        format!("at://{}/com.example.note/one", ada.did)
    );
    assert_eq!(written["validationStatus"], "unknown");
    let (status, found) = read(&server, &ada, "one").await;
    assert_eq!(
        (status, &found["cid"], &found["uri"]),
        (200, &written["cid"], &written["uri"])
    );
    let mut expected = input["record"].clone();
    expected["$type"] = json!("com.example.note");
    assert_eq!(found["value"], expected);

    let latest = format!("/xrpc/com.atproto.sync.getLatestCommit?did={}", ada.did);
    let (_, head) = server.get(&latest, &[]).await;
    assert_eq!(head, written["commit"]);
    let missing = read(&server, &ada, "two").await;
    assert_eq!(refusal(&missing), (400, "RecordNotFound"));
    let message = missing.1["message"].as_str().unwrap();
    assert!(
        message.starts_with("Could not locate record: at://"),
        "{message}"
    );
}

#[tokio::test]
async fn what_may_not_be_written_is_refused_by_name() {
    let server = Server::start().await;
    let (ada, ben) = (server.member("ada").await, server.member("ben").await);
    let auth = bearer(&ada.access);
    let with = |field: &str, value: Value| {
        let mut input = note(&ada, "one");
        input[field] = value;
        input
    };
    for (input, expected) in [
        (
            with("repo", json!(ben.did)),
            (401, "AuthenticationRequired"),
        ),
        (with("repo", json!("nobody.test")), (400, "InvalidRequest")),
        (with("validate", json!(true)), (400, "InvalidRequest")),
        (with("rkey", json!("..")), (400, "InvalidRequest")),
        (with("collection", json!("nope")), (400, "InvalidRequest")),
        (
            with("record", json!({ "$type": "com.example.other" })),
            (400, "InvalidRequest"),
        ),
        (
            with("record", json!({ "half": 0.5 })),
            (400, "InvalidRequest"),
        ),
        (
            with("record", json!({ "link": { "$link": "nope" } })),
            (400, "InvalidRequest"),
        ),
        (with("record", json!([])), (400, "InvalidRequest")),
        (with("swapCommit", json!("nope")), (400, "InvalidRequest")),
        (
            with(
                "swapCommit",
                json!("bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm"),
            ),
            (400, "InvalidSwap"),
        ),
    ] {
        let answer = server.call(CREATE, &auth, &input).await;
        assert_eq!(refusal(&answer), expected, "{input}: {}", answer.1);
    }
    assert_eq!(server.call(CREATE, "", &note(&ada, "one")).await.0, 401);
    let (status, _) = server
        .call(CREATE, &auth, &with("validate", json!(false)))
        .await;
    assert_eq!(status, 200);
    let again = server.call(CREATE, &auth, &note(&ada, "one")).await;
    assert_eq!(refusal(&again), (400, "RecordAlreadyExists"));
}

#[tokio::test]
async fn putting_the_same_again_and_deleting_nothing_make_no_commit() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let auth = bearer(&ada.access);
    let (_, first) = server.call(PUT, &auth, &note(&ada, "one")).await;
    assert!(first["commit"]["cid"].is_string(), "{first}");
    let (status, second) = server.call(PUT, &auth, &note(&ada, "one")).await;
    assert_eq!((status, &second["cid"]), (200, &first["cid"]));
    assert!(second.get("commit").is_none());
    let mut swap = note(&ada, "one");
    swap["record"]["text"] = json!("changed");
    swap["swapRecord"] = json!(null);
    assert_eq!(
        refusal(&server.call(PUT, &auth, &swap).await),
        (400, "InvalidSwap")
    );
    swap["swapRecord"] = first["cid"].clone();
    assert_eq!(server.call(PUT, &auth, &swap).await.0, 200);

    let mut gone = note(&ada, "none");
    gone.as_object_mut().unwrap().remove("record");
    let (status, answer) = server.call(DELETE, &auth, &gone).await;
    assert_eq!((status, answer.get("commit")), (200, None));
    gone["rkey"] = json!("one");
    let (status, answer) = server.call(DELETE, &auth, &gone).await;
    assert_eq!(status, 200);
    assert!(answer["commit"]["rev"].is_string());
    assert_eq!(read(&server, &ada, "one").await.0, 400);
}

#[tokio::test]
async fn a_batch_is_applied_whole_in_order_or_not_at_all() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let auth = bearer(&ada.access);
    let operation = |kind: &str, rkey: &str| {
        let mut operation = json!({
            "$type": format!("com.atproto.repo.applyWrites#{kind}"),
            "collection": "com.example.note", "rkey": rkey,
        });
        if kind != "delete" {
            operation["value"] = json!({ "text": kind });
        }
        operation
    };
    let batch = |writes: Vec<Value>| json!({ "repo": ada.did, "writes": writes });
    let first = batch(vec![operation("create", "a"), operation("create", "b")]);
    let (status, answer) = server.call(APPLY, &auth, &first).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(
        answer["results"][1]["$type"],
        "com.atproto.repo.applyWrites#createResult"
    );
    let second = batch(vec![
        operation("delete", "a"),
        operation("update", "b"),
        operation("create", "c"),
    ]);
    let (status, answer) = server.call(APPLY, &auth, &second).await;
    assert_eq!(status, 200, "{answer}");
    let kinds: Vec<&str> = answer["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| {
            result["$type"]
                .as_str()
                .unwrap()
                .rsplit('#')
                .next()
                .unwrap()
        })
        .collect();
    assert_eq!(kinds, ["deleteResult", "updateResult", "createResult"]);
    for (writes, name) in [
        (
            vec![operation("create", "d"), operation("update", "gone")],
            "RecordNotFound",
        ),
        (
            vec![operation("create", "d"), operation("delete", "gone")],
            "RecordNotFound",
        ),
        (
            vec![operation("create", "d"), operation("create", "b")],
            "RecordAlreadyExists",
        ),
        (
            vec![operation("create", "d"), operation("delete", "d")],
            "InvalidRequest",
        ),
        (vec![json!({ "$type": "nope" })], "InvalidRequest"),
        (vec![operation("create", "d"); 201], "InvalidRequest"),
    ] {
        let answer = server.call(APPLY, &auth, &batch(writes)).await;
        assert_eq!(refusal(&answer), (400, name), "{}", answer.1);
    }
    assert_eq!(read(&server, &ada, "d").await.0, 400);
    let (status, empty) = server.call(APPLY, &auth, &batch(Vec::new())).await;
    assert_eq!((status, &empty["results"]), (200, &json!([])));
}

#[tokio::test]
async fn pages_of_records_go_both_ways_and_end() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let auth = bearer(&ada.access);
    for n in 0..5 {
        assert_eq!(
            server
                .call(CREATE, &auth, &note(&ada, &format!("k{n}")))
                .await
                .0,
            200
        );
    }
    for (reverse, expected) in [
        ("false", ["k4", "k3", "k2", "k1", "k0"]),
        ("true", ["k0", "k1", "k2", "k3", "k4"]),
    ] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let query = format!(
                "/xrpc/com.atproto.repo.listRecords?repo=ada.test&collection=com.example.note\
                 &limit=2&reverse={reverse}{cursor}"
            );
            let (status, page) = server.get(&query, &[]).await;
            assert_eq!(status, 200, "{page}");
            for record in page["records"].as_array().unwrap() {
                seen.push(record["value"]["text"].as_str().unwrap().to_owned());
            }
            let Some(next) = page["cursor"].as_str() else {
                break;
            };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(seen, expected);
    }
    for limit in ["0", "101", "x"] {
        let query = format!(
            "/xrpc/com.atproto.repo.listRecords?repo=ada.test&collection=com.example.note&limit={limit}"
        );
        assert_eq!(server.get(&query, &[]).await.0, 400, "{limit}");
    }
    let (_, described) = server
        .get("/xrpc/com.atproto.repo.describeRepo?repo=ada.test", &[])
        .await;
    assert_eq!(described["collections"], json!(["com.example.note"]));
    assert_eq!(described["handleIsCorrect"], true, "{described}");
}
