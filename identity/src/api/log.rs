//! `GET /:did/log`: the operations that hold, oldest first.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;

use super::answer::{JSON, versioned};
use super::{error::ApiError, path::DidInPath};
use crate::app::App;

pub(super) async fn log(
    State(app): State<Arc<App>>,
    did: DidInPath,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let log = app
        .directory
        .log(did.key()?)
        .await?
        .ok_or_else(|| did.not_registered())?;
    Ok(versioned(&headers, &log.version, JSON, || log.json))
}
