//! `com.atproto.sync.subscribeRepos`: everything this relay has verified, in its own numbering.

use axum::extract::State;
use axum::response::Response;
use rochdale_service::stream::Upgrade;
use rochdale_service::xrpc::{ClientIp, Query, XrpcError};
use serde::Deserialize;

use crate::app::Shared;

#[derive(Debug, Deserialize)]
pub(crate) struct Params {
    cursor: Option<u64>,
}

pub(crate) async fn handle(
    State(relay): State<Shared>,
    Query(params): Query<Params>,
    client: ClientIp,
    upgrade: Upgrade,
) -> Result<Response, XrpcError> {
    relay.stream.accept(upgrade, params.cursor, client)
}
