//! The dispatcher: from `/xrpc/<nsid>` to the handler and back.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use futures::FutureExt as _;
use http::header::{ALLOW, UPGRADE};
use http::{HeaderValue, Method as Verb, StatusCode};
use rochdale_protocol::xrpc::names;

use super::body::prepare;
use super::compress::{compress, takes_gzip};
use super::cors::{add_cors, preflight};
use super::error::XrpcError;
use super::limit::RateLimits;
use super::method::{Kind, Method};
use super::request::ClientIp;
use super::unread;

/// A router that serves `table` below `/xrpc/`, and everything else there by `fallback`. When two rows
/// have the same NSID the first counts.
pub fn router<S>(table: Vec<Method<S>>, fallback: Method<S>, limits: RateLimits) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    let mut methods = HashMap::with_capacity(table.len());
    for method in table {
        methods
            .entry(method.nsid)
            .or_insert_with(|| Row::new(method));
    }
    let dispatcher = Arc::new(Dispatcher {
        methods,
        fallback: Row::new(fallback),
        limits,
    });
    let serve = any(move |State(state): State<S>, request: Request| {
        let dispatcher = Arc::clone(&dispatcher);
        async move { dispatcher.call(request, state).await }
    });
    Router::new()
        .route("/xrpc/{*nsid}", serve.clone())
        .route("/xrpc/", serve)
}

struct Dispatcher<S> {
    methods: HashMap<&'static str, Row<S>>,
    fallback: Row<S>,
    limits: RateLimits,
}

/// A method with its own metrics.
struct Row<S> {
    method: Method<S>,
    seconds: metrics::Histogram,
    answers: [metrics::Counter; 6],
}

impl<S> Row<S> {
    fn new(method: Method<S>) -> Self {
        let nsid = method.nsid;
        let answers = ["0xx", "1xx", "2xx", "3xx", "4xx", "5xx"].map(|status| {
            metrics::counter!("rochdale_xrpc_requests_total", "method" => nsid, "status" => status)
        });
        let seconds = metrics::histogram!("rochdale_xrpc_seconds", "method" => nsid);
        Self {
            method,
            seconds,
            answers,
        }
    }

    fn record(&self, status: StatusCode, started: Instant) {
        if let Some(counter) = self.answers.get(usize::from(status.as_u16() / 100)) {
            counter.increment(1);
        }
        self.seconds.record(started.elapsed());
    }
}

impl<S: Clone + Send + Sync + 'static> Dispatcher<S> {
    async fn call(&self, request: Request, state: S) -> Response {
        if request.method() == Verb::OPTIONS {
            return preflight(request.headers());
        }
        let started = Instant::now();
        let nsid = request
            .uri()
            .path()
            .strip_prefix("/xrpc/")
            .unwrap_or_default();
        let row = self.methods.get(nsid).unwrap_or(&self.fallback);
        // The fallback passes answers on: what it says of their encoding holds.
        let takes_gzip = row.method.kind.is_some()
            && request.method() != Verb::HEAD
            && takes_gzip(request.headers());
        let (request, unread) = unread::hold(request);
        let mut response = self.answer(&row.method, request, state).await;
        if takes_gzip {
            response = compress(response);
        }
        if let Some(unread) = unread.filter(|_| response.status().is_client_error()) {
            unread.drain().await;
        }
        add_cors(response.headers_mut());
        row.record(response.status(), started);
        response
    }

    async fn answer(&self, method: &Method<S>, mut request: Request, state: S) -> Response {
        if let Err(error) = check_verb(method.kind, &request) {
            return error.into_response();
        }
        let charges = self.limits.meter(request.headers());
        if let Some(charges) = &charges {
            let client = ClientIp::of(request.extensions(), request.headers());
            if let Err(error) = charges.enter(&method.limits, client) {
                let mut response = error.into_response();
                charges.write(response.headers_mut());
                return response;
            }
            request.extensions_mut().insert(charges.clone());
        }
        let mut response = match self.bounded(method, request) {
            Ok(request) => {
                let answer = AssertUnwindSafe(method.handler.call(request, state)).catch_unwind();
                answer.await.unwrap_or_else(|_| panicked(method.nsid))
            }
            Err(error) => error.into_response(),
        };
        if let Some(charges) = charges {
            charges.write(response.headers_mut());
        }
        response
    }

    fn bounded(&self, method: &Method<S>, request: Request) -> Result<Request, XrpcError> {
        match method.kind {
            Some(Kind::Query | Kind::Subscription) => Ok(request),
            Some(Kind::Procedure) => prepare(request, method.limits.body_bytes, false),
            None => prepare(request, method.limits.body_bytes, true),
        }
    }
}

fn panicked(nsid: &'static str) -> Response {
    metrics::counter!("rochdale_panics_total", "where" => "xrpc").increment(1);
    XrpcError::internal(format!("the handler of {nsid} panicked")).into_response()
}

fn check_verb(kind: Option<Kind>, request: &Request) -> Result<(), XrpcError> {
    let verb = request.method();
    let (allowed, allow) = match kind {
        Some(Kind::Query) => (verb == Verb::GET || verb == Verb::HEAD, "GET, HEAD"),
        Some(Kind::Procedure) => (verb == Verb::POST, "POST"),
        Some(Kind::Subscription) => (verb == Verb::GET, "GET"),
        None => (
            matches!(*verb, Verb::GET | Verb::HEAD | Verb::POST),
            "GET, HEAD, POST",
        ),
    };
    if !allowed {
        return Err(XrpcError::new(
            StatusCode::METHOD_NOT_ALLOWED,
            names::INVALID_REQUEST,
            format!("incorrect HTTP method, expected {allow}"),
        )
        .with_header(ALLOW, HeaderValue::from_static(allow)));
    }
    if kind == Some(Kind::Subscription) && !request.headers().contains_key(UPGRADE) {
        return Err(XrpcError::new(
            StatusCode::UPGRADE_REQUIRED,
            names::INVALID_REQUEST,
            "this method is a web socket",
        )
        .with_header(UPGRADE, HeaderValue::from_static("websocket")));
    }
    Ok(())
}
