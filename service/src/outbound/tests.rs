use std::net::SocketAddr;

use axum::Router;
use axum::response::Redirect;
use axum::routing::get;
use parking_lot::Mutex;

use super::*;

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
            "/grows",
            get(|| async {
                let piece = || Ok::<_, std::io::Error>("x".repeat(1_000));
                axum::body::Body::from_stream(futures::stream::iter((0..10).map(move |_| piece())))
            }),
        )
        .route(
            "/slow",
            get(|| async { tokio::time::sleep(Duration::from_secs(30)).await }),
        )
        .route(
            "/closing",
            get(|| async { ([(http::header::CONNECTION, "close")], "hello") }),
        )
        .route(
            "/elsewhere",
            get(|| async { Redirect::temporary("http://elsewhere.localhost/") }),
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
    let refused = guard::GuardedDns::system(false)
        .lookup("localhost", 80)
        .await;
    assert_eq!(refused, Err(guard::LookupError::PrivateAddress));
    assert!(
        guard::GuardedDns::system(true)
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
async fn a_streamed_answer_is_refused_or_breaks_off_at_its_limit() {
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
    let error = outbound.send(request("/big"), limits).await.unwrap_err();
    assert!(matches!(error, OutboundError::TooLarge { .. }), "{error}");
    let answer = outbound.send(request("/grows"), limits).await.unwrap();
    assert!(
        axum::body::to_bytes(answer.into_body(), 100_000)
            .await
            .is_err()
    );
    let error = outbound.send(request("/slow"), limits).await.unwrap_err();
    assert!(matches!(error, OutboundError::Timeout { .. }), "{error}");
}

/// A client to which the names resolve one answer after the other; the last one stays.
fn outbound_with_answers(
    dev: bool,
    answers: Vec<Vec<SocketAddr>>,
) -> (Outbound, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let dns = guard::GuardedDns::new(dev, move |host, _port| {
        let mut log = log.lock();
        let place = log.len().min(answers.len() - 1);
        log.push(host);
        let answer = answers[place].clone();
        Box::pin(std::future::ready(Ok(answer)))
    });
    let policy = Policy {
        dev,
        user_agent: "rochdale-test".to_owned(),
    };
    (Outbound::with_dns(policy, dns).unwrap(), asked)
}

/// A service inside, under a private address at which the system would really reach it.
fn inside() -> (std::net::TcpListener, SocketAddr) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = SocketAddr::from(([0, 0, 0, 0], listener.local_addr().unwrap().port()));
    drop(std::net::TcpStream::connect(address).expect("the address leads to the service"));
    let (_own, _from) = listener.accept().unwrap();
    (listener, address)
}

#[tokio::test]
async fn a_name_whose_second_answer_is_private_is_refused_when_it_is_connected_to() {
    let (inside, private) = inside();
    let allowed = SocketAddr::from(([127, 0, 0, 1], server().await));
    let answers = vec![vec![allowed], vec![private]];
    let (outbound, asked) = outbound_with_answers(true, answers.clone());
    let limits = Limits {
        redirects: 1,
        ..Limits::default()
    };

    let first = outbound.get("http://rebound.localhost/closing", limits);
    assert_eq!(&first.await.unwrap().body[..], b"hello");
    assert_eq!(asked.lock().len(), 1, "what was checked is connected to");
    for path in ["/", "/closing"] {
        let url = format!("http://rebound.localhost{path}");
        let error = outbound.get(&url, limits).await.unwrap_err();
        assert!(
            matches!(error, OutboundError::PrivateAddress { .. }),
            "{error}"
        );
    }
    let error = outbound.connect_ws("ws://rebound.localhost/", 1_000).await;
    assert!(matches!(error, Err(OutboundError::PrivateAddress { .. })));

    let (outbound, asked) = outbound_with_answers(true, answers);
    let error = outbound.get("http://rebound.localhost/elsewhere", limits);
    let error = error.await.unwrap_err();
    assert!(
        matches!(error, OutboundError::PrivateAddress { .. }),
        "{error}"
    );
    assert_eq!(*asked.lock(), ["rebound.localhost", "elsewhere.localhost"]);
    assert!(
        inside.accept().is_err(),
        "nobody came to the service inside"
    );
}

#[tokio::test]
async fn of_a_mixed_answer_only_the_allowed_addresses_are_connected_to() {
    let (inside, private) = inside();
    let allowed = SocketAddr::from(([127, 0, 0, 1], server().await));
    let (outbound, _asked) = outbound_with_answers(true, vec![vec![private, allowed, private]]);
    let answer = outbound.get("http://mixed.localhost/", Limits::default());
    assert_eq!(&answer.await.unwrap().body[..], b"hello");

    let local = vec![inside.local_addr().unwrap(), private];
    let (outbound, _asked) = outbound_with_answers(false, vec![local]);
    for url in ["https://inside.example/", "https://localhost.example/"] {
        let error = outbound.get(url, Limits::default()).await.unwrap_err();
        assert!(
            matches!(error, OutboundError::PrivateAddress { .. }),
            "{error}"
        );
    }
    assert!(
        inside.accept().is_err(),
        "nobody came to the service inside"
    );
}
