//! `GET /admin/pds/list`: every host with its limits and what it has been doing.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::operator::Operator;
use crate::app::Shared;
use crate::hosts::{Host, HostStatus};

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Row {
    #[serde(rename = "ID")]
    id: u32,
    host: String,
    #[serde(rename = "SSL")]
    ssl: bool,
    cursor: i64,
    registered: bool,
    blocked: bool,
    status: &'static str,
    repo_count: u64,
    repo_limit: u64,
    user_count: u64,
    has_active_connection: bool,
    events_seen_since_startup: u64,
    events_dropped_since_startup: u64,
    unusable_frames_since_startup: u64,
    events_in_flight: usize,
    per_second_event_rate: Rate,
    per_hour_event_rate: Rate,
    per_day_event_rate: Rate,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Rate {
    max: i64,
    window: u64,
}

/// JavaScript's numbers end at 2^53; no limit shows as -1.
fn rate(limit: u64, window: u64) -> Rate {
    Rate {
        max: i64::try_from(limit).unwrap_or(-1),
        window,
    }
}

pub(super) async fn handle(State(relay): State<Shared>, _: Operator) -> Json<Vec<Row>> {
    Json(
        relay
            .hosts
            .all()
            .iter()
            .map(|host| row(host, relay.hosts.status_of(host)))
            .collect(),
    )
}

fn row(host: &Host, status: HostStatus) -> Row {
    let limits = host.limits();
    Row {
        id: host.id.0,
        host: host.name.to_string(),
        ssl: !host.name.is_localhost(),
        cursor: host
            .flow
            .mark()
            .map_or(-1, |seq| i64::try_from(seq).unwrap_or(i64::MAX)),
        registered: true,
        blocked: status == HostStatus::Banned,
        status: status.name(),
        repo_count: host.accounts(),
        repo_limit: limits.accounts.min(1 << 53),
        user_count: host.accounts(),
        has_active_connection: host.is_connected(),
        events_seen_since_startup: host.events(),
        events_dropped_since_startup: host.dropped(),
        unusable_frames_since_startup: host.bad_frames(),
        events_in_flight: host.flow.in_flight(),
        per_second_event_rate: rate(limits.per_second, 1),
        per_hour_event_rate: rate(limits.per_hour, 3_600),
        per_day_event_rate: rate(limits.per_day, 86_400),
    }
}
