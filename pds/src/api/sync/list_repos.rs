//! `com.atproto.sync.listRepos`: every repository of this server, oldest account first.

use axum::extract::State;
use rochdale_protocol::data::Cid;
use rochdale_protocol::syntax::Did;
use rochdale_service::xrpc::{Output, Query, XrpcError};
use serde::{Deserialize, Serialize};

use crate::account::AccountStatus;
use crate::api::error::invalid;
use crate::api::paging::limit;
use crate::app::Pds;

pub(super) const NSID: &str = "com.atproto.sync.listRepos";

#[derive(Deserialize)]
pub(super) struct Parameters {
    limit: Option<i64>,
    cursor: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Listed {
    repos: Vec<Repo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

#[derive(Serialize)]
struct Repo {
    did: String,
    head: Cid,
    rev: String,
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
}

pub(super) async fn handle(
    State(pds): State<Pds>,
    Query(parameters): Query<Parameters>,
) -> Result<Output<Listed>, XrpcError> {
    let limit = limit(parameters.limit, 500, 1_000)?;
    let after = parameters.cursor.as_deref().map(place).transpose()?;
    let found = pds.repos.list(after, limit).await?;
    let full = found.len() == limit;
    let last = found.last().filter(|_| full);
    let cursor = last.map(|repo| format!("{}::{}", repo.created_at_ms, repo.did));
    let repos = found
        .into_iter()
        .map(|repo| {
            let status = if repo.suspended {
                AccountStatus::Suspended
            } else if repo.taken_down {
                AccountStatus::TakenDown
            } else if repo.deactivated {
                AccountStatus::Deactivated
            } else {
                AccountStatus::Active
            };
            Repo {
                did: repo.did,
                head: repo.head,
                rev: repo.rev.to_string(),
                active: status == AccountStatus::Active,
                status: status.name(),
            }
        })
        .collect();
    Ok(Output(Listed { repos, cursor }))
}

/// A cursor is the creation time and DID of the last account listed.
fn place(cursor: &str) -> Result<(i64, String), XrpcError> {
    let parsed = cursor.split_once("::").and_then(|(ms, did)| {
        let did: Did = did.parse().ok()?;
        Some((ms.parse().ok()?, did.as_str().to_owned()))
    });
    parsed.ok_or_else(|| invalid("parameter \"cursor\": Malformed cursor"))
}
