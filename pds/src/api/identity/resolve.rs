//! `com.atproto.identity.{resolveHandle,resolveDid,resolveIdentity,refreshIdentity}`.

use axum::extract::State;
use rochdale_protocol::syntax::{AtIdentifier, Did, Handle};
use rochdale_protocol::xrpc::names;
use rochdale_resolver::Identity;
use rochdale_service::xrpc::{Input, Output, Query, XrpcError};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::api::error::{bad, resolve_error};
use crate::app::Pds;

pub(super) const HANDLE: &str = "com.atproto.identity.resolveHandle";
pub(super) const DID: &str = "com.atproto.identity.resolveDid";
pub(super) const IDENTITY: &str = "com.atproto.identity.resolveIdentity";
pub(super) const REFRESH: &str = "com.atproto.identity.refreshIdentity";

#[derive(Deserialize)]
pub(super) struct HandleParam {
    handle: Handle,
}

#[derive(Serialize)]
pub(super) struct Resolved {
    did: String,
}

pub(super) async fn handle(
    State(pds): State<Pds>,
    Query(params): Query<HandleParam>,
) -> Result<Output<Resolved>, XrpcError> {
    let local = pds.accounts.by_handle(&params.handle).await?;
    if let Some(account) = local.filter(|account| account.is_active()) {
        return Ok(Output(Resolved {
            did: account.did.to_string(),
        }));
    }
    if pds.handles.is_ours(&params.handle) {
        return Err(bad(names::HANDLE_NOT_FOUND, "Unable to resolve handle"));
    }
    let did = pds
        .resolver
        .handle_to_did(&params.handle)
        .await
        .map_err(resolve_error)?;
    Ok(Output(Resolved {
        did: did.to_string(),
    }))
}

#[derive(Deserialize)]
pub(super) struct DidParam {
    did: Did,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document {
    did_doc: Box<RawValue>,
}

pub(super) async fn did(
    State(pds): State<Pds>,
    Query(params): Query<DidParam>,
) -> Result<Output<Document>, XrpcError> {
    let document = pds
        .resolver
        .did_document(&params.did)
        .await
        .map_err(resolve_error)?;
    Ok(Output(Document {
        did_doc: raw(document.json())?,
    }))
}

#[derive(Deserialize)]
pub(super) struct Identifier {
    identifier: AtIdentifier,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct IdentityInfo {
    did: String,
    handle: String,
    did_doc: Box<RawValue>,
}

pub(super) async fn identity(
    State(pds): State<Pds>,
    Query(params): Query<Identifier>,
) -> Result<Output<IdentityInfo>, XrpcError> {
    let identity = pds
        .resolver
        .identity(&params.identifier)
        .await
        .map_err(resolve_error)?;
    view(&identity)
}

pub(super) async fn refresh(
    State(pds): State<Pds>,
    Input(input): Input<Identifier>,
) -> Result<Output<IdentityInfo>, XrpcError> {
    let did = match &input.identifier {
        AtIdentifier::Did(did) => did.clone(),
        AtIdentifier::Handle(handle) => {
            pds.resolver.purge_handle(handle);
            pds.resolver
                .handle_to_did(handle)
                .await
                .map_err(resolve_error)?
        }
    };
    let document = pds.resolver.refresh(&did).await.map_err(resolve_error)?;
    if let Some(handle) = document.handle() {
        pds.resolver.purge_handle(handle);
    }
    let identity = pds
        .resolver
        .identity(&AtIdentifier::Did(did))
        .await
        .map_err(resolve_error)?;
    view(&identity)
}

fn view(identity: &Identity) -> Result<Output<IdentityInfo>, XrpcError> {
    let handle = identity
        .handle
        .as_ref()
        .map_or(Handle::INVALID, Handle::as_str);
    Ok(Output(IdentityInfo {
        did: identity.did.to_string(),
        handle: handle.to_owned(),
        did_doc: raw(identity.document.json())?,
    }))
}

fn raw(json: &str) -> Result<Box<RawValue>, XrpcError> {
    RawValue::from_string(json.to_owned()).map_err(XrpcError::internal)
}
