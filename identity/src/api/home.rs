//! `GET /`: a page that says what this is.

use axum::response::{Html, IntoResponse as _, Response};
use http::{HeaderValue, header};

const PAGE: &str = include_str!("home.html");

pub(super) async fn home() -> Response {
    let mut response = Html(PAGE).into_response();
    let policy = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'");
    response
        .headers_mut()
        .insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}
