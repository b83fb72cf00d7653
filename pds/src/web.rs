//! What is served beside XRPC: the front page, well-known files, health, and mail that did
//! not leave. Must hold no rules of accounts.

mod outbox;
mod page;

use axum::Router;
use axum::extract::{Query, State};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE, HOST};
use http::{HeaderMap, StatusCode};
use rochdale_protocol::syntax::Handle;
use rochdale_service::xrpc::{RateLimits, XrpcError};
use serde::Deserialize;
use serde_json::json;

use crate::api::operator::metered;
use crate::app::{App, Pds};
use crate::store::StoreError;

/// The routes beside XRPC; `limits` count wrong passwords.
pub(crate) fn routes(limits: RateLimits) -> Router<Pds> {
    let outbox = Router::new()
        .route("/outbox", get(outbox::show))
        .layer(middleware::from_fn_with_state(limits, metered));
    Router::new()
        .route("/", get(front))
        .route("/robots.txt", get(robots))
        .route("/tls-check", get(tls_check))
        .route("/xrpc/_health", get(health))
        .route("/.well-known/atproto-did", get(atproto_did))
        .route("/.well-known/did.json", get(did_document))
        .merge(outbox)
}

async fn front(State(pds): State<Pds>) -> Response {
    page::respond(page::front(&pds))
}

async fn robots() -> &'static str {
    "# Everything here is public, crawl as you like.\nUser-agent: *\nAllow: /\n"
}

async fn health(State(pds): State<Pds>) -> Response {
    let version = env!("CARGO_PKG_VERSION");
    let alive = pds
        .database
        .read_point(|db| db.query_row("SELECT 1", [], |_row| Ok(())));
    let (status, body) = match alive {
        Ok(()) => (StatusCode::OK, json!({ "version": version })),
        Err(_broken) => {
            let why = "the database does not answer";
            (
                StatusCode::SERVICE_UNAVAILABLE,
                json!({ "version": version, "error": why }),
            )
        }
    };
    (status, axum::Json(body)).into_response()
}

/// The host that a request is for, without a port.
fn host(headers: &HeaderMap) -> Option<&str> {
    let host = headers.get(HOST)?.to_str().ok()?;
    Some(host.rsplit_once(':').map_or(host, |(name, _port)| name))
}

/// The active account behind a handle under a domain of this server.
async fn live_handle(pds: &App, name: &str) -> Result<Option<String>, StoreError> {
    let Ok(handle) = name.parse::<Handle>() else {
        return Ok(None);
    };
    let account = pds.accounts.by_handle(&handle).await?;
    let account = account.filter(|account| account.is_active() && pds.handles.is_ours(&handle));
    Ok(account.map(|account| account.did.to_string()))
}

async fn atproto_did(State(pds): State<Pds>, headers: HeaderMap) -> Result<Response, XrpcError> {
    let found = match host(&headers) {
        Some(name) => live_handle(&pds, name).await?,
        None => None,
    };
    let cors = (ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    Ok(match found {
        Some(did) => ([cors, (CONTENT_TYPE, "text/plain; charset=utf-8")], did).into_response(),
        None => (StatusCode::NOT_FOUND, [cors], "no such handle here\n").into_response(),
    })
}

async fn did_document(State(pds): State<Pds>) -> Response {
    if !pds.did.is_web() {
        return (
            StatusCode::NOT_FOUND,
            "this server's DID is not a did:web\n",
        )
            .into_response();
    }
    let document = json!({
        "@context": ["https://www.w3.org/ns/did/v1"],
        "id": pds.did.as_str(),
        "service": [{
            "id": "#atproto_pds",
            "type": "AtprotoPersonalDataServer",
            "serviceEndpoint": pds.url,
        }],
    });
    ([(ACCESS_CONTROL_ALLOW_ORIGIN, "*")], axum::Json(document)).into_response()
}

#[derive(Deserialize)]
struct TlsCheck {
    domain: String,
}

/// Asked by a reverse proxy before it gets a certificate for a name.
async fn tls_check(
    State(pds): State<Pds>,
    Query(asked): Query<TlsCheck>,
) -> Result<Response, XrpcError> {
    let domain = asked.domain.to_ascii_lowercase();
    let own = pds.host.split(':').next() == Some(domain.as_str());
    let ours = own || live_handle(&pds, &domain).await?.is_some();
    let answer = if ours {
        (StatusCode::OK, "a name of this server\n")
    } else {
        (StatusCode::NOT_FOUND, "not a name of this server\n")
    };
    Ok(answer.into_response())
}

/// A page that no cache keeps.
fn uncached(html: String) -> Response {
    ([(CACHE_CONTROL, "no-store")], page::respond(html)).into_response()
}
