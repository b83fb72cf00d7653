//! `com.atproto.sync.getBlocks`: single blocks of a repository, in a CAR file without a root.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use rochdale_protocol::data::Cid;
use rochdale_protocol::repo::car;
use rochdale_protocol::syntax::Did;
use rochdale_service::xrpc::{Query, XrpcError};
use serde::Deserialize;

use super::visible::{car_response, visible};
use crate::api::error::{bad, invalid};
use crate::app::Pds;
use crate::auth::extract::Viewer;

pub(super) const NSID: &str = "com.atproto.sync.getBlocks";

/// Most blocks of one request.
const CIDS_MAX: usize = 500;

#[derive(Deserialize)]
pub(super) struct Parameters {
    did: Did,
    cids: Vec<String>,
}

pub(super) async fn handle(
    State(pds): State<Pds>,
    Query(parameters): Query<Parameters>,
    viewer: Viewer,
) -> Result<Response, XrpcError> {
    if parameters.cids.len() > CIDS_MAX {
        return Err(invalid(format_args!(
            "parameter \"cids\": at most {CIDS_MAX} at once"
        )));
    }
    let parsed: Result<Vec<Cid>, _> = parameters.cids.iter().map(|text| text.parse()).collect();
    let cids = parsed.map_err(|error| invalid(format_args!("parameter \"cids\": {error}")))?;
    let account = visible(&pds, &viewer, &parameters.did).await?;
    let found = pds.repos.blocks(account.id, &cids).await?;
    let missing: Vec<String> = cids
        .iter()
        .filter(|cid| !found.contains_key(cid))
        .map(Cid::to_string)
        .collect();
    if !missing.is_empty() {
        let message = format!("Could not find cids: {}", missing.join(", "));
        return Err(bad("BlockNotFound", message));
    }
    let mut file = car::Writer::new(&[]);
    for (cid, block) in &found {
        file.block(cid, block);
    }
    Ok(car_response(Body::from(file.into_bytes())))
}
