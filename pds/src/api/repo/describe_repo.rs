//! `com.atproto.repo.describeRepo`: whose repository this is and what it holds.

use axum::extract::State;
use rochdale_protocol::syntax::{AtIdentifier, Did, Nsid};
use rochdale_service::xrpc::{Output, Query, XrpcError};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::api::error::{bad, resolve_error};
use crate::api::sync::visible::active;
use crate::app::Pds;

pub(super) const NSID: &str = "com.atproto.repo.describeRepo";

#[derive(Deserialize)]
pub(super) struct Parameters {
    repo: AtIdentifier,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Description {
    handle: String,
    did: Did,
    did_doc: Box<RawValue>,
    collections: Vec<Nsid>,
    handle_is_correct: bool,
}

pub(super) async fn handle(
    State(pds): State<Pds>,
    Query(parameters): Query<Parameters>,
) -> Result<Output<Description>, XrpcError> {
    let found = pds.accounts.find(&parameters.repo).await?;
    let account = found.ok_or_else(|| {
        bad(
            "RepoNotFound",
            format_args!("Could not find repo: {}", parameters.repo.as_str()),
        )
    })?;
    active(&account)?;
    let document = pds
        .resolver
        .did_document(&account.did)
        .await
        .map_err(resolve_error)?;
    let handle_is_correct =
        account.handle.is_some() && document.handle() == account.handle.as_ref();
    let did_doc = RawValue::from_string(document.json().to_owned()).map_err(XrpcError::internal)?;
    Ok(Output(Description {
        handle: account.handle_text().to_owned(),
        did: account.did.clone(),
        did_doc,
        collections: pds.repos.collections(account.id).await?,
        handle_is_correct,
    }))
}
