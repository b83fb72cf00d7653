use super::*;
use axum::Router;
use axum::response::Redirect;
use axum::routing::get;

fn outbound(dev: bool) -> Outbound {
    Outbound::new(Policy {
        dev,
        user_agent: "rochdale-test".to_owned(),
    })
    .unwrap()
}

async fn server() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let router = Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/big", get(|| async { "x".repeat(10_000) }))
        .route(
            "/slow",
            get(|| async { tokio::time::sleep(Duration::from_secs(30)).await }),
        )
        .route("/once", get(|| async { Redirect::temporary("/") }))
        .route("/loop", get(|| async { Redirect::temporary("/loop") }))
        .route(
            "/inside",
            get(|| async { Redirect::temporary("http://169.254.169.254/") }),
        )
        .route(
            "/host",
            get(|headers: HeaderMap| async move { headers[HOST].to_str().unwrap().to_owned() }),
        );
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    port
}

#[test]
fn only_public_https_on_usual_ports_is_asked_outside_development() {
    let outbound = outbound(false);
    for url in [
        "ftp://example.com/",
        "http://example.com/",
        "https://example.com:8443/",
        "https://",
        "https://user@example.com/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://10.0.0.1/",
        "https://169.254.169.254/",
        "https://localhost/",
        "https://a.localhost/",
        "ws://example.com/",
        "https://0x7f000001/",
        "https://2130706433/",
        "https://[::ffff:10.0.0.1]/",
        "nonsense",
    ] {
        assert!(outbound.check_url(url, false).is_err(), "{url}");
    }
    for url in [
        "https://example.com/",
        "wss://example.com/",
        "https://1.1.1.1/",
        "https://e.com:443/",
    ] {
        assert!(outbound.check_url(url, false).is_ok(), "{url}");
    }
    assert!(
        outbound.check_url("http://10.0.0.1:2582/", true).is_ok(),
        "the operator's own choice"
    );
}

#[test]
fn development_adds_loopback_and_nothing_else() {
    let outbound = outbound(true);
    for url in [
        "http://localhost:2583/",
        "http://127.0.0.1:1/",
        "ws://localhost:2470/",
        "http://[::1]:9/",
    ] {
        assert!(outbound.check_url(url, false).is_ok(), "{url}");
    }
    for url in [
        "http://10.0.0.1/",
        "http://example.com/",
        "https://169.254.169.254/",
        "http://192.168.1.1:80/",
    ] {
        assert!(outbound.check_url(url, false).is_err(), "{url}");
    }
}

#[tokio::test]
async fn a_name_that_resolves_to_loopback_is_refused_outside_development() {
    let refused = guard::GuardedDns { dev: false }
        .lookup("localhost", 80)
        .await;
    assert_eq!(refused, Err(guard::LookupError::Refused));
    assert!(
        guard::GuardedDns { dev: true }
            .lookup("localhost", 80)
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn size_time_and_redirects_are_limited() {
    let port = server().await;
    let outbound = outbound(true);
    let url = |path: &str| format!("http://localhost:{port}{path}");
    let limits = Limits {
        max_bytes: 100,
        timeout_ms: 400,
        redirects: 2,
        ..Limits::default()
    };

    let hello = outbound.get(&url("/"), limits).await.unwrap();
    assert_eq!((hello.status, &hello.body[..]), (200, &b"hello"[..]));
    let five = Limits {
        max_bytes: 5,
        ..limits
    };
    assert!(outbound.get(&url("/"), five).await.is_ok(), "at the limit");
    let four = Limits {
        max_bytes: 4,
        ..limits
    };
    let error = outbound.get(&url("/"), four).await.unwrap_err();
    assert!(matches!(error, OutboundError::TooLarge { .. }), "{error}");
    let error = outbound.get(&url("/big"), limits).await.unwrap_err();
    assert!(matches!(error, OutboundError::TooLarge { .. }), "{error}");
    let error = outbound.get(&url("/slow"), limits).await.unwrap_err();
    assert!(matches!(error, OutboundError::Timeout { .. }), "{error}");
    assert_eq!(
        &outbound.get(&url("/once"), limits).await.unwrap().body[..],
        b"hello"
    );
    let error = outbound.get(&url("/loop"), limits).await.unwrap_err();
    assert!(matches!(error, OutboundError::Redirect { .. }), "{error}");
    let error = outbound.get(&url("/inside"), limits).await.unwrap_err();
    assert!(matches!(error, OutboundError::Refused { .. }), "{error}");
    let unfollowed = Limits {
        redirects: 0,
        ..limits
    };
    assert_eq!(
        outbound
            .get(&url("/once"), unfollowed)
            .await
            .unwrap()
            .status,
        307
    );
}

#[tokio::test]
async fn a_trusted_origin_does_not_make_its_redirects_trusted() {
    let port = server().await;
    let outbound = outbound(false);
    let limits = Limits {
        trusted: true,
        redirects: 2,
        ..Limits::default()
    };
    let url = format!("http://127.0.0.1:{port}");
    assert_eq!(
        outbound
            .get(&format!("{url}/once"), limits)
            .await
            .unwrap()
            .status,
        200
    );
    let error = outbound
        .get(&format!("{url}/inside"), limits)
        .await
        .unwrap_err();
    assert!(matches!(error, OutboundError::Refused { .. }), "{error}");
}

#[tokio::test]
async fn the_host_header_can_be_another_name() {
    let port = server().await;
    let limits = Limits {
        host: Some("ada.test"),
        ..Limits::default()
    };
    let answer = outbound(true)
        .get(&format!("http://localhost:{port}/host"), limits)
        .await
        .unwrap();
    assert_eq!(&answer.body[..], b"ada.test");
}

#[tokio::test]
async fn a_streamed_answer_breaks_off_at_its_limit() {
    let port = server().await;
    let outbound = outbound(true);
    let limits = StreamLimits {
        head_timeout_ms: 500,
        idle_timeout_ms: 500,
        max_bytes: 9_999,
        trusted: false,
    };
    let request = |path: &str| {
        http::Request::get(format!("http://localhost:{port}{path}"))
            .body(axum::body::Body::empty())
            .unwrap()
    };
    let answer = outbound.send(request("/"), limits).await.unwrap();
    let body = axum::body::to_bytes(answer.into_body(), 100).await.unwrap();
    assert_eq!(&body[..], b"hello");
    let answer = outbound.send(request("/big"), limits).await.unwrap();
    assert!(
        axum::body::to_bytes(answer.into_body(), 100_000)
            .await
            .is_err()
    );
    let error = outbound.send(request("/slow"), limits).await.unwrap_err();
    assert!(matches!(error, OutboundError::Timeout { .. }), "{error}");
}
