//! Get service auth: what the tokens say that others take, and which are refused.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rochdale_protocol::crypto::PublicKey;
use rochdale_protocol::syntax::Did;
use rochdale_protocol::xrpc::service_auth::{self, Claims};
use serde_json::{Value, json};

use crate::directory::key;
use crate::member::Member;
use crate::server::{Server, bearer, ok, refused, wish};

const CREATE: &str = "com.atproto.server.createAccount";

fn query(aud: &str, rest: &str) -> String {
    let aud = aud.replace('%', "%25").replace('#', "%23");
    format!("com.atproto.server.getServiceAuth?aud={aud}{rest}")
}

async fn token(server: &Server, member: &Member, aud: &str, rest: &str) -> String {
    let answer = ok(member.ask(server, &query(aud, rest)).await);
    answer["token"].as_str().unwrap().to_owned()
}

fn part(token: &str, at: usize) -> Value {
    let part = token.split('.').nth(at).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[tokio::test]
async fn get_service_auth_echoes_the_audience_bare_or_with_a_service() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    for aud in [
        "did:web:api.example.org",
        "did:web:api.example.org#bsky_appview",
    ] {
        let claims = part(&token(&server, &ada, aud, "").await, 1);
        assert_eq!(claims["aud"], aud);
    }
    for aud in [
        "",
        "api.example.org",
        "did:key:zabc",
        "did:web:x.org#",
        "did:web:x.org#a#b",
    ] {
        refused(
            ada.ask(&server, &query(aud, "")).await,
            (400, "InvalidRequest"),
        );
    }
    let missing = "com.atproto.server.getServiceAuth";
    refused(ada.ask(&server, missing).await, (400, "InvalidRequest"));
}

#[tokio::test]
async fn get_service_auth_refuses_times_and_methods_that_are_not_to_be_had() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let now = i64::try_from(server.clock.shared().now_ms() / 1000).unwrap();
    for (exp, lxm, wanted) in [
        (now - 1, "", false),
        (now + 61, "", false),
        (now + 60, "", true),
        (now + 3601, "&lxm=app.bsky.feed.getTimeline", false),
        (now + 3600, "&lxm=app.bsky.feed.getTimeline", true),
    ] {
        let answer = ada
            .ask(
                &server,
                &query("did:web:x.org", &format!("&exp={exp}{lxm}")),
            )
            .await;
        if wanted {
            ok(answer);
        } else {
            refused(answer, (400, "BadExpiration"));
        }
    }
    for lxm in [
        "com.atproto.server.updateEmail",
        "com.atproto.identity.signPlcOperation",
        "not an nsid",
    ] {
        let rest = format!("&lxm={}", lxm.replace(' ', "%20"));
        refused(
            ada.ask(&server, &query("did:web:x.org", &rest)).await,
            (400, "InvalidRequest"),
        );
    }
}

#[tokio::test]
async fn row_4_minted_tokens_are_typed_jwt_and_signed_with_the_accounts_key() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let lxm = "&lxm=app.bsky.feed.getTimeline";
    let token = token(&server, &ada, "did:web:x.org", lxm).await;
    assert_eq!(part(&token, 0), json!({ "typ": "JWT", "alg": "ES256K" }));
    let claims = part(&token, 1);
    assert_eq!(claims["iss"], ada.did);
    assert_eq!(claims["lxm"], "app.bsky.feed.getTimeline");
    let (iat, exp) = (
        claims["iat"].as_i64().unwrap(),
        claims["exp"].as_i64().unwrap(),
    );
    assert_eq!(exp - iat, 60);
    assert!(claims["jti"].is_string());
    let (_, document) = server.directory.document(&ada.did).await;
    let multibase = document["verificationMethod"][0]["publicKeyMultibase"].clone();
    let key = PublicKey::from_multibase(multibase.as_str().unwrap()).unwrap();
    service_auth::parse(&token).unwrap().verify(&key).unwrap();
}

/// What a token of `did` for signing up at `server` says.
fn good(server: &Server, did: &Did) -> Claims {
    let now = i64::try_from(server.clock.shared().now_ms() / 1000).unwrap();
    Claims {
        iat: Some(now),
        iss: did.to_string(),
        aud: server.did(),
        exp: now + 60,
        lxm: Some(CREATE.to_owned()),
        jti: Some("one".to_owned()),
    }
}

/// Presents a token as proof of `did`.
async fn present(server: &Server, did: &Did, token: &str) -> (u16, Value) {
    let mut body = wish("eve");
    body["did"] = json!(did.as_str());
    server.call(CREATE, &bearer(token), body).await
}

#[tokio::test]
async fn row_4_a_presented_token_is_checked_for_audience_method_time_and_issuer() {
    let server = Server::start().await;
    let own = key(3);
    let did = server.directory.register("eve.test", &own).await;
    let good = good(&server, &did);
    let now = good.exp - 60;
    let other = |change: &dyn Fn(&mut Claims)| {
        let mut claims = good.clone();
        change(&mut claims);
        claims
    };
    for (claims, name) in [
        (other(&|c| c.aud = "did:web:x.org".into()), "BadJwtAudience"),
        (other(&|c| c.lxm = None), "BadJwtLexiconMethod"),
        (
            other(&|c| c.lxm = Some("com.example.x".into())),
            "BadJwtLexiconMethod",
        ),
        (other(&|c| c.exp = now - 1), "JwtExpired"),
        (other(&|c| c.exp = now + 86_400), "BadJwt"),
        (
            other(&|c| (c.iat, c.exp) = (Some(now + 3600), now + 3660)),
            "BadJwt",
        ),
        (other(&|c| c.iss = "eve".into()), "BadJwtIss"),
    ] {
        let token = service_auth::mint(&own, &claims);
        refused(present(&server, &did, &token).await, (401, name));
    }
    ok(present(&server, &did, &service_auth::mint(&own, &good)).await);
}

#[tokio::test]
async fn row_4_a_presented_token_is_checked_for_its_key_its_type_and_replay() {
    let server = Server::start().await;
    let own = key(3);
    let did = server.directory.register("eve.test", &own).await;
    let good = good(&server, &did);
    let forged = service_auth::mint(&key(4), &good);
    refused(
        present(&server, &did, &forged).await,
        (401, "BadJwtSignature"),
    );
    let ada = server.member("ada").await;
    refused(
        present(&server, &did, &ada.access).await,
        (401, "BadJwtType"),
    );
    let token = service_auth::mint(&own, &good);
    ok(present(&server, &did, &token).await);
    refused(present(&server, &did, &token).await, (401, "BadJwt"));
}

#[tokio::test]
async fn row_5_without_a_method_the_token_names_none_and_lives_a_minute() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let token = token(&server, &ada, "did:web:x.org", "").await;
    let claims = part(&token, 1);
    assert!(claims.get("lxm").is_none(), "{claims}");
    let life = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert!(life <= 60, "{life}");
}
