//! Signing in, tokens, app passwords, preferences and the proxy's checks.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::{Member, PASSWORD, Server, basic, bearer};

#[tokio::test]
async fn an_unknown_account_and_a_wrong_password_get_one_slow_answer() {
    let server = Server::start().await;
    server.member("ada").await;
    for identifier in ["ada.test", "nobody.test", "did:plc:nobody", "no@x.org", ""] {
        let started = Instant::now();
        let (status, answer) = server.sign_in(identifier, "wrong").await;
        assert!(
            started.elapsed() >= Duration::from_millis(350),
            "{identifier}"
        );
        let expected = json!({
            "error": "AuthenticationRequired", "message": "Invalid identifier or password",
        });
        assert_eq!((status, answer), (401, expected), "{identifier}");
    }
    for identifier in ["ada.test", "ADA.test", "Ada@coop.example"] {
        assert_eq!(
            server.sign_in(identifier, PASSWORD).await.0,
            200,
            "{identifier}"
        );
    }
}

#[tokio::test]
async fn an_expired_token_is_answered_with_the_name_that_clients_renew_on() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    server.clock.advance(Duration::from_secs(2 * 3600));
    let (status, answer) = server
        .ask("com.atproto.server.getSession", &ada.access)
        .await;
    assert_eq!(
        (status, answer["error"].as_str()),
        (400, Some("ExpiredToken"))
    );
    let renew = "com.atproto.server.refreshSession";
    let (status, session) = server
        .call(renew, &bearer(&ada.refresh), &json!(null))
        .await;
    assert_eq!(status, 200, "{session}");
    let renewed = Member::of(&session);
    assert_eq!(
        server
            .ask("com.atproto.server.getSession", &renewed.access)
            .await
            .0,
        200
    );
    let (_, again) = server
        .call(renew, &bearer(&ada.refresh), &json!(null))
        .await;
    let jti = |token: &str| token.split('.').nth(1).unwrap().to_owned();
    assert_eq!(
        jti(again["refreshJwt"].as_str().unwrap()),
        jti(&renewed.refresh)
    );
    assert_eq!(
        server
            .call(renew, &bearer(&renewed.access), &json!(null))
            .await
            .0,
        400
    );
    let close = "com.atproto.server.deleteSession";
    assert_eq!(
        server
            .call(close, &bearer(&renewed.refresh), &json!(null))
            .await
            .0,
        200
    );
    let (status, answer) = server
        .call(renew, &bearer(&renewed.refresh), &json!(null))
        .await;
    assert_eq!(
        (status, answer["error"].as_str()),
        (400, Some("ExpiredToken"))
    );
}

#[tokio::test]
async fn credentials_that_are_none_are_refused_by_name() {
    let server = Server::start().await;
    let path = "/xrpc/com.atproto.server.getSession";
    for (header, status, name) in [
        (None, 401, "AuthMissing"),
        (Some("Bearer"), 400, "InvalidToken"),
        (Some("Bearer x"), 400, "InvalidToken"),
        (Some("Bearer a b"), 400, "InvalidToken"),
        (Some("Basic YTpi"), 400, "InvalidToken"),
        (Some("Digest x"), 400, "InvalidToken"),
    ] {
        let headers: Vec<_> = header
            .map(|value| ("authorization", value))
            .into_iter()
            .collect();
        let (got, answer) = server.get(path, &headers).await;
        assert_eq!(
            (got, answer["error"].as_str()),
            (status, Some(name)),
            "{header:?}"
        );
    }
}

#[tokio::test]
async fn an_app_password_reaches_what_it_should_and_no_more() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let create = "com.atproto.server.createAppPassword";
    let make = |name: &'static str, privileged: bool| {
        let auth = bearer(&ada.access);
        let server = &server;
        async move {
            let wish = json!({ "name": name, "privileged": privileged });
            let (status, made) = server.call(create, &auth, &wish).await;
            assert_eq!(status, 200, "{made}");
            let password = made["password"].as_str().unwrap().to_owned();
            Member::of(&server.sign_in("ada.test", &password).await.1)
        }
    };
    let (plain, privileged) = (make("plain", false).await, make("privileged", true).await);
    let twice = server
        .call(create, &bearer(&ada.access), &json!({ "name": "plain" }))
        .await;
    assert_eq!(twice.0, 400);
    for app in [&plain, &privileged] {
        assert_eq!(
            server
                .ask("com.atproto.server.getSession", &app.access)
                .await
                .0,
            200
        );
        let (status, answer) = server
            .call(create, &bearer(&app.access), &json!({ "name": "more" }))
            .await;
        assert_eq!(
            (status, answer["error"].as_str()),
            (400, Some("InvalidToken"))
        );
    }
    let chat = "com.atproto.server.getServiceAuth?aud=did:web:x.org&lxm=chat.bsky.convo.listConvos";
    assert_eq!(server.ask(chat, &plain.access).await.0, 400);
    assert_eq!(server.ask(chat, &privileged.access).await.0, 200);
    let revoke = "com.atproto.server.revokeAppPassword";
    assert_eq!(
        server
            .call(revoke, &bearer(&ada.access), &json!({ "name": "plain" }))
            .await
            .0,
        200
    );
    let renew = "com.atproto.server.refreshSession";
    assert_eq!(
        server
            .call(renew, &bearer(&plain.refresh), &Value::Null)
            .await
            .0,
        400
    );
    assert_eq!(
        server
            .call(renew, &bearer(&privileged.refresh), &Value::Null)
            .await
            .0,
        200
    );
}

#[tokio::test]
async fn a_forgotten_password_is_replaced_by_mail_and_ends_all_sessions() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let request = "com.atproto.server.requestPasswordReset";
    for email in ["nobody@x.org", "ADA@coop.example"] {
        assert_eq!(
            server.call(request, "", &json!({ "email": email })).await.0,
            200
        );
    }
    let code = server.mailed_code();
    let reset = "com.atproto.server.resetPassword";
    let wish = json!({ "token": code, "password": "a better one" });
    assert_eq!(server.call(reset, "", &wish).await.0, 200);
    assert_eq!(server.call(reset, "", &wish).await.0, 400);
    assert_eq!(server.sign_in("ada.test", PASSWORD).await.0, 401);
    assert_eq!(server.sign_in("ada.test", "a better one").await.0, 200);
    let renew = "com.atproto.server.refreshSession";
    assert_eq!(
        server
            .call(renew, &bearer(&ada.refresh), &Value::Null)
            .await
            .0,
        400
    );
    server.clock.advance(Duration::from_secs(1));
    let late = server
        .call(request, "", &json!({ "email": "ada@coop.example" }))
        .await;
    assert_eq!(late.0, 200);
    server.clock.advance(Duration::from_secs(15 * 60 + 1));
    let wish = json!({ "token": server.mailed_code(), "password": "too late" });
    let (status, answer) = server.call(reset, "", &wish).await;
    assert_eq!(
        (status, answer["error"].as_str()),
        (400, Some("ExpiredToken"))
    );
}

#[tokio::test]
async fn preferences_come_back_as_they_were_put() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let put = json!({ "preferences": [
        { "$type": "app.bsky.actor.defs#adultContentPref", "enabled": true },
        { "$type": "app.bsky.actor.defs#personalDetailsPref", "birthDate": "1990-01-01T00:00:00Z" },
    ]});
    let nsid = "app.bsky.actor.putPreferences";
    assert_eq!(server.call(nsid, &bearer(&ada.access), &put).await.0, 200);
    let (_, got) = server
        .ask("app.bsky.actor.getPreferences", &ada.access)
        .await;
    let got = got["preferences"].as_array().unwrap().clone();
    assert_eq!(got[..2], put["preferences"].as_array().unwrap()[..]);
    assert_eq!(got[2]["isOverAge18"], true);
    let bad = json!({ "preferences": [{ "$type": "com.example.x" }] });
    assert_eq!(server.call(nsid, &bearer(&ada.access), &bad).await.0, 400);
}

#[tokio::test]
async fn calls_that_cannot_be_passed_on_are_refused_before_anything_is_sent() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let path = "/xrpc/app.bsky.feed.getTimeline";
    let (status, answer) = server.get(path, &[]).await;
    assert_eq!(
        (status, answer["error"].as_str()),
        (401, Some("AuthMissing"))
    );
    let auth = bearer(&ada.access);
    let (status, _) = server.get(path, &[("authorization", &auth)]).await;
    assert_eq!(status, 400);
    for header in [
        "did:web:x.org",
        "#a",
        "did:web:x.org#a#b",
        "did:web:x.org #a",
    ] {
        let headers = [("authorization", auth.as_str()), ("atproto-proxy", header)];
        let (status, answer) = server.get(path, &headers).await;
        assert_eq!(
            (status, answer["error"].as_str()),
            (400, Some("InvalidRequest")),
            "{header}"
        );
    }
}

#[tokio::test]
async fn a_call_is_passed_on_to_the_service_that_the_header_names() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let own = server.get("/.well-known/did.json", &[]).await.1;
    let did = own["id"].as_str().unwrap();
    let headers_for = |service: &str| format!("{did}#{service}");
    let auth = bearer(&ada.access);
    let named = headers_for("atproto_pds");
    let headers = [
        ("authorization", auth.as_str()),
        ("atproto-proxy", named.as_str()),
    ];
    // The service is this server itself: it refuses the service token as a session, by name.
    let (status, answer) = server
        .get("/xrpc/app.bsky.feed.getTimeline", &headers)
        .await;
    assert_eq!(
        (status, answer["error"].as_str()),
        (400, Some("InvalidToken")),
        "{answer}"
    );
    let named = headers_for("other");
    let headers = [
        ("authorization", auth.as_str()),
        ("atproto-proxy", named.as_str()),
    ];
    assert_eq!(
        server
            .get("/xrpc/app.bsky.feed.getTimeline", &headers)
            .await
            .0,
        400
    );
}

#[tokio::test]
async fn the_pages_and_files_beside_xrpc_are_there() {
    let server = Server::start().await;
    server.member("ada").await;
    for (path, part) in [
        ("/", "Personal data server"),
        ("/robots.txt", "Allow: /"),
        ("/outbox", "Nothing is waiting here"),
        ("/tls-check?domain=ada.test", "a name of this server"),
    ] {
        let (status, body) = server.get(path, &[]).await;
        assert_eq!(status, 200, "{path}");
        assert!(body.as_str().unwrap().contains(part), "{path}: {body}");
    }
    let (status, health) = server.get("/xrpc/_health", &[]).await;
    assert_eq!((status, health["version"].is_string()), (200, true));
    assert_eq!(server.get("/tls-check?domain=bob.test", &[]).await.0, 404);
    let (_, described) = server
        .get("/xrpc/com.atproto.server.describeServer", &[])
        .await;
    assert_eq!(described["availableUserDomains"], json!([".test"]));
    let (status, found) = server
        .get(
            "/xrpc/com.atproto.admin.searchAccounts?limit=1",
            &[("authorization", &basic())],
        )
        .await;
    assert_eq!(
        (status, found["accounts"].as_array().map(Vec::len)),
        (200, Some(1))
    );
}
