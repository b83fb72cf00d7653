//! `GET /:did/log/audit`: every operation with its CID, time and whether it was undone.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;

use super::answer::{JSON, versioned};
use super::{error::ApiError, path::DidInPath};
use crate::app::App;

pub(super) async fn audit(
    State(app): State<Arc<App>>,
    did: DidInPath,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let log = app
        .directory
        .audit_log(did.key()?)
        .await?
        .ok_or_else(|| did.not_registered())?;
    Ok(versioned(&headers, &log.version, JSON, || log.json))
}
