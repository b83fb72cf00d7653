//! `com.atproto.sync.listHosts`: the hosts this relay knows, in the order it came to know them.

use axum::extract::State;
use rochdale_service::xrpc::{Output, Query, XrpcError};
use serde::{Deserialize, Serialize};

use super::{page_cursor, page_size};
use crate::app::Shared;
use crate::hosts::{Host, HostId, Hosts};

#[derive(Debug, Deserialize)]
pub(crate) struct Params {
    limit: Option<u64>,
    cursor: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Page {
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
    hosts: Vec<HostView>,
}

/// A host as `listHosts` and `getHostStatus` show it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HostView {
    hostname: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    account_count: u64,
    status: &'static str,
}

impl HostView {
    pub(super) fn of(hosts: &Hosts, host: &Host) -> Self {
        Self {
            hostname: host.name.to_string(),
            seq: host.flow.mark().filter(|seq| *seq > 0),
            account_count: host.accounts(),
            status: hosts.status_of(host).name(),
        }
    }
}

pub(crate) async fn handle(
    State(relay): State<Shared>,
    Query(params): Query<Params>,
) -> Result<Output<Page>, XrpcError> {
    let limit = page_size(params.limit, 200, 1_000)?;
    let after: u32 = page_cursor(params.cursor.as_deref())?;
    let mut hosts = relay.hosts.page(HostId(after), limit + 1);
    let more = hosts.len() > limit;
    hosts.truncate(limit);
    let cursor = hosts
        .last()
        .filter(|_| more)
        .map(|last| last.id.0.to_string());
    Ok(Output(Page {
        cursor,
        hosts: hosts
            .iter()
            .map(|host| HostView::of(&relay.hosts, host))
            .collect(),
    }))
}
