//! `com.atproto.server.{create,list,revoke}AppPassword`: passwords for one app each.

use axum::extract::State;
use http::StatusCode;
use rochdale_protocol::syntax::Datetime;
use rochdale_service::xrpc::{Input, Output, XrpcError};
use serde::{Deserialize, Serialize};

use crate::account::code::{app_password, app_password_digest};
use crate::api::error::invalid;
use crate::app::Pds;
use crate::auth::{FullMember, Member};
use crate::store::session::AppPassword;

pub(super) const CREATE: &str = "com.atproto.server.createAppPassword";
pub(super) const LIST: &str = "com.atproto.server.listAppPasswords";
pub(super) const REVOKE: &str = "com.atproto.server.revokeAppPassword";

/// More than anybody uses; bounds what one account can store.
const PASSWORDS_MAX: usize = 100;
const NAME_BYTES_MAX: usize = 256;

#[derive(Deserialize)]
pub(super) struct Create {
    name: String,
    #[serde(default)]
    privileged: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct View {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<String>,
    created_at: String,
    privileged: bool,
}

impl View {
    fn of(listed: AppPassword, password: Option<String>) -> Self {
        Self {
            name: listed.name,
            password,
            created_at: Datetime::from_unix_ms(listed.created_at_ms).to_string(),
            privileged: listed.privileged,
        }
    }
}

pub(super) async fn create(
    State(pds): State<Pds>,
    FullMember(caller): FullMember,
    Input(input): Input<Create>,
) -> Result<Output<View>, XrpcError> {
    if input.name.is_empty() || input.name.len() > NAME_BYTES_MAX {
        return Err(invalid(format!(
            "name must have 1 to {NAME_BYTES_MAX} bytes"
        )));
    }
    let password = app_password();
    let digest = app_password_digest(caller.did(), &password);
    let new = AppPassword {
        name: input.name,
        privileged: input.privileged,
        created_at_ms: pds.now_ms(),
    };
    pds.store
        .sessions
        .add_app_password(caller.id(), new.clone(), digest, PASSWORDS_MAX)
        .await?;
    Ok(Output(View::of(new, Some(password))))
}

#[derive(Serialize)]
pub(super) struct Listed {
    passwords: Vec<View>,
}

pub(super) async fn list(
    State(pds): State<Pds>,
    caller: Member,
) -> Result<Output<Listed>, XrpcError> {
    let passwords = pds.store.sessions.app_passwords(caller.id()).await?;
    let passwords = passwords
        .into_iter()
        .map(|listed| View::of(listed, None))
        .collect();
    Ok(Output(Listed { passwords }))
}

#[derive(Deserialize)]
pub(super) struct Revoke {
    name: String,
}

pub(super) async fn revoke(
    State(pds): State<Pds>,
    caller: Member,
    Input(input): Input<Revoke>,
) -> Result<StatusCode, XrpcError> {
    pds.store
        .sessions
        .revoke_app_password(caller.id(), input.name)
        .await?;
    Ok(StatusCode::OK)
}
