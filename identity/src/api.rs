//! The directory over HTTP: one table of routes, the shape of every answer (did:plc spec and the
//! reference directory). Thin: the rules are `directory`'s.

mod answer;
mod audit;
mod data;
mod error;
mod export;
mod export_stream;
mod health;
mod home;
mod last;
mod log;
mod path;
mod resolve;
mod submit;
mod turnstile;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::{HeaderValue, Method, StatusCode, header};

use crate::app::App;
use error::ApiError;
pub(crate) use turnstile::Turnstile;

/// All routes.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/", get(home::home))
        .route("/_health", get(health::health))
        .route("/export", get(export::export))
        .route("/export/stream", get(export_stream::export_stream))
        .route("/{did}", get(resolve::resolve).post(submit::submit))
        .route("/{did}/data", get(data::data))
        .route("/{did}/log", get(log::log))
        .route("/{did}/log/audit", get(audit::audit))
        .route("/{did}/log/last", get(last::last))
        .fallback(async || ApiError::NoSuchPage)
        .method_not_allowed_fallback(async || ApiError::WrongMethod)
        .layer(from_fn(any_origin))
        .with_state(app)
}

/// Pages of any origin may read every answer and send operations: nothing here depends on who asks.
async fn any_origin(request: Request, next: Next) -> Response {
    let is_preflight = request.method() == Method::OPTIONS;
    let asked = request
        .headers()
        .get(header::ACCESS_CONTROL_REQUEST_HEADERS)
        .cloned();
    let mut response = if is_preflight {
        (StatusCode::NO_CONTENT, Body::empty()).into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_ORIGIN,
        HeaderValue::from_static("*"),
    );
    if is_preflight {
        let methods = HeaderValue::from_static("GET, HEAD, POST");
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
        let allowed = asked.unwrap_or_else(|| HeaderValue::from_static("*"));
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed);
        headers.insert(
            header::ACCESS_CONTROL_MAX_AGE,
            HeaderValue::from_static("86400"),
        );
    }
    response
}
