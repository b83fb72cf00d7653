//! `GET /:did`: the DID document.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use rochdale_protocol::data::Cid;
use rochdale_protocol::plc::{DidData, DidDocument};

use super::{answer::versioned, error::ApiError, path::DidInPath};
use crate::app::App;
use crate::directory::Known;

pub(super) async fn resolve(
    State(app): State<Arc<App>>,
    did: DidInPath,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (data, version) = state(&app, did)?;
    const TYPE: &str = "application/did+ld+json; charset=utf-8";
    Ok(versioned(&headers, &version, TYPE, || {
        DidDocument::render(&data)
    }))
}

/// The state of a DID that is registered and not ended.
pub(super) fn state(app: &App, did: DidInPath) -> Result<(DidData, Cid), ApiError> {
    match app.directory.state(did.key()?)? {
        Known::State { data, version } => Ok((data, version)),
        Known::Ended => Err(ApiError::NotAvailable {
            did: did.0,
            status: app.tombstone_status,
        }),
        Known::Nothing => Err(did.not_registered()),
    }
}
