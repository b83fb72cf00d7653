//! `GET /admin/subs/listDomainBans`, `POST /admin/subs/banDomain`, `unbanDomain`: a domain with everything below it.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use rochdale_protocol::xrpc::names;
use rochdale_service::xrpc::XrpcError;
use serde::{Deserialize, Serialize};

use super::operator::Operator;
use super::{DONE, Done, body, host_name};
use crate::app::Shared;

#[derive(Debug, Deserialize)]
pub(super) struct Request {
    #[serde(rename = "Domain", alias = "domain")]
    domain: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Bans {
    banned_domains: Vec<String>,
}

pub(super) async fn list(State(relay): State<Shared>, _: Operator) -> Json<Bans> {
    Json(Bans {
        banned_domains: relay.hosts.banned_domains(),
    })
}

pub(super) async fn ban(
    State(relay): State<Shared>,
    _: Operator,
    request: Result<Json<Request>, JsonRejection>,
) -> Result<Json<Done>, XrpcError> {
    let domain = host_name(&body(request)?.domain)?;
    relay
        .hosts
        .ban_domain(domain.as_str(), relay.clock.now_ms())
        .await?;
    Ok(DONE)
}

pub(super) async fn unban(
    State(relay): State<Shared>,
    _: Operator,
    request: Result<Json<Request>, JsonRejection>,
) -> Result<Json<Done>, XrpcError> {
    let domain = host_name(&body(request)?.domain)?;
    let unknown = || XrpcError::not_found(names::NOT_FOUND, format!("{domain} is not banned"));
    for host in relay
        .hosts
        .unban_domain(domain.as_str())
        .await?
        .ok_or_else(unknown)?
    {
        relay.subscriber.listen(&host);
    }
    Ok(DONE)
}
