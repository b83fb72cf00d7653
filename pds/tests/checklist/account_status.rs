//! Account status: what the operator's word does on every route and in the stream.

use rochdale_pds::api;
use rochdale_service::xrpc::Kind;
use serde_json::{Value, json};

use crate::firehose::Firehose;
use crate::member::Member;
use crate::server::{PASSWORD, Server, bearer, ok, operator, refused};

const UPDATE: &str = "com.atproto.admin.updateSubjectStatus";

async fn update(server: &Server, did: &str, change: Value) -> (u16, Value) {
    let mut body = change;
    body["subject"] = json!({ "$type": "com.atproto.admin.defs#repoRef", "did": did });
    server.call(UPDATE, &operator(), body).await
}

async fn take_down(server: &Server, did: &str, applied: bool) {
    let change = json!({ "takedown": { "applied": applied, "ref": "1" } });
    ok(update(server, did, change).await);
}

#[tokio::test]
async fn account_status_takedown_and_activation_exclude_each_other() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let both = json!({ "takedown": { "applied": true }, "deactivated": { "applied": false } });
    refused(
        update(&server, &ada.did, both).await,
        (400, "InvalidRequest"),
    );
    take_down(&server, &ada.did, true).await;
    let wake = json!({ "deactivated": { "applied": false } });
    refused(
        update(&server, &ada.did, wake).await,
        (400, "InvalidRequest"),
    );
    let unknown = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
    let down = json!({ "takedown": { "applied": true } });
    refused(update(&server, unknown, down).await, (400, "NotFound"));
}

#[tokio::test]
async fn account_status_every_word_is_an_event_also_when_nothing_changes() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let mut firehose = Firehose::open(&server, None).await;
    for applied in [true, true, false, false] {
        take_down(&server, &ada.did, applied).await;
    }
    assert_eq!(
        firehose.told(4).await,
        [
            "account takendown",
            "account takendown",
            "account active",
            "account active"
        ]
    );
    let state = format!("com.atproto.admin.getSubjectStatus?did={}", ada.did);
    let state = ok(server.ask(&state, &operator()).await);
    assert_eq!(state["takedown"]["applied"], false);
}

#[tokio::test]
async fn account_status_takedown_outranks_deactivation() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let sleep = "com.atproto.server.deactivateAccount";
    ok(ada.call(&server, sleep, json!({})).await);
    let mut firehose = Firehose::open(&server, None).await;
    take_down(&server, &ada.did, true).await;
    let status = format!("com.atproto.sync.getRepoStatus?did={}", ada.did);
    assert_eq!(ok(server.ask(&status, "").await)["status"], "takendown");
    take_down(&server, &ada.did, false).await;
    assert_eq!(ok(server.ask(&status, "").await)["status"], "deactivated");
    assert_eq!(
        firehose.told(2).await,
        ["account takendown", "account deactivated"]
    );
}

#[tokio::test]
async fn account_status_a_taken_down_repository_is_refused_by_name_but_not_to_owner_and_operator() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    ok(ada.post(&server, "x").await);
    take_down(&server, &ada.did, true).await;
    let limited = limited(&server).await;
    for query in ["getRepo", "getLatestCommit", "listBlobs"] {
        let query = format!("com.atproto.sync.{query}?did={}", ada.did);
        refused(server.ask(&query, "").await, (400, "RepoTakendown"));
        assert_eq!(server.ask(&query, &operator()).await.0, 200, "{query}");
        assert_eq!(limited.ask(&server, &query).await.0, 200, "{query}");
    }
    let status = format!("com.atproto.sync.getRepoStatus?did={}", ada.did);
    assert_eq!(
        ok(server.ask(&status, "").await),
        json!({ "did": ada.did, "active": false, "status": "takendown" })
    );
    let listed = ok(server.ask("com.atproto.sync.listRepos", "").await);
    assert_eq!(listed["repos"][0]["status"], "takendown");
    let resolve = "com.atproto.identity.resolveHandle?handle=ada.test";
    refused(server.ask(resolve, "").await, (400, "HandleNotFound"));
    let headers = [("host", "ada.test")];
    assert_eq!(
        server.get("/.well-known/atproto-did", &headers).await.0,
        404
    );
}

/// The session that a taken-down account gets for appeals and moving out.
async fn limited(server: &Server) -> Member {
    let body = json!({ "identifier": "ada.test", "password": PASSWORD, "allowTakendown": true });
    let create = "com.atproto.server.createSession";
    let session = ok(server.call(create, "", body).await);
    assert_eq!(
        (&session["active"], &session["status"]),
        (&json!(false), &json!("takendown"))
    );
    Member::of(&session)
}

#[tokio::test]
async fn account_status_a_taken_down_member_signs_in_only_to_appeal_and_to_leave() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let app = json!({ "name": "phone", "privileged": true });
    let app = ok(ada
        .call(&server, "com.atproto.server.createAppPassword", app)
        .await);
    take_down(&server, &ada.did, true).await;
    refused(
        server.sign_in("ada.test", PASSWORD).await,
        (401, "AccountTakedown"),
    );
    let body = json!({
        "identifier": "ada.test", "password": app["password"], "allowTakendown": true,
    });
    let create = "com.atproto.server.createSession";
    refused(
        server.call(create, "", body).await,
        (401, "AccountTakedown"),
    );
    let limited = limited(&server).await;
    let renew = "com.atproto.server.refreshSession";
    for member in [&ada, &limited] {
        refused(
            server
                .call(renew, &member.refresh_auth(), json!(null))
                .await,
            (401, "AccountTakedown"),
        );
    }
    let vouch =
        |lxm: &str| format!("com.atproto.server.getServiceAuth?aud=did:web:x.org&lxm={lxm}");
    ok(limited
        .ask(&server, &vouch("com.atproto.server.createAccount"))
        .await);
    refused(
        limited
            .ask(&server, &vouch("app.bsky.feed.getTimeline"))
            .await,
        (400, "InvalidToken"),
    );
    refused(limited.post(&server, "x").await, (401, "AccountTakedown"));
    ok(limited
        .call(
            &server,
            "com.atproto.identity.requestPlcOperationSignature",
            json!(null),
        )
        .await);
    ok(limited
        .call(&server, "com.atproto.server.deactivateAccount", json!({}))
        .await);
    take_down(&server, &ada.did, false).await;
    ok(server.sign_in("ada.test", PASSWORD).await);
}

#[tokio::test]
async fn account_status_a_suspended_account_is_called_so_and_treated_as_taken_down() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let mut firehose = Firehose::open(&server, None).await;
    let suspend = json!({ "account": ada.did, "until": "2999-01-01T00:00:00Z" }).to_string();
    let auth = operator();
    let headers = [
        ("authorization", auth.as_str()),
        ("content-type", "application/json"),
    ];
    let post = http::Method::POST;
    let (status, _, answer) = server.send(post, "/admin/suspend", &headers, suspend).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(firehose.told(1).await, ["account suspended"]);
    let state = format!("com.atproto.sync.getRepoStatus?did={}", ada.did);
    let wanted = json!({ "did": ada.did, "active": false, "status": "suspended" });
    assert_eq!(ok(server.ask(&state, "").await), wanted);
    let listed = ok(server.ask("com.atproto.sync.listRepos", "").await);
    assert_eq!(listed["repos"][0]["status"], "suspended");
    for query in ["getRepo", "getLatestCommit", "listBlobs"] {
        let query = format!("com.atproto.sync.{query}?did={}", ada.did);
        refused(server.ask(&query, "").await, (400, "RepoSuspended"));
        assert_eq!(server.ask(&query, &auth).await.0, 200, "{query}");
    }
    let resolve = "com.atproto.identity.resolveHandle?handle=ada.test";
    refused(server.ask(resolve, "").await, (400, "HandleNotFound"));
    refused(
        server.sign_in("ada.test", PASSWORD).await,
        (401, "AccountTakedown"),
    );
    refused(ada.post(&server, "x").await, (401, "AccountTakedown"));
    let renew = "com.atproto.server.refreshSession";
    refused(
        server.call(renew, &ada.refresh_auth(), json!(null)).await,
        (401, "AccountTakedown"),
    );
    let body = json!({ "identifier": "ada.test", "password": PASSWORD, "allowTakendown": true });
    let create = "com.atproto.server.createSession";
    let session = ok(server.call(create, "", body).await);
    assert_eq!(session["status"], "suspended");
    take_down(&server, &ada.did, false).await;
    assert_eq!(firehose.told(1).await, ["account active"]);
    ok(server.sign_in("ada.test", PASSWORD).await);
}

/// Classes of credentials that are not a member's session.
const OTHERS: [&str; 7] = [
    "none",
    "none or service",
    "refresh",
    "admin",
    "moderator",
    "password and code",
    "optional",
];

/// Whatever a query may ask for first: parameters are read before credentials.
const PARAMETERS: &str = "aud=did:web:x.org&collection=com.example.note&rkey=x\
    &cid=bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm\
    &cids=bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm";

#[tokio::test]
async fn row_33_a_token_from_before_is_refused_by_the_accounts_state_on_every_route() {
    let server = Server::start().await;
    let (ada, bob) = (server.member("ada").await, server.member("bob").await);
    take_down(&server, &ada.did, true).await;
    let delete = json!({ "did": bob.did });
    let nsid = "com.atproto.admin.deleteAccount";
    ok(server.call(nsid, &operator(), delete).await);
    let mut checked = 0;
    for row in api::table() {
        if OTHERS.contains(&row.auth) || row.kind == Some(Kind::Subscription) {
            continue;
        }
        for (member, wanted) in [
            (&ada, (401, "AccountTakedown")),
            (&bob, (403, "AccountNotFound")),
        ] {
            let answer = match row.kind {
                Some(Kind::Query) => {
                    let query = format!("{}?{PARAMETERS}&did={}", row.nsid, member.did);
                    member.ask(&server, &query).await
                }
                _ => member.call(&server, row.nsid, json!({})).await,
            };
            let name = answer.1["error"].as_str().unwrap_or_default();
            assert_eq!((answer.0, name), wanted, "{} {}", row.nsid, row.auth);
        }
        checked += 1;
    }
    assert!(checked > 30, "only {checked} routes");
    let proxied = "app.bsky.feed.getTimeline";
    refused(
        server.ask(proxied, &bearer(&ada.access)).await,
        (401, "AccountTakedown"),
    );
}
