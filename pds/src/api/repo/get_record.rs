//! `com.atproto.repo.getRecord`: one record, as JSON.

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use rochdale_protocol::data::{Cid, json};
use rochdale_protocol::syntax::{AtIdentifier, Nsid, RecordKey, RecordPath};
use rochdale_protocol::xrpc::names;
use rochdale_service::outbound::Limits;
use rochdale_service::xrpc::{Query, XrpcError};
use serde::Deserialize;

use super::own_repo::optional_cid;
use crate::api::error::bad;
use crate::app::Pds;
use crate::config::Service;
use crate::store::StoreError;

pub(super) const NSID: &str = "com.atproto.repo.getRecord";

/// Largest answer taken from the AppView, in bytes.
const ANSWER_BYTES_MAX: usize = 4 << 20;

#[derive(Deserialize)]
pub(super) struct Parameters {
    repo: AtIdentifier,
    collection: Nsid,
    rkey: RecordKey,
    cid: Option<String>,
}

pub(super) async fn handle(
    State(pds): State<Pds>,
    RawQuery(query): RawQuery,
    Query(parameters): Query<Parameters>,
) -> Result<Response, XrpcError> {
    let wanted = optional_cid("cid", parameters.cid.as_deref())?;
    let path = RecordPath::new(parameters.collection, parameters.rkey);
    let account = pds.accounts.find(&parameters.repo).await?;
    if account.is_none()
        && let Some(app_view) = &pds.config.app_view
    {
        return ask(&pds, app_view, &query.unwrap_or_default()).await;
    }
    let account = account.filter(|account| account.is_active());
    let found = match &account {
        Some(account) => pds.repos.record(account.id, &path)?,
        None => None,
    };
    let found = found.filter(|record| wanted.is_none_or(|wanted| wanted == record.cid));
    let (Some(account), Some(record)) = (account, found) else {
        let repo = parameters.repo.as_str();
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

/// A repository that is not here may be known to the AppView.
async fn ask(pds: &Pds, app_view: &Service, query: &str) -> Result<Response, XrpcError> {
    let url = format!("{}/xrpc/{NSID}?{query}", app_view.url);
    let limits = Limits {
        max_bytes: ANSWER_BYTES_MAX,
        timeout_ms: 10_000,
        accept: "application/json",
        trusted: true,
        ..Limits::default()
    };
    let answer = pds.outbound.get(&url, limits).await.map_err(|cause| {
        let message = "the AppView did not answer";
        XrpcError::new(StatusCode::BAD_GATEWAY, names::UPSTREAM_FAILURE, message).with_cause(cause)
    })?;
    let mut response = json_response(answer.body.to_vec());
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
    *response.status_mut() = if status == StatusCode::INTERNAL_SERVER_ERROR {
        StatusCode::BAD_GATEWAY
    } else {
        status
    };
    Ok(response)
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
