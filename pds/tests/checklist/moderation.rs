//! Moderation: what is taken down is gone from every read and comes back whole; who may do it.

use rochdale_protocol::crypto::SigningKey;
use rochdale_protocol::plc::Service;
use rochdale_protocol::xrpc::service_auth::{Claims, mint};
use rochdale_service::clock::Clock;
use rochdale_service::config::Secret;
use serde_json::{Value, json};

use crate::directory::key;
use crate::firehose::Firehose;
use crate::member::Member;
use crate::server::{PASSWORD, Server, basic, bearer, ok, operator, refused};

const UPDATE: &str = "com.atproto.admin.updateSubjectStatus";
const STATUS: &str = "com.atproto.admin.getSubjectStatus";

fn repo(did: &str) -> Value {
    json!({ "$type": "com.atproto.admin.defs#repoRef", "did": did })
}

async fn judge(server: &Server, subject: Value, takedown: Option<bool>) -> (u16, Value) {
    let mut body = json!({ "subject": subject });
    if let Some(applied) = takedown {
        body["takedown"] = json!({ "applied": applied, "ref": "case 7" });
    }
    server.call(UPDATE, &operator(), body).await
}

async fn get_record(server: &Server, uri: &str) -> (u16, Value) {
    let mut parts = uri.trim_start_matches("at://").split('/');
    let (did, collection, rkey) = (parts.next(), parts.next(), parts.next());
    let query = format!(
        "com.atproto.repo.getRecord?repo={}&collection={}&rkey={}",
        did.unwrap(),
        collection.unwrap(),
        rkey.unwrap()
    );
    server.ask(&query, "").await
}

#[tokio::test]
async fn moderation_a_taken_down_account_is_gone_everywhere_and_comes_back_whole() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let post = ok(ada.post(&server, "hello").await);
    let uri = post["uri"].as_str().unwrap();
    let before = ok(server
        .ask(
            &format!("com.atproto.sync.getLatestCommit?did={}", ada.did),
            "",
        )
        .await);
    let mut firehose = Firehose::open(&server, None).await;

    ok(judge(&server, repo(&ada.did), Some(true)).await);
    let status = format!("com.atproto.sync.getRepoStatus?did={}", ada.did);
    let said = ok(server.ask(&status, "").await);
    assert_eq!(
        said,
        json!({ "did": ada.did, "active": false, "status": "takendown" })
    );
    let listed = ok(server.ask("com.atproto.sync.listRepos", "").await);
    assert_eq!(listed["repos"][0]["status"], "takendown");
    for query in [
        "getRepo",
        "getCheckout",
        "getHead",
        "getLatestCommit",
        "listBlobs",
    ] {
        let query = format!("com.atproto.sync.{query}?did={}", ada.did);
        refused(server.ask(&query, "").await, (400, "RepoTakendown"));
    }
    assert_eq!(get_record(&server, uri).await.0, 400);
    // A token from before is good for nothing, also where nothing is written.
    refused(ada.post(&server, "again").await, (401, "AccountTakedown"));
    for query in [
        "com.atproto.server.getSession",
        "com.atproto.repo.listMissingBlobs",
    ] {
        let (status, answer) = ada.ask(&server, query).await;
        assert!(matches!(status, 400 | 401), "{query}: {answer}");
    }
    let renew = "com.atproto.server.refreshSession";
    let (renewed, _) = server.call(renew, &ada.refresh_auth(), Value::Null).await;
    assert_ne!(renewed, 200);
    refused(
        server.sign_in("ada.test", PASSWORD).await,
        (401, "AccountTakedown"),
    );
    // The operator sees it all the same.
    let query = format!("com.atproto.sync.getLatestCommit?did={}", ada.did);
    assert_eq!(ok(server.ask(&query, &operator()).await), before);
    let told = ok(server
        .ask(&format!("{STATUS}?did={}", ada.did), &operator())
        .await);
    assert_eq!(
        told["takedown"],
        json!({ "applied": true, "ref": "case 7" })
    );

    ok(judge(&server, repo(&ada.did), Some(false)).await);
    assert_eq!(ok(server.ask(&query, "").await), before);
    ok(get_record(&server, uri).await);
    let ada = Member::of(&ok(server.sign_in("ada.test", PASSWORD).await));
    ok(ada.post(&server, "back").await);
    let told = firehose.told(3).await;
    assert_eq!(told, ["account takendown", "account active", "commit"]);
}

#[tokio::test]
async fn moderation_a_record_taken_down_is_hidden_from_reads_and_comes_back() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let (one, two) = (
        ok(ada.post(&server, "one").await),
        ok(ada.post(&server, "two").await),
    );
    let uri = one["uri"].as_str().unwrap();
    let subject = json!({
        "$type": "com.atproto.repo.strongRef", "uri": uri, "cid": one["cid"],
    });
    ok(judge(&server, subject.clone(), Some(true)).await);
    refused(get_record(&server, uri).await, (400, "RecordNotFound"));
    let list = format!(
        "com.atproto.repo.listRecords?repo={}&collection=app.bsky.feed.post",
        ada.did
    );
    let listed = ok(server.ask(&list, "").await);
    assert_eq!(listed["records"].as_array().unwrap().len(), 1);
    assert_eq!(listed["records"][0]["uri"], two["uri"]);
    let told = ok(server
        .ask(&format!("{STATUS}?uri={uri}"), &operator())
        .await);
    assert_eq!(told["subject"], subject);
    assert_eq!(told["takedown"]["applied"], true);

    ok(judge(&server, subject, Some(false)).await);
    ok(get_record(&server, uri).await);
    let listed = ok(server.ask(&list, "").await);
    assert_eq!(listed["records"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn moderation_subjects_that_are_not_there_or_not_named_are_refused() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let nobody = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
    let cid = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku";
    for (query, wanted) in [
        (STATUS.to_owned(), (400, "InvalidRequest")),
        (format!("{STATUS}?blob={cid}"), (400, "InvalidRequest")),
        (format!("{STATUS}?did={nobody}"), (400, "NotFound")),
        (
            format!("{STATUS}?did={}&blob={cid}", ada.did),
            (400, "NotFound"),
        ),
        (
            format!("{STATUS}?uri=at://{}/app.bsky.feed.post/nope", ada.did),
            (400, "NotFound"),
        ),
    ] {
        refused(server.ask(&query, &operator()).await, wanted);
    }
    refused(
        judge(&server, repo(nobody), Some(true)).await,
        (400, "NotFound"),
    );
}

#[tokio::test]
async fn account_status_takedown_outranks_sleep_and_is_not_woken() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let mut firehose = Firehose::open(&server, None).await;
    let set = |body: Value| async {
        let mut body = body;
        body["subject"] = repo(&ada.did);
        server.call(UPDATE, &operator(), body).await
    };
    let both = json!({ "takedown": { "applied": true }, "deactivated": { "applied": false } });
    refused(set(both).await, (400, "InvalidRequest"));
    ok(set(json!({ "deactivated": { "applied": true } })).await);
    ok(set(json!({ "takedown": { "applied": true } })).await);
    let wake = json!({ "deactivated": { "applied": false } });
    refused(set(wake.clone()).await, (400, "InvalidRequest"));
    ok(set(json!({ "takedown": { "applied": false } })).await);
    ok(set(wake).await);
    // Nothing asked for, and told all the same.
    ok(set(json!({})).await);
    let told = firehose.told(5).await;
    assert_eq!(
        told,
        [
            "account deactivated",
            "account takendown",
            "account deactivated",
            "account active",
            "account active"
        ]
    );
}

#[tokio::test]
async fn moderation_a_suspension_has_its_own_name_and_ends_by_itself() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let suspend = |until: &str| {
        let body = json!({ "account": "ada.test", "until": until }).to_string();
        let server = &server;
        async move {
            let auth = operator();
            let headers = [
                ("authorization", auth.as_str()),
                ("content-type", "application/json"),
            ];
            let (status, _, answer) = server
                .send(http::Method::POST, "/admin/suspend", &headers, body)
                .await;
            (status, answer)
        }
    };
    refused(
        suspend("2020-01-01T00:00:00Z").await,
        (400, "InvalidRequest"),
    );
    let until_ms = i64::try_from(server.clock.now_ms()).unwrap() + 3_600_000;
    let until = rochdale_protocol::syntax::Datetime::from_unix_ms(until_ms);
    let mut firehose = Firehose::open(&server, None).await;
    ok(suspend(until.as_str()).await);
    let status = format!("com.atproto.sync.getRepoStatus?did={}", ada.did);
    assert_eq!(ok(server.ask(&status, "").await)["status"], "suspended");
    let query = format!("com.atproto.sync.getRepo?did={}", ada.did);
    refused(server.ask(&query, "").await, (400, "RepoSuspended"));
    refused(ada.post(&server, "x").await, (401, "AccountTakedown"));
    refused(
        server.sign_in("ada.test", PASSWORD).await,
        (401, "AccountTakedown"),
    );
    assert_eq!(firehose.told(1).await, ["account suspended"]);
    drop(firehose);

    server.clock.advance(std::time::Duration::from_secs(3_601));
    let directory = std::sync::Arc::clone(&server.directory);
    let server = Server::on(server.stop().await, &directory, |_options| {}).await;
    crate::server::eventually("the suspension is lifted", async || {
        ok(server.ask(&status, "").await)["active"] == true
    })
    .await;
    ok(server.sign_in("ada.test", PASSWORD).await);
}

#[tokio::test]
async fn takedown_appeal_a_taken_down_member_moves_out_and_writes_nothing() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let ben = server.member("ben").await;
    ok(judge(&server, repo(&ada.did), Some(true)).await);
    let body = json!({
        "identifier": "ada.test", "password": PASSWORD, "allowTakendown": true,
    });
    let session = ok(server
        .call("com.atproto.server.createSession", "", body)
        .await);
    assert_eq!(session["status"], "takendown");
    let appealing = Member::of(&session);
    let (status, answer) = appealing.post(&server, "x").await;
    assert!(matches!(status, 400 | 401), "{answer}");
    let handle = json!({ "handle": "other.test" });
    let (status, _) = appealing
        .call(&server, "com.atproto.identity.updateHandle", handle)
        .await;
    assert!(matches!(status, 400 | 401));
    // What a move takes is open, and only about one's own repository.
    for query in ["getRepo", "listBlobs", "getLatestCommit"] {
        let query = format!("com.atproto.sync.{query}?did={}", ada.did);
        ok(appealing.ask(&server, &query).await);
    }
    ok(judge(&server, repo(&ben.did), Some(true)).await);
    let other = format!("com.atproto.sync.getRepo?did={}", ben.did);
    refused(appealing.ask(&server, &other).await, (400, "RepoTakendown"));
    let auth = "com.atproto.server.getServiceAuth?aud=did:web:new.example.org";
    let move_out = format!("{auth}&lxm=com.atproto.server.createAccount");
    ok(appealing.ask(&server, &move_out).await);
    let (status, _) = appealing.ask(&server, auth).await;
    assert_eq!(status, 400, "for no other method");
}

/// A moderation service in the directory: its account's key and its labeler's.
async fn moderator(server: &Server) -> (String, SigningKey, SigningKey) {
    let (own, label) = (key(21), key(22));
    let did = server.directory.register("mod.example.org", &own).await;
    server
        .directory
        .update(did.as_str(), &own, |next| {
            next.verification_methods
                .insert("atproto_label".to_owned(), label.public().to_did_key());
            let service = Service {
                kind: "AtprotoLabeler".to_owned(),
                endpoint: "https://mod.example.org".to_owned(),
            };
            next.services.insert("atproto_labeler".to_owned(), service);
        })
        .await;
    (did.to_string(), own, label)
}

fn claims(server: &Server, iss: &str, lxm: &str, jti: &str) -> Claims {
    let now = i64::try_from(server.clock.now_ms() / 1_000).unwrap();
    Claims {
        iat: Some(now),
        iss: iss.to_owned(),
        aud: server.did(),
        exp: now + 60,
        lxm: Some(lxm.to_owned()),
        jti: Some(jti.to_owned()),
    }
}

#[tokio::test]
async fn moderator_auth_only_the_configured_service_by_tokens_of_its_own_for_this_method() {
    let plain = Server::start().await;
    let (did, own, label) = moderator(&plain).await;
    let trusted = did.clone();
    let server = Server::beside(&plain.directory, |options| {
        options.raw.moderation_service = Some(rochdale_pds::config::RawService {
            did: trusted,
            url: "https://mod.example.org".to_owned(),
        });
    })
    .await;
    let ada = server.member("ada").await;
    let query = format!("{STATUS}?did={}", ada.did);
    let token = |key: &SigningKey, claims: Claims| bearer(&mint(key, &claims));

    ok(server
        .ask(&query, &token(&own, claims(&server, &did, STATUS, "1")))
        .await);
    let labeler = format!("{did}#atproto_labeler");
    ok(server
        .ask(
            &query,
            &token(&label, claims(&server, &labeler, STATUS, "2")),
        )
        .await);
    let used = token(&own, claims(&server, &did, STATUS, "1"));
    refused(server.ask(&query, &used).await, (401, "BadJwt"));

    let mut elsewhere = claims(&server, &did, STATUS, "3");
    elsewhere.aud = "did:web:elsewhere.example.org".to_owned();
    let mut late = claims(&server, &did, STATUS, "4");
    late.exp = 1;
    let other = claims(&server, &did, UPDATE, "5");
    let somebody = claims(&server, &ada.did, STATUS, "6");
    let feed = claims(&server, &format!("{did}#bsky_fg"), STATUS, "7");
    for (key, claims, name) in [
        (&own, elsewhere, "BadJwtAudience"),
        (&own, late, "JwtExpired"),
        (&own, other, "BadJwtLexiconMethod"),
        (&own, somebody, "UntrustedIss"),
        (&own, feed, "UntrustedIss"),
        (
            &label,
            claims(&server, &did, STATUS, "8"),
            "BadJwtSignature",
        ),
        (
            &own,
            claims(&server, &labeler, STATUS, "9"),
            "BadJwtSignature",
        ),
    ] {
        refused(server.ask(&query, &token(key, claims)).await, (401, name));
    }
    let (status, _) = server.ask(&query, "Bearer nonsense").await;
    assert_eq!(status, 401);

    // It moderates, and that is all.
    let auth = token(&own, claims(&server, &did, UPDATE, "10"));
    let body = json!({ "subject": repo(&ada.did), "takedown": { "applied": true } });
    ok(server.call(UPDATE, &auth, body).await);
    let delete = "com.atproto.admin.deleteAccount";
    let auth = token(&own, claims(&server, &did, delete, "11"));
    let (status, _) = server.call(delete, &auth, json!({ "did": ada.did })).await;
    assert_eq!(status, 401);
    // A server that trusts nobody takes the same token from nobody.
    let ben = plain.member("ben").await;
    let query = format!("{STATUS}?did={}", ben.did);
    let auth = token(&own, claims(&plain, &did, STATUS, "12"));
    refused(plain.ask(&query, &auth).await, (401, "UntrustedIss"));
}

#[tokio::test]
async fn operators_have_names_and_what_they_ask_for_stands_in_the_audit_log() {
    let server = Server::start_with(|options| {
        options
            .raw
            .operators
            .push(rochdale_pds::config::RawOperator {
                name: "carol".to_owned(),
                password: Secret::new("carols:secret"),
            });
    })
    .await;
    let ada = server.member("ada").await;
    let carol = basic("carol", "carols:secret");
    let body = json!({ "subject": repo(&ada.did), "takedown": { "applied": true, "ref": "spam" } });
    ok(server.call(UPDATE, &carol, body).await);
    let password = json!({ "did": ada.did, "password": "not to be seen" });
    ok(server
        .call(
            "com.atproto.admin.updateAccountPassword",
            &operator(),
            password,
        )
        .await);
    let wrong = basic("carol", "secret");
    for auth in [
        wrong.as_str(),
        "",
        "Basic",
        "Basic Y2Fyb2w=",
        &basic("nobody", ""),
        &ada.auth(),
    ] {
        let (status, _) = server.get("/admin/audit", &[("authorization", auth)]).await;
        assert_eq!(status, 401, "{auth}");
    }
    let (_, log) = server
        .get("/admin/audit", &[("authorization", carol.as_str())])
        .await;
    let entries = log["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 2, "{log}");
    assert_eq!(entries[0]["who"], "admin");
    assert_eq!(
        entries[0]["method"],
        "com.atproto.admin.updateAccountPassword"
    );
    assert!(!log.to_string().contains("not to be seen"));
    assert_eq!(entries[1]["who"], "carol");
    assert_eq!(entries[1]["subject"], ada.did);
    assert!(entries[1]["detail"].as_str().unwrap().contains("spam"));
    let (_, page) = server
        .get("/admin/audit?limit=1", &[("authorization", carol.as_str())])
        .await;
    let next = page["cursor"].as_str().unwrap();
    let path = format!("/admin/audit?limit=1&cursor={next}");
    let (_, page) = server
        .get(&path, &[("authorization", carol.as_str())])
        .await;
    assert_eq!(page["entries"][0], entries[1]);
}

#[tokio::test]
async fn row_34_basic_credentials_may_have_spaces_around_and_colons_in_the_password() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let query = format!("com.atproto.admin.getAccountInfo?did={}", ada.did);
    let good = operator();
    let encoded = good.trim_start_matches("Basic ");
    for auth in [
        format!("Basic   {encoded}"),
        format!("basic {encoded} "),
        format!("BASIC {encoded}"),
    ] {
        ok(server.ask(&query, &auth).await);
    }
}
