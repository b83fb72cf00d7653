//! `com.atproto.server.{activate,deactivate,delete}Account`, `requestAccountDelete` and
//! `checkAccountStatus`.

use axum::extract::State;
use http::StatusCode;
use rochdale_protocol::syntax::{Datetime, Did};
use rochdale_service::xrpc::{Budget, Charges, Input, NoInput, Output, XrpcError};
use serde::{Deserialize, Serialize};

use super::mail_budget;
use crate::account::code::EmailPurpose;
use crate::account::session::SignInError;
use crate::account::{lifecycle, mailed};
use crate::app::Pds;
use crate::auth::password::LOGIN_BYTES_MAX;
use crate::auth::{FullMember, FullOrTakenDown, Member};

pub(super) const ACTIVATE: &str = "com.atproto.server.activateAccount";
pub(super) const DEACTIVATE: &str = "com.atproto.server.deactivateAccount";
pub(super) const REQUEST_DELETE: &str = "com.atproto.server.requestAccountDelete";
pub(super) const DELETE: &str = "com.atproto.server.deleteAccount";
pub(super) const CHECK: &str = "com.atproto.server.checkAccountStatus";

/// Each asks the directory anew.
const ACTIVATIONS: Budget = Budget {
    name: "activate",
    points: 30,
    seconds: 300,
};

pub(super) async fn activate(
    State(pds): State<Pds>,
    FullMember(caller): FullMember,
    charges: Charges,
    _no_input: NoInput,
) -> Result<StatusCode, XrpcError> {
    charges.take(&ACTIVATIONS, caller.did(), 1)?;
    let account = caller.account;
    pds.owned("activation", lifecycle::activate(pds.clone(), account))
        .await??;
    Ok(StatusCode::OK)
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Deactivate {
    delete_after: Option<Datetime>,
}

pub(super) async fn deactivate(
    State(pds): State<Pds>,
    FullOrTakenDown(caller): FullOrTakenDown,
    Input(input): Input<Deactivate>,
) -> Result<StatusCode, XrpcError> {
    let delete_after_ms = input.delete_after.map(|date| date.unix_ms());
    let work = lifecycle::deactivate(pds.clone(), caller.account, delete_after_ms);
    pds.owned("deactivation", work).await??;
    Ok(StatusCode::OK)
}

pub(super) async fn request_delete(
    State(pds): State<Pds>,
    FullMember(caller): FullMember,
    charges: Charges,
    _no_input: NoInput,
) -> Result<StatusCode, XrpcError> {
    mail_budget::take(&charges, caller.did(), "delete")?;
    mailed::send(&pds, &caller.account, EmailPurpose::DeleteAccount).await?;
    Ok(StatusCode::OK)
}

#[derive(Deserialize)]
pub(super) struct Delete {
    did: Did,
    password: String,
    token: String,
}

pub(super) async fn delete(
    State(pds): State<Pds>,
    Input(input): Input<Delete>,
) -> Result<StatusCode, XrpcError> {
    let account = pds.accounts.by_did(&input.did).await?;
    let stored = account
        .as_ref()
        .map(|account| account.password_hash.clone());
    let short_enough = input.password.len() <= LOGIN_BYTES_MAX;
    let matches = short_enough && pds.passwords.verify(input.password, stored).await?;
    let account = account
        .filter(|_account| matches)
        .ok_or(SignInError::Invalid)?;
    let redeem = mailed::redeem(&pds, EmailPurpose::DeleteAccount, &input.token);
    let work = lifecycle::delete(pds.clone(), account, Some(redeem));
    pds.owned("deletion", work).await??;
    Ok(StatusCode::OK)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    activated: bool,
    valid_did: bool,
    repo_commit: String,
    repo_rev: String,
    repo_blocks: u64,
    indexed_records: u64,
    private_state_values: u64,
    expected_blobs: u64,
    imported_blobs: u64,
}

pub(super) async fn check(
    State(pds): State<Pds>,
    caller: Member,
) -> Result<Output<Status>, XrpcError> {
    let repo = pds.repos.status(caller.id()).await?;
    // Asked anew: the document may have changed a moment ago, which is what the caller waits for.
    let valid_did = match pds.resolver.refresh(caller.did()).await {
        Ok(document) => lifecycle::check_document(&pds, &caller.account, &document).is_ok(),
        Err(_unresolvable) => false,
    };
    Ok(Output(Status {
        activated: caller.account.is_active(),
        valid_did,
        repo_commit: repo.head.cid.to_string(),
        repo_rev: repo.head.rev.to_string(),
        repo_blocks: repo.blocks,
        indexed_records: repo.records,
        private_state_values: 0,
        expected_blobs: repo.expected_blobs,
        imported_blobs: repo.imported_blobs,
    }))
}
