//! `com.atproto.sync.getRepoStatus`.

use axum::extract::State;
use rochdale_service::xrpc::{Output, Query, XrpcError};
use serde::{Deserialize, Serialize};

use super::{parse_did, repo_not_found};
use crate::app::Shared;

#[derive(Debug, Deserialize)]
pub(crate) struct Params {
    did: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct Status {
    did: String,
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rev: Option<String>,
}

pub(crate) async fn handle(
    State(relay): State<Shared>,
    Query(params): Query<Params>,
) -> Result<Output<Status>, XrpcError> {
    let did = parse_did(&params.did)?;
    let known = relay
        .shards
        .known(&did)
        .await?
        .map_or_else(|| relay.store.account(&did), Ok)?;
    let account = known.account.ok_or_else(|| repo_not_found(&did))?;
    let shown = account.shown(known.taken_down);
    let rev = known
        .repo
        .filter(|_| shown.active)
        .map(|repo| repo.rev.to_string());
    Ok(Output(Status {
        did: did.to_string(),
        active: shown.active,
        status: shown.status,
        rev,
    }))
}
