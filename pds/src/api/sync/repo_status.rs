//! `com.atproto.sync.getRepoStatus`: whether a repository is served here, and why not.

use axum::extract::State;
use rochdale_protocol::syntax::Did;
use rochdale_service::xrpc::{Output, Query, XrpcError};
use serde::{Deserialize, Serialize};

use super::visible::not_found;
use crate::app::Pds;

pub(super) const NSID: &str = "com.atproto.sync.getRepoStatus";

#[derive(Deserialize)]
pub(super) struct Parameters {
    did: Did,
}

#[derive(Serialize)]
pub(super) struct Status {
    did: Did,
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rev: Option<String>,
}

pub(super) async fn handle(
    State(pds): State<Pds>,
    Query(Parameters { did }): Query<Parameters>,
) -> Result<Output<Status>, XrpcError> {
    let account = pds
        .accounts
        .by_did(&did)
        .await?
        .ok_or_else(|| not_found(&did))?;
    let active = account.is_active();
    let rev = if active {
        let head = pds.repos.head(account.id)?.ok_or_else(|| not_found(&did))?;
        Some(head.rev.to_string())
    } else {
        None
    };
    Ok(Output(Status {
        did,
        active,
        status: account.status().name(),
        rev,
    }))
}
