//! Requests through the dispatcher, and some over a real connection.

use std::io::Write as _;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt as _;

use super::*;
use crate::clock::ManualClock;
use crate::config::Secret;
use crate::shutdown::Shutdown;

const LIMIT: u64 = 1_000;

#[derive(Debug, Serialize, Deserialize)]
struct Note {
    text: String,
}

#[derive(Debug, Deserialize)]
struct Wanted {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Pause {
    ms: u64,
}

const PER_DID: Budget = Budget {
    name: "per-did",
    points: 3,
    seconds: 60,
};
const PER_IP: &[Budget] = &[Budget {
    name: "strict",
    points: 2,
    seconds: 10,
}];

async fn greet(Query(wanted): Query<Wanted>) -> Output<Note> {
    Output(Note {
        text: format!("hello {}", wanted.name),
    })
}

async fn save(Input(note): Input<Note>) -> Output<Note> {
    Output(note)
}

async fn raw(body: RawBody) -> Result<Output<usize>, XrpcError> {
    Ok(Output(body.bytes().await?.len()))
}

async fn ping(_: NoInput) -> Output<bool> {
    Output(true)
}

async fn spend(charges: Charges) -> Result<Output<bool>, XrpcError> {
    charges.take(&PER_DID, "did:plc:a", 2)?;
    Ok(Output(true))
}

async fn other(body: RawBody) -> Result<Output<usize>, XrpcError> {
    let body = body.bytes().await?;
    if body.is_empty() {
        return Err(XrpcError::not_implemented("no such method"));
    }
    Ok(Output(body.len()))
}

async fn slow(Query(pause): Query<Pause>) -> Output<bool> {
    tokio::time::sleep(Duration::from_millis(pause.ms)).await;
    Output(true)
}

async fn panics() -> Output<bool> {
    panic!("planted")
}

fn app(config: &LimitsConfig, clock: &ManualClock) -> Router {
    let small = Limits::body(LIMIT);
    let table = vec![
        method("test.greet", Kind::Query, "none", Limits::DEFAULT, greet),
        method(
            "test.strict",
            Kind::Query,
            "none",
            Limits::DEFAULT.per_ip(PER_IP),
            greet,
        ),
        method("test.save", Kind::Procedure, "none", small, save),
        method("test.raw", Kind::Procedure, "none", small, raw),
        method("test.ping", Kind::Procedure, "none", small, ping),
        method("test.spend", Kind::Procedure, "none", small, spend),
        method("test.slow", Kind::Query, "none", small, slow),
        method("test.panics", Kind::Query, "none", small, panics),
        method("test.stream", Kind::Subscription, "none", small, greet),
    ];
    router(
        table,
        fallback("none", small, other),
        RateLimits::new(config, clock.shared()),
    )
}

fn plain() -> Router {
    let config = LimitsConfig {
        enabled: false,
        ..LimitsConfig::default()
    };
    app(&config, &ManualClock::at_us(0))
}

async fn ask(app: &Router, request: Request<Body>) -> (StatusCode, HeaderMap, serde_json::Value) {
    let response: Response = app.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, 1 << 20).await.unwrap();
    (
        parts.status,
        parts.headers,
        serde_json::from_slice(&bytes).unwrap_or_default(),
    )
}

fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

fn post(path: &str, content_type: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post(path)
        .header("content-type", content_type)
        .body(body.into())
        .unwrap()
}

fn in_pieces(bytes: Vec<u8>) -> Body {
    let pieces: Vec<_> = bytes
        .chunks(300)
        .map(|piece| Ok::<_, std::io::Error>(piece.to_vec()))
        .collect();
    Body::from_stream(futures::stream::iter(pieces))
}

fn error_of((status, _, body): &(StatusCode, HeaderMap, serde_json::Value)) -> (u16, String) {
    (
        status.as_u16(),
        body["error"].as_str().unwrap_or_default().to_owned(),
    )
}

#[tokio::test]
async fn a_query_answers_get_and_head_and_refuses_post() {
    let app = plain();
    let (status, headers, body) = ask(&app, get("/xrpc/test.greet?name=ada")).await;
    assert_eq!((status.as_u16(), body), (200, json!({"text": "hello ada"})));
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(headers["access-control-allow-origin"], "*");
    assert!(
        headers["access-control-expose-headers"]
            .to_str()
            .unwrap()
            .contains("DPoP-Nonce")
    );
    let head = Request::head("/xrpc/test.greet?name=ada")
        .body(Body::empty())
        .unwrap();
    assert_eq!(ask(&app, head).await.0, StatusCode::OK);
    let posted = ask(
        &app,
        post("/xrpc/test.greet?name=ada", "application/json", "{}"),
    )
    .await;
    assert_eq!(error_of(&posted), (405, "InvalidRequest".to_owned()));
    assert_eq!(posted.1["allow"], "GET, HEAD");
    let missing = ask(&app, get("/xrpc/test.greet")).await;
    assert_eq!(error_of(&missing), (400, "InvalidRequest".to_owned()));
    assert!(missing.2["message"].as_str().unwrap().contains("\"name\""));
}

#[tokio::test]
async fn a_procedure_checks_verb_content_type_presence_and_shape() {
    let app = plain();
    let path = "/xrpc/test.save";
    let good = ask(
        &app,
        post(path, "application/json; charset=utf-8", r#"{"text":"a"}"#),
    )
    .await;
    assert_eq!(good.2, json!({"text": "a"}));
    let cases = [
        (get(path), 405, "incorrect HTTP method"),
        (
            post(path, "text/plain", r#"{"text":"a"}"#),
            400,
            "Content-Type",
        ),
        (
            Request::post(path).body(r#"{"text":"a"}"#.into()).unwrap(),
            400,
            "Content-Type",
        ),
        (post(path, "application/json", ""), 400, "expected but none"),
        (
            post(path, "application/json", r#"{"text":"#),
            400,
            "invalid request body",
        ),
        (
            post(path, "application/json", r#"{"text":7}"#),
            400,
            "expected a string",
        ),
        (
            post(path, "application/json", "{}"),
            400,
            "missing field `text`",
        ),
    ];
    for (request, status, message) in cases {
        let answer = ask(&app, request).await;
        assert_eq!(
            error_of(&answer),
            (status, "InvalidRequest".to_owned()),
            "{message}"
        );
        let text = answer.2["message"].as_str().unwrap();
        assert!(text.contains(message), "{text} lacks {message}");
    }
}

#[tokio::test]
async fn a_procedure_without_input_takes_an_empty_body_only() {
    let app = plain();
    let empty = ask(&app, post("/xrpc/test.ping", "application/json", "")).await;
    assert_eq!(empty.0, StatusCode::OK);
    let full = ask(&app, post("/xrpc/test.ping", "application/json", "{}")).await;
    assert_eq!(error_of(&full), (400, "InvalidRequest".to_owned()));
}

#[tokio::test]
async fn bodies_pass_at_the_limit_and_fail_one_byte_above() {
    let app = plain();
    let limit = usize::try_from(LIMIT).unwrap();
    for (size, status) in [(limit, 200), (limit + 1, 413)] {
        let mut length = post("/xrpc/test.raw", "x/y", vec![b'a'; size]);
        length.headers_mut().insert("content-length", size.into());
        let pieces = post("/xrpc/test.raw", "x/y", in_pieces(vec![b'a'; size]));
        let unknown = post("/xrpc/test.unknown", "x/y", in_pieces(vec![b'a'; size]));
        for request in [length, pieces, unknown] {
            let answer = ask(&app, request).await;
            if status == 200 {
                assert_eq!((answer.0.as_u16(), answer.2), (200, json!(size)));
            } else {
                assert_eq!(error_of(&answer), (413, "PayloadTooLarge".to_owned()));
            }
        }
    }
}

#[tokio::test]
async fn a_length_above_the_limit_is_refused_before_a_byte_is_read() {
    let never = Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
    let mut request = post("/xrpc/test.raw", "x/y", never);
    request
        .headers_mut()
        .insert("content-length", (LIMIT + 1).into());
    let answer = ask(&plain(), request).await;
    assert_eq!(error_of(&answer), (413, "PayloadTooLarge".to_owned()));
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use async_compression::tokio::write::GzipEncoder;
    futures::executor::block_on(async {
        let mut encoder = GzipEncoder::new(Vec::new());
        encoder.write_all(bytes).await.unwrap();
        encoder.shutdown().await.unwrap();
        encoder.into_inner()
    })
}

fn encoded(encoding: &str, body: Vec<u8>) -> Request<Body> {
    let mut request = post("/xrpc/test.raw", "x/y", body);
    request
        .headers_mut()
        .insert("content-encoding", encoding.parse().unwrap());
    request
}

#[tokio::test]
async fn encoded_bodies_are_decoded_and_bounded_by_what_comes_out() {
    let app = plain();
    let good = ask(&app, encoded("gzip", gzip(&[b'a'; 1_000]))).await;
    assert_eq!((good.0.as_u16(), good.2), (200, json!(1_000)));
    let above = ask(&app, encoded("gzip", gzip(&[b'a'; 1_001]))).await;
    assert_eq!(error_of(&above), (413, "PayloadTooLarge".to_owned()));
    let small = gzip(&vec![0; 500_000]);
    assert!(small.len() < 1_000, "a bomb passes the first check");
    let bomb = ask(&app, encoded("gzip", small)).await;
    assert_eq!(error_of(&bomb), (413, "PayloadTooLarge".to_owned()));
    let broken = ask(&app, encoded("gzip", b"not gzip at all".to_vec())).await;
    assert_eq!(error_of(&broken), (400, "InvalidRequest".to_owned()));
    let unknown = ask(&app, encoded("zstd", b"x".to_vec())).await;
    assert_eq!(error_of(&unknown), (415, "UnsupportedMediaType".to_owned()));
}

#[tokio::test]
async fn large_answers_are_compressed_for_those_who_take_it_and_small_ones_are_not() {
    use async_compression::tokio::write::GzipDecoder;
    let app = plain();
    let long = "a".repeat(5_000);
    let asked = |name: &str, encoding: &str| {
        let mut request = get(&format!("/xrpc/test.greet?name={name}"));
        request
            .headers_mut()
            .insert("accept-encoding", encoding.parse().unwrap());
        app.clone().oneshot(request)
    };
    for (name, encoding) in [("ada", "gzip"), (&*long, "br"), (&*long, "gzip;q=0")] {
        let answer: Response = asked(name, encoding).await.unwrap();
        assert!(!answer.headers().contains_key("content-encoding"));
    }
    let answer: Response = asked(&long, "deflate, gzip").await.unwrap();
    assert_eq!(answer.headers()["content-encoding"], "gzip");
    assert_eq!(answer.headers()["vary"], "Accept-Encoding");
    assert!(!answer.headers().contains_key("content-length"));
    let bytes = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    assert!(bytes.len() < 500);
    let mut decoder = GzipDecoder::new(Vec::new());
    decoder.write_all(&bytes).await.unwrap();
    decoder.shutdown().await.unwrap();
    let note: Note = serde_json::from_slice(&decoder.into_inner()).unwrap();
    assert_eq!(note.text, format!("hello {long}"));
}

#[tokio::test]
async fn unknown_methods_go_to_the_fallback_with_their_bytes_as_they_came() {
    let app = plain();
    for path in [
        "/xrpc/test.unknown",
        "/xrpc/",
        "/xrpc/not-an-nsid",
        "/xrpc/a/b",
    ] {
        assert_eq!(
            error_of(&ask(&app, get(path)).await),
            (501, "MethodNotImplemented".to_owned())
        );
    }
    let zipped = gzip(b"aaaa");
    let mut request = encoded("gzip", zipped.clone());
    *request.uri_mut() = "/xrpc/test.unknown".parse().unwrap();
    assert_eq!(ask(&app, request).await.2, json!(zipped.len()));
    let put = Request::put("/xrpc/test.unknown")
        .body(Body::empty())
        .unwrap();
    assert_eq!(ask(&app, put).await.0, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn preflight_allows_what_the_client_asks_for_a_day() {
    let request = Request::options("/xrpc/test.save")
        .header("access-control-request-headers", "dpop,atproto-proxy")
        .body(Body::empty())
        .unwrap();
    let (status, headers, _) = ask(&plain(), request).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(
        headers["access-control-allow-headers"],
        "dpop,atproto-proxy"
    );
    assert_eq!(headers["access-control-max-age"], "86400");
    assert!(
        headers["access-control-allow-methods"]
            .to_str()
            .unwrap()
            .contains("POST")
    );
}

#[tokio::test]
async fn a_subscription_over_plain_http_asks_for_an_upgrade() {
    let answer = ask(&plain(), get("/xrpc/test.stream")).await;
    assert_eq!(error_of(&answer), (426, "InvalidRequest".to_owned()));
    assert_eq!(answer.1["upgrade"], "websocket");
}

#[tokio::test]
async fn a_panic_is_a_500_without_detail() {
    let answer = ask(&plain(), get("/xrpc/test.panics")).await;
    assert_eq!(error_of(&answer), (500, "InternalServerError".to_owned()));
    assert!(!answer.2.to_string().contains("planted"));
}

#[tokio::test]
async fn the_tightest_budget_is_reported_and_resets() {
    let clock = ManualClock::at_us(1_000_000_000);
    let app = app(&LimitsConfig::default(), &clock);
    let first = ask(&app, get("/xrpc/test.strict?name=a")).await;
    assert_eq!(first.1["ratelimit-limit"], "2");
    assert_eq!(first.1["ratelimit-remaining"], "1");
    assert_eq!(first.1["ratelimit-reset"], "1010");
    assert_eq!(first.1["ratelimit-policy"], "2;w=10");
    assert_eq!(
        ask(&app, get("/xrpc/test.strict?name=a")).await.0,
        StatusCode::OK
    );
    clock.advance(Duration::from_secs(4));
    let third = ask(&app, get("/xrpc/test.strict?name=a")).await;
    assert_eq!(error_of(&third), (429, "RateLimitExceeded".to_owned()));
    assert_eq!(
        (&third.1["retry-after"], &third.1["ratelimit-remaining"]),
        (&"6".parse().unwrap(), &"0".parse().unwrap())
    );
    let global = ask(&app, get("/xrpc/test.greet?name=a")).await;
    assert_eq!(
        (global.0.as_u16(), &global.1["ratelimit-limit"]),
        (200, &"3000".parse().unwrap())
    );
    clock.advance(Duration::from_secs(6));
    assert_eq!(
        ask(&app, get("/xrpc/test.strict?name=a")).await.0,
        StatusCode::OK
    );
}

#[tokio::test]
async fn handlers_charge_named_budgets_and_the_bypass_key_lifts_all() {
    let config = LimitsConfig {
        bypass_key: Some(Secret::new("key")),
        ..LimitsConfig::default()
    };
    let app = app(&config, &ManualClock::at_us(0));
    let spend = |key: &str| {
        let mut request = post("/xrpc/test.spend", "x/y", "");
        request
            .headers_mut()
            .insert("x-ratelimit-bypass", key.parse().unwrap());
        request
    };
    let first = ask(&app, spend("wrong")).await;
    assert_eq!(
        (first.0.as_u16(), &first.1["ratelimit-remaining"]),
        (200, &"1".parse().unwrap())
    );
    assert_eq!(
        ask(&app, spend("wrong")).await.0,
        StatusCode::TOO_MANY_REQUESTS
    );
    let lifted = ask(&app, spend("key")).await;
    assert_eq!(
        (lifted.0.as_u16(), lifted.1.get("ratelimit-limit")),
        (200, None)
    );
    let mut large = post("/xrpc/test.raw", "x/y", vec![0; 1_001]);
    large
        .headers_mut()
        .insert("x-ratelimit-bypass", "key".parse().unwrap());
    large.headers_mut().insert("content-length", 1_001.into());
    assert_eq!(ask(&app, large).await.0, StatusCode::PAYLOAD_TOO_LARGE);
}

async fn start(options: ServeOptions) -> (TcpStream, Shutdown) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = Shutdown::new();
    shutdown.spawn_critical("http", serve(listener, plain(), shutdown.clone(), options));
    (TcpStream::connect(address).await.unwrap(), shutdown)
}

async fn read_answer(stream: &mut TcpStream) -> String {
    let mut bytes = vec![0; 4_096];
    let length = stream.read(&mut bytes).await.unwrap();
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}

#[tokio::test]
async fn a_connection_serves_several_requests_and_a_stop_closes_it_at_once() {
    let (mut stream, shutdown) = start(ServeOptions::default()).await;
    for _ in 0..2 {
        let mut request = Vec::new();
        write!(
            request,
            "GET /xrpc/test.greet?name=a HTTP/1.1\r\nhost: x\r\n\r\n"
        )
        .unwrap();
        stream.write_all(&request).await.unwrap();
        let answer = read_answer(&mut stream).await;
        assert!(
            answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("{\"text\":\"hello a\"}")
        );
    }
    assert_eq!(shutdown.finish(Duration::from_secs(2)).await, 0);
    assert_eq!(read_answer(&mut stream).await, "");
}

async fn send(stream: &mut TcpStream, head: &str) {
    stream.write_all(head.as_bytes()).await.unwrap();
}

#[tokio::test]
async fn a_head_that_does_not_come_costs_the_connection_and_a_slow_handler_does_not() {
    let options = ServeOptions {
        head_timeout: Duration::from_millis(100),
        idle_timeout: Duration::from_millis(200),
        ..ServeOptions::default()
    };
    let (mut slow, shutdown) = start(options.clone()).await;
    send(
        &mut slow,
        "GET /xrpc/test.slow?ms=600 HTTP/1.1\r\nhost: x\r\n\r\n",
    )
    .await;
    let (mut never, _other) = start(options.clone()).await;
    let (mut half, _another) = start(options).await;
    send(&mut half, "GET /xrpc/test.slow?ms=600 HTTP/1.1\r\nho").await;
    assert_eq!(read_answer(&mut never).await, "");
    assert_eq!(read_answer(&mut half).await, "");
    assert!(read_answer(&mut slow).await.starts_with("HTTP/1.1 200"));
    assert_eq!(read_answer(&mut slow).await, "", "idle afterwards");
    assert_eq!(shutdown.finish(Duration::from_secs(1)).await, 0);
}

#[tokio::test]
async fn a_stop_lets_requests_finish_and_cuts_those_that_take_too_long() {
    let options = ServeOptions {
        drain_timeout: Duration::from_millis(300),
        ..ServeOptions::default()
    };
    let (mut quick, first) = start(options.clone()).await;
    let (mut endless, second) = start(options).await;
    send(
        &mut quick,
        "GET /xrpc/test.slow?ms=100 HTTP/1.1\r\nhost: x\r\n\r\n",
    )
    .await;
    send(
        &mut endless,
        "GET /xrpc/test.slow?ms=60000 HTTP/1.1\r\nhost: x\r\n\r\n",
    )
    .await;
    tokio::time::sleep(Duration::from_millis(30)).await;
    first.request();
    second.request();
    assert!(read_answer(&mut quick).await.starts_with("HTTP/1.1 200"));
    let stopped = std::time::Instant::now();
    assert_eq!(read_answer(&mut endless).await, "");
    assert_eq!(second.finish(Duration::from_secs(2)).await, 0);
    assert!(stopped.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn connections_above_the_limit_wait_for_a_free_place() {
    let options = ServeOptions {
        max_connections: 1,
        ..ServeOptions::default()
    };
    let (mut first, _shutdown) = start(options).await;
    let request = "GET /xrpc/test.greet?name=a HTTP/1.1\r\nhost: x\r\n\r\n";
    send(&mut first, request).await;
    assert!(read_answer(&mut first).await.starts_with("HTTP/1.1 200"));
    let mut second = TcpStream::connect(first.peer_addr().unwrap())
        .await
        .unwrap();
    send(&mut second, request).await;
    let early = tokio::time::timeout(Duration::from_millis(100), read_answer(&mut second)).await;
    assert!(early.is_err(), "{early:?}");
    drop(first);
    assert!(read_answer(&mut second).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_head_above_its_limit_is_refused() {
    let options = ServeOptions {
        max_head_bytes: 8_192,
        ..ServeOptions::default()
    };
    let (mut stream, _shutdown) = start(options).await;
    let filler = "x".repeat(10_000);
    send(
        &mut stream,
        &format!("GET /xrpc/test.greet?name={filler} HTTP/1.1\r\nhost: x\r\n\r\n"),
    )
    .await;
    let answer = read_answer(&mut stream).await;
    assert!(
        answer.starts_with("HTTP/1.1 431") || answer.starts_with("HTTP/1.1 414"),
        "{answer}"
    );
}
