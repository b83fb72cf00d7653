//! The few pages of a relay that people look at.

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::json;

use crate::app::{Relay, Shared};

/// `/` and `/_health`.
pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/", get(front))
        .route("/_health", get(health))
        .route(
            "/robots.txt",
            get(|| async { "User-agent: *\nDisallow: /xrpc/\nDisallow: /admin/\n" }),
        )
}

async fn front(State(relay): State<Shared>) -> Response {
    let hosts = relay.hosts.all();
    let connected = hosts.iter().filter(|host| host.is_connected()).count();
    let accounts: u64 = hosts.iter().map(|host| host.accounts()).sum();
    let stream = relay.url.replacen("http", "ws", 1);
    let text = format!(
        "This is an AT Protocol relay: it verifies the repositories of many hosts and passes them on as one stream.\n\n\
         Stream:    {stream}/xrpc/com.atproto.sync.subscribeRepos\n\
         Hosts:     {} ({connected} connected)\n\
         Accounts:  {accounts}\n\
         Last seq:  {}\n\n\
         To be crawled, a PDS posts {{\"hostname\": \"...\"}} to {}/xrpc/com.atproto.sync.requestCrawl\n\
         Software:  Rochdale {}\n",
        hosts.len(),
        relay.log.head(),
        relay.url,
        env!("CARGO_PKG_VERSION"),
    );
    ([(CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

/// Whether the database answers and events can be stored.
pub(crate) async fn health(State(relay): State<Shared>) -> Response {
    match trouble(&relay).await {
        None => axum::Json(json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")}))
            .into_response(),
        Some(message) => {
            let body = axum::Json(json!({"status": "error", "msg": message}));
            (StatusCode::INTERNAL_SERVER_ERROR, body).into_response()
        }
    }
}

async fn trouble(relay: &Relay) -> Option<&'static str> {
    if relay.store.ping().await.is_err() {
        return Some("the database does not answer");
    }
    relay
        .health
        .failing_since_ms()
        .map(|_| "events cannot be stored")
}
