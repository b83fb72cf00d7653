//! `com.atproto.sync.getBlob`: a file that a record refers to.
//!
//! Members decide what is in it: the headers keep a browser from running it in our name.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    ETAG, IF_NONE_MATCH, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use rochdale_protocol::data::Cid;
use rochdale_protocol::syntax::Did;
use rochdale_service::xrpc::{Query, XrpcError};
use serde::Deserialize;
use tokio_util::io::ReaderStream;

use super::visible::visible;
use crate::api::error::{bad, invalid};
use crate::app::Pds;
use crate::auth::extract::Viewer;

pub(super) const NSID: &str = "com.atproto.sync.getBlob";

/// Bytes read from disk at once.
const PIECE_BYTES: usize = 64 << 10;

#[derive(Deserialize)]
pub(super) struct Parameters {
    did: Did,
    cid: String,
}

pub(super) async fn handle(
    State(pds): State<Pds>,
    viewer: Viewer,
    headers: HeaderMap,
    Query(parameters): Query<Parameters>,
) -> Result<Response, XrpcError> {
    let cid: Cid = parameters
        .cid
        .parse()
        .map_err(|error| invalid(format_args!("parameter \"cid\": {error}")))?;
    let account = visible(&pds, &viewer, &parameters.did).await?;
    let blob = pds.blobs.read(account.id, &cid).await?;
    let blob = blob.ok_or_else(|| bad("BlobNotFound", "Blob not found"))?;
    let tag = format!("\"{cid}\"");
    let known = headers.get_all(IF_NONE_MATCH).iter().any(|value| {
        value
            .to_str()
            .is_ok_and(|text| text.split(',').any(|one| one.trim() == tag))
    });
    let mut response = if known {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        let stream = ReaderStream::with_capacity(blob.file, PIECE_BYTES);
        Response::new(Body::from_stream(stream))
    };
    let out = response.headers_mut();
    let text = |text: String| HeaderValue::try_from(text).map_err(XrpcError::internal);
    if !known {
        out.insert(CONTENT_TYPE, text(blob.mime)?);
        out.insert(CONTENT_LENGTH, HeaderValue::from(blob.size));
    }
    out.insert(ETAG, text(tag)?);
    out.insert(
        CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=86400, immutable"),
    );
    out.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    out.insert(
        CONTENT_DISPOSITION,
        text(format!("attachment; filename=\"{cid}\""))?,
    );
    out.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; sandbox"),
    );
    Ok(response)
}
