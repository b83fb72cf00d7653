//! Proxied: which service a call goes to, what goes with it, and what comes back.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use bytes::Bytes;
use http::{Method, Request};
use rochdale_pds::config::RawService;
use rochdale_service::outbound::StreamLimits;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::member::Member;
use crate::server::{Server, bearer, eventually, ok, operator, refused};
use crate::upstream::{Reply, Upstream};

const FOLLOWS: &str = "app.bsky.graph.getFollows";
const MUTE: &str = "app.bsky.graph.muteActor";
const REPORT: &str = "com.atproto.moderation.createReport";
const RECORD: &str = "com.atproto.repo.getRecord";
/// Calls that nobody answers end after ten seconds by themselves.
const BEFORE_ANY_LIMIT: Duration = Duration::from_secs(7);

/// A server whose AppView is the upstream, and a member.
async fn with_app_view() -> (Server, Upstream, Member) {
    let upstream = Upstream::start().await;
    let service = upstream.service();
    let server = Server::start_with(|options| options.raw.app_view = Some(service)).await;
    let ada = server.member("ada").await;
    (server, upstream, ada)
}

/// A server that knows no other service, a service, and a member.
async fn with_nothing() -> (Server, Upstream, Member) {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    (server, Upstream::start().await, ada)
}

async fn named(server: &Server, auth: &str, service: &str, query: &str) -> (u16, Value) {
    let headers = [("authorization", auth), ("atproto-proxy", service)];
    server.get(&format!("/xrpc/{query}"), &headers).await
}

#[tokio::test]
async fn proxied_a_call_goes_out_in_the_members_name_for_one_method_and_one_minute() {
    let (server, upstream, ada) = with_app_view().await;
    upstream.replies(FOLLOWS, Reply::json(&json!({ "follows": [] })));
    let query = format!("{FOLLOWS}?actor=a%20b&actor=c");
    assert_eq!(ok(ada.ask(&server, &query).await), json!({ "follows": [] }));
    let seen = upstream.newest(FOLLOWS);
    assert_eq!(seen.path, format!("/xrpc/{query}"), "as it was written");
    let claims = seen.claims(&server, &ada).await;
    assert_eq!((&claims.iss, &claims.aud), (&ada.did, &upstream.did));
    assert_eq!(claims.lxm.as_deref(), Some(FOLLOWS));
    assert_eq!(claims.exp - claims.iat.unwrap(), 60);
    ok(ada.ask(&server, &query).await);
    let again = upstream.newest(FOLLOWS).claims(&server, &ada).await;
    assert_ne!(again.jti, claims.jti);
    assert!(claims.jti.is_some());
}

#[tokio::test]
async fn proxied_only_the_listed_headers_pass_either_way() {
    let (server, upstream, ada) = with_app_view().await;
    let reply = Reply::json(&json!({}))
        .with("content-language", "de")
        .with("atproto-repo-rev", "3jzfcijpj2z2a")
        .with("atproto-content-labelers", "did:web:l.example")
        .with("retry-after", "5")
        .with("set-cookie", "a=b")
        .with("x-inside", "1")
        .with("server", "secret");
    upstream.replies(FOLLOWS, reply.clone());
    upstream.replies(MUTE, reply);
    let auth = ada.auth();
    let sent = [
        ("authorization", auth.as_str()),
        ("accept-language", "de, en"),
        ("accept-encoding", "zstd;q=0.3"),
        ("atproto-accept-labelers", "did:web:l.example;redact"),
        ("x-bsky-topics", "bread"),
        ("cookie", "session=1"),
        ("x-forwarded-for", "9.9.9.9"),
        ("dpop", "proof"),
        ("origin", "https://app.example"),
        ("user-agent", "app"),
        ("content-type", "application/json"),
    ];
    let path = format!("/xrpc/{FOLLOWS}");
    let (status, back, _) = server.send(Method::GET, &path, &sent, Body::empty()).await;
    assert_eq!(status, 200, "{back:?}");
    for (name, value) in [
        ("content-type", "application/json; charset=utf-8"),
        ("content-length", "2"),
        ("content-language", "de"),
        ("atproto-repo-rev", "3jzfcijpj2z2a"),
        ("atproto-content-labelers", "did:web:l.example"),
        ("retry-after", "5"),
    ] {
        let passed = back.get(name).map(|value| value.to_str().unwrap());
        assert_eq!(passed, Some(value), "{name} in {back:?}");
    }
    for name in ["set-cookie", "x-inside", "server"] {
        assert!(!back.contains_key(name), "{name}");
    }
    let seen = upstream.newest(FOLLOWS).headers;
    for (name, value) in &sent[1..5] {
        assert_eq!(seen[*name], *value, "{name}");
    }
    let passed = ["host", "authorization", "accept", "user-agent"];
    let passed: Vec<&str> = passed
        .into_iter()
        .chain(sent[1..5].iter().map(|(name, _)| *name))
        .collect();
    for name in seen.keys() {
        assert!(passed.contains(&name.as_str()), "{name}");
    }
    assert_ne!(seen["user-agent"], "app");
    let path = format!("/xrpc/{MUTE}");
    let sent = [&sent[..], &[("content-length", "2")]].concat();
    server.send(Method::POST, &path, &sent, "{}").await;
    let seen = upstream.newest(MUTE).headers;
    assert_eq!(seen["content-type"], "application/json");
    assert_eq!(seen["content-length"], "2");
    assert!(!seen.contains_key("cookie"));
    server.ask(FOLLOWS, &auth).await;
    let plain = upstream.newest(FOLLOWS).headers;
    assert_eq!(plain["accept-encoding"], "identity");
}

#[tokio::test]
async fn proxied_compressed_bytes_pass_untouched_both_ways() {
    let (server, upstream, ada) = with_app_view().await;
    // Nobody on the way looks inside: these are not even gzip.
    let bytes = Bytes::from_static(b"\x1f\x8b\x00not gzip");
    let reply = Reply::bytes(bytes.clone())
        .with("content-type", "application/json")
        .with("content-encoding", "gzip");
    upstream.replies(MUTE, reply);
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("{}/xrpc/{MUTE}", server.url))
        .header("authorization", ada.auth())
        .header("content-type", "application/json")
        .header("content-encoding", "gzip")
        .header("accept-encoding", "gzip")
        .body(Body::from(bytes.clone()));
    let (status, headers, back) = server.raw(request.unwrap()).await;
    assert_eq!((status, &back), (200, &bytes));
    assert_eq!(headers["content-encoding"], "gzip");
    let seen = upstream.newest(MUTE);
    assert_eq!(
        (seen.body, &seen.headers["content-encoding"]),
        (bytes, &"gzip".parse().unwrap())
    );
}

#[tokio::test]
async fn proxied_mutes_have_neither_a_body_nor_a_type_in_their_answer() {
    let (server, upstream, ada) = with_app_view().await;
    upstream.replies(MUTE, Reply::bytes(""));
    let auth = ada.auth();
    let headers = [
        ("authorization", auth.as_str()),
        ("content-type", "application/json"),
    ];
    let path = format!("/xrpc/{MUTE}");
    let body = r#"{"actor":"did:web:b.example"}"#;
    let (status, headers, answer) = server.send(Method::POST, &path, &headers, body).await;
    assert_eq!((status, answer), (200, Value::Null));
    assert!(!headers.contains_key("content-type"));
    assert_eq!(upstream.newest(MUTE).json()["actor"], "did:web:b.example");
}

#[tokio::test]
async fn proxied_a_services_refusal_is_raised_again_and_its_failure_is_a_502() {
    let (server, upstream, ada) = with_app_view().await;
    for (status, body, wanted) in [
        (
            400,
            json!({ "error": "ActorNotFound", "message": "who?" }),
            (400, "ActorNotFound"),
        ),
        (
            403,
            json!({ "error": "BlockedActor" }),
            (403, "BlockedActor"),
        ),
        (404, json!({}), (404, "XRPCNotSupported")),
        (
            429,
            json!({ "error": "RateLimitExceeded" }),
            (429, "RateLimitExceeded"),
        ),
        (500, json!({}), (502, "UpstreamFailure")),
        (503, json!([1]), (503, "NotEnoughResources")),
        (302, json!({}), (502, "UpstreamFailure")),
    ] {
        let reply = Reply::status(status, &body).with("retry-after", "9");
        upstream.replies(FOLLOWS, reply.with("set-cookie", "a=b"));
        let auth = ada.auth();
        let path = format!("/xrpc/{FOLLOWS}");
        let sent = [("authorization", auth.as_str())];
        let (status, headers, answer) = server.send(Method::GET, &path, &sent, Body::empty()).await;
        let message = refused((status, answer), wanted);
        if let Some(said) = body["message"].as_str() {
            assert_eq!(message, said);
        }
        assert_eq!(headers["content-type"], "application/json");
        assert!(!headers.contains_key("set-cookie"));
        if status != 302 && wanted.0 != 502 {
            assert_eq!(headers["retry-after"], "9");
        }
    }
}

#[tokio::test]
async fn proxied_headers_that_name_no_service_are_refused() {
    let (server, upstream, ada) = with_nothing().await;
    let did = &upstream.did;
    for header in [
        "",
        "nonsense",
        "#bsky_appview",
        did,
        &format!("{did}#"),
        &format!("{did}#a#b"),
        &format!("{did} #bsky_appview"),
        &format!("{did}#bsky_appview "),
        &format!("{did}#unknown"),
        "did:web:nobody.invalid#bsky_appview",
        "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa#bsky_appview",
        "did:example:alice#bsky_appview",
    ] {
        let answer = named(&server, &ada.auth(), header, FOLLOWS).await;
        // A trailing space is no part of a header's value.
        let wanted = if header.ends_with("appview ") {
            (501, "MethodNotImplemented")
        } else {
            (400, answer.1["error"].as_str().unwrap_or_default())
        };
        assert!(
            ["InvalidRequest", "DidNotFound", "MethodNotImplemented"].contains(&wanted.1),
            "{header:?}: {}",
            answer.1
        );
        assert_eq!(answer.0, wanted.0, "{header:?}: {}", answer.1);
    }
    let message = refused(ada.ask(&server, FOLLOWS).await, (400, "InvalidRequest"));
    assert!(message.starts_with("No service configured"), "{message}");
    refused(server.ask(FOLLOWS, "").await, (401, "AuthMissing"));
}

#[tokio::test]
async fn proxied_an_upstream_that_is_down_or_breaks_off_or_says_too_much_is_a_502() {
    let (server, upstream, ada) = with_app_view().await;
    upstream.replies(FOLLOWS, Reply::bytes(vec![b' '; 10 * 1024 * 1024 + 1]));
    refused(ada.ask(&server, FOLLOWS).await, (502, "UpstreamFailure"));
    upstream.replies(FOLLOWS, Reply::bytes(vec![b' '; 10 * 1024 * 1024]));
    assert_eq!(ada.ask(&server, FOLLOWS).await.0, 200);
    upstream.replies(FOLLOWS, Reply::BreaksOff);
    let request = Request::builder()
        .uri(format!("{}/xrpc/{FOLLOWS}", server.url))
        .header("authorization", ada.auth())
        .body(Body::empty());
    let limits = StreamLimits {
        head_timeout_ms: 20_000,
        idle_timeout_ms: 20_000,
        max_bytes: 1 << 20,
        trusted: true,
    };
    let answer = server.directory.client.send(request.unwrap(), limits).await;
    let body = to_bytes(answer.unwrap().into_body(), 1 << 20).await;
    assert!(body.is_err(), "the break reaches the client");

    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = RawService {
        did: "did:web:gone.example".to_owned(),
        url: format!("http://localhost:{}", free.local_addr().unwrap().port()),
    };
    drop(free);
    let server = Server::start_with(|options| options.raw.app_view = Some(gone)).await;
    let ada = server.member("ada").await;
    refused(ada.ask(&server, FOLLOWS).await, (502, "UpstreamFailure"));
}

async fn hangs_up_after(server: &Server, request: &str, mut done: impl AsyncFnMut() -> bool) {
    let address = server.url.trim_start_matches("http://");
    let mut socket = TcpStream::connect(address).await.expect("connects");
    let sent = socket.write_all(request.as_bytes()).await;
    sent.expect("a request");
    eventually("the call to arrive", async || done().await).await;
    drop(socket);
}

#[tokio::test]
async fn proxied_a_client_who_hangs_up_ends_the_call_upstream() {
    let (server, upstream, ada) = with_app_view().await;
    upstream.replies(FOLLOWS, Reply::Silence);
    let auth = ada.auth();
    let request =
        format!("GET /xrpc/{FOLLOWS} HTTP/1.1\r\nhost: a.test\r\nauthorization: {auth}\r\n\r\n");
    hangs_up_after(&server, &request, async || {
        !upstream.seen(FOLLOWS).is_empty()
    })
    .await;
    let given_up = eventually("the call to be given up", async || upstream.given_up() == 1);
    let in_time = tokio::time::timeout(BEFORE_ANY_LIMIT, given_up).await;
    assert!(in_time.is_ok(), "the call went on without its caller");

    let request = format!(
        "POST /xrpc/{MUTE} HTTP/1.1\r\nhost: a.test\r\nauthorization: {auth}\r\n\
         content-type: application/json\r\ncontent-length: 100000\r\n\r\n{{\"actor\":"
    );
    let mut waited = 0;
    hangs_up_after(&server, &request, async || {
        waited += 1;
        waited > 4
    })
    .await;
    let broken = eventually("the upload to break off", async || {
        upstream.seen(MUTE).iter().any(|seen| seen.broken)
    });
    let in_time = tokio::time::timeout(BEFORE_ANY_LIMIT, broken).await;
    assert!(in_time.is_ok(), "the upload went on without its caller");
    upstream.replies(FOLLOWS, Reply::json(&json!({})));
    ok(ada.ask(&server, FOLLOWS).await);
}

#[tokio::test]
async fn proxied_moderators_methods_and_reports_go_to_their_own_services() {
    let [app_view, moderation, reports] = [
        Upstream::start().await,
        Upstream::start().await,
        Upstream::start().await,
    ];
    let (first, second, third) = (app_view.service(), moderation.service(), reports.service());
    let server = Server::start_with(|options| {
        options.raw.app_view = Some(first);
        options.raw.moderation_service = Some(second.clone());
        options.raw.report_service = Some(third);
    })
    .await;
    let ada = server.member("ada").await;
    let events = "tools.ozone.moderation.queryEvents";
    let error = json!({ "error": "Forbidden", "message": "not a moderator" });
    moderation.replies(events, Reply::status(403, &error));
    let message = refused(ada.ask(&server, events).await, (403, "Forbidden"));
    assert_eq!(message, "not a moderator");
    let vouched = moderation.newest(events).vouches(&server, &ada).await;
    assert_eq!(vouched, (moderation.did.clone(), events.to_owned()));
    reports.replies(REPORT, Reply::json(&json!({ "id": 1 })));
    let report = json!({ "reasonType": "com.atproto.moderation.defs#reasonSpam" });
    assert_eq!(ok(ada.call(&server, REPORT, report.clone()).await)["id"], 1);
    assert_eq!(reports.newest(REPORT).json(), report);
    // A member may report to a service of their choice.
    app_view.replies(REPORT, Reply::json(&json!({ "id": 2 })));
    let (auth, labeler) = (ada.auth(), app_view.named("atproto_labeler"));
    let headers = [
        ("authorization", auth.as_str()),
        ("atproto-proxy", labeler.as_str()),
        ("content-type", "application/json"),
    ];
    let path = format!("/xrpc/{REPORT}");
    let (_, _, answer) = server
        .send(Method::POST, &path, &headers, report.to_string())
        .await;
    assert_eq!(answer["id"], 2);
    let vouched = app_view.newest(REPORT).vouches(&server, &ada).await;
    assert_eq!(vouched, (app_view.did.clone(), REPORT.to_owned()));

    let server = Server::start_with(|options| options.raw.moderation_service = Some(second)).await;
    let ada = server.member("ada").await;
    moderation.replies(REPORT, Reply::json(&json!({ "id": 3 })));
    let id = ok(ada.call(&server, REPORT, report).await)["id"].clone();
    assert_eq!(id, 3, "without a report service");
}

#[tokio::test]
async fn proxied_a_taken_down_account_may_appeal_and_nothing_else() {
    let (server, upstream, ada) = with_app_view().await;
    let subject = json!({ "$type": "com.atproto.admin.defs#repoRef", "did": ada.did });
    let down = json!({ "subject": subject, "takedown": { "applied": true } });
    let nsid = "com.atproto.admin.updateSubjectStatus";
    ok(server.call(nsid, &operator(), down).await);
    let sign_in = json!({
        "identifier": "ada.test", "password": crate::server::PASSWORD, "allowTakendown": true,
    });
    let session = server
        .call("com.atproto.server.createSession", "", sign_in)
        .await;
    let auth = bearer(ok(session)["accessJwt"].as_str().unwrap());
    upstream.replies(REPORT, Reply::json(&json!({ "id": 1 })));
    upstream.replies(FOLLOWS, Reply::json(&json!({})));
    let service = upstream.named("atproto_labeler");
    let headers = [
        ("authorization", auth.as_str()),
        ("atproto-proxy", service.as_str()),
        ("content-type", "application/json"),
    ];
    let path = format!("/xrpc/{REPORT}");
    let (status, _, _) = server.send(Method::POST, &path, &headers, "{}").await;
    assert_eq!(status, 200);
    refused(server.ask(FOLLOWS, &auth).await, (400, "InvalidToken"));
    let timeline = server.ask("app.bsky.feed.getTimeline", &auth).await;
    refused(timeline, (401, "AccountTakedown"));
    assert!(upstream.seen(FOLLOWS).is_empty());
}

#[tokio::test]
async fn proxied_methods_of_the_account_itself_never_leave_in_any_spelling() {
    let (server, upstream, ada) = with_app_view().await;
    let service = upstream.named("bsky_appview");
    for nsid in [
        "com.atproto.server.getsession",
        "com.atproto.server.GetSession",
        "com.atproto.identity.signplcoperation",
        "com.atproto.admin.SendEmail",
    ] {
        let answer = named(&server, &ada.auth(), &service, nsid).await;
        let message = refused(answer, (400, "InvalidToken"));
        assert!(message.starts_with("Bad token method"), "{message}");
        assert!(upstream.seen(nsid).is_empty(), "{nsid}");
    }
    // What is answered here is answered here, whatever the header says.
    let session = named(
        &server,
        &ada.auth(),
        &service,
        "com.atproto.server.getSession",
    )
    .await;
    assert_eq!(ok(session)["did"], ada.did);
    let query = format!("com.atproto.repo.describeRepo?repo={}", ada.did);
    assert_eq!(
        ok(named(&server, "", &service, &query).await)["did"],
        ada.did
    );
}

#[tokio::test]
async fn row_23_a_plain_app_password_cannot_reach_private_messages() {
    let (server, upstream, ada) = with_nothing().await;
    let nsid = "chat.bsky.convo.someMethodOfNextYear";
    upstream.replies(nsid, Reply::json(&json!({ "convos": [] })));
    let service = upstream.named("bsky_chat");
    for (name, privileged) in [("plain", false), ("privileged", true)] {
        let wish = json!({ "name": name, "privileged": privileged });
        let made = ada
            .call(&server, "com.atproto.server.createAppPassword", wish)
            .await;
        let made = ok(made);
        let session = ok(server
            .sign_in("ada.test", made["password"].as_str().unwrap())
            .await);
        let auth = bearer(session["accessJwt"].as_str().unwrap());
        let answer = named(&server, &auth, &service, nsid).await;
        if privileged {
            ok(answer);
        } else {
            let message = refused(answer, (400, "InvalidToken"));
            assert!(message.starts_with("Bad token method"), "{message}");
            let shouted = named(&server, &auth, &service, "chat.BSKY.convo.listConvos").await;
            refused(shouted, (400, "InvalidToken"));
            assert!(upstream.seen(nsid).is_empty());
        }
    }
    ok(named(&server, &ada.auth(), &service, nsid).await);
    let vouched = upstream.newest(nsid).vouches(&server, &ada).await;
    assert_eq!(
        vouched,
        (upstream.did.clone(), nsid.to_owned()),
        "the bare DID"
    );
}

#[tokio::test]
async fn row_22_the_endpoint_is_that_of_the_service_id_and_not_the_first() {
    let (server, upstream, ada) = with_nothing().await;
    upstream.replies(FOLLOWS, Reply::json(&json!({ "follows": [] })));
    for id in ["bsky_appview", "bsky_fg"] {
        ok(named(&server, &ada.auth(), &upstream.named(id), FOLLOWS).await);
    }
    let first = named(&server, &ada.auth(), &upstream.named("first"), FOLLOWS).await;
    refused(first, (501, "MethodNotImplemented"));
    assert_eq!(upstream.seen(FOLLOWS).len(), 2);
}

#[tokio::test]
async fn row_21_the_token_of_a_feed_is_made_out_to_its_own_service() {
    let (server, upstream, ada) = with_app_view().await;
    let feed = "app.bsky.feed.getFeed";
    let answer = json!({ "feed": [] });
    upstream.replies(
        feed,
        Reply::json(&answer).with("atproto-repo-rev", "3jzfcijpj2z2a"),
    );
    let uri = "at://did:web:maker.example/app.bsky.feed.generator/bread";
    let query = format!("{feed}?feed={uri}&limit=3");
    let record = json!({ "uri": uri, "value": { "did": "did:web:feeds.example", "x": 1 } });
    upstream.replies(RECORD, Reply::json(&record));
    assert_eq!(ok(ada.ask(&server, &query).await), answer);
    let asked = upstream.newest(RECORD).path;
    assert!(
        asked.contains("collection=app.bsky.feed.generator&rkey=bread"),
        "{asked}"
    );
    let seen = upstream.newest(feed);
    assert_eq!(seen.path, format!("/xrpc/{query}"));
    let skeleton = "app.bsky.feed.getFeedSkeleton".to_owned();
    let vouched = seen.vouches(&server, &ada).await;
    assert_eq!(
        vouched,
        ("did:web:feeds.example".to_owned(), skeleton.clone())
    );

    // A feed of somebody here needs no AppView to be found.
    let own = json!({
        "repo": ada.did, "collection": "app.bsky.feed.generator", "rkey": "mine",
        "record": { "did": "did:web:own.example", "displayName": "m", "createdAt": "2026-01-01T00:00:00Z" },
    });
    ok(ada
        .call(&server, "com.atproto.repo.createRecord", own)
        .await);
    ok(ada
        .ask(
            &server,
            &format!("{feed}?feed=at://ada.test/app.bsky.feed.generator/mine"),
        )
        .await);
    let vouched = upstream.newest(feed).vouches(&server, &ada).await;
    assert_eq!(vouched, ("did:web:own.example".to_owned(), skeleton));
    assert_eq!(upstream.seen(RECORD).len(), 1);

    let error = json!({ "error": "RecordNotFound", "message": "Could not locate record" });
    upstream.replies(RECORD, Reply::status(400, &error));
    refused(ada.ask(&server, &query).await, (400, "UnknownFeed"));
    upstream.replies(RECORD, Reply::json(&json!({ "value": { "did": 7 } })));
    refused(ada.ask(&server, &query).await, (400, "UnknownFeed"));
    for bad in [
        "",
        "?feed=nonsense",
        "?feed=at://ada.test/app.bsky.feed.generator",
    ] {
        refused(
            ada.ask(&server, &format!("{feed}{bad}")).await,
            (400, "InvalidRequest"),
        );
    }
    assert_eq!(upstream.seen(feed).len(), 2);
}

#[tokio::test]
async fn proxied_push_goes_to_the_service_in_the_body() {
    let (server, app_view, ada) = with_app_view().await;
    let push = Upstream::start().await;
    for nsid in [
        "app.bsky.notification.registerPush",
        "app.bsky.notification.unregisterPush",
    ] {
        for service in [&push, &app_view] {
            service.replies(nsid, Reply::bytes(""));
            let body = json!({
                "serviceDid": service.did, "token": "t", "platform": "ios", "appId": "org.coop",
            });
            let answer = ada.call(&server, nsid, body.clone()).await;
            assert_eq!(ok(answer), Value::Null);
            let seen = service.newest(nsid);
            assert_eq!(seen.json(), body);
            let vouched = seen.vouches(&server, &ada).await;
            assert_eq!(vouched, (service.did.clone(), nsid.to_owned()));
        }
        for bad in [
            json!({}),
            json!({ "serviceDid": "x" }),
            json!({ "serviceDid": 7 }),
        ] {
            refused(ada.call(&server, nsid, bad).await, (400, "InvalidRequest"));
        }
        let own = json!({ "serviceDid": server.did() });
        refused(ada.call(&server, nsid, own).await, (400, "InvalidRequest"));
        assert_eq!(push.seen(nsid).len(), 1);
    }
}

#[tokio::test]
async fn row_9_a_record_that_is_not_here_is_asked_of_the_app_view_in_nobodys_name() {
    let (server, upstream, ada) = with_app_view().await;
    let query = |repo: &str| format!("{RECORD}?repo={repo}&collection=app.bsky.feed.post&rkey=a");
    let message = refused(
        server.ask(&query("ada.test"), "").await,
        (400, "RecordNotFound"),
    );
    let uri = format!("at://{}/app.bsky.feed.post/a", ada.did);
    assert_eq!(message, format!("Could not locate record: {uri}"));
    assert!(
        upstream.seen(RECORD).is_empty(),
        "a repository that is here is here"
    );
    let record = json!({ "uri": "at://did:web:b.example/x/y", "value": { "text": "hi" } });
    upstream.replies(RECORD, Reply::json(&record));
    assert_eq!(
        ok(ada.ask(&server, &query("did:web:b.example")).await),
        record
    );
    let seen = upstream.newest(RECORD);
    assert!(!seen.headers.contains_key("authorization"));
    assert_eq!(seen.path, format!("/xrpc/{}", query("did:web:b.example")));
    let error = json!({ "error": "RecordNotFound", "message": "Could not locate record: x" });
    upstream.replies(RECORD, Reply::status(400, &error));
    refused(
        server.ask(&query("b.example"), "").await,
        (400, "RecordNotFound"),
    );
    // A deactivated account's repository is not here either.
    let deactivate = "com.atproto.server.deactivateAccount";
    ok(ada.call(&server, deactivate, json!({})).await);
    upstream.replies(RECORD, Reply::json(&record));
    assert_eq!(ok(server.ask(&query("ada.test"), "").await), record);

    let other = Upstream::start().await;
    other.replies(RECORD, Reply::json(&json!({ "value": "other" })));
    let service = other.named("bsky_appview");
    let answer = named(&server, "", &service, &query("did:web:b.example")).await;
    assert_eq!(ok(answer)["value"], "other");
}

#[tokio::test]
async fn preferences_are_kept_here_unless_another_app_view_is_named() {
    let (server, app_view, ada) = with_app_view().await;
    let other = Upstream::start().await;
    let (get, put) = (
        "app.bsky.actor.getPreferences",
        "app.bsky.actor.putPreferences",
    );
    let theirs = json!({ "preferences": [{ "$type": "app.bsky.actor.defs#theirs" }] });
    other.replies(get, Reply::json(&theirs));
    other.replies(put, Reply::bytes(""));
    let path = format!("/xrpc/{put}");
    let auth = ada.auth();
    let named_put = |service: String, body: Value| {
        let (server, path, auth) = (&server, &path, &auth);
        async move {
            let headers = [
                ("authorization", auth.as_str()),
                ("atproto-proxy", service.as_str()),
                ("content-type", "application/json"),
            ];
            server
                .send(Method::POST, path, &headers, body.to_string())
                .await
                .0
        }
    };
    // Row 20: a type that nobody here knows.
    let mine = json!({ "preferences": [{ "$type": "app.bsky.actor.defs#ofNextYear", "x": [1] }] });
    assert_eq!(
        named_put(app_view.named("bsky_appview"), mine.clone()).await,
        200
    );
    assert_eq!(
        named_put(other.named("bsky_appview"), theirs.clone()).await,
        200
    );
    assert_eq!(other.newest(put).json(), theirs);
    let vouched = other.newest(put).vouches(&server, &ada).await;
    assert_eq!(vouched, (other.did.clone(), put.to_owned()));
    let shown = named(&server, &auth, &app_view.named("bsky_appview"), get).await;
    assert_eq!(ok(shown), mine);
    let shown = named(&server, &auth, &other.named("bsky_appview"), get).await;
    assert_eq!(ok(shown), theirs);
    assert_eq!(ok(ada.ask(&server, get).await), mine);
    assert!(app_view.seen(get).is_empty() && app_view.seen(put).is_empty());
}

#[tokio::test]
async fn row_29_a_page_of_any_origin_may_send_every_header_and_read_the_listed_ones() {
    let (server, upstream, ada) = with_app_view().await;
    upstream.replies(FOLLOWS, Reply::json(&json!({})));
    let asked = "authorization, dpop, user-agent, atproto-proxy, atproto-accept-labelers, x-any";
    let headers = [
        ("origin", "https://app.example"),
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", asked),
    ];
    for nsid in [
        FOLLOWS,
        "app.bsky.feed.getTimeline",
        "com.atproto.server.getSession",
    ] {
        let path = format!("/xrpc/{nsid}");
        let (status, headers, _) = server
            .send(Method::OPTIONS, &path, &headers, Body::empty())
            .await;
        assert_eq!(status, 204);
        assert_eq!(headers["access-control-allow-origin"], "*");
        assert_eq!(headers["access-control-allow-headers"], asked);
        assert_eq!(headers["access-control-max-age"], "86400");
    }
    let auth = ada.auth();
    let sent = [
        ("authorization", auth.as_str()),
        ("origin", "https://app.example"),
    ];
    let path = format!("/xrpc/{FOLLOWS}");
    let (_, headers, _) = server.send(Method::GET, &path, &sent, Body::empty()).await;
    assert_eq!(headers["access-control-allow-origin"], "*");
    let exposed = headers["access-control-expose-headers"].to_str().unwrap();
    for name in [
        "DPoP-Nonce",
        "WWW-Authenticate",
        "RateLimit-Reset",
        "Retry-After",
        "atproto-repo-rev",
        "atproto-content-labelers",
    ] {
        assert!(exposed.contains(name), "{name}");
    }
    assert_eq!(headers["cache-control"], "private");
}

#[tokio::test]
async fn complaint_28_methods_that_a_server_does_not_know_reach_the_app_view() {
    let (server, upstream, ada) = with_app_view().await;
    for nsid in [
        "app.bsky.unspecced.getAgeAssuranceState",
        "app.bsky.ageassurance.getState",
        "org.example.brand.newMethod",
    ] {
        upstream.replies(nsid, Reply::json(&json!({ "state": "unknown" })));
        assert_eq!(ok(ada.ask(&server, nsid).await)["state"], "unknown");
        let vouched = upstream.newest(nsid).vouches(&server, &ada).await;
        assert_eq!(vouched, (upstream.did.clone(), nsid.to_owned()));
    }
}

#[tokio::test]
async fn complaint_24_a_record_of_an_unknown_lexicon_is_written() {
    let (server, _, ada) = with_nothing().await;
    let record = json!({
        "repo": ada.did, "collection": "org.example.brand.newRecord",
        "record": { "anything": [1, { "deep": true }] },
    });
    let written = ok(ada
        .call(&server, "com.atproto.repo.createRecord", record)
        .await);
    assert_eq!(written["validationStatus"], "unknown");
}

#[tokio::test]
async fn create_post_tags_and_facets_come_back_as_written() {
    let (server, _, ada) = with_nothing().await;
    let post = json!({
        "$type": "app.bsky.feed.post",
        "text": "hello #bread @ben.test",
        "tags": ["bread", "co-ops"],
        "langs": ["en", "de-CH"],
        "facets": [{
            "index": { "byteStart": 6, "byteEnd": 12 },
            "features": [{ "$type": "app.bsky.richtext.facet#tag", "tag": "bread" }],
        }, {
            "index": { "byteStart": 13, "byteEnd": 22 },
            "features": [{ "$type": "app.bsky.richtext.facet#mention", "did": ada.did }],
        }],
        "createdAt": "2026-01-01T00:00:00.000Z",
    });
    let record = json!({ "repo": ada.did, "collection": "app.bsky.feed.post", "record": post });
    let written = ok(ada
        .call(&server, "com.atproto.repo.createRecord", record)
        .await);
    let rkey = written["uri"].as_str().unwrap().rsplit('/').next().unwrap();
    let query = format!(
        "{RECORD}?repo={}&collection=app.bsky.feed.post&rkey={rkey}",
        ada.did
    );
    assert_eq!(ok(server.ask(&query, "").await)["value"], post);
}
