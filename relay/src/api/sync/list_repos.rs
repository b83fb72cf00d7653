//! `com.atproto.sync.listRepos`: the accounts whose repositories this relay knows, in the order it came to know them.

use axum::extract::State;
use rochdale_service::xrpc::{Output, Query, XrpcError};
use serde::{Deserialize, Serialize};

use super::{page_cursor, page_size};
use crate::app::Shared;
use crate::store::AccountListing;

#[derive(Debug, Deserialize)]
pub(crate) struct Params {
    limit: Option<u64>,
    cursor: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Page {
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
    repos: Vec<Repo>,
}

#[derive(Debug, Serialize)]
struct Repo {
    did: String,
    head: String,
    rev: String,
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<String>,
}

impl From<AccountListing> for Repo {
    fn from(listing: AccountListing) -> Self {
        let shown = listing.account.shown(listing.taken_down);
        Self {
            did: listing.did.to_string(),
            head: listing.repo.commit.to_string(),
            rev: listing.repo.rev.to_string(),
            active: shown.active,
            status: shown.status,
        }
    }
}

pub(crate) async fn handle(
    State(relay): State<Shared>,
    Query(params): Query<Params>,
) -> Result<Output<Page>, XrpcError> {
    let limit = page_size(params.limit, 500, 1_000)?;
    let after: i64 = page_cursor(params.cursor.as_deref())?;
    let mut listings = relay.store.accounts(after, limit + 1).await?;
    let more = listings.len() > limit;
    listings.truncate(limit);
    let cursor = listings
        .last()
        .filter(|_| more)
        .map(|last| last.account.id.0.to_string());
    Ok(Output(Page {
        cursor,
        repos: listings.into_iter().map(Repo::from).collect(),
    }))
}
