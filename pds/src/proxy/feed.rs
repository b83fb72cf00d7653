//! `app.bsky.feed.getFeed`: the AppView asks a feed's own service in the member's name, so the token
//! that goes to the AppView is made out to that service.

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::StatusCode;
use rochdale_protocol::data::json;
use rochdale_protocol::syntax::{AtUri, Did};
use rochdale_service::xrpc::{Query, XrpcError};
use serde::Deserialize;

use super::{Call, ProxyError, service_for};
use crate::app::App;
use crate::auth::Member;
use crate::store::StoreError;

/// The method that members call.
pub const NSID: &str = "app.bsky.feed.getFeed";
/// The method that the AppView calls at the feed's service.
const SKELETON: &str = "app.bsky.feed.getFeedSkeleton";
const GET_RECORD: &str = "com.atproto.repo.getRecord";

#[derive(Deserialize)]
struct Parameters {
    feed: String,
}

/// The record of a feed, as far as it matters here.
#[derive(Deserialize)]
struct Generator {
    did: Did,
}

#[derive(Deserialize)]
struct Record {
    value: Generator,
}

/// Passes a feed on to the AppView.
///
/// # Errors
/// A feed that is not found, or whatever the AppView says.
pub async fn answer(pds: &App, caller: &Member, request: Request) -> Result<Response, XrpcError> {
    let (parts, _no_body) = request.into_parts();
    let query = parts.uri.query().unwrap_or_default();
    let Query(Parameters { feed }) =
        Query::parse(query).map_err(|error| XrpcError::invalid_request(error.to_string()))?;
    let service = service_for(pds, &parts, NSID)?;
    let call = Call::new(pds, caller, &service, NSID).await?;
    let generator = generator(pds, &call, &feed).await?;
    let call = call.vouched_to(generator, SKELETON);
    Ok(call.send(parts, Body::empty()).await?)
}

/// The service of a feed, from its record: here, or as the AppView knows it.
async fn generator(pds: &App, call: &Call<'_>, feed: &str) -> Result<Did, ProxyError> {
    let not_a_feed = || ProxyError::NotAFeed(feed.chars().take(300).collect());
    let unknown = || ProxyError::UnknownFeed(feed.to_owned());
    let uri: AtUri = feed.parse().map_err(|_syntax| not_a_feed())?;
    let path = uri.record_path().ok_or_else(not_a_feed)?;
    let account = pds.accounts.find(uri.authority()).await?;
    if let Some(account) = account.filter(|account| account.is_active()) {
        let record = pds.repos.record(account.id, &path)?.ok_or_else(unknown)?;
        let mut text = Vec::new();
        json::write_cbor(&record.value, &mut text).map_err(|_| StoreError::corrupt("record"))?;
        let generator: Generator = serde_json::from_slice(&text).map_err(|_shape| unknown())?;
        return Ok(generator.did);
    }
    let query = [
        ("repo", uri.authority().as_str()),
        ("collection", path.collection.as_str()),
        ("rkey", path.rkey.as_str()),
    ];
    match call.ask::<Record>(GET_RECORD, &query).await {
        Ok(record) => Ok(record.value.did),
        Err(ProxyError::Answer(_)) => Err(unknown()),
        Err(ProxyError::Refused(refusal)) if refusal.status == StatusCode::BAD_REQUEST => {
            Err(unknown())
        }
        Err(error) => Err(error),
    }
}
