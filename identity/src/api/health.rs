//! `GET /_health`: whether the directory can answer, and its version.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use super::answer::JSON;
use crate::app::App;

#[derive(Serialize)]
struct Health {
    version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
}

pub(super) async fn health(State(app): State<Arc<App>>) -> Response {
    let is_healthy = app.directory.is_healthy();
    let body = Health {
        version: env!("CARGO_PKG_VERSION"),
        error: (!is_healthy).then_some("Service Unavailable"),
    };
    let status = if is_healthy {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let mut response = (status, axum::Json(body)).into_response();
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
    response
}
