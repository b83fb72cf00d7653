//! `com.atproto.sync.getHostStatus`.

use axum::extract::State;
use rochdale_protocol::xrpc::names;
use rochdale_service::xrpc::{Output, Query, XrpcError};
use serde::Deserialize;

use super::list_hosts::HostView;
use crate::app::Shared;
use crate::hosts::{HostName, NameRules};

#[derive(Debug, Deserialize)]
pub(crate) struct Params {
    hostname: String,
}

pub(crate) async fn handle(
    State(relay): State<Shared>,
    Query(params): Query<Params>,
) -> Result<Output<HostView>, XrpcError> {
    let unknown =
        || XrpcError::not_found(names::HOST_NOT_FOUND, "this relay does not know that host");
    // Whatever is not the name of a host is not one of ours either.
    let name =
        HostName::parse(&params.hostname, NameRules { localhost: true }).map_err(|_| unknown())?;
    let host = relay.hosts.find(&name).ok_or_else(unknown)?;
    Ok(Output(HostView::of(&relay.hosts, &host)))
}
