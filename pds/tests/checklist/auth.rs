//! Auth: tokens, sign-in, renewal, sign-out, and how each refusal is named.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::future::join_all;
use serde_json::{Value, json};

use crate::member::Member;
use crate::server::{ADMIN, PASSWORD, Server, basic, bearer, ok, operator, refused};

const SESSION: &str = "com.atproto.server.getSession";
const RENEW: &str = "com.atproto.server.refreshSession";
const CLOSE: &str = "com.atproto.server.deleteSession";

fn part(token: &str, at: usize) -> Value {
    let part = token.split('.').nth(at).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

async fn renew(server: &Server, token: &str) -> (u16, Value) {
    server.call(RENEW, &bearer(token), json!(null)).await
}

#[tokio::test]
async fn auth_both_tokens_say_what_they_are_for_whom_and_until_when() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let (access, refresh) = (part(&ada.access, 1), part(&ada.refresh, 1));
    assert_eq!(
        part(&ada.access, 0),
        json!({ "typ": "at+jwt", "alg": "HS256" })
    );
    assert_eq!(
        part(&ada.refresh, 0),
        json!({ "typ": "refresh+jwt", "alg": "HS256" })
    );
    for (claims, scope, seconds) in [
        (&access, "com.atproto.access", 7200),
        (&refresh, "com.atproto.refresh", 90 * 86_400),
    ] {
        assert_eq!(claims["scope"], scope);
        assert_eq!(claims["aud"], server.did());
        assert_eq!(claims["sub"], ada.did);
        assert!(claims["jti"].is_string());
        let life = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
        assert_eq!(life, seconds);
    }
}

#[tokio::test]
async fn auth_signs_in_by_handle_did_and_address_in_any_case() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    for identifier in [
        "ada.test",
        "ADA.Test",
        &ada.did,
        "ada@coop.example",
        "ADA@Coop.Example",
    ] {
        let session = ok(server.sign_in(identifier, PASSWORD).await);
        assert_eq!(session["did"], ada.did, "{identifier}");
        assert_eq!(session["email"], "ada@coop.example");
        assert_eq!(session["emailConfirmed"], false);
        assert_eq!(session["active"], true);
    }
}

#[tokio::test]
async fn auth_unknown_accounts_and_wrong_passwords_get_the_same_answer_after_the_same_time() {
    let server = Server::start().await;
    server.member("ada").await;
    let mut answers = Vec::new();
    for (identifier, password) in [
        ("ada.test", "wrong"),
        ("nobody.test", PASSWORD),
        ("nobody@coop.example", PASSWORD),
        ("did:plc:ewvi7nxzyoun6zhxrhs64oiz", PASSWORD),
        ("not a name", PASSWORD),
        ("ada.test", "aaaa-bbbb-cccc-dddd"),
        ("ada.test", &"x".repeat(513)),
    ] {
        let began = Instant::now();
        let answer = server.sign_in(identifier, password).await;
        assert!(
            began.elapsed() >= Duration::from_millis(350),
            "{identifier}"
        );
        let said = refused(answer.clone(), (401, "AuthenticationRequired"));
        assert_eq!(said, "Invalid identifier or password");
        answers.push(answer);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1);
}

#[tokio::test]
async fn auth_renewals_that_race_all_lead_to_one_next_token() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let outcomes = join_all((0..8).map(|_| renew(&server, &ada.refresh))).await;
    let mut next: Vec<_> = outcomes
        .into_iter()
        .map(|answer| part(ok(answer)["refreshJwt"].as_str().unwrap(), 1)["jti"].clone())
        .collect();
    next.dedup();
    assert_eq!(next.len(), 1);
    assert_ne!(next[0], part(&ada.refresh, 1)["jti"]);
}

#[tokio::test]
async fn auth_a_used_refresh_token_is_good_for_two_hours_more_and_then_not() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let first = Member::of(&ok(renew(&server, &ada.refresh).await));
    server.clock.advance(Duration::from_secs(7199));
    let second = Member::of(&ok(renew(&server, &ada.refresh).await));
    assert_eq!(
        part(&first.refresh, 1)["jti"],
        part(&second.refresh, 1)["jti"]
    );
    server.clock.advance(Duration::from_secs(1));
    refused(renew(&server, &ada.refresh).await, (400, "ExpiredToken"));
    ok(renew(&server, &first.refresh).await);
}

#[tokio::test]
async fn auth_signing_out_ends_one_session_also_with_an_expired_token_and_twice() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let other = Member::of(&ok(server.sign_in("ada.test", PASSWORD).await));
    for _twice in 0..2 {
        ok(server.call(CLOSE, &ada.refresh_auth(), json!(null)).await);
    }
    refused(renew(&server, &ada.refresh).await, (400, "ExpiredToken"));
    ok(renew(&server, &other.refresh).await);
    server.clock.advance(Duration::from_secs(91 * 86_400));
    ok(server.call(CLOSE, &other.refresh_auth(), json!(null)).await);
}

#[tokio::test]
async fn auth_each_token_is_refused_where_the_other_belongs() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    refused(renew(&server, &ada.access).await, (400, "InvalidToken"));
    refused(
        server.ask(SESSION, &ada.refresh_auth()).await,
        (400, "InvalidToken"),
    );
    refused(
        server.call(CLOSE, &ada.auth(), json!(null)).await,
        (400, "InvalidToken"),
    );
    let service = "com.atproto.server.getServiceAuth?aud=did:web:x.org";
    let service = ok(ada.ask(&server, service).await)["token"].clone();
    refused(
        server
            .ask(SESSION, &bearer(service.as_str().unwrap()))
            .await,
        (400, "InvalidToken"),
    );
}

#[tokio::test]
async fn auth_credentials_that_are_none_are_refused_by_name() {
    let server = Server::start().await;
    refused(server.ask(SESSION, "").await, (401, "AuthMissing"));
    for header in [
        "Bearer",
        "Bearer x",
        "Bearer a b",
        "Digest x",
        "Basic YTpi",
        "x",
    ] {
        refused(server.ask(SESSION, header).await, (400, "InvalidToken"));
    }
    refused(
        server.call(RENEW, "", json!(null)).await,
        (401, "AuthMissing"),
    );
}

#[tokio::test]
async fn auth_answers_to_credentials_are_kept_by_no_shared_cache() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let auth = ada.auth();
    let path = format!("/xrpc/{SESSION}");
    for headers in [
        &[("authorization", auth.as_str())][..],
        &[("authorization", "Bearer x")],
    ] {
        let method = http::Method::GET;
        let (_, headers, _) = server.send(method, &path, headers, "").await;
        assert_eq!(headers["cache-control"], "private");
        let vary = headers.get_all("vary").iter();
        assert!(vary.into_iter().any(|value| value == "Authorization"));
    }
}

#[tokio::test]
async fn auth_a_takedown_blocks_signing_in_and_renewing() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let down = json!({
        "subject": { "$type": "com.atproto.admin.defs#repoRef", "did": ada.did },
        "takedown": { "applied": true },
    });
    let update = "com.atproto.admin.updateSubjectStatus";
    ok(server.call(update, &operator(), down).await);
    refused(
        server.sign_in("ada.test", PASSWORD).await,
        (401, "AccountTakedown"),
    );
    refused(renew(&server, &ada.refresh).await, (401, "AccountTakedown"));
}

#[tokio::test]
async fn auth_a_flood_of_sign_ins_is_shed_and_leaves_writes_and_renewals_alone() {
    let server = Server::start_with(|options| {
        options.raw.password_memory_kib = 8 * 1024;
        options.raw.password_passes = 3;
    })
    .await;
    let ada = server.member("ada").await;
    let flood = join_all((0..200).map(|_| server.sign_in("ada.test", "wrong")));
    let work = async {
        for number in 0..20 {
            ok(ada.post(&server, &format!("post {number}")).await);
            ok(renew(&server, &ada.refresh).await);
        }
    };
    let (outcomes, ()) = tokio::join!(flood, work);
    let mut shed = 0;
    for (status, answer) in outcomes {
        assert!([401, 503].contains(&status), "{answer}");
        shed += usize::from(status == 503);
    }
    assert!(shed > 0, "the queue of passwords is bounded");
    ok(server.sign_in("ada.test", PASSWORD).await);
}

#[tokio::test]
async fn row_1_an_expired_access_token_is_400_expired_token() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    server.clock.advance(Duration::from_secs(7200));
    refused(ada.ask(&server, SESSION).await, (400, "ExpiredToken"));
    refused(ada.post(&server, "x").await, (400, "ExpiredToken"));
    let renewed = Member::of(&ok(renew(&server, &ada.refresh).await));
    ok(renewed.post(&server, "x").await);
    server.clock.advance(Duration::from_secs(90 * 86_400));
    refused(
        renew(&server, &renewed.refresh).await,
        (400, "ExpiredToken"),
    );
}

#[tokio::test]
async fn row_34_basic_credentials_may_have_spaces_before_them_and_colons_in_the_password() {
    let server = Server::start().await;
    let ask = "com.atproto.admin.getInviteCodes";
    assert!(ADMIN.contains(':'));
    let right = operator();
    ok(server.ask(ask, &right).await);
    ok(server.ask(ask, &right.replace("Basic ", "basic   ")).await);
    for wrong in [
        basic("admin", "oper"),
        basic("admin", ""),
        basic("Admin", ADMIN),
        basic("", ADMIN),
        basic("admin", &format!("{ADMIN}x")),
        "Basic !!!".to_owned(),
        bearer("x"),
    ] {
        let (status, answer) = server.ask(ask, &wrong).await;
        assert_eq!(status, 401, "{wrong}: {answer}");
    }
}

#[tokio::test]
async fn auth_limits_are_told_in_headers_and_named_when_they_are_reached() {
    let server = Server::start_with(|options| options.limits.enabled = true).await;
    let body = json!({ "identifier": "ada.test", "password": "wrong" }).to_string();
    let path = "/xrpc/com.atproto.server.createSession";
    let headers = [("content-type", "application/json")];
    let attempts = (0..31).map(|_| {
        let post = http::Method::POST;
        server.send(post, path, &headers, body.clone())
    });
    let outcomes = join_all(attempts).await;
    let refused: Vec<_> = outcomes
        .iter()
        .filter(|(status, _, _)| *status == 429)
        .collect();
    let [(_, headers, answer)] = refused[..] else {
        panic!("{} of 31 were refused", refused.len())
    };
    assert_eq!(answer["error"], "RateLimitExceeded");
    assert_eq!(headers["ratelimit-limit"], "30");
    assert_eq!(headers["ratelimit-remaining"], "0");
    assert_eq!(headers["ratelimit-policy"], "30;w=300");
    assert!(headers.contains_key("ratelimit-reset"));
    assert!(headers.contains_key("retry-after"));
    let exposed = headers["access-control-expose-headers"].to_str().unwrap();
    for name in ["ratelimit-limit", "ratelimit-reset", "retry-after"] {
        assert!(exposed.to_ascii_lowercase().contains(name), "{exposed}");
    }
    // Another account is counted apart.
    let (status, _) = server.sign_in("bob.test", "wrong").await;
    assert_eq!(status, 401);
    server.clock.advance(Duration::from_secs(300));
    assert_eq!(server.sign_in("ada.test", "wrong").await.0, 401);
}
