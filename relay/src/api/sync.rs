//! `com.atproto.sync.*`.

pub(crate) mod get_host_status;
pub(crate) mod get_latest_commit;
pub(crate) mod get_repo;
pub(crate) mod get_repo_status;
pub(crate) mod list_hosts;
pub(crate) mod list_repos;
pub(crate) mod request_crawl;
pub(crate) mod subscribe_repos;

use http::StatusCode;
use rochdale_protocol::syntax::Did;
use rochdale_protocol::xrpc::names;
use rochdale_service::xrpc::XrpcError;

use crate::verify::Upstream;

fn parse_did(text: &str) -> Result<Did, XrpcError> {
    text.parse().map_err(|_| {
        XrpcError::invalid_request(format!("parameter \"did\": {text:?} is not a DID"))
    })
}

/// A page size from 1 to `most`.
fn page_size(limit: Option<u64>, default: u64, most: u64) -> Result<usize, XrpcError> {
    let limit = limit.unwrap_or(default);
    if !(1..=most).contains(&limit) {
        return Err(XrpcError::invalid_request(format!(
            "parameter \"limit\": {limit} is not from 1 to {most}"
        )));
    }
    Ok(usize::try_from(limit).unwrap_or(usize::MAX))
}

/// A cursor as this relay writes them: a number.
fn page_cursor<T: std::str::FromStr + Default>(cursor: Option<&str>) -> Result<T, XrpcError> {
    let Some(cursor) = cursor else {
        return Ok(T::default());
    };
    cursor.parse().map_err(|_| {
        XrpcError::invalid_request(format!(
            "parameter \"cursor\": {cursor:?} is not one of this relay's"
        ))
    })
}

fn repo_not_found(did: &Did) -> XrpcError {
    XrpcError::not_found(
        names::REPO_NOT_FOUND,
        format!("this relay has not seen {did}"),
    )
}

/// The refusal for an account that is not shown.
fn not_shown(did: &Did, shown: &Upstream) -> XrpcError {
    let refuse = |name: &'static str, what: &str| {
        XrpcError::new(StatusCode::FORBIDDEN, name, format!("{did} is {what}"))
    };
    match shown.status.as_deref() {
        Some("takendown") => refuse(names::REPO_TAKENDOWN, "taken down"),
        Some("suspended") => refuse(names::REPO_SUSPENDED, "suspended"),
        Some("deactivated") => refuse(names::REPO_DEACTIVATED, "deactivated"),
        Some("deleted") => refuse("RepoDeleted", "deleted"),
        Some(_) | None => refuse("RepoInactive", "inactive"),
    }
}
