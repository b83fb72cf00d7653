//! `com.atproto.sync.getRecord`: proof of what a repository holds under a path, or that it
//! holds nothing.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use rochdale_protocol::syntax::{Did, Nsid, RecordKey, RecordPath};
use rochdale_service::xrpc::{Query, XrpcError};
use serde::Deserialize;

use super::visible::{car_response, visible};
use crate::app::Pds;
use crate::auth::extract::Viewer;

pub(super) const NSID: &str = "com.atproto.sync.getRecord";

#[derive(Deserialize)]
pub(super) struct Parameters {
    did: Did,
    collection: Nsid,
    rkey: RecordKey,
}

pub(super) async fn handle(
    State(pds): State<Pds>,
    Query(parameters): Query<Parameters>,
    viewer: Viewer,
) -> Result<Response, XrpcError> {
    let account = visible(&pds, &viewer, &parameters.did).await?;
    let path = RecordPath::new(parameters.collection, parameters.rkey);
    let file = pds.repos.prove(account.id, &path).await?;
    Ok(car_response(Body::from(file)))
}
