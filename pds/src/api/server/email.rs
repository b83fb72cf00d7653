//! `com.atproto.server.{request,confirm,update}Email…`: the member's mail address.

use axum::extract::State;
use http::StatusCode;
use rochdale_service::xrpc::{Charges, Input, NoInput, Output, XrpcError};
use serde::{Deserialize, Serialize};

use super::mail_budget;
use crate::account::code::EmailPurpose;
use crate::account::email_change::{self, EmailWish};
use crate::account::mailed;
use crate::app::Pds;
use crate::auth::{FullMember, Member};

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
    let work = email_change::confirm(pds.clone(), caller.account, input.email, input.token);
    pds.owned("email confirmation", work).await??;
    Ok(StatusCode::OK)
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
    let token_required = email_change::request(&pds, &caller.account).await?;
    Ok(Output(TokenRequired { token_required }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Update {
    email: String,
    token: Option<String>,
    email_auth_factor: Option<bool>,
}

pub(super) async fn update(
    State(pds): State<Pds>,
    FullMember(caller): FullMember,
    charges: Charges,
    Input(input): Input<Update>,
) -> Result<StatusCode, XrpcError> {
    mail_budget::take(&charges, caller.did(), "update-address")?;
    let wish = EmailWish {
        address: input.email,
        token: input.token,
        factor: input.email_auth_factor,
    };
    let work = email_change::change(pds.clone(), caller.account, wish);
    pds.owned("email change", work).await??;
    Ok(StatusCode::OK)
}
