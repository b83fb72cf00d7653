//! An account that comes from another server with its own identity.

use std::collections::BTreeMap;

use rochdale_protocol::crypto::SigningKey;
use rochdale_protocol::plc::{Operation, UnsignedOperation};
use rochdale_protocol::syntax::Did;
use serde_json::{Value, json};

use super::support::{Member, PASSWORD, Server, bearer};
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

    let (_, own) = server
        .ask(
            "com.atproto.identity.getRecommendedDidCredentials",
            &ada.access,
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
        .append(&did, Operation::Plc(moved.sign(&key)));
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
