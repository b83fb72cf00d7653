//! `com.atproto.sync.subscribeRepos`: the event stream, over a web socket.

use axum::extract::State;
use axum::response::Response;
use rochdale_service::stream::Upgrade;
use rochdale_service::xrpc::{ClientIp, Query, XrpcError};
use serde::Deserialize;

use crate::app::Pds;

pub(super) const NSID: &str = "com.atproto.sync.subscribeRepos";

#[derive(Deserialize)]
pub(super) struct Parameters {
    cursor: Option<u64>,
}

pub(super) async fn handle(
    State(pds): State<Pds>,
    client: ClientIp,
    Query(parameters): Query<Parameters>,
    upgrade: Upgrade,
) -> Result<Response, XrpcError> {
    pds.sequencer
        .stream()
        .accept(upgrade, parameters.cursor, client)
}
