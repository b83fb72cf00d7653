//! `com.atproto.repo.listRecords`: a page of a collection, newest key first.

use axum::extract::State;
use axum::response::Response;
use rochdale_protocol::syntax::{AtIdentifier, Nsid, RecordPath};
use rochdale_service::xrpc::{Query, XrpcError};
use serde::Deserialize;

use super::get_record::{json_response, write_record};
use crate::api::error::invalid;
use crate::api::paging::limit;
use crate::app::Pds;
use crate::store::StoreError;
use crate::store::record::Page;

pub(super) const NSID: &str = "com.atproto.repo.listRecords";

#[derive(Deserialize)]
pub(super) struct Parameters {
    repo: AtIdentifier,
    collection: Nsid,
    limit: Option<i64>,
    cursor: Option<String>,
    #[serde(default)]
    reverse: bool,
}

pub(super) async fn handle(
    State(pds): State<Pds>,
    Query(parameters): Query<Parameters>,
) -> Result<Response, XrpcError> {
    let limit = limit(parameters.limit, 50, 100)?;
    let account = pds
        .accounts
        .find(&parameters.repo)
        .await?
        .filter(|account| account.is_active());
    let account = account.ok_or_else(|| {
        invalid(format_args!(
            "Could not find repo: {}",
            parameters.repo.as_str()
        ))
    })?;
    let after = parameters.cursor.filter(|cursor| !cursor.is_empty());
    let page = Page {
        after,
        limit,
        ascending: parameters.reverse,
    };
    let records = pds
        .repos
        .records(account.id, parameters.collection.clone(), page)
        .await?;
    let bytes: usize = records
        .iter()
        .map(|record| record.value.len() * 2 + 256)
        .sum();
    let mut out = Vec::with_capacity(bytes + 64);
    out.extend_from_slice(b"{\"records\":[");
    for (place, record) in records.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        let rkey = record
            .rkey
            .parse()
            .map_err(|_| StoreError::corrupt("record key"))?;
        let path = RecordPath::new(parameters.collection.clone(), rkey);
        write_record(
            &mut out,
            account.did.as_str(),
            &path,
            &record.cid,
            &record.value,
        )?;
    }
    out.push(b']');
    if let Some(last) = records.last().filter(|_| records.len() == limit) {
        out.extend_from_slice(b",\"cursor\":\"");
        out.extend_from_slice(last.rkey.as_bytes());
        out.push(b'"');
    }
    out.push(b'}');
    Ok(json_response(out))
}
