//! `com.atproto.repo.listMissingBlobs`: what still has to be uploaded after a move.

use axum::extract::State;
use rochdale_protocol::data::Cid;
use rochdale_service::xrpc::{Output, Query, XrpcError};
use serde::{Deserialize, Serialize};

use super::own_repo::{optional_cid, uri};
use crate::api::paging::limit;
use crate::app::Pds;
use crate::auth::extract::Member;

pub(super) const NSID: &str = "com.atproto.repo.listMissingBlobs";

#[derive(Deserialize)]
pub(super) struct Parameters {
    limit: Option<i64>,
    cursor: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Missing {
    blobs: Vec<MissingView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MissingView {
    cid: Cid,
    record_uri: String,
}

pub(super) async fn handle(
    State(pds): State<Pds>,
    Query(parameters): Query<Parameters>,
    member: Member,
) -> Result<Output<Missing>, XrpcError> {
    let limit = limit(parameters.limit, 500, 1_000)?;
    let after = optional_cid("cursor", parameters.cursor.as_deref())?;
    let found = pds.blobs.missing(member.id(), after, limit).await?;
    let full = found.len() == limit;
    let cursor = found
        .last()
        .filter(|_| full)
        .map(|blob| blob.cid.to_string());
    let blobs = found
        .into_iter()
        .map(|blob| MissingView {
            cid: blob.cid,
            record_uri: uri(member.did(), &blob.path),
        })
        .collect();
    Ok(Output(Missing { blobs, cursor }))
}
