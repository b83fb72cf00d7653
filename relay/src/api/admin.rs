//! The operator's methods: HTTP Basic, user `admin`. Names and fields are those the common command line tools speak.

mod ban_domain;
mod block;
mod change_limits;
mod list_hosts;
mod operator;
mod request_crawl;
mod take_down;
mod upstream;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::extract::rejection::JsonRejection;
use axum::routing::{get, post};
use rochdale_protocol::xrpc::names;
use rochdale_service::xrpc::XrpcError;
use serde::Serialize;

use crate::app::{Relay, Shared};
use crate::hosts::{Host, HostName, NameRules};

const BODY_BYTES_MAX: usize = 16 * 1024;

/// All of them. Every handler takes the [`operator::Operator`].
pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/admin/pds/requestCrawl", post(request_crawl::handle))
        .route("/admin/pds/list", get(list_hosts::handle))
        .route("/admin/pds/block", post(block::block))
        .route("/admin/pds/unblock", post(block::unblock))
        .route("/admin/pds/changeLimits", post(change_limits::handle))
        .route("/admin/repo/takeDown", post(take_down::take_down))
        .route("/admin/repo/reverseTakedown", post(take_down::reverse))
        .route("/admin/repo/takedowns", get(take_down::list))
        .route("/admin/subs/getUpstreamConns", get(upstream::list))
        .route("/admin/subs/killUpstream", post(upstream::kill))
        .route("/admin/subs/listDomainBans", get(ban_domain::list))
        .route("/admin/subs/banDomain", post(ban_domain::ban))
        .route("/admin/subs/unbanDomain", post(ban_domain::unban))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

/// What the tools expect of a method that answers nothing.
#[derive(Debug, Serialize)]
struct Done {
    success: &'static str,
}

const DONE: axum::Json<Done> = axum::Json(Done { success: "true" });

fn body<T>(body: Result<axum::Json<T>, JsonRejection>) -> Result<T, XrpcError> {
    body.map(|axum::Json(value)| value)
        .map_err(|error| XrpcError::invalid_request(error.body_text()))
}

fn host_name(text: &str) -> Result<HostName, XrpcError> {
    Ok(HostName::parse(text, NameRules { localhost: true })?)
}

/// The host of that name.
fn known_host(relay: &Relay, text: &str) -> Result<Arc<Host>, XrpcError> {
    let name = host_name(text)?;
    let unknown = || {
        XrpcError::not_found(
            names::HOST_NOT_FOUND,
            format!("this relay does not know {name}"),
        )
    };
    relay.hosts.find(&name).ok_or_else(unknown)
}
