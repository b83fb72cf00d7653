//! `com.atproto.sync.requestCrawl`, and its old name `notifyOfUpdate`: a host asks to be listened to.

use axum::extract::State;
use http::StatusCode;
use rochdale_service::xrpc::{Input, XrpcError};
use serde::Deserialize;

use crate::app::Shared;
use crate::hosts::Caller;

#[derive(Debug, Deserialize)]
pub(crate) struct Request {
    hostname: String,
}

pub(crate) async fn handle(
    State(relay): State<Shared>,
    Input(request): Input<Request>,
) -> Result<StatusCode, XrpcError> {
    relay
        .subscriber
        .request_crawl(&request.hostname, Caller::Public)
        .await?;
    Ok(StatusCode::OK)
}
