//! `com.atproto.admin.*` over invite codes.

use axum::extract::State;
use http::StatusCode;
use rochdale_protocol::syntax::AtIdentifier;
use rochdale_service::xrpc::{Input, Output, Query, XrpcError};
use serde::{Deserialize, Serialize};

use super::account::{apply, find};
use crate::api::error::invalid;
use crate::api::server::invite::InviteView;
use crate::app::Pds;
use crate::auth::Moderator;
use crate::store::account::{AccountChange, Set};
use crate::store::invite::InviteOrder;

pub(super) const LIST: &str = "com.atproto.admin.getInviteCodes";
pub(super) const DISABLE: &str = "com.atproto.admin.disableInviteCodes";
pub(super) const ENABLE_ACCOUNT: &str = "com.atproto.admin.enableAccountInvites";
pub(super) const DISABLE_ACCOUNT: &str = "com.atproto.admin.disableAccountInvites";

#[derive(Deserialize)]
pub(super) struct List {
    sort: Option<String>,
    limit: Option<usize>,
    cursor: Option<usize>,
}

#[derive(Serialize)]
pub(super) struct Codes {
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
    codes: Vec<InviteView>,
}

pub(super) async fn list(
    State(pds): State<Pds>,
    Query(params): Query<List>,
    _moderator: Moderator,
) -> Result<Output<Codes>, XrpcError> {
    let order = match params.sort.as_deref() {
        None | Some("recent") => InviteOrder::Recent,
        Some("usage") => InviteOrder::Usage,
        Some(other) => return Err(invalid(format!("unknown sort method: {other}"))),
    };
    let limit = params.limit.unwrap_or(100);
    if !(1..=500).contains(&limit) {
        return Err(invalid("limit must be 1 to 500"));
    }
    let skip = params.cursor.unwrap_or(0);
    let codes = pds.store.invites.list(order, skip, limit).await?;
    let cursor = (codes.len() == limit).then(|| (skip + limit).to_string());
    Ok(Output(Codes {
        cursor,
        codes: codes.into_iter().map(InviteView::from).collect(),
    }))
}

#[derive(Deserialize)]
pub(super) struct Disable {
    #[serde(default)]
    codes: Vec<String>,
    #[serde(default)]
    accounts: Vec<String>,
}

pub(super) async fn disable(
    State(pds): State<Pds>,
    moderator: Moderator,
    Input(input): Input<Disable>,
) -> Result<StatusCode, XrpcError> {
    if input.accounts.iter().any(|account| account == "admin") {
        return Err(invalid("cannot disable admin invite codes"));
    }
    let subject = [&input.codes[..], &input.accounts].concat().join(" ");
    pds.note(moderator.name(), DISABLE, subject, "").await?;
    pds.store
        .invites
        .disable(input.codes, input.accounts)
        .await?;
    Ok(StatusCode::OK)
}

#[derive(Deserialize)]
pub(super) struct OfAccount {
    account: AtIdentifier,
    /// Why; for the audit log.
    #[serde(default)]
    note: String,
}

pub(super) async fn enable_account(
    State(pds): State<Pds>,
    moderator: Moderator,
    Input(input): Input<OfAccount>,
) -> Result<StatusCode, XrpcError> {
    let account = find(&pds, &input.account).await?;
    pds.note(moderator.name(), ENABLE_ACCOUNT, &account.did, &input.note)
        .await?;
    let change = AccountChange::of(account.id).set(Set::InvitesDisabled(false));
    apply(&pds, account, change).await
}

pub(super) async fn disable_account(
    State(pds): State<Pds>,
    moderator: Moderator,
    Input(input): Input<OfAccount>,
) -> Result<StatusCode, XrpcError> {
    let account = find(&pds, &input.account).await?;
    pds.note(moderator.name(), DISABLE_ACCOUNT, &account.did, &input.note)
        .await?;
    let change = AccountChange::of(account.id).set(Set::InvitesDisabled(true));
    apply(&pds, account, change).await
}
