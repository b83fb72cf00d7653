//! `GET /:did/log/last`: the newest operation, also of a DID that was ended.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;

use super::answer::{JSON, versioned};
use super::{error::ApiError, path::DidInPath};
use crate::app::App;

pub(super) async fn last(
    State(app): State<Arc<App>>,
    did: DidInPath,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let log = app
        .directory
        .newest(did.key()?)?
        .ok_or_else(|| did.not_registered())?;
    Ok(versioned(&headers, &log.version, JSON, || log.json))
}
