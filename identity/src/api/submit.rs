//! `POST /:did`: registers or changes a DID by a signed operation.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::HeaderMap;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use rochdale_service::xrpc::ClientIp;

use super::{error::ApiError, path::DidInPath};
use crate::app::App;

/// Largest body that is read. An operation is smaller; this leaves room for white space.
const BODY_LIMIT_BYTES: usize = 100 * 1024;

pub(super) async fn submit(
    State(app): State<Arc<App>>,
    did: DidInPath,
    client: ClientIp,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    app.turnstile.enter(client, &headers)?;
    let body = Limited::new(body, BODY_LIMIT_BYTES)
        .collect()
        .await
        .map_err(|error| match error.downcast_ref::<LengthLimitError>() {
            Some(_) => ApiError::BodyTooLarge(BODY_LIMIT_BYTES),
            None => ApiError::Body,
        })?;
    let outcome = app.directory.submit(&did.0, &body.to_bytes()).await;
    let label = if outcome.is_ok() {
        "accepted"
    } else {
        "refused"
    };
    metrics::counter!("rochdale_directory_operations_total", "outcome" => label).increment(1);
    outcome?;
    Ok("OK".into_response())
}
