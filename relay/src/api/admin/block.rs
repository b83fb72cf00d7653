//! `POST /admin/pds/block` and `unblock`: one host.

use axum::Json;
use axum::extract::State;
use rochdale_service::xrpc::{Query, XrpcError};
use serde::Deserialize;

use super::operator::Operator;
use super::{DONE, Done, known_host};
use crate::app::Shared;

#[derive(Debug, Deserialize)]
pub(super) struct Params {
    host: String,
}

pub(super) async fn block(
    State(relay): State<Shared>,
    _: Operator,
    Query(params): Query<Params>,
) -> Result<Json<Done>, XrpcError> {
    relay
        .hosts
        .block(known_host(&relay, &params.host)?.as_ref())
        .await?;
    Ok(DONE)
}

pub(super) async fn unblock(
    State(relay): State<Shared>,
    _: Operator,
    Query(params): Query<Params>,
) -> Result<Json<Done>, XrpcError> {
    let host = known_host(&relay, &params.host)?;
    relay.hosts.unblock(&host).await?;
    relay.subscriber.listen(&host);
    Ok(DONE)
}
