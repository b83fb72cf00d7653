//! Relays: when they are asked to crawl, by which name, and what the operator sees of it.

use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use rochdale_service::clock::SystemClock;
use serde_json::{Value, json};

use crate::firehose::Firehose;
use crate::server::{Server, eventually, ok, operator};

/// A relay as far as a PDS sees one.
#[derive(Clone, Default)]
struct Relay {
    asked: Arc<Mutex<Vec<Value>>>,
    /// Its word for the PDS; `None` when it answers nothing but failures.
    status: Arc<Mutex<Option<&'static str>>>,
    /// The last event it has seen.
    seq: Arc<Mutex<u64>>,
}

impl Relay {
    async fn start(status: Option<&'static str>) -> (Self, String) {
        let relay = Self::default();
        *relay.status.lock().unwrap() = status;
        *relay.seq.lock().unwrap() = 7;
        let router = Router::new()
            .route("/xrpc/com.atproto.sync.requestCrawl", post(request_crawl))
            .route("/xrpc/com.atproto.sync.getHostStatus", get(host_status))
            .with_state(relay.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://localhost:{}", listener.local_addr().unwrap().port());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (relay, url)
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

async fn request_crawl(State(relay): State<Relay>, Json(body): Json<Value>) -> Response {
    relay.asked.lock().unwrap().push(body);
    match *relay.status.lock().unwrap() {
        Some(_) => Json(json!({})).into_response(),
        None => (http::StatusCode::INTERNAL_SERVER_ERROR, "out of order").into_response(),
    }
}

async fn host_status(State(relay): State<Relay>) -> Response {
    match *relay.status.lock().unwrap() {
        Some("unknown") => {
            let body = json!({ "error": "HostNotFound", "message": "no" });
            (http::StatusCode::BAD_REQUEST, Json(body)).into_response()
        }
        Some(status) => {
            let seq = *relay.seq.lock().unwrap();
            Json(json!({ "hostname": "x", "status": status, "seq": seq, "accountCount": 1 }))
                .into_response()
        }
        None => (http::StatusCode::INTERNAL_SERVER_ERROR, "out of order").into_response(),
    }
}

async fn crawled_by(urls: &[&str]) -> Server {
    let urls: Vec<String> = urls.iter().map(|url| (*url).to_owned()).collect();
    Server::start_with(|options| options.raw.crawlers = urls).await
}

/// Row 17: by this server's own name; and a relay that fails is no write's concern.
#[tokio::test]
async fn row_17_relays_are_asked_at_start_by_our_name_and_a_failing_one_hurts_no_write() {
    let (good, good_url) = Relay::start(Some("active")).await;
    let (bad, bad_url) = Relay::start(None).await;
    let server = crawled_by(&[&good_url, &bad_url, "http://localhost:1"]).await;
    eventually("both are asked", async || {
        good.asked() > 0 && bad.asked() > 0
    })
    .await;
    let host = server.url.trim_start_matches("http://");
    assert_eq!(good.asked.lock().unwrap()[0], json!({ "hostname": host }));
    let ada = server.member("ada").await;
    for n in 0..5 {
        ok(ada.post(&server, &format!("{n}")).await);
    }
    assert_eq!(good.asked(), 1, "new events ask at most every 20 minutes");
}

#[tokio::test]
async fn a_relay_that_lost_its_connection_is_asked_again_and_a_connected_one_is_not() {
    let (lost, lost_url) = Relay::start(Some("offline")).await;
    let (connected, connected_url) = Relay::start(Some("active")).await;
    let (unknown, unknown_url) = Relay::start(Some("unknown")).await;
    let server = crawled_by(&[&lost_url, &connected_url, &unknown_url]).await;
    let all = [&lost, &connected, &unknown];
    eventually("all are asked", async || {
        all.iter().all(|relay| relay.asked() == 1)
    })
    .await;
    let ada = server.member("ada").await;
    let mut firehose = Firehose::open(&server, Some(0)).await;
    firehose.told(4).await;
    drop(firehose);
    ok(ada.post(&server, "is anybody there").await);
    eventually("the lost one is asked again", async || {
        lost.asked() == 2 && unknown.asked() == 2
    })
    .await;
    assert_eq!(connected.asked(), 1);
}

/// Row 1 of what operators ask for: whether the relays see the server, and a way to ask them.
#[tokio::test]
async fn wish_1_the_operator_sees_what_relays_say_and_can_ask_them() {
    let (relay, url) = Relay::start(Some("throttled")).await;
    let (_bad, bad_url) = Relay::start(None).await;
    let server = crawled_by(&[&url, &bad_url]).await;
    eventually("it is asked", async || relay.asked() == 1).await;
    let auth = operator();
    let headers = [("authorization", auth.as_str())];
    let (status, seen) = server.get("/admin/relays", &headers).await;
    assert_eq!(status, 200, "{seen}");
    let first = &seen["relays"][0];
    assert_eq!(first["relay"], url);
    assert_eq!(first["status"], "throttled");
    assert_eq!(first["seq"], 7);
    assert!(first["askedAtMs"].is_u64() && first.get("refusal").is_none());
    let second = &seen["relays"][1];
    assert!(second["refusal"].as_str().unwrap().contains("500"));
    assert!(second["unseen"].as_str().unwrap().contains("out of order"));
    assert!(seen["head"].as_u64().unwrap() > 7, "{seen}");
    let (status, _, _) = server
        .send(
            http::Method::POST,
            "/admin/relays/requestCrawl",
            &headers,
            "",
        )
        .await;
    assert_eq!((status, relay.asked()), (200, 2));
    assert_eq!(server.get("/admin/relays", &[]).await.0, 401);
}

/// Row 2 of what operators ask for: a relay whose cursor is ahead, after an old copy was restored, would
/// wait in silence. A number that was never given out here moves nothing.
#[tokio::test]
async fn wish_2_numbers_go_on_above_what_a_relay_has_seen() {
    let (relay, url) = Relay::start(Some("active")).await;
    let day_us = 24 * 3_600 * 1_000_000;
    let now_us = SystemClock::shared().now_us();
    let seen = now_us + 30 * day_us;
    *relay.seq.lock().unwrap() = seen;
    let server = crawled_by(&[&url]).await;
    let auth = operator();
    let head = async || {
        let headers = [("authorization", auth.as_str())];
        let (_, said) = server.get("/admin/relays", &headers).await;
        said["head"].as_u64().unwrap()
    };
    assert_eq!(head().await, seen);
    let mut firehose = Firehose::open(&server, Some(seen)).await;
    server.member("ada").await;
    assert_eq!(firehose.event().await.0, seen + 1);
    firehose.told(3).await;
    *relay.seq.lock().unwrap() = now_us + 1_000 * day_us;
    assert_eq!(head().await, seen + 4);
}
