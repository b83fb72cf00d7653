//! `GET /admin/subs/getUpstreamConns`, `POST /admin/subs/killUpstream`: open streams of hosts.

use axum::Json;
use axum::extract::State;
use rochdale_service::xrpc::{Query, XrpcError};
use serde::Deserialize;

use super::operator::Operator;
use super::{DONE, Done, known_host};
use crate::app::Shared;

pub(super) async fn list(State(relay): State<Shared>, _: Operator) -> Json<Vec<String>> {
    let hosts = relay.hosts.all();
    Json(
        hosts
            .iter()
            .filter(|host| host.is_connected())
            .map(|host| host.name.to_string())
            .collect(),
    )
}

#[derive(Debug, Deserialize)]
pub(super) struct Params {
    host: String,
    block: Option<bool>,
}

pub(super) async fn kill(
    State(relay): State<Shared>,
    _: Operator,
    Query(params): Query<Params>,
) -> Result<Json<Done>, XrpcError> {
    let host = known_host(&relay, &params.host)?;
    if !host.is_connected() {
        return Err(XrpcError::invalid_request(format!(
            "there is no connection to {}",
            host.name
        )));
    }
    if params.block == Some(true) {
        relay.hosts.block(&host).await?;
    } else {
        host.hang_up();
    }
    Ok(DONE)
}
