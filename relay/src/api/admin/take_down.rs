//! `POST /admin/repo/takeDown`, `reverseTakedown`, and `GET /admin/repo/takedowns`.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use rochdale_protocol::syntax::Did;
use rochdale_protocol::xrpc::names;
use rochdale_service::xrpc::{Query, XrpcError};
use serde::{Deserialize, Serialize};

use super::operator::Operator;
use super::{DONE, Done, body};
use crate::app::Shared;

const PAGE: u64 = 500;

#[derive(Debug, Deserialize)]
pub(super) struct Request {
    did: String,
}

fn did_of(request: Result<Json<Request>, JsonRejection>) -> Result<Did, XrpcError> {
    let text = body(request)?.did;
    text.parse()
        .map_err(|_| XrpcError::invalid_request(format!("{text:?} is not a DID")))
}

pub(super) async fn take_down(
    State(relay): State<Shared>,
    _: Operator,
    request: Result<Json<Request>, JsonRejection>,
) -> Result<Json<Done>, XrpcError> {
    relay.take_down(&did_of(request)?).await?;
    Ok(DONE)
}

pub(super) async fn reverse(
    State(relay): State<Shared>,
    _: Operator,
    request: Result<Json<Request>, JsonRejection>,
) -> Result<Json<Done>, XrpcError> {
    let did = did_of(request)?;
    if !relay.reverse_takedown(&did).await? {
        return Err(XrpcError::not_found(
            names::REPO_NOT_FOUND,
            format!("{did} is not taken down here"),
        ));
    }
    Ok(DONE)
}

#[derive(Debug, Deserialize)]
pub(super) struct Params {
    cursor: Option<i64>,
}

#[derive(Debug, Serialize)]
pub(super) struct Page {
    dids: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<i64>,
}

pub(super) async fn list(
    State(relay): State<Shared>,
    _: Operator,
    Query(params): Query<Params>,
) -> Result<Json<Page>, XrpcError> {
    let page = relay
        .store
        .takedowns(params.cursor.unwrap_or(0), PAGE)
        .await?;
    let cursor = page
        .last()
        .filter(|_| page.len() as u64 == PAGE)
        .map(|last| last.id);
    Ok(Json(Page {
        dids: page
            .into_iter()
            .map(|takedown| takedown.did.to_string())
            .collect(),
        cursor,
    }))
}
