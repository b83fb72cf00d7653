//! PLC operations: asked for by mail, signed as the member wants, passed on if the account stays
//! whole.

use rochdale_protocol::sync::Event;
use serde_json::{Value, json};

use crate::directory::key;
use crate::firehose::Firehose;
use crate::member::Member;
use crate::server::{Server, ok, refused};

const REQUEST: &str = "com.atproto.identity.requestPlcOperationSignature";
const SIGN: &str = "com.atproto.identity.signPlcOperation";
const SUBMIT: &str = "com.atproto.identity.submitPlcOperation";
const RECOMMENDED: &str = "com.atproto.identity.getRecommendedDidCredentials";

async fn signed(server: &Server, member: &Member, mut wanted: Value) -> Value {
    ok(member.call(server, REQUEST, json!(null)).await);
    wanted["token"] = json!(server.mailed_code());
    ok(member.call(server, SIGN, wanted).await)
}

#[tokio::test]
async fn plc_operations_take_a_mailed_code_which_is_good_once() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    refused(
        ada.call(&server, SIGN, json!({})).await,
        (400, "InvalidRequest"),
    );
    let wrong = json!({ "token": "AAAAA-AAAAA" });
    refused(ada.call(&server, SIGN, wrong).await, (400, "InvalidToken"));
    ok(ada.call(&server, REQUEST, json!(null)).await);
    let token = json!({ "token": server.mailed_code() });
    let bad = json!({ "token": token["token"], "rotationKeys": ["did:key:nonsense"] });
    refused(ada.call(&server, SIGN, bad).await, (400, "InvalidRequest"));
    ok(ada.call(&server, SIGN, token.clone()).await);
    refused(
        ada.call(&server, SIGN, token.clone()).await,
        (400, "InvalidToken"),
    );
    ok(ada.call(&server, REQUEST, json!(null)).await);
    let late = json!({ "token": server.mailed_code() });
    server.clock.advance(std::time::Duration::from_secs(901));
    refused(ada.call(&server, SIGN, late).await, (400, "ExpiredToken"));
    assert_eq!(server.directory.log(&ada.did).await.len(), 1);
}

#[tokio::test]
async fn plc_operations_keep_what_is_not_wanted_otherwise_and_put_the_members_key_first() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let before = server.directory.log(&ada.did).await.remove(0);
    let mine = key(5).public().to_did_key();
    let own = ok(ada.ask(&server, RECOMMENDED).await);
    assert_eq!(own["rotationKeys"], before["rotationKeys"]);
    assert_eq!(own["alsoKnownAs"], before["alsoKnownAs"]);
    assert_eq!(own["verificationMethods"], before["verificationMethods"]);
    assert_eq!(own["services"], before["services"]);
    let keys = json!([mine, own["rotationKeys"][0]]);
    let answer = signed(&server, &ada, json!({ "rotationKeys": keys })).await;
    let operation = &answer["operation"];
    assert_eq!(operation["rotationKeys"], keys);
    for field in ["alsoKnownAs", "verificationMethods", "services"] {
        assert_eq!(operation[field], before[field], "{field}");
    }
    let mut firehose = Firehose::open(&server, None).await;
    ok(ada.call(&server, SUBMIT, answer).await);
    assert!(
        matches!(firehose.event().await.1, Event::Identity(event) if event.did.as_str() == ada.did)
    );
    let newest = server.directory.newest(&ada.did).await;
    assert_eq!(newest.rotation_keys()[0], mine);
    // What is recommended from now on keeps the member's key, and its place.
    assert_eq!(
        ok(ada.ask(&server, RECOMMENDED).await)["rotationKeys"],
        keys
    );
}

#[tokio::test]
async fn plc_operations_that_would_break_the_account_are_not_passed_on() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let other = key(5).public().to_did_key();
    let elsewhere = json!({ "type": "AtprotoPersonalDataServer", "endpoint": "https://x.org" });
    let wrong_type = json!({ "type": "Other", "endpoint": server.url });
    for (wanted, said) in [
        (json!({ "rotationKeys": [other] }), "server's rotation key"),
        (json!({ "services": { "atproto_pds": wrong_type } }), "type"),
        (
            json!({ "services": { "atproto_pds": elsewhere } }),
            "endpoint",
        ),
        (
            json!({ "verificationMethods": { "atproto": other } }),
            "signing key",
        ),
        (json!({ "alsoKnownAs": ["at://bob.test"] }), "handle"),
    ] {
        let operation = signed(&server, &ada, wanted).await;
        let answer = ada.call(&server, SUBMIT, operation).await;
        let message = refused(answer, (400, "InvalidRequest"));
        assert!(message.contains(said), "{message}");
    }
    for nonsense in [
        json!({}),
        json!({ "operation": {} }),
        json!({ "operation": "x" }),
    ] {
        refused(
            ada.call(&server, SUBMIT, nonsense).await,
            (400, "InvalidRequest"),
        );
    }
    assert_eq!(server.directory.log(&ada.did).await.len(), 1);
}

#[tokio::test]
async fn plc_operations_are_the_members_own_business_when_the_server_has_no_key() {
    let server = Server::start().await;
    let mine = key(5);
    let ada = server.member_with_key("ada", &mine).await;
    let keys = ok(ada.ask(&server, RECOMMENDED).await)["rotationKeys"].clone();
    assert_eq!(keys[0], mine.public().to_did_key(), "hers first");
    server
        .directory
        .update(&ada.did, &mine, |next| next.rotation_keys.truncate(1))
        .await;
    ok(ada.call(&server, REQUEST, json!(null)).await);
    let token = json!({ "token": server.mailed_code() });
    let said = refused(
        ada.call(&server, SIGN, token).await,
        (400, "InvalidRequest"),
    );
    assert!(said.contains("rotation keys"), "{said}");
    assert_eq!(
        ok(ada.ask(&server, RECOMMENDED).await)["rotationKeys"],
        keys
    );
    let status = "com.atproto.server.checkAccountStatus";
    assert_eq!(ok(ada.ask(&server, status).await)["validDid"], true);
}

#[tokio::test]
async fn plc_operations_on_an_ended_did_are_refused() {
    let server = Server::start().await;
    let mine = key(5);
    let ada = server.member_with_key("ada", &mine).await;
    ok(ada.call(&server, REQUEST, json!(null)).await);
    let token = json!({ "token": server.mailed_code() });
    let head = server.directory.newest(&ada.did).await.cid();
    let end = rochdale_protocol::plc::Tombstone::sign(head, &mine);
    let end = rochdale_protocol::plc::Operation::Tombstone(end);
    let did = ada.did.parse().unwrap();
    assert_eq!(server.directory.submit(&did, &end).await.0, 200);
    refused(
        ada.call(&server, SIGN, token).await,
        (400, "InvalidRequest"),
    );
}
