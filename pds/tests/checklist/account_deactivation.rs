//! Account deactivation: what a sleeping account shows and may do, and how it wakes.

use serde_json::json;

use crate::directory::key;
use crate::firehose::Firehose;
use crate::member::Member;
use crate::server::{PASSWORD, Server, ok, refused};

/// A member who sleeps, and the key of their one post.
async fn sleeping(server: &Server) -> (Member, String) {
    let ada = server.member("ada").await;
    let post = ok(ada.post(server, "before").await);
    let rkey = post["uri"].as_str().unwrap().rsplit('/').next().unwrap();
    let sleep = "com.atproto.server.deactivateAccount";
    ok(ada.call(server, sleep, json!({})).await);
    (ada, rkey.to_owned())
}

#[tokio::test]
async fn account_deactivation_hides_the_repository_from_others_by_name() {
    let server = Server::start().await;
    let (ada, rkey) = sleeping(&server).await;
    let did = &ada.did;
    let status = ok(server
        .ask(&format!("com.atproto.sync.getRepoStatus?did={did}"), "")
        .await);
    assert_eq!(
        status,
        json!({ "did": did, "active": false, "status": "deactivated" })
    );
    for query in [
        format!("com.atproto.sync.getRepo?did={did}"),
        format!("com.atproto.sync.getLatestCommit?did={did}"),
        format!("com.atproto.sync.listBlobs?did={did}"),
        format!("com.atproto.sync.getRecord?did={did}&collection=app.bsky.feed.post&rkey={rkey}"),
    ] {
        refused(server.ask(&query, "").await, (400, "RepoDeactivated"));
        let (status, own) = ada.ask(&server, &query).await;
        assert_eq!(status, 200, "{query} by its owner: {own}");
    }
    let describe = format!("com.atproto.repo.describeRepo?repo={did}");
    refused(server.ask(&describe, "").await, (400, "RepoDeactivated"));
    let of = format!("repo={did}&collection=app.bsky.feed.post");
    for (query, name) in [
        (format!("listRecords?{of}"), "InvalidRequest"),
        (format!("getRecord?{of}&rkey={rkey}"), "RecordNotFound"),
    ] {
        let query = format!("com.atproto.repo.{query}");
        refused(server.ask(&query, "").await, (400, name));
    }
    let resolve = "com.atproto.identity.resolveHandle?handle=ada.test";
    refused(server.ask(resolve, "").await, (400, "HandleNotFound"));
    let headers = [("host", "ada.test")];
    assert_eq!(
        server.get("/.well-known/atproto-did", &headers).await.0,
        404
    );
}

#[tokio::test]
async fn account_deactivation_leaves_signing_in_and_what_moving_takes() {
    let server = Server::start().await;
    let (ada, _) = sleeping(&server).await;
    let session = ok(server.sign_in("ada.test", PASSWORD).await);
    assert_eq!(
        (&session["active"], &session["status"]),
        (&json!(false), &json!("deactivated"))
    );
    let again = Member::of(&session);
    let renew = "com.atproto.server.refreshSession";
    ok(server.call(renew, &again.refresh_auth(), json!(null)).await);
    for query in [
        "com.atproto.server.getSession",
        "com.atproto.server.checkAccountStatus",
        "com.atproto.identity.getRecommendedDidCredentials",
        "com.atproto.repo.listMissingBlobs",
        "com.atproto.server.getServiceAuth?aud=did:web:x.org",
        "app.bsky.actor.getPreferences",
    ] {
        ok(ada.ask(&server, query).await);
    }
    let status = ok(ada
        .ask(&server, "com.atproto.server.checkAccountStatus")
        .await);
    assert_eq!(
        (&status["activated"], &status["validDid"]),
        (&json!(false), &json!(true))
    );
    let put = json!({ "preferences": [] });
    ok(ada
        .call(&server, "app.bsky.actor.putPreferences", put)
        .await);
    let handle = json!({ "handle": "lovelace.test" });
    let update = "com.atproto.identity.updateHandle";
    ok(ada.call(&server, update, handle).await);
}

#[tokio::test]
async fn account_deactivation_refuses_every_kind_of_write_until_the_account_wakes() {
    let server = Server::start().await;
    let (ada, _) = sleeping(&server).await;
    let record =
        json!({ "$type": "app.bsky.feed.post", "text": "x", "createdAt": "2026-01-01T00:00:00Z" });
    let note = json!({ "$type": "com.example.note", "text": "x" });
    let base = json!({
        "repo": ada.did, "collection": "com.example.note", "rkey": "one", "record": note,
    });
    let batch = json!({ "repo": ada.did, "writes": [{
        "$type": "com.atproto.repo.applyWrites#create",
        "collection": "app.bsky.feed.post", "value": record,
    }]});
    let writes = [
        ("com.atproto.repo.createRecord", &base),
        ("com.atproto.repo.putRecord", &base),
        ("com.atproto.repo.deleteRecord", &base),
        ("com.atproto.repo.applyWrites", &batch),
    ];
    for (nsid, body) in writes {
        let answer = ada.call(&server, nsid, body.clone()).await;
        let said = refused(answer, (401, "AccountDeactivated"));
        assert_eq!(said, "Account is deactivated", "{nsid}");
    }
    let mut firehose = Firehose::open(&server, None).await;
    let wake = "com.atproto.server.activateAccount";
    ok(ada.call(&server, wake, json!(null)).await);
    assert_eq!(
        firehose.told(3).await,
        ["account active", "identity", "sync"]
    );
    for (nsid, body) in writes {
        ok(ada.call(&server, nsid, body.clone()).await);
    }
    let resolve = "com.atproto.identity.resolveHandle?handle=ada.test";
    ok(server.ask(resolve, "").await);
    let list = format!(
        "com.atproto.repo.listRecords?repo={}&collection=app.bsky.feed.post",
        ada.did
    );
    ok(server.ask(&list, "").await);
    ok(ada.call(&server, wake, json!(null)).await);
    firehose
        .until(|event| matches!(event, rochdale_protocol::sync::Event::Account(_)))
        .await;
}

#[tokio::test]
async fn account_deactivation_works_after_the_identity_has_moved_and_waking_does_not() {
    let server = Server::start().await;
    let mine = key(5);
    let ada = server.member_with_key("ada", &mine).await;
    let move_away = |next: &mut rochdale_protocol::plc::UnsignedOperation| {
        let service = next.services.get_mut("atproto_pds").unwrap();
        service.endpoint = "https://new.example.org".to_owned();
    };
    server.directory.update(&ada.did, &mine, move_away).await;
    let (sleep, wake) = (
        "com.atproto.server.deactivateAccount",
        "com.atproto.server.activateAccount",
    );
    ok(ada.call(&server, sleep, json!({})).await);
    let said = refused(
        ada.call(&server, wake, json!(null)).await,
        (400, "InvalidRequest"),
    );
    assert!(said.contains("service endpoint"), "{said}");
    let come_back = |next: &mut rochdale_protocol::plc::UnsignedOperation| {
        let service = next.services.get_mut("atproto_pds").unwrap();
        service.endpoint.clone_from(&server.url);
        let other = key(6).public().to_did_key();
        next.verification_methods
            .insert("atproto".to_owned(), other);
    };
    server.directory.update(&ada.did, &mine, come_back).await;
    let said = refused(
        ada.call(&server, wake, json!(null)).await,
        (400, "InvalidRequest"),
    );
    assert!(said.contains("signing key"), "{said}");
}

#[tokio::test]
async fn account_deactivation_with_a_date_deletes_the_account_when_that_has_come() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let sleep = "com.atproto.server.deactivateAccount";
    let date = json!({ "deleteAfter": "2020-01-01T00:00:00Z" });
    ok(ada.call(&server, sleep, date).await);
    let directory = std::sync::Arc::clone(&server.directory);
    let folder = server.stop().await;
    // The first look for such accounts is at the start.
    let server = Server::on(folder, &directory, |_options| {}).await;
    crate::server::eventually("the account is deleted", async || {
        server.sign_in("ada.test", PASSWORD).await.0 == 401
    })
    .await;
}
