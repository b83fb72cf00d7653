//! `com.atproto.sync.getRepo`: this relay keeps no repositories; it shows the way to the account's PDS.

use axum::extract::{RawQuery, State};
use http::header::LOCATION;
use http::{HeaderValue, Response, StatusCode};
use rochdale_service::xrpc::{Query, XrpcError};
use serde::Deserialize;

use super::{not_shown, parse_did, repo_not_found};
use crate::app::Shared;

#[derive(Debug, Deserialize)]
pub(crate) struct Params {
    did: String,
}

pub(crate) async fn handle(
    State(relay): State<Shared>,
    Query(params): Query<Params>,
    RawQuery(query): RawQuery,
) -> Result<Response<axum::body::Body>, XrpcError> {
    let did = parse_did(&params.did)?;
    let known = relay.store.account(&did)?;
    if known.taken_down {
        let shown = known.account.map(|account| account.shown(true));
        return Err(shown.map_or_else(|| repo_not_found(&did), |shown| not_shown(&did, &shown)));
    }
    let document = relay
        .resolver
        .did_document(&did)
        .await
        .map_err(|_| repo_not_found(&did))?;
    let host = document.pds().ok_or_else(|| repo_not_found(&did))?;
    let origin = host.trim_end_matches('/');
    let place = format!(
        "{origin}/xrpc/com.atproto.sync.getRepo?{}",
        query.unwrap_or_default()
    );
    let mut response = Response::new(axum::body::Body::empty());
    *response.status_mut() = StatusCode::FOUND;
    let place = HeaderValue::try_from(place).map_err(|_| repo_not_found(&did))?;
    response.headers_mut().insert(LOCATION, place);
    Ok(response)
}
