//! `GET /admin/audit`: what operators and moderators asked for, newest first.

use axum::Json;
use axum::extract::State;
use rochdale_protocol::syntax::Datetime;
use rochdale_service::xrpc::{Query, XrpcError};
use serde::{Deserialize, Serialize};

use crate::api::paging::limit;
use crate::app::Pds;
use crate::audit::Entry;
use crate::auth::Admin;

pub(super) const ROUTE: &str = "/admin/audit";

#[derive(Deserialize)]
pub(super) struct Parameters {
    limit: Option<i64>,
    cursor: Option<i64>,
}

#[derive(Serialize)]
pub(super) struct Listed {
    entries: Vec<EntryView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

#[derive(Serialize)]
struct EntryView {
    id: i64,
    at: String,
    who: String,
    method: String,
    subject: String,
    detail: String,
}

impl From<Entry> for EntryView {
    fn from(entry: Entry) -> Self {
        Self {
            id: entry.id,
            at: Datetime::from_unix_ms(entry.at_ms).to_string(),
            who: entry.who,
            method: entry.method,
            subject: entry.subject,
            detail: entry.detail,
        }
    }
}

pub(super) async fn list(
    State(pds): State<Pds>,
    Query(parameters): Query<Parameters>,
    _operator: Admin,
) -> Result<Json<Listed>, XrpcError> {
    let limit = limit(parameters.limit, 100, 1_000)?;
    let entries = pds.store.audit.page(parameters.cursor, limit).await?;
    let last = entries.last().filter(|_| entries.len() == limit);
    Ok(Json(Listed {
        cursor: last.map(|entry| entry.id.to_string()),
        entries: entries.into_iter().map(EntryView::from).collect(),
    }))
}
