//! Account deletion: what it takes, and that nothing stays.

use http::Method;
use rochdale_protocol::sync::Event;
use rusqlite::types::ValueRef;
use serde_json::json;

use crate::firehose::Firehose;
use crate::member::Member;
use crate::server::{PASSWORD, Server, ok, operator, refused};

const REQUEST: &str = "com.atproto.server.requestAccountDelete";
const DELETE: &str = "com.atproto.server.deleteAccount";

async fn blob(server: &Server, member: &Member) -> serde_json::Value {
    let auth = member.auth();
    let headers = [
        ("authorization", auth.as_str()),
        ("content-type", "text/plain"),
    ];
    let path = "/xrpc/com.atproto.repo.uploadBlob";
    let (status, _, uploaded) = server.send(Method::POST, path, &headers, "shared").await;
    assert_eq!(status, 200, "{uploaded}");
    let record = json!({
        "repo": member.did, "collection": "com.example.file", "rkey": "one",
        "record": { "$type": "com.example.file", "file": uploaded["blob"] },
    });
    ok(member
        .call(server, "com.atproto.repo.createRecord", record)
        .await);
    uploaded["blob"]["ref"]["$link"].clone()
}

#[tokio::test]
async fn account_deletion_takes_the_password_and_the_mailed_code() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let delete = |password: &str, token: &str| {
        let body = json!({ "did": ada.did, "password": password, "token": token });
        server.call(DELETE, "", body)
    };
    refused(delete(PASSWORD, "AAAAA-AAAAA").await, (400, "InvalidToken"));
    ok(ada.call(&server, REQUEST, json!(null)).await);
    let code = server.mailed_code();
    refused(
        delete("wrong", &code).await,
        (401, "AuthenticationRequired"),
    );
    refused(
        delete(&"x".repeat(513), &code).await,
        (401, "AuthenticationRequired"),
    );
    refused(delete(PASSWORD, "AAAAA-AAAAA").await, (400, "InvalidToken"));
    server.clock.advance(std::time::Duration::from_secs(901));
    refused(delete(PASSWORD, &code).await, (400, "ExpiredToken"));
    ok(server.sign_in("ada.test", PASSWORD).await);
    let again = Member::of(&ok(server.sign_in("ada.test", PASSWORD).await));
    ok(again.call(&server, REQUEST, json!(null)).await);
    ok(delete(PASSWORD, &server.mailed_code()).await);
}

#[tokio::test]
async fn account_deletion_leaves_nothing_behind_but_what_others_have() {
    let server = Server::start().await;
    let (ada, bob) = (server.member("ada").await, server.member("bob").await);
    let cid = blob(&server, &ada).await;
    assert_eq!(blob(&server, &bob).await, cid);
    ok(ada.call(&server, REQUEST, json!(null)).await);
    let token = server.mailed_code();
    let body = json!({ "did": ada.did, "password": PASSWORD, "token": token });
    let mut firehose = Firehose::open(&server, None).await;
    ok(server.call(DELETE, "", body).await);
    assert_eq!(firehose.told(1).await, ["account deleted"]);
    refused(
        server.sign_in("ada.test", PASSWORD).await,
        (401, "AuthenticationRequired"),
    );
    let renew = "com.atproto.server.refreshSession";
    refused(
        server.call(renew, &ada.refresh_auth(), json!(null)).await,
        (400, "ExpiredToken"),
    );
    refused(ada.post(&server, "x").await, (403, "AccountNotFound"));
    for query in ["getRepoStatus", "getRepo", "getLatestCommit", "listBlobs"] {
        let query = format!("com.atproto.sync.{query}?did={}", ada.did);
        refused(server.ask(&query, "").await, (400, "RepoNotFound"));
    }
    let cid = cid.as_str().unwrap();
    let gone = format!("com.atproto.sync.getBlob?did={}&cid={cid}", ada.did);
    assert_eq!(server.ask(&gone, "").await.0, 400);
    let kept = format!("com.atproto.sync.getBlob?did={}&cid={cid}", bob.did);
    assert_eq!(server.ask(&kept, "").await.1, "shared");
    // What the account said before is not replayed, whoever asks.
    let mut replay = Firehose::open(&server, Some(0)).await;
    let first = replay
        .until(|event| match event {
            Event::Account(event) => event.did.as_str() == ada.did,
            Event::Commit(event) => event.repo.as_str() == ada.did,
            Event::Sync(event) => event.did.as_str() == ada.did,
            Event::Identity(event) => event.did.as_str() == ada.did,
        })
        .await;
    assert!(
        matches!(&first, Event::Account(event) if event.status.as_deref() == Some("deleted")),
        "{first:?}"
    );
    // Handle and address are free again.
    server.member("ada").await;
}

#[tokio::test]
async fn account_deletion_by_the_operator_takes_no_code_and_works_without_any_data() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let nsid = "com.atproto.admin.deleteAccount";
    let body = json!({ "did": ada.did });
    assert_eq!(ada.call(&server, nsid, body.clone()).await.0, 401);
    let mut firehose = Firehose::open(&server, None).await;
    ok(server.call(nsid, &operator(), body.clone()).await);
    assert_eq!(firehose.told(1).await, ["account deleted"]);
    refused(
        server.call(nsid, &operator(), body).await,
        (400, "NotFound"),
    );
}

#[tokio::test]
async fn account_deletion_twice_at_once_happens_once() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    ok(ada.call(&server, REQUEST, json!(null)).await);
    let token = server.mailed_code();
    let body = json!({ "did": ada.did, "password": PASSWORD, "token": token });
    let attempts = (0..4).map(|_| server.call(DELETE, "", body.clone()));
    let outcomes = futures::future::join_all(attempts).await;
    let won = outcomes.iter().filter(|(status, _)| *status == 200).count();
    assert_eq!(won, 1);
    for (status, answer) in outcomes.iter().filter(|(status, _)| *status != 200) {
        assert!([400, 401].contains(status), "{answer}");
    }
}

/// Every text of the database in which `words` stand.
fn traces(folder: &std::path::Path, words: &[&str]) -> Vec<String> {
    let database = rusqlite::Connection::open(folder.join("pds.sqlite")).unwrap();
    let list = "SELECT name FROM sqlite_schema WHERE type = 'table'";
    let mut tables = database.prepare(list).unwrap();
    let tables = tables.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let mut found = Vec::new();
    for table in tables.map(Result::unwrap) {
        let mut all = database.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let columns = all.column_count();
        let mut rows = all.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            for column in 0..columns {
                let bytes = match row.get_ref(column).unwrap() {
                    ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes,
                    ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => continue,
                };
                let text = String::from_utf8_lossy(bytes);
                found.extend(
                    words
                        .iter()
                        .filter(|word| text.contains(**word))
                        .map(|word| format!("{word} in {table}")),
                );
            }
        }
    }
    found
}

#[tokio::test]
async fn account_deletion_leaves_no_row_but_the_event_that_tells_of_it() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    blob(&server, &ada).await;
    ok(ada.post(&server, "the words of ada").await);
    let app = json!({ "name": "the phone of ada" });
    let create = "com.atproto.server.createAppPassword";
    ok(ada.call(&server, create, app).await);
    let preference = json!({ "$type": "app.bsky.actor.defs#likesOfAda" });
    let put = json!({ "preferences": [preference] });
    ok(ada
        .call(&server, "app.bsky.actor.putPreferences", put)
        .await);
    ok(ada.call(&server, REQUEST, json!(null)).await);
    let body = json!({ "did": ada.did, "password": PASSWORD, "token": server.mailed_code() });
    let words = [
        ada.did.as_str(),
        "ada.test",
        "ada@coop.example",
        "words of ada",
        "phone of ada",
        "likesOfAda",
    ];
    for word in words {
        assert!(!traces(server.folder(), &[word]).is_empty(), "{word}");
    }
    ok(server.call(DELETE, "", body).await);
    crate::server::eventually("one event is left", async || {
        let left = traces(server.folder(), &words);
        left == [format!("{} in event", ada.did)]
    })
    .await;
}
