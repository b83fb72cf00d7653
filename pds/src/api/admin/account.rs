//! `com.atproto.admin.*` over single accounts: look up, change, delete, write to.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use rochdale_protocol::syntax::{AtIdentifier, Datetime, Did, Handle};
use rochdale_protocol::xrpc::names;
use rochdale_service::xrpc::{Input, Output, Query, XrpcError};
use serde::{Deserialize, Serialize};

use crate::account::handle::SetBy;
use crate::account::handle_change::change_handle;
use crate::account::key_change::change_signing_key;
use crate::account::sign_up::{SignUpError, is_good_password};
use crate::account::{Account, AccountId, email, lifecycle};
use crate::api::error::{bad, invalid};
use crate::api::server::invite::InviteView;
use crate::app::{App, Pds};
use crate::auth::{Admin, Moderator};
use crate::mail::{self, NewMail};
use crate::store::account::{AccountChange, Set};

pub(super) const INFO: &str = "com.atproto.admin.getAccountInfo";
pub(super) const INFOS: &str = "com.atproto.admin.getAccountInfos";
pub(super) const SEARCH: &str = "com.atproto.admin.searchAccounts";
pub(super) const HANDLE: &str = "com.atproto.admin.updateAccountHandle";
pub(super) const EMAIL: &str = "com.atproto.admin.updateAccountEmail";
pub(super) const PASSWORD: &str = "com.atproto.admin.updateAccountPassword";
pub(super) const DELETE: &str = "com.atproto.admin.deleteAccount";
pub(super) const SIGNING_KEY: &str = "com.atproto.admin.updateAccountSigningKey";
pub(super) const SEND_EMAIL: &str = "com.atproto.admin.sendEmail";

const INFOS_MAX: usize = 100;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AccountView {
    did: String,
    handle: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    indexed_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    email_confirmed_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    invited_by: Option<InviteView>,
    invites: Vec<InviteView>,
    invites_disabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    deactivated_at: Option<String>,
    blob_usage: BlobUsage,
}

/// What the account's files take up, beside what they may. Not in the published schema, which
/// leaves room for more.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BlobUsage {
    count: u64,
    bytes: u64,
    quota_count: u64,
    quota_bytes: u64,
}

async fn view(pds: &App, account: &Account) -> Result<AccountView, XrpcError> {
    let date = |ms| Datetime::from_unix_ms(ms).to_string();
    let invites = pds
        .store
        .invites
        .of_account(account.did.to_string())
        .await?;
    let (used, quota) = (pds.blobs.usage(account.id).await?, pds.blobs.quota());
    let invited_by = match &account.invite_code {
        Some(code) => pds.store.invites.find(code.clone()).await?,
        None => None,
    };
    Ok(AccountView {
        did: account.did.to_string(),
        handle: account.handle_text().to_owned(),
        email: account.email.clone(),
        indexed_at: date(account.created_at_ms),
        email_confirmed_at: account.email_confirmed_at_ms.map(date),
        invited_by: invited_by.map(InviteView::from),
        invites: invites.into_iter().map(InviteView::from).collect(),
        invites_disabled: account.invites_disabled,
        deactivated_at: account.deactivated_at_ms.map(date),
        blob_usage: BlobUsage {
            count: used.count,
            bytes: used.bytes,
            quota_count: quota.count,
            quota_bytes: quota.bytes,
        },
    })
}

/// The account, or the refusal that every admin method gives for an unknown one.
pub(in crate::api) async fn find(pds: &App, who: &AtIdentifier) -> Result<Arc<Account>, XrpcError> {
    let found = pds.accounts.find(who).await?;
    found.ok_or_else(|| bad(names::NOT_FOUND, format!("Account not found: {who}")))
}

async fn find_did(pds: &App, did: &Did) -> Result<Arc<Account>, XrpcError> {
    find(pds, &AtIdentifier::Did(did.clone())).await
}

#[derive(Deserialize)]
pub(super) struct One {
    did: Did,
}

pub(super) async fn info(
    State(pds): State<Pds>,
    Query(params): Query<One>,
    _moderator: Moderator,
) -> Result<Output<AccountView>, XrpcError> {
    let account = find_did(&pds, &params.did).await?;
    Ok(Output(view(&pds, &account).await?))
}

#[derive(Deserialize)]
pub(super) struct Many {
    dids: Vec<Did>,
}

#[derive(Serialize)]
pub(super) struct Infos {
    infos: Vec<AccountView>,
}

pub(super) async fn infos(
    State(pds): State<Pds>,
    Query(params): Query<Many>,
    _moderator: Moderator,
) -> Result<Output<Infos>, XrpcError> {
    if params.dids.len() > INFOS_MAX {
        return Err(invalid(format!(
            "at most {INFOS_MAX} dids are looked up at once"
        )));
    }
    let mut infos = Vec::new();
    for did in &params.dids {
        if let Some(account) = pds.accounts.by_did(did).await? {
            infos.push(view(&pds, &account).await?);
        }
    }
    Ok(Output(Infos { infos }))
}

#[derive(Deserialize)]
pub(super) struct Search {
    email: Option<String>,
    cursor: Option<i64>,
    limit: Option<usize>,
}

#[derive(Serialize)]
pub(super) struct Found {
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
    accounts: Vec<AccountView>,
}

pub(super) async fn search(
    State(pds): State<Pds>,
    Query(params): Query<Search>,
    _moderator: Moderator,
) -> Result<Output<Found>, XrpcError> {
    let limit = params.limit.unwrap_or(50);
    if !(1..=100).contains(&limit) {
        return Err(invalid("limit must be 1 to 100"));
    }
    let after = AccountId(params.cursor.unwrap_or(0));
    let page = pds.store.accounts.page(after, limit, params.email).await?;
    let more = page.len() == limit;
    let cursor = page
        .last()
        .filter(|_last| more)
        .map(|last| last.id.0.to_string());
    let mut accounts = Vec::with_capacity(page.len());
    for account in &page {
        accounts.push(view(&pds, account).await?);
    }
    Ok(Output(Found { cursor, accounts }))
}

#[derive(Deserialize)]
pub(super) struct UpdateHandle {
    did: Did,
    handle: String,
}

pub(super) async fn update_handle(
    State(pds): State<Pds>,
    operator: Admin,
    Input(input): Input<UpdateHandle>,
) -> Result<StatusCode, XrpcError> {
    let account = find_did(&pds, &input.did).await?;
    let handle: Handle = input
        .handle
        .parse()
        .map_err(|error| bad(names::INVALID_HANDLE, error))?;
    pds.note(&operator.name, HANDLE, &account.did, handle.as_str())
        .await?;
    let work = change_handle(pds.clone(), account, handle, SetBy::Operator);
    pds.owned("handle change", work).await??;
    Ok(StatusCode::OK)
}

#[derive(Deserialize)]
pub(super) struct UpdateEmail {
    account: AtIdentifier,
    email: String,
}

pub(super) async fn update_email(
    State(pds): State<Pds>,
    operator: Admin,
    Input(input): Input<UpdateEmail>,
) -> Result<StatusCode, XrpcError> {
    let account = find(&pds, &input.account).await?;
    let address = email::check(Some(&input.email))?;
    pds.note(&operator.name, EMAIL, &account.did, &address)
        .await?;
    let mut change = AccountChange::of(account.id).set(Set::Email(address));
    change.clear_codes = true;
    apply(&pds, account, change).await
}

#[derive(Deserialize)]
pub(super) struct UpdatePassword {
    did: Did,
    password: String,
}

pub(super) async fn update_password(
    State(pds): State<Pds>,
    operator: Admin,
    Input(input): Input<UpdatePassword>,
) -> Result<StatusCode, XrpcError> {
    if !is_good_password(&input.password) {
        return Err(SignUpError::BadPassword.into());
    }
    let account = find_did(&pds, &input.did).await?;
    pds.note(&operator.name, PASSWORD, &account.did, "").await?;
    let hash = pds.passwords.hash(input.password).await?;
    let change = AccountChange::of(account.id)
        .set(Set::PasswordHash(hash))
        .revokes_sessions();
    apply(&pds, account, change).await
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UpdateSigningKey {
    did: Did,
    signing_key: String,
}

pub(super) async fn update_signing_key(
    State(pds): State<Pds>,
    operator: Admin,
    Input(input): Input<UpdateSigningKey>,
) -> Result<StatusCode, XrpcError> {
    let account = find_did(&pds, &input.did).await?;
    pds.note(
        &operator.name,
        SIGNING_KEY,
        &account.did,
        &input.signing_key,
    )
    .await?;
    let work = change_signing_key(pds.clone(), account, input.signing_key);
    pds.owned("signing key change", work).await??;
    Ok(StatusCode::OK)
}

/// Applies a change as an owned task and forgets the cached row.
pub(super) async fn apply(
    pds: &Pds,
    account: Arc<Account>,
    change: AccountChange,
) -> Result<StatusCode, XrpcError> {
    let work = pds.clone();
    let changed = pds.owned("account change", async move {
        let done = work.store.accounts.change(change).await;
        work.accounts.changed(&account);
        done
    });
    changed.await??;
    Ok(StatusCode::OK)
}

pub(super) async fn delete(
    State(pds): State<Pds>,
    operator: Admin,
    Input(input): Input<One>,
) -> Result<StatusCode, XrpcError> {
    let account = find_did(&pds, &input.did).await?;
    pds.note(&operator.name, DELETE, &account.did, account.handle_text())
        .await?;
    pds.owned("deletion", lifecycle::delete(pds.clone(), account, None))
        .await??;
    Ok(StatusCode::OK)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SendEmail {
    recipient_did: Did,
    content: String,
    subject: Option<String>,
    /// For the audit log, not for the member.
    comment: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Sent {
    sent: bool,
}

pub(super) async fn send_email(
    State(pds): State<Pds>,
    moderator: Moderator,
    Input(input): Input<SendEmail>,
) -> Result<Output<Sent>, XrpcError> {
    let account = find_did(&pds, &input.recipient_did).await?;
    let to = account.email.clone();
    let to = to.ok_or_else(|| invalid("account does not have an email address"))?;
    let subject = input
        .subject
        .unwrap_or_else(|| format!("Message from {}", pds.host));
    let detail = match input.comment {
        Some(comment) => format!("{subject} ({comment})"),
        None => subject.clone(),
    };
    pds.note(moderator.name(), SEND_EMAIL, &account.did, detail)
        .await?;
    let text = input.content;
    let note = NewMail::note(
        Some(account.id),
        to,
        &subject,
        text,
        &pds.host,
        pds.now_ms(),
    )?;
    pds.store.mail.add(note).await?;
    mail::queued(&pds).await;
    Ok(Output(Sent { sent: true }))
}
