//! `com.atproto.sync.listBlobs`: the blobs that a repository's records refer to.

use axum::extract::State;
use rochdale_protocol::data::Cid;
use rochdale_protocol::syntax::{Did, Tid};
use rochdale_service::xrpc::{Output, Query, XrpcError};
use serde::{Deserialize, Serialize};

use super::visible::visible;
use crate::api::error::invalid;
use crate::api::paging::limit;
use crate::app::Pds;
use crate::auth::extract::Viewer;

pub(super) const NSID: &str = "com.atproto.sync.listBlobs";

#[derive(Deserialize)]
pub(super) struct Parameters {
    did: Did,
    since: Option<Tid>,
    limit: Option<i64>,
    cursor: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Listed {
    cids: Vec<Cid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

pub(super) async fn handle(
    State(pds): State<Pds>,
    Query(parameters): Query<Parameters>,
    viewer: Viewer,
) -> Result<Output<Listed>, XrpcError> {
    let limit = limit(parameters.limit, 500, 1_000)?;
    let after: Option<Cid> = parameters
        .cursor
        .map(|text| text.parse())
        .transpose()
        .map_err(|error| invalid(format_args!("parameter \"cursor\": {error}")))?;
    let account = visible(&pds, &viewer, &parameters.did).await?;
    let cids = pds
        .blobs
        .list(account.id, parameters.since, after, limit)
        .await?;
    let full = cids.len() == limit;
    let cursor = cids.last().filter(|_| full).map(Cid::to_string);
    Ok(Output(Listed { cids, cursor }))
}
