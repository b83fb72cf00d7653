//! `com.atproto.server.{request,confirm,update}Email…`: the member's mail address.

use axum::extract::State;
use http::StatusCode;
use rochdale_protocol::xrpc::names;
use rochdale_service::xrpc::{Charges, Input, NoInput, Output, XrpcError};
use serde::{Deserialize, Serialize};

use super::mail_budget;
use crate::account::code::EmailPurpose;
use crate::account::{Account, email, mailed};
use crate::api::error::{bad, invalid};
use crate::app::Pds;
use crate::auth::{FullMember, Member};
use crate::store::account::{AccountChange, Set};

pub(super) const REQUEST_CONFIRMATION: &str = "com.atproto.server.requestEmailConfirmation";
pub(super) const CONFIRM: &str = "com.atproto.server.confirmEmail";
pub(super) const REQUEST_UPDATE: &str = "com.atproto.server.requestEmailUpdate";
pub(super) const UPDATE: &str = "com.atproto.server.updateEmail";

pub(super) async fn request_confirmation(
    State(pds): State<Pds>,
    caller: Member,
    charges: Charges,
    _no_input: NoInput,
) -> Result<StatusCode, XrpcError> {
    mail_budget::take(&charges, caller.did(), "confirm")?;
    mailed::send(&pds, &caller.account, EmailPurpose::ConfirmEmail).await?;
    Ok(StatusCode::OK)
}

#[derive(Deserialize)]
pub(super) struct Confirm {
    email: String,
    token: String,
}

pub(super) async fn confirm(
    State(pds): State<Pds>,
    caller: Member,
    Input(input): Input<Confirm>,
) -> Result<StatusCode, XrpcError> {
    let given = input.email.trim();
    let same = caller
        .account
        .email
        .as_ref()
        .is_some_and(|own| own.eq_ignore_ascii_case(given));
    if !same {
        return Err(bad(
            names::INVALID_EMAIL,
            "invalid email: it is not the account's address",
        ));
    }
    let change = AccountChange::of(caller.id())
        .redeems(mailed::redeem(
            &pds,
            EmailPurpose::ConfirmEmail,
            &input.token,
        ))
        .set(Set::EmailConfirmed(pds.now_ms()));
    apply(&pds, &caller.account, change).await
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TokenRequired {
    token_required: bool,
}

pub(super) async fn request_update(
    State(pds): State<Pds>,
    FullMember(caller): FullMember,
    charges: Charges,
    _no_input: NoInput,
) -> Result<Output<TokenRequired>, XrpcError> {
    mail_budget::take(&charges, caller.did(), "update")?;
    let token_required = caller.account.email_confirmed_at_ms.is_some();
    if token_required {
        mailed::send(&pds, &caller.account, EmailPurpose::UpdateEmail).await?;
    }
    Ok(Output(TokenRequired { token_required }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Update {
    email: String,
    token: Option<String>,
    #[serde(default)]
    email_auth_factor: bool,
}

pub(super) async fn update(
    State(pds): State<Pds>,
    FullMember(caller): FullMember,
    Input(input): Input<Update>,
) -> Result<StatusCode, XrpcError> {
    if input.email_auth_factor {
        return Err(invalid(
            "a second factor by email is not supported by this server",
        ));
    }
    let address = email::check(Some(&input.email))?;
    let mut change = AccountChange::of(caller.id()).set(Set::Email(address));
    change.clear_codes = true;
    if caller.account.email_confirmed_at_ms.is_some() {
        let token = input.token.ok_or_else(|| {
            bad(
                names::TOKEN_REQUIRED,
                "confirmation token required: see requestEmailUpdate",
            )
        })?;
        change = change.redeems(mailed::redeem(&pds, EmailPurpose::UpdateEmail, &token));
    }
    apply(&pds, &caller.account, change).await
}

async fn apply(
    pds: &Pds,
    account: &Account,
    change: AccountChange,
) -> Result<StatusCode, XrpcError> {
    let (work, account) = (pds.clone(), account.clone());
    let changed = pds.owned("email change", async move {
        let done = work.store.accounts.change(change).await;
        work.accounts.changed(&account);
        done
    });
    changed.await??;
    Ok(StatusCode::OK)
}
