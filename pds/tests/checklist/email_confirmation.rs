//! Email confirmation: an address counts once a code mailed to it came back, and not before.

use std::time::Duration;

use serde_json::{Value, json};

use crate::member::Member;
use crate::server::{PASSWORD, Server, code_in, ok, operator, refused};

const REQUEST_CONFIRMATION: &str = "com.atproto.server.requestEmailConfirmation";
const CONFIRM: &str = "com.atproto.server.confirmEmail";
const REQUEST_UPDATE: &str = "com.atproto.server.requestEmailUpdate";
const UPDATE: &str = "com.atproto.server.updateEmail";

async fn confirm(server: &Server, member: &Member, email: &str, token: &str) -> (u16, Value) {
    let body = json!({ "email": email, "token": token });
    member.call(server, CONFIRM, body).await
}

/// Confirms the address that a member signed up with.
pub(crate) async fn confirmed(server: &Server, member: &Member) {
    ok(member.call(server, REQUEST_CONFIRMATION, json!(null)).await);
    let email = member.session(server).await["email"].clone();
    let code = server.mailed_code();
    ok(confirm(server, member, email.as_str().unwrap(), &code).await);
}

fn newest_mail(server: &Server) -> String {
    server.mails().pop().expect("a mail")
}

#[tokio::test]
async fn email_confirmation_takes_the_newest_code_for_the_right_address_within_its_time() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    assert_eq!(ada.session(&server).await["emailConfirmed"], false);
    let own = "ada@coop.example";
    refused(
        confirm(&server, &ada, own, "AAAAA-AAAAA").await,
        (400, "InvalidToken"),
    );
    ok(ada.call(&server, REQUEST_CONFIRMATION, json!(null)).await);
    assert!(newest_mail(&server).contains("To: ada@coop.example\r\n"));
    let old = server.mailed_code();
    ok(ada.call(&server, REQUEST_CONFIRMATION, json!(null)).await);
    let code = server.mailed_code();
    refused(
        confirm(&server, &ada, own, &old).await,
        (400, "InvalidToken"),
    );
    refused(
        confirm(&server, &ada, "other@coop.example", &code).await,
        (400, "InvalidEmail"),
    );
    server.clock.advance(Duration::from_secs(901));
    refused(
        confirm(&server, &ada, own, &code).await,
        (400, "ExpiredToken"),
    );
    ok(ada.call(&server, REQUEST_CONFIRMATION, json!(null)).await);
    let code = server.mailed_code();
    ok(confirm(&server, &ada, "ADA@coop.example", &code).await);
    assert_eq!(ada.session(&server).await["emailConfirmed"], true);
    refused(
        confirm(&server, &ada, own, &code).await,
        (400, "InvalidToken"),
    );
}

#[tokio::test]
async fn email_confirmation_an_unverified_address_is_changed_without_a_code_a_verified_one_not() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let asked = ok(ada.call(&server, REQUEST_UPDATE, json!(null)).await);
    assert_eq!(asked["tokenRequired"], false);
    assert!(server.mails().is_empty());
    let wish = json!({ "email": "new@coop.example" });
    ok(ada.call(&server, UPDATE, wish).await);
    let code = server.mailed_code();
    ok(confirm(&server, &ada, "new@coop.example", &code).await);
    let session = ada.session(&server).await;
    assert_eq!(
        (&session["email"], &session["emailConfirmed"]),
        (&json!("new@coop.example"), &json!(true))
    );

    let asked = ok(ada.call(&server, REQUEST_UPDATE, json!(null)).await);
    assert_eq!(asked["tokenRequired"], true);
    assert!(newest_mail(&server).contains("To: new@coop.example\r\n"));
    let token = server.mailed_code();
    let wish = |token: Option<&str>| json!({ "email": "third@coop.example", "token": token });
    refused(
        ada.call(&server, UPDATE, wish(None)).await,
        (400, "TokenRequired"),
    );
    refused(
        ada.call(&server, UPDATE, wish(Some("AAAAA-AAAAA"))).await,
        (400, "InvalidToken"),
    );
    ok(ada.call(&server, UPDATE, wish(Some(&token))).await);
    refused(
        ada.call(&server, UPDATE, wish(Some(&token))).await,
        (400, "InvalidToken"),
    );
}

#[tokio::test]
async fn email_confirmation_an_address_changes_only_when_the_new_one_is_proven() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    confirmed(&server, &ada).await;
    ok(ada.call(&server, REQUEST_UPDATE, json!(null)).await);
    let token = server.mailed_code();
    let wish = json!({ "email": "typo@coop.exmaple", "token": token });
    ok(ada.call(&server, UPDATE, wish).await);
    assert!(newest_mail(&server).contains("To: typo@coop.exmaple\r\n"));
    let lost = server.mailed_code();
    // Clients are shown what is to be confirmed; the old address stays in force for everything.
    let session = ada.session(&server).await;
    assert_eq!(
        (&session["email"], &session["emailConfirmed"]),
        (&json!("typo@coop.exmaple"), &json!(false))
    );
    ok(server.sign_in("ada@coop.example", PASSWORD).await);
    let reset = "com.atproto.server.requestPasswordReset";
    for (email, mails) in [("typo@coop.exmaple", 0), ("ada@coop.example", 1)] {
        let before = server.mails().len();
        ok(server.call(reset, "", json!({ "email": email })).await);
        assert_eq!(server.mails().len(), before + mails, "{email}");
    }
    refused(
        server.sign_in("typo@coop.exmaple", PASSWORD).await,
        (401, "AuthenticationRequired"),
    );
    // The member tries again; the code that went astray proves nothing any more.
    ok(ada.call(&server, REQUEST_UPDATE, json!(null)).await);
    let token = server.mailed_code();
    let wish = json!({ "email": "right@coop.example", "token": token });
    ok(ada.call(&server, UPDATE, wish).await);
    let code = server.mailed_code();
    for address in ["right@coop.example", "typo@coop.exmaple"] {
        let (status, _) = confirm(&server, &ada, address, &lost).await;
        assert_eq!(status, 400, "{address}");
    }
    ok(confirm(&server, &ada, "right@coop.example", &code).await);
    let session = ada.session(&server).await;
    assert_eq!(session["email"], "right@coop.example");
    let farewell = newest_mail(&server);
    assert!(farewell.contains("To: ada@coop.example\r\n"), "{farewell}");
    ok(server.sign_in("right@coop.example", PASSWORD).await);
}

#[tokio::test]
async fn email_confirmation_a_client_that_still_knows_the_old_address_can_prove_the_new_one() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let known = ada.session(&server).await["email"].clone();
    assert_eq!(known, "ada@coop.example");
    ok(ada
        .call(&server, UPDATE, json!({ "email": "new@coop.example" }))
        .await);
    let first = server.mailed_code();
    ok(ada.call(&server, REQUEST_CONFIRMATION, json!(null)).await);
    assert!(newest_mail(&server).contains("To: new@coop.example\r\n"));
    refused(
        confirm(&server, &ada, known.as_str().unwrap(), &first).await,
        (400, "InvalidToken"),
    );
    let code = server.mailed_code();
    ok(confirm(&server, &ada, known.as_str().unwrap(), &code).await);
    assert_eq!(ada.session(&server).await["email"], "new@coop.example");
}

#[tokio::test]
async fn email_confirmation_asking_for_the_present_address_takes_the_wish_back() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    ok(ada
        .call(&server, UPDATE, json!({ "email": "new@coop.example" }))
        .await);
    let code = server.mailed_code();
    ok(ada
        .call(&server, UPDATE, json!({ "email": "Ada@coop.example" }))
        .await);
    for address in ["new@coop.example", "ada@coop.example"] {
        let (status, _) = confirm(&server, &ada, address, &code).await;
        assert_eq!(status, 400);
    }
    assert_eq!(ada.session(&server).await["email"], "ada@coop.example");
}

#[tokio::test]
async fn email_confirmation_bad_throw_away_and_taken_addresses_are_refused() {
    let server = Server::start().await;
    let (ada, bob) = (server.member("ada").await, server.member("bob").await);
    for email in [
        "",
        "ada",
        "a@b@c.org",
        "x@mailinator.com",
        "BOB@coop.example",
    ] {
        refused(
            ada.call(&server, UPDATE, json!({ "email": email })).await,
            (400, "InvalidRequest"),
        );
    }
    assert!(server.mails().is_empty());
    // Two want the same free address: whoever proves it first has it.
    for member in [&ada, &bob] {
        let wish = json!({ "email": "new@coop.example" });
        ok(member.call(&server, UPDATE, wish).await);
    }
    let mut mails = server.mails();
    let (for_bob, for_ada) = (mails.pop().unwrap(), mails.pop().unwrap());
    ok(confirm(&server, &ada, "new@coop.example", &code_in(&for_ada)).await);
    let late = confirm(&server, &bob, "new@coop.example", &code_in(&for_bob)).await;
    assert_eq!(
        refused(late, (400, "InvalidRequest")),
        "Email already taken"
    );
}

#[tokio::test]
async fn email_confirmation_is_cleared_when_the_operator_changes_the_address() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    crate::second_factor::turn_on(&server, &ada).await;
    let nsid = "com.atproto.admin.updateAccountEmail";
    let body = json!({ "account": ada.did, "email": "set@coop.example" });
    ok(server.call(nsid, &operator(), body).await);
    let session = ada.session(&server).await;
    assert_eq!(
        (
            &session["email"],
            &session["emailConfirmed"],
            &session["emailAuthFactor"]
        ),
        (&json!("set@coop.example"), &json!(false), &json!(false))
    );
    ok(server.sign_in("ada.test", PASSWORD).await);
}

#[tokio::test]
async fn email_confirmation_mails_are_limited_per_account() {
    let server = Server::start_with(|options| options.limits.enabled = true).await;
    let ada = server.member("ada").await;
    for _ in 0..5 {
        ok(ada.call(&server, REQUEST_CONFIRMATION, json!(null)).await);
    }
    refused(
        ada.call(&server, REQUEST_CONFIRMATION, json!(null)).await,
        (429, "RateLimitExceeded"),
    );
    let bob = server.member("bob").await;
    ok(bob.call(&server, REQUEST_CONFIRMATION, json!(null)).await);
}
