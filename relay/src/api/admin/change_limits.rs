//! `POST /admin/pds/changeLimits`: how many accounts a host may have.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use rochdale_service::xrpc::XrpcError;
use serde::Deserialize;

use super::operator::Operator;
use super::{DONE, Done, body, known_host};
use crate::app::Shared;

#[derive(Debug, Deserialize)]
pub(super) struct Request {
    host: String,
    repo_limit: u64,
}

pub(super) async fn handle(
    State(relay): State<Shared>,
    _: Operator,
    request: Result<Json<Request>, JsonRejection>,
) -> Result<Json<Done>, XrpcError> {
    let request = body(request)?;
    let host = known_host(&relay, &request.host)?;
    relay
        .change_account_limit(&host, request.repo_limit)
        .await?;
    Ok(DONE)
}
