//! Good answers: content type, version, and nothing at all when the client has that version.

use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use rochdale_protocol::data::Cid;

/// Content type of JSON.
pub(super) const JSON: &str = "application/json; charset=utf-8";

/// A body that is the same as long as `version` is the newest operation.
pub(super) fn versioned(
    request: &HeaderMap,
    version: &Cid,
    content_type: &'static str,
    body: impl FnOnce() -> String,
) -> Response {
    let tag = format!("W/\"{version}\"");
    let mut response = if has_version(request, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let mut response = body().into_response();
        let content_type = HeaderValue::from_static(content_type);
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, content_type);
        response
    };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

fn has_version(request: &HeaderMap, tag: &str) -> bool {
    let Some(known) = request.get(header::IF_NONE_MATCH) else {
        return false;
    };
    known.to_str().is_ok_and(|known| {
        known.split(',').map(str::trim).any(|known| {
            // Weak comparison: the mark does not count.
            known == "*" || known.trim_start_matches("W/") == tag.trim_start_matches("W/")
        })
    })
}
