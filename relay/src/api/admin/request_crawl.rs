//! `POST /admin/pds/requestCrawl`: as the public method, without its switch and its number of new hosts per day.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use rochdale_service::xrpc::XrpcError;
use serde::Deserialize;

use super::operator::Operator;
use super::{DONE, Done, body};
use crate::app::Shared;
use crate::hosts::Caller;

#[derive(Debug, Deserialize)]
pub(super) struct Request {
    hostname: String,
}

pub(super) async fn handle(
    State(relay): State<Shared>,
    _: Operator,
    request: Result<Json<Request>, JsonRejection>,
) -> Result<Json<Done>, XrpcError> {
    relay
        .subscriber
        .request_crawl(&body(request)?.hostname, Caller::Operator)
        .await?;
    Ok(DONE)
}
