//! `com.atproto.repo.getRecord`: one record, as JSON. What is not here may be known to the AppView, or to
//! the service that the caller names.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use rochdale_protocol::data::{Cid, json};
use rochdale_protocol::syntax::{AtIdentifier, Nsid, RecordKey, RecordPath};
use rochdale_service::xrpc::{Query, XrpcError};
use serde::Deserialize;

use super::own_repo::optional_cid;
use crate::api::error::bad;
use crate::app::Pds;
use crate::proxy::{self, Elsewhere};
use crate::store::StoreError;

pub(super) const NSID: &str = "com.atproto.repo.getRecord";

#[derive(Deserialize)]
pub(super) struct Parameters {
    repo: AtIdentifier,
    collection: Nsid,
    rkey: RecordKey,
    cid: Option<String>,
}

pub(super) async fn handle(
    State(pds): State<Pds>,
    Query(parameters): Query<Parameters>,
    request: Request,
) -> Result<Response, XrpcError> {
    let wanted = optional_cid("cid", parameters.cid.as_deref())?;
    let path = RecordPath::new(parameters.collection, parameters.rkey);
    let account = pds.accounts.find(&parameters.repo).await?;
    let active = account.as_ref().filter(|account| account.is_active());
    if active.is_none() {
        let (parts, _no_body) = request.into_parts();
        if let Some(target) = Elsewhere::of(parts)?.or_default(&pds, NSID) {
            return proxy::forward_unsigned(&pds, target).await;
        }
    }
    let found = match active {
        Some(account) => pds.repos.record(account.id, &path)?,
        None => None,
    };
    let found = found.filter(|record| wanted.is_none_or(|wanted| wanted == record.cid));
    let (Some(account), Some(record)) = (active, found) else {
        let repo = account.map_or(parameters.repo, |account| account.did.clone().into());
        let message = format!("Could not locate record: at://{repo}/{path}");
        return Err(bad("RecordNotFound", message));
    };
    let mut out = Vec::with_capacity(record.value.len() * 2 + 256);
    write_record(
        &mut out,
        account.did.as_str(),
        &path,
        &record.cid,
        &record.value,
    )?;
    Ok(json_response(out))
}

/// Appends `{"uri", "cid", "value"}` of one record, straight from its block.
pub(super) fn write_record(
    out: &mut Vec<u8>,
    did: &str,
    path: &RecordPath,
    cid: &Cid,
    block: &[u8],
) -> Result<(), XrpcError> {
    // None of these needs escaping: a DID, an NSID, a record key and a CID are plain ASCII.
    for part in [
        "{\"uri\":\"at://",
        did,
        "/",
        path.collection.as_str(),
        "/",
        path.rkey.as_str(),
    ] {
        out.extend_from_slice(part.as_bytes());
    }
    out.extend_from_slice(b"\",\"cid\":\"");
    out.extend_from_slice(cid.to_string().as_bytes());
    out.extend_from_slice(b"\",\"value\":");
    json::write_cbor(block, out).map_err(|_| StoreError::corrupt("record"))?;
    out.push(b'}');
    Ok(())
}

/// An answer that is JSON already.
pub(super) fn json_response(json: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(json));
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
