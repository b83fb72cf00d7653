//! `com.atproto.sync.getLatestCommit`.

use axum::extract::State;
use rochdale_service::xrpc::{Output, Query, XrpcError};
use serde::{Deserialize, Serialize};

use super::{not_shown, parse_did, repo_not_found};
use crate::app::Shared;

#[derive(Debug, Deserialize)]
pub(crate) struct Params {
    did: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct Commit {
    cid: String,
    rev: String,
}

pub(crate) async fn handle(
    State(relay): State<Shared>,
    Query(params): Query<Params>,
) -> Result<Output<Commit>, XrpcError> {
    let did = parse_did(&params.did)?;
    let known = relay
        .shards
        .known(&did)
        .await?
        .map_or_else(|| relay.store.account(&did), Ok)?;
    let shown = known
        .account
        .ok_or_else(|| repo_not_found(&did))?
        .shown(known.taken_down);
    if !shown.active {
        return Err(not_shown(&did, &shown));
    }
    let missing = || {
        XrpcError::not_found(
            "RepoNotSynchronized",
            format!("this relay has seen no commit of {did} yet"),
        )
    };
    let repo = known.repo.ok_or_else(missing)?;
    Ok(Output(Commit {
        cid: repo.commit.to_string(),
        rev: repo.rev.to_string(),
    }))
}
