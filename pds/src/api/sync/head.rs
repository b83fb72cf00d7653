//! `com.atproto.sync.getLatestCommit` and its deprecated predecessor `getHead`.

use axum::extract::State;
use rochdale_protocol::data::Cid;
use rochdale_protocol::syntax::Did;
use rochdale_service::xrpc::{Output, Query, XrpcError};
use serde::{Deserialize, Serialize};

use super::visible::{not_found, visible};
use crate::api::error::bad;
use crate::app::Pds;
use crate::auth::extract::Viewer;

pub(super) const LATEST_COMMIT: &str = "com.atproto.sync.getLatestCommit";
pub(super) const HEAD: &str = "com.atproto.sync.getHead";

#[derive(Deserialize)]
pub(super) struct Parameters {
    did: Did,
}

#[derive(Serialize)]
pub(super) struct LatestCommit {
    cid: Cid,
    rev: String,
}

#[derive(Serialize)]
pub(super) struct Root {
    root: Cid,
}

pub(super) async fn latest_commit(
    State(pds): State<Pds>,
    Query(Parameters { did }): Query<Parameters>,
    viewer: Viewer,
) -> Result<Output<LatestCommit>, XrpcError> {
    let account = visible(&pds, &viewer, &did).await?;
    let head = pds.repos.head(account.id)?.ok_or_else(|| not_found(&did))?;
    Ok(Output(LatestCommit {
        cid: head.cid,
        rev: head.rev.to_string(),
    }))
}

pub(super) async fn head(
    State(pds): State<Pds>,
    Query(Parameters { did }): Query<Parameters>,
    viewer: Viewer,
) -> Result<Output<Root>, XrpcError> {
    let account = visible(&pds, &viewer, &did).await?;
    let head = pds.repos.head(account.id)?.ok_or_else(|| {
        bad(
            "HeadNotFound",
            format_args!("Could not find root for DID: {did}"),
        )
    })?;
    Ok(Output(Root { root: head.cid }))
}
