//! `/admin/*`: what operators need beside the published methods, as JSON, with their passwords.
//!
//! Handlers take the [`crate::auth::Admin`]; changes are in the audit log first.

mod audit;
mod recommit;
mod relays;
mod suspend;

use axum::Router;
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use rochdale_service::xrpc::{RateLimits, XrpcError};

use super::error::invalid;
use crate::app::Pds;

const BODY_BYTES_MAX: usize = 16 * 1024;

/// All of them; `limits` count wrong passwords.
pub(crate) fn routes(limits: RateLimits) -> Router<Pds> {
    Router::new()
        .route(audit::ROUTE, get(audit::list))
        .route(recommit::ROUTE, post(recommit::handle))
        .route(relays::ROUTE, get(relays::list))
        .route(relays::REQUEST_CRAWL, post(relays::request_crawl))
        .route(suspend::ROUTE, post(suspend::handle))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(limits, metered))
}

/// Counts what a request outside of XRPC costs its address.
pub(crate) async fn metered(
    State(limits): State<RateLimits>,
    mut request: Request,
    next: Next,
) -> Response {
    if let Some(charges) = limits.meter(request.headers()) {
        request.extensions_mut().insert(charges);
    }
    next.run(request).await
}

fn body<T>(body: Result<axum::Json<T>, JsonRejection>) -> Result<T, XrpcError> {
    body.map(|axum::Json(value)| value)
        .map_err(|error| invalid(error.body_text()))
}
