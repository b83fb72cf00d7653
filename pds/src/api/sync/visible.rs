//! Whose repository may be seen by whom.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use rochdale_protocol::repo::car;
use rochdale_protocol::syntax::Did;
use rochdale_service::xrpc::XrpcError;

use crate::account::{Account, AccountStatus};
use crate::api::error::bad;
use crate::app::Pds;
use crate::auth::extract::Viewer;

/// The account of `did`, if its repository is public or the caller is its owner or the operator.
pub(super) async fn visible(
    pds: &Pds,
    viewer: &Viewer,
    did: &Did,
) -> Result<Arc<Account>, XrpcError> {
    let account = pds
        .accounts
        .by_did(did)
        .await?
        .ok_or_else(|| not_found(did))?;
    if !viewer.may_see_inactive(did) {
        active(&account)?;
    }
    Ok(account)
}

/// Refuses an account that is not active, by the name of its state.
pub(in crate::api) fn active(account: &Account) -> Result<(), XrpcError> {
    let did = &account.did;
    match account.status() {
        AccountStatus::Active => Ok(()),
        AccountStatus::Suspended => Err(bad(
            "RepoSuspended",
            format_args!("Repo has been suspended: {did}"),
        )),
        AccountStatus::TakenDown => Err(bad(
            "RepoTakendown",
            format_args!("Repo has been taken down: {did}"),
        )),
        AccountStatus::Deactivated => Err(bad(
            "RepoDeactivated",
            format_args!("Repo has been deactivated: {did}"),
        )),
    }
}

/// The answer for a DID that has no repository here.
pub(super) fn not_found(did: &Did) -> XrpcError {
    bad(
        "RepoNotFound",
        format_args!("Could not find repo for DID: {did}"),
    )
}

/// An answer that is a CAR file.
pub(super) fn car_response(body: Body) -> Response {
    let mut response = Response::new(body);
    let kind = HeaderValue::from_static(car::MEDIA_TYPE);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
