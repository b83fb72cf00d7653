//! `com.atproto.server.requestPasswordReset` and `resetPassword`.

use std::time::Duration;

use axum::extract::State;
use http::StatusCode;
use rochdale_protocol::xrpc::names;
use rochdale_service::xrpc::{Input, XrpcError};
use serde::Deserialize;

use crate::account::code::{EmailPurpose, email_code_digest};
use crate::account::mailed;
use crate::account::sign_up::{SignUpError, is_good_password};
use crate::api::error::bad;
use crate::app::Pds;
use crate::store::account::{AccountChange, AccountKey, ChangeError, Set};

pub(super) const REQUEST: &str = "com.atproto.server.requestPasswordReset";
pub(super) const RESET: &str = "com.atproto.server.resetPassword";

/// Nobody is answered before this time is over.
const ANSWER_FLOOR: Duration = Duration::from_millis(350);

#[derive(Deserialize)]
pub(super) struct Request {
    email: String,
}

/// An unknown address is answered like a known one and as fast, so that nobody can ask who is a
/// member.
pub(super) async fn request(
    State(pds): State<Pds>,
    Input(input): Input<Request>,
) -> Result<StatusCode, XrpcError> {
    let floor = tokio::time::sleep(ANSWER_FLOOR);
    let address = input.email.trim().to_owned();
    if let Some(account) = pds.store.accounts.find(AccountKey::Email(address)).await? {
        mailed::send(&pds, &account, EmailPurpose::ResetPassword).await?;
    }
    floor.await;
    Ok(StatusCode::OK)
}

#[derive(Deserialize)]
pub(super) struct Reset {
    token: String,
    password: String,
}

pub(super) async fn reset(
    State(pds): State<Pds>,
    Input(input): Input<Reset>,
) -> Result<StatusCode, XrpcError> {
    if !is_good_password(&input.password) {
        return Err(SignUpError::BadPassword.into());
    }
    let digest = email_code_digest(EmailPurpose::ResetPassword, &input.token);
    let owner = pds
        .store
        .accounts
        .code_owner(EmailPurpose::ResetPassword, digest)
        .await?;
    let owner = owner.ok_or(ChangeError::CodeInvalid)?;
    let account = pds.accounts.by_id(owner).await?;
    let account = account.ok_or_else(|| bad(names::INVALID_TOKEN, "Token is invalid"))?;
    let hash = pds.passwords.hash(input.password).await?;
    let change = AccountChange::of(owner)
        .redeems(mailed::redeem(
            &pds,
            EmailPurpose::ResetPassword,
            &input.token,
        ))
        .set(Set::PasswordHash(hash))
        .revokes_sessions();
    let work = pds.clone();
    let changed = pds.owned("password reset", async move {
        let done = work.store.accounts.change(change).await;
        work.accounts.changed(&account);
        done
    });
    changed.await??;
    Ok(StatusCode::OK)
}
