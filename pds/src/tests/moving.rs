//! An account that comes from another server with its own identity.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Body;
use rochdale_protocol::crypto::SigningKey;
use rochdale_protocol::plc::{Operation, UnsignedOperation};
use rochdale_protocol::syntax::Did;
use serde_json::{Value, json};

use super::support::{Member, PASSWORD, Server, basic, bearer};
use crate::keys::Keyring;
use crate::proxy::mint;

const CREATE: &str = "com.atproto.server.createAccount";

/// The token that the old server gives for the move.
async fn move_token(server: &Server, did: &Did, key: &SigningKey, lxm: &str) -> String {
    let (_, described) = server
        .get("/xrpc/com.atproto.server.describeServer", &[])
        .await;
    let now_s = 1_800_000_000;
    let aud = described["did"].as_str().unwrap();
    bearer(&mint(key, did, aud, Some(lxm), now_s, now_s + 60))
}

fn wish(did: &Did) -> Value {
    json!({
        "did": did.as_str(), "handle": "ada.test", "email": "ada@coop.example",
        "password": PASSWORD,
    })
}

#[tokio::test]
async fn an_account_moves_here_and_wakes_once_its_document_names_this_server() {
    let server = Server::start().await;
    let key = Keyring::generate();
    let did = server.directory.register("ada.test", &key);
    let token = move_token(&server, &did, &key, CREATE).await;
    let (status, session) = server.call(CREATE, &token, &wish(&did)).await;
    assert_eq!(
        (status, session["did"].as_str()),
        (200, Some(did.as_str())),
        "{session}"
    );
    let ada = Member::of(&session);
    let auth = bearer(&ada.access);
    let (_, account) = server
        .ask("com.atproto.server.checkAccountStatus", &ada.access)
        .await;
    assert_eq!(
        (&account["activated"], &account["validDid"]),
        (&json!(false), &json!(false))
    );
    let activate = "com.atproto.server.activateAccount";
    assert_eq!(server.call(activate, &auth, &Value::Null).await.0, 400);

    point_here(&server, &did, &key, &ada).await;
    let (status, answer) = server.call(activate, &auth, &Value::Null).await;
    assert_eq!(status, 200, "{answer}");
    let (_, account) = server
        .ask("com.atproto.server.checkAccountStatus", &ada.access)
        .await;
    assert_eq!(
        (&account["activated"], &account["validDid"]),
        (&json!(true), &json!(true))
    );
}

/// The member's own operation that makes the DID name this server and its key.
async fn point_here(server: &Server, did: &Did, key: &SigningKey, who: &Member) {
    let (_, own) = server
        .ask(
            "com.atproto.identity.getRecommendedDidCredentials",
            &who.access,
        )
        .await;
    let mut rotation_keys = vec![key.public().to_did_key()];
    rotation_keys.push(own["rotationKeys"][0].as_str().unwrap().to_owned());
    let signing = own["verificationMethods"]["atproto"]
        .as_str()
        .unwrap()
        .to_owned();
    let service = serde_json::from_value(own["services"]["atproto_pds"].clone()).unwrap();
    let moved = UnsignedOperation {
        rotation_keys,
        verification_methods: BTreeMap::from([("atproto".to_owned(), signing)]),
        also_known_as: vec!["at://ada.test".to_owned()],
        services: BTreeMap::from([("atproto_pds".to_owned(), service)]),
        prev: Some(server.directory.operations(did.as_str())[0].cid()),
    };
    server
        .directory
        .append(did, Operation::Plc(moved.sign(key)));
}

/// An account that was brought here and not activated.
async fn arrives(server: &Server) -> (Did, SigningKey, Member) {
    let key = Keyring::generate();
    let did = server.directory.register("ada.test", &key);
    let token = move_token(server, &did, &key, CREATE).await;
    let (status, session) = server.call(CREATE, &token, &wish(&did)).await;
    assert_eq!(status, 200, "{session}");
    (did, key, Member::of(&session))
}

const FOUR_DAYS: Duration = Duration::from_secs(4 * 24 * 60 * 60);

/// Until the jobs that run at the start had their time.
async fn sign_in_status(server: &Server, wanted: u16) -> u16 {
    let mut status = 0;
    for _ in 0..40 {
        status = server.sign_in("ada.test", PASSWORD).await.0;
        if status == wanted {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    status
}

#[tokio::test]
async fn an_account_that_was_brought_here_and_left_is_removed_without_a_word() {
    let mut server = Server::start().await;
    let (did, key, _) = arrives(&server).await;
    server.restart().await;
    assert_eq!(
        server.sign_in("ada.test", PASSWORD).await.0,
        200,
        "too early"
    );
    server.clock.advance(FOUR_DAYS);
    server.restart().await;
    assert_eq!(sign_in_status(&server, 401).await, 401);
    let rows = rusqlite::Connection::open(server.folder.path().join("pds.sqlite"))
        .unwrap()
        .query_row("SELECT count(*) FROM event", [], |row| row.get::<_, i64>(0))
        .unwrap();
    assert_eq!(rows, 0, "nobody was told of it");
    // It may come again.
    let now_s = 1_800_000_000 + 4 * 24 * 60 * 60;
    let described = server
        .get("/xrpc/com.atproto.server.describeServer", &[])
        .await
        .1;
    let aud = described["did"].as_str().unwrap();
    let token = bearer(&mint(&key, &did, aud, Some(CREATE), now_s, now_s + 60));
    assert_eq!(server.call(CREATE, &token, &wish(&did)).await.0, 200);
}

#[tokio::test]
async fn an_account_whose_did_names_this_server_is_never_taken_for_abandoned() {
    let mut server = Server::start().await;
    let (did, key, ada) = arrives(&server).await;
    point_here(&server, &did, &key, &ada).await;
    for _ in 0..2 {
        server.clock.advance(FOUR_DAYS);
        server.restart().await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(server.sign_in("ada.test", PASSWORD).await.0, 200);
    }
    let (_, session) = server.sign_in("ada.test", PASSWORD).await;
    let auth = bearer(session["accessJwt"].as_str().unwrap());
    let activate = "com.atproto.server.activateAccount";
    assert_eq!(server.call(activate, &auth, &Value::Null).await.0, 200);
    server.clock.advance(FOUR_DAYS);
    server.restart().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(server.sign_in("ada.test", PASSWORD).await.0, 200, "active");
}

#[tokio::test]
async fn the_key_that_was_reserved_for_a_did_becomes_the_accounts_key() {
    let server = Server::start().await;
    let key = Keyring::generate();
    let did = server.directory.register("ada.test", &key);
    let reserve = "com.atproto.server.reserveSigningKey";
    let wanted = json!({ "did": did.as_str() });
    let (status, first) = server.call(reserve, "", &wanted).await;
    assert_eq!(status, 200, "{first}");
    assert_eq!(
        server.call(reserve, "", &wanted).await.1,
        first,
        "one key for one DID"
    );
    let (status, other) = server.call(reserve, "", &json!({})).await;
    assert_eq!(status, 200, "{other}");
    assert_ne!(other, first);
    let unknown = json!({ "did": "did:plc:ewvi7nxzyoun6zhxrhs64oiz" });
    assert_eq!(server.call(reserve, "", &unknown).await.0, 400);
    let token = move_token(&server, &did, &key, CREATE).await;
    let (_, session) = server.call(CREATE, &token, &wish(&did)).await;
    let ada = Member::of(&session);
    let (_, own) = server
        .ask(
            "com.atproto.identity.getRecommendedDidCredentials",
            &ada.access,
        )
        .await;
    assert_eq!(own["verificationMethods"]["atproto"], first["signingKey"]);
}

#[tokio::test]
async fn a_body_that_is_no_repository_of_the_caller_is_refused_by_name() {
    let server = Server::start().await;
    let (ada, ben) = (server.member("ada").await, server.member("ben").await);
    let export = |did: &str| format!("/xrpc/com.atproto.sync.getRepo?did={did}");
    let file = |path: String| {
        let request = http::Request::get(format!("{}{path}", server.url));
        server.raw(request.body(Body::empty()).unwrap())
    };
    let (_, _, others) = file(export(&ben.did)).await;
    let (_, _, own) = file(export(&ada.did)).await;
    let import = |bytes: bytes::Bytes, kind: &'static str| {
        let request =
            http::Request::post(format!("{}/xrpc/com.atproto.repo.importRepo", server.url))
                .header("authorization", bearer(&ada.access))
                .header("content-type", kind);
        server.raw(request.body(Body::from(bytes)).unwrap())
    };
    const CAR: &str = "application/vnd.ipld.car";
    for (body, kind, why) in [
        (others, CAR, "the account is did:plc:"),
        (bytes::Bytes::from_static(b"no car file at all"), CAR, "CAR"),
        (bytes::Bytes::new(), CAR, "CAR"),
        (own.slice(..own.len() - 1), CAR, "CAR"),
        (own.clone(), "application/json", "encoding"),
    ] {
        let (status, _, answer) = import(body, kind).await;
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(status, 400, "{answer}");
        assert!(
            answer["message"].as_str().unwrap().contains(why),
            "{answer}"
        );
    }
    let (status, _, answer) = import(own, CAR).await;
    assert_eq!(status, 200, "{answer:?}");
}

#[tokio::test]
async fn a_taken_down_member_has_everything_that_leaving_takes() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let take_down = json!({
        "subject": { "$type": "com.atproto.admin.defs#repoRef", "did": ada.did },
        "takedown": { "applied": true, "ref": "1" },
    });
    let nsid = "com.atproto.admin.updateSubjectStatus";
    let (status, answer) = server.call(nsid, &basic(), &take_down).await;
    assert_eq!(status, 200, "{answer}");
    let sign_in = json!({ "identifier": "ada.test", "password": PASSWORD, "allowTakendown": true });
    let (_, session) = server
        .call("com.atproto.server.createSession", "", &sign_in)
        .await;
    let out = session["accessJwt"].as_str().unwrap();
    let did = &ada.did;
    for path in [
        format!("com.atproto.server.getServiceAuth?aud=did:web:new.example.org&lxm={CREATE}"),
        "app.bsky.actor.getPreferences".to_owned(),
        "com.atproto.identity.getRecommendedDidCredentials".to_owned(),
        format!("com.atproto.sync.listBlobs?did={did}"),
        format!("com.atproto.sync.getRepo?did={did}"),
    ] {
        let (status, answer) = server.ask(&path, out).await;
        assert_eq!(status, 200, "{path}: {answer}");
    }
    let auth = bearer(out);
    let request = "com.atproto.identity.requestPlcOperationSignature";
    assert_eq!(server.call(request, &auth, &Value::Null).await.0, 200);
    let wish = json!({ "token": server.mailed_code() });
    let sign = "com.atproto.identity.signPlcOperation";
    assert_eq!(server.call(sign, &auth, &wish).await.0, 200);
    let deactivate = "com.atproto.server.deactivateAccount";
    assert_eq!(server.call(deactivate, &auth, &json!({})).await.0, 200);
}

#[tokio::test]
async fn a_code_for_signing_is_good_once_and_for_a_quarter_of_an_hour() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let auth = bearer(&ada.access);
    let request = "com.atproto.identity.requestPlcOperationSignature";
    let sign = "com.atproto.identity.signPlcOperation";
    let refused = |answer: (u16, Value)| answer.1["error"].as_str().unwrap().to_owned();
    assert_eq!(server.call(request, &auth, &Value::Null).await.0, 200);
    let wish = json!({ "token": server.mailed_code() });
    server.clock.advance(Duration::from_secs(16 * 60));
    assert_eq!(
        refused(server.call(sign, &auth, &wish).await),
        "ExpiredToken"
    );
    assert_eq!(server.call(request, &auth, &Value::Null).await.0, 200);
    assert_eq!(
        refused(server.call(sign, &auth, &wish).await),
        "InvalidToken"
    );
    let wish = json!({ "token": server.mailed_code() });
    assert_eq!(server.call(sign, &auth, &wish).await.0, 200);
    assert_eq!(
        refused(server.call(sign, &auth, &wish).await),
        "InvalidToken"
    );
}

#[tokio::test]
async fn nobody_takes_an_identity_that_is_not_theirs() {
    let server = Server::start().await;
    let key = Keyring::generate();
    let did = server.directory.register("ada.test", &key);
    let thief = Keyring::generate();
    let other = server.directory.register("eve.test", &thief);
    for (token, name) in [
        (
            move_token(&server, &did, &thief, CREATE).await,
            "BadJwtSignature",
        ),
        (
            move_token(&server, &other, &thief, CREATE).await,
            "AuthenticationRequired",
        ),
        (
            move_token(&server, &did, &key, "com.atproto.repo.uploadBlob").await,
            "BadJwtLexiconMethod",
        ),
        ("Bearer nonsense".to_owned(), "BadJwt"),
        ("Basic YTpi".to_owned(), "AuthenticationRequired"),
    ] {
        let (status, answer) = server.call(CREATE, &token, &wish(&did)).await;
        assert_eq!(
            (status, answer["error"].as_str()),
            (401, Some(name)),
            "{answer}"
        );
    }
    let token = move_token(&server, &did, &key, CREATE).await;
    assert_eq!(server.call(CREATE, &token, &wish(&did)).await.0, 200);
    let (status, answer) = server.call(CREATE, &token, &wish(&did)).await;
    assert_eq!(
        (status, answer["error"].as_str()),
        (401, Some("BadJwt")),
        "a token is good once"
    );
    let token = move_token(&server, &did, &key, CREATE).await;
    let (status, answer) = server.call(CREATE, &token, &wish(&did)).await;
    assert_eq!(
        (status, answer["error"].as_str()),
        (400, Some("AlreadyExists"))
    );
}
