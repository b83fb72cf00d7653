//! Second factor by mail: codes are good once, for one account, for a while; app passwords skip them;
//! nobody locks themselves out with a mistyped address.

use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};

use crate::email_confirmation::confirmed;
use crate::member::Member;
use crate::server::{PASSWORD, Server, ok, refused};

const UPDATE: &str = "com.atproto.server.updateEmail";
const REQUEST_UPDATE: &str = "com.atproto.server.requestEmailUpdate";

/// Confirms the member's address and turns the factor on.
pub(crate) async fn turn_on(server: &Server, member: &Member) {
    confirmed(server, member).await;
    let email = member.session(server).await["email"].clone();
    let wish = json!({ "email": email, "emailAuthFactor": true });
    ok(member.call(server, UPDATE, wish).await);
    assert_eq!(member.session(server).await["emailAuthFactor"], true);
}

async fn sign_in(server: &Server, code: &str) -> (u16, Value) {
    let body = json!({ "identifier": "ada.test", "password": PASSWORD, "authFactorToken": code });
    server
        .call("com.atproto.server.createSession", "", body)
        .await
}

#[tokio::test]
async fn second_factor_asks_for_the_mailed_code_and_takes_it_once() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    turn_on(&server, &ada).await;
    let before = server.mails().len();
    refused(
        server.sign_in("ada.test", "wrong").await,
        (401, "AuthenticationRequired"),
    );
    assert_eq!(
        server.mails().len(),
        before,
        "only the right password mails"
    );
    refused(
        server.sign_in("ada.test", PASSWORD).await,
        (401, "AuthFactorTokenRequired"),
    );
    refused(
        sign_in(&server, " ").await,
        (401, "AuthFactorTokenRequired"),
    );
    let code = server.mailed_code();
    refused(sign_in(&server, "AAAAA-AAAAA").await, (400, "InvalidToken"));
    let session = ok(sign_in(&server, &code.to_lowercase()).await);
    assert_eq!(session["emailAuthFactor"], true);
    refused(sign_in(&server, &code).await, (400, "InvalidToken"));
    let renew = "com.atproto.server.refreshSession";
    let refresh = Member::of(&session).refresh_auth();
    ok(server.call(renew, &refresh, json!(null)).await);
}

#[tokio::test]
async fn second_factor_of_many_who_use_one_code_at_once_one_gets_in() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    turn_on(&server, &ada).await;
    server.sign_in("ada.test", PASSWORD).await;
    let code = server.mailed_code();
    let outcomes = join_all((0..8).map(|_| sign_in(&server, &code))).await;
    let won = outcomes.iter().filter(|(status, _)| *status == 200).count();
    assert_eq!(won, 1);
    for answer in outcomes.into_iter().filter(|(status, _)| *status != 200) {
        refused(answer, (400, "InvalidToken"));
    }
}

#[tokio::test]
async fn second_factor_codes_expire_and_are_for_one_account_and_nothing_else() {
    let server = Server::start().await;
    let (ada, bob) = (server.member("ada").await, server.member("bob").await);
    turn_on(&server, &ada).await;
    turn_on(&server, &bob).await;
    server.sign_in("bob.test", PASSWORD).await;
    let bobs = server.mailed_code();
    server.sign_in("ada.test", PASSWORD).await;
    let code = server.mailed_code();
    refused(sign_in(&server, &bobs).await, (400, "InvalidToken"));
    let reset = json!({ "token": code, "password": "stolen" });
    refused(
        server
            .call("com.atproto.server.resetPassword", "", reset)
            .await,
        (400, "InvalidToken"),
    );
    server.clock.advance(Duration::from_secs(901));
    refused(sign_in(&server, &code).await, (400, "ExpiredToken"));
}

#[tokio::test]
async fn second_factor_somebody_with_the_password_alone_cannot_flood_the_member_or_take_the_code() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    turn_on(&server, &ada).await;
    server.sign_in("ada.test", PASSWORD).await;
    let (code, mails) = (server.mailed_code(), server.mails().len());
    for _ in 0..5 {
        refused(
            server.sign_in("ada.test", PASSWORD).await,
            (401, "AuthFactorTokenRequired"),
        );
    }
    assert_eq!(server.mails().len(), mails);
    ok(sign_in(&server, &code).await);
    server.sign_in("ada.test", PASSWORD).await;
    server.clock.advance(Duration::from_secs(60));
    server.sign_in("ada.test", PASSWORD).await;
    assert_eq!(server.mails().len(), mails + 2);
    ok(sign_in(&server, &server.mailed_code()).await);
}

#[tokio::test]
async fn second_factor_takes_a_confirmed_address_and_a_code_to_turn_it_off() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let factor = |on: bool, token: Option<&str>| {
        let wish = json!({ "email": "ada@coop.example", "emailAuthFactor": on, "token": token });
        ada.call(&server, UPDATE, wish)
    };
    refused(factor(true, None).await, (400, "InvalidRequest"));
    turn_on(&server, &ada).await;
    refused(factor(false, None).await, (400, "TokenRequired"));
    refused(
        factor(false, Some("AAAAA-AAAAA")).await,
        (400, "InvalidToken"),
    );
    assert_eq!(ada.session(&server).await["emailAuthFactor"], true);
    ok(ada.call(&server, REQUEST_UPDATE, json!(null)).await);
    ok(factor(false, Some(&server.mailed_code())).await);
    let session = ok(server.sign_in("ada.test", PASSWORD).await);
    assert_eq!(session["emailAuthFactor"], false);
}

#[tokio::test]
async fn second_factor_a_mistyped_address_locks_nobody_out() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    turn_on(&server, &ada).await;
    ok(ada.call(&server, REQUEST_UPDATE, json!(null)).await);
    let token = server.mailed_code();
    let wish = json!({ "email": "typo@coop.exmaple", "token": token });
    ok(ada.call(&server, UPDATE, wish).await);
    refused(
        server.sign_in("ada.test", PASSWORD).await,
        (401, "AuthFactorTokenRequired"),
    );
    let mail = server.mails().pop().unwrap();
    assert!(mail.contains("To: ada@coop.example\r\n"), "{mail}");
    ok(sign_in(&server, &server.mailed_code()).await);
}

#[tokio::test]
async fn second_factor_does_not_open_a_taken_down_account_without_the_code() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    turn_on(&server, &ada).await;
    let down = json!({
        "subject": { "$type": "com.atproto.admin.defs#repoRef", "did": ada.did },
        "takedown": { "applied": true },
    });
    let update = "com.atproto.admin.updateSubjectStatus";
    ok(server.call(update, &crate::server::operator(), down).await);
    let mut body =
        json!({ "identifier": "ada.test", "password": PASSWORD, "allowTakendown": true });
    let create = "com.atproto.server.createSession";
    refused(
        server.call(create, "", body.clone()).await,
        (401, "AuthFactorTokenRequired"),
    );
    body["authFactorToken"] = json!(server.mailed_code());
    ok(server.call(create, "", body).await);
}
