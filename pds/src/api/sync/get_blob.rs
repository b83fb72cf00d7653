//! `com.atproto.sync.getBlob`: a file that a record refers to, or a part of it.
//!
//! Members decide what is in it: the headers keep a browser from running it in our name. Its
//! name is its hash, so caches may keep it; a day is how long a takedown may take to reach them.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use rochdale_protocol::data::Cid;
use rochdale_protocol::syntax::Did;
use rochdale_protocol::xrpc::names;
use rochdale_service::xrpc::{Query, XrpcError};
use serde::Deserialize;

use super::range::{Wanted, wanted};
use super::visible::visible;
use crate::api::error::{bad, invalid};
use crate::app::Pds;
use crate::auth::extract::Viewer;
use crate::blob::Found;

pub(super) const NSID: &str = "com.atproto.sync.getBlob";

#[derive(Deserialize)]
pub(super) struct Parameters {
    did: Did,
    cid: String,
}

pub(super) async fn handle(
    State(pds): State<Pds>,
    Query(parameters): Query<Parameters>,
    viewer: Viewer,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, XrpcError> {
    let cid: Cid = parameters
        .cid
        .parse()
        .map_err(|error| invalid(format_args!("parameter \"cid\": {error}")))?;
    let account = visible(&pds, &viewer, &parameters.did).await?;
    let blob = pds.blobs.find(account.id, &cid)?.ok_or_else(not_found)?;
    let tag = format!("\"{cid}\"");
    let mut response = Response::new(Body::empty());
    match wanted(&method, &headers, &tag, blob.size) {
        Wanted::Unchanged => *response.status_mut() = StatusCode::NOT_MODIFIED,
        Wanted::Outside => return Err(outside(blob.size)),
        Wanted::Whole if method == Method::HEAD => describe(&mut response, &blob, blob.size)?,
        Wanted::Whole => {
            describe(&mut response, &blob, blob.size)?;
            let pieces = pds.blobs.read(&blob, 0..blob.size).await?;
            *response.body_mut() = Body::from_stream(pieces.ok_or_else(not_found)?);
        }
        Wanted::Part(bytes) => {
            describe(&mut response, &blob, bytes.end - bytes.start)?;
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let range = format!("bytes {}-{}/{}", bytes.start, bytes.end - 1, blob.size);
            response.headers_mut().insert(CONTENT_RANGE, text(range)?);
            let pieces = pds.blobs.read(&blob, bytes).await?;
            *response.body_mut() = Body::from_stream(pieces.ok_or_else(not_found)?);
        }
    }
    protect(response.headers_mut(), &cid, tag)?;
    Ok(response)
}

fn describe(response: &mut Response, blob: &Found, length: u64) -> Result<(), XrpcError> {
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, text(blob.mime.clone())?);
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    Ok(())
}

fn protect(headers: &mut HeaderMap, cid: &Cid, tag: String) -> Result<(), XrpcError> {
    let cache = HeaderValue::from_static("public, max-age=86400, immutable");
    let policy = HeaderValue::from_static("default-src 'none'; sandbox");
    let name = text(format!("attachment; filename=\"{cid}\""))?;
    headers.insert(ETAG, text(tag)?);
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CACHE_CONTROL, cache);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CONTENT_DISPOSITION, name);
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    Ok(())
}

fn text(text: String) -> Result<HeaderValue, XrpcError> {
    HeaderValue::try_from(text).map_err(XrpcError::internal)
}

fn not_found() -> XrpcError {
    bad("BlobNotFound", "Blob not found")
}

fn outside(size: u64) -> XrpcError {
    let status = StatusCode::RANGE_NOT_SATISFIABLE;
    let message = format!("the blob has {size} bytes, none of them in the range");
    let error = XrpcError::new(status, names::INVALID_REQUEST, message);
    match HeaderValue::try_from(format!("bytes */{size}")) {
        Ok(range) => error.with_header(CONTENT_RANGE, range),
        Err(_) => error,
    }
}
