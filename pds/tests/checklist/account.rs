//! Account: what signing up makes, and whom it refuses.

use futures::future::join_all;
use serde_json::json;

use crate::directory::key;
use crate::firehose::Firehose;
use crate::server::{PASSWORD, Server, basic, bearer, ok, operator, refused, wish};

const CREATE: &str = "com.atproto.server.createAccount";

#[tokio::test]
async fn account_describe_server_says_what_a_client_needs_to_sign_up() {
    let server = Server::start().await;
    let said = ok(server.ask("com.atproto.server.describeServer", "").await);
    assert_eq!(said["did"], server.did());
    assert_eq!(said["availableUserDomains"], json!([".test"]));
    assert_eq!(said["inviteCodeRequired"], false);
    assert_eq!(said["phoneVerificationRequired"], false);
    assert_eq!(said["deliversMail"], false);
    assert!(said["links"].is_object() && said["contact"].is_object());
}

#[tokio::test]
async fn account_a_new_did_names_handle_server_and_keys_and_the_recovery_key_comes_first() {
    let server = Server::start().await;
    let mine = key(9).public().to_did_key();
    let mut body = wish("ada");
    body["recoveryKey"] = json!(mine);
    let mut firehose = Firehose::open(&server, None).await;
    let session = ok(server.call(CREATE, "", body).await);
    let did = session["did"].as_str().unwrap();
    assert_eq!(session["handle"], "ada.test");
    assert_eq!(session["didDoc"]["id"], did);
    let operations = server.directory.log(did).await;
    let [genesis] = &operations[..] else {
        panic!("{operations:?}")
    };
    assert_eq!(genesis["alsoKnownAs"], json!(["at://ada.test"]));
    let service = &genesis["services"]["atproto_pds"];
    assert_eq!(service["endpoint"], server.url);
    assert_eq!(service["type"], "AtprotoPersonalDataServer");
    let rotation = genesis["rotationKeys"].as_array().unwrap();
    assert_eq!((rotation.len(), &rotation[0]), (2, &json!(mine)));
    let signing = &genesis["verificationMethods"]["atproto"];
    assert!(!rotation.contains(signing), "three keys for three jobs");
    let told = firehose.told(4).await;
    assert_eq!(told, ["identity", "account active", "commit", "sync"]);
}

#[tokio::test]
async fn account_addresses_that_are_none_or_throw_away_are_refused() {
    let server = Server::start().await;
    for email in [
        "",
        "ada",
        "ada@",
        "ada@localhost",
        "a@b@c.org",
        "ada@mailinator.com",
    ] {
        let mut body = wish("ada");
        body["email"] = json!(email);
        refused(server.call(CREATE, "", body).await, (400, "InvalidRequest"));
    }
    let mut body = wish("ada");
    body["password"] = json!("x".repeat(257));
    refused(
        server.call(CREATE, "", body).await,
        (400, "InvalidPassword"),
    );
    assert!(server.mails().is_empty());
}

#[tokio::test]
async fn account_handle_and_address_are_taken_once_in_any_case_and_whatever_the_holders_state() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let sleep = "com.atproto.server.deactivateAccount";
    for state in ["active", "deactivated", "taken down"] {
        for (handle, email, message) in [
            ("ADA.test", "new@coop.example", "Handle already taken"),
            ("new.test", "ADA@Coop.Example", "Email already taken"),
        ] {
            let body = json!({ "handle": handle, "email": email, "password": PASSWORD });
            let answer = server.call(CREATE, "", body).await;
            let said = refused(answer, (400, "InvalidRequest"));
            assert_eq!(said, message, "{state}");
        }
        if state == "active" {
            ok(ada.call(&server, sleep, json!({})).await);
        } else {
            let down = json!({
                "subject": { "$type": "com.atproto.admin.defs#repoRef", "did": ada.did },
                "takedown": { "applied": true },
            });
            let update = "com.atproto.admin.updateSubjectStatus";
            ok(server.call(update, &operator(), down).await);
        }
    }
}

#[tokio::test]
async fn account_reserved_names_other_domains_and_bad_shapes_are_refused_by_name() {
    let server = Server::start().await;
    for (handle, name) in [
        ("admin.test", "HandleNotAvailable"),
        ("ada.bsky.social", "UnsupportedDomain"),
        ("al.test", "InvalidHandle"),
        ("abcdefghijklmnopqrs.test", "InvalidHandle"),
        ("ada.lovelace.test", "InvalidHandle"),
        ("ada_l.test", "InvalidHandle"),
        ("ada", "InvalidHandle"),
        ("ada.localhost", "InvalidHandle"),
    ] {
        let mut body = wish("ada");
        body["handle"] = json!(handle);
        refused(server.call(CREATE, "", body).await, (400, name));
    }
}

#[tokio::test]
async fn account_of_ten_who_race_for_one_handle_one_wins_and_the_others_dids_are_ended() {
    let server = Server::start().await;
    let attempts = (0..10).map(|number| {
        let mut body = wish("ada");
        body["email"] = json!(format!("ada{number}@coop.example"));
        server.call(CREATE, "", body)
    });
    let outcomes = join_all(attempts).await;
    let (won, lost): (Vec<_>, Vec<_>) =
        outcomes.into_iter().partition(|(status, _)| *status == 200);
    assert_eq!(won.len(), 1);
    for answer in lost {
        let said = refused(answer, (400, "InvalidRequest"));
        assert_eq!(said, "Handle already taken");
    }
    let winner = won[0].1["did"].as_str().unwrap();
    for line in server.directory.export().await {
        let did = line["did"].as_str().unwrap();
        let (status, _) = server.directory.document(did).await;
        let wanted = if did == winner { 200 } else { 404 };
        assert_eq!(status, wanted, "{did}");
    }
}

#[tokio::test]
async fn account_of_ten_who_race_for_one_address_one_wins() {
    let server = Server::start().await;
    let attempts = (0..10).map(|number| {
        let mut body = wish(&format!("ada{number}"));
        body["email"] = json!("ada@coop.example");
        server.call(CREATE, "", body)
    });
    let outcomes = join_all(attempts).await;
    let won = outcomes.iter().filter(|(status, _)| *status == 200).count();
    assert_eq!(won, 1);
    for answer in outcomes.into_iter().filter(|(status, _)| *status != 200) {
        let said = refused(answer, (400, "InvalidRequest"));
        assert_eq!(said, "Email already taken");
    }
}

#[tokio::test]
async fn account_a_forgotten_password_is_replaced_once_within_a_quarter_of_an_hour() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let (request, reset) = (
        "com.atproto.server.requestPasswordReset",
        "com.atproto.server.resetPassword",
    );
    let ask = || server.call(request, "", json!({ "email": "Ada@coop.example" }));
    let set = |code: &str, password: &str| {
        let body = json!({ "token": code, "password": password });
        server.call(reset, "", body)
    };
    ok(ask().await);
    let old = server.mailed_code();
    ok(ask().await);
    let code = server.mailed_code();
    refused(set(&old, "second").await, (400, "InvalidToken"));
    refused(set(&code, &"x".repeat(257)).await, (400, "InvalidPassword"));
    ok(set(&format!(" {} ", code.to_lowercase()), "second").await);
    refused(set(&code, "third").await, (400, "InvalidToken"));
    refused(
        server.sign_in("ada.test", PASSWORD).await,
        (401, "AuthenticationRequired"),
    );
    ok(server.sign_in("ada.test", "second").await);
    let renew = "com.atproto.server.refreshSession";
    refused(
        server.call(renew, &ada.refresh_auth(), json!(null)).await,
        (400, "ExpiredToken"),
    );
    ok(ask().await);
    server.clock.advance(std::time::Duration::from_secs(901));
    let late = server.mailed_code();
    refused(set(&late, "third").await, (400, "ExpiredToken"));
}

#[tokio::test]
async fn account_of_two_resets_with_one_code_one_wins() {
    let server = Server::start().await;
    server.member("ada").await;
    let request = "com.atproto.server.requestPasswordReset";
    ok(server
        .call(request, "", json!({ "email": "ada@coop.example" }))
        .await);
    let code = server.mailed_code();
    let attempts = (0..5).map(|number| {
        let body = json!({ "token": code, "password": format!("password {number}") });
        server.call("com.atproto.server.resetPassword", "", body)
    });
    let outcomes = join_all(attempts).await;
    let won = outcomes.iter().position(|(status, _)| *status == 200);
    let won = won.expect("a winner");
    ok(server.sign_in("ada.test", &format!("password {won}")).await);
    for (_, answer) in outcomes
        .into_iter()
        .enumerate()
        .filter(|(at, _)| *at != won)
    {
        refused(answer, (400, "InvalidToken"));
    }
}

#[tokio::test]
async fn account_the_operator_sets_a_password_and_ends_the_sessions_with_it() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let nsid = "com.atproto.admin.updateAccountPassword";
    let body = json!({ "did": ada.did, "password": "from the operator" });
    let (status, _) = ada.call(&server, nsid, body.clone()).await;
    assert_eq!(status, 401);
    ok(server.call(nsid, &operator(), body).await);
    ok(server.sign_in("ada.test", "from the operator").await);
    let renew = "com.atproto.server.refreshSession";
    refused(
        server.call(renew, &ada.refresh_auth(), json!(null)).await,
        (400, "ExpiredToken"),
    );
}

#[tokio::test]
async fn row_3_an_account_for_an_existing_did_takes_a_service_token_of_that_did() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let foreign = server.directory.register("eve.test", &key(3)).await;
    let mut body = wish("eve");
    body["did"] = json!(foreign.as_str());
    refused(
        server.call(CREATE, "", body.clone()).await,
        (401, "AuthenticationRequired"),
    );
    refused(
        server.call(CREATE, &basic("a", "b"), body.clone()).await,
        (401, "AuthenticationRequired"),
    );
    refused(
        server
            .call(CREATE, &bearer("no.jwt.at all"), body.clone())
            .await,
        (401, "AuthenticationRequired"),
    );
    refused(
        server.call(CREATE, &bearer("nojwt"), body.clone()).await,
        (401, "BadJwt"),
    );
    let mint = format!(
        "com.atproto.server.getServiceAuth?aud={}&lxm={CREATE}",
        server.did().replace('%', "%25")
    );
    let token = ok(ada.ask(&server, &mint).await)["token"].clone();
    let auth = bearer(token.as_str().unwrap());
    refused(
        server.call(CREATE, &auth, body).await,
        (401, "AuthenticationRequired"),
    );
}

#[tokio::test]
async fn account_a_key_that_was_reserved_becomes_the_accounts_with_or_without_a_name() {
    let server = Server::start().await;
    let reserve = "com.atproto.server.reserveSigningKey";
    let first = server.directory.register("first.test", &key(1)).await;
    let named = ok(server.call(reserve, "", json!({ "did": first })).await);
    let again = ok(server.call(reserve, "", json!({ "did": first })).await);
    assert_eq!(named, again, "one key for one DID");
    let unnamed = ok(server.call(reserve, "", json!({})).await);
    let other = ok(server.call(reserve, "", json!({})).await);
    assert_ne!(unnamed, other);
    let unknown = json!({ "did": "did:plc:ewvi7nxzyoun6zhxrhs64oiz" });
    refused(
        server.call(reserve, "", unknown).await,
        (400, "InvalidRequest"),
    );
    assert!(
        named["signingKey"]
            .as_str()
            .unwrap()
            .starts_with("did:key:z")
    );
}
