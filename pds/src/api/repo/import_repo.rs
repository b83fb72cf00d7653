//! `com.atproto.repo.importRepo`: makes a CAR file the caller's repository.

use axum::extract::State;
use futures::stream;
use http::StatusCode;
use rochdale_service::xrpc::{RawBody, XrpcError};

use crate::api::error::invalid;
use crate::app::Pds;
use crate::auth::extract::FullMember;

pub(super) const NSID: &str = "com.atproto.repo.importRepo";

pub(super) async fn handle(
    State(pds): State<Pds>,
    FullMember(member): FullMember,
    body: RawBody,
) -> Result<StatusCode, XrpcError> {
    let kind = body.content_type.as_deref().unwrap_or_default();
    if kind.split(';').next().unwrap_or_default().trim() != "application/vnd.ipld.car" {
        return Err(invalid(
            "wrong request encoding: expected application/vnd.ipld.car",
        ));
    }
    let limit_bytes = pds.config.import_limit_bytes;
    if limit_bytes == 0 {
        return Err(invalid("this server takes no repositories in"));
    }
    if body.content_length.is_some_and(|bytes| bytes > limit_bytes) {
        return Err(XrpcError::payload_too_large(limit_bytes));
    }
    let pieces = stream::try_unfold(body, |mut body| async move {
        Ok::<_, XrpcError>(body.chunk().await?.map(|piece| (piece, body)))
    });
    pds.repos
        .import(&member.account, limit_bytes, Box::pin(pieces))
        .await?;
    Ok(StatusCode::OK)
}
