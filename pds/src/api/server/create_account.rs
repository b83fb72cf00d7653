//! `com.atproto.server.createAccount`: signs a person up, with a new identity or their own.

use axum::extract::{FromRequestParts, State};
use http::StatusCode;
use http::header::AUTHORIZATION;
use http::request::Parts;
use rochdale_protocol::syntax::{Did, Handle};
use rochdale_protocol::xrpc::names;
use rochdale_service::xrpc::{Input, Output, XrpcError};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::session_view::did_doc;
use crate::account::sign_up::{SignUp, sign_up};
use crate::api::error::{bad, invalid};
use crate::app::Pds;
use crate::auth::extract::{AuthError, bearer};

pub(super) const NSID: &str = "com.atproto.server.createAccount";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CreateAccount {
    handle: String,
    email: Option<String>,
    password: Option<String>,
    invite_code: Option<String>,
    did: Option<Did>,
    recovery_key: Option<String>,
    plc_op: Option<serde::de::IgnoredAny>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Created {
    access_jwt: String,
    refresh_jwt: String,
    handle: String,
    did: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    did_doc: Option<Box<RawValue>>,
}

/// The identity that a service token in the request proves, if there is one.
pub(super) struct Proven(Option<Did>);

impl FromRequestParts<Pds> for Proven {
    type Rejection = XrpcError;

    async fn from_request_parts(parts: &mut Parts, pds: &Pds) -> Result<Self, XrpcError> {
        if !parts.headers.contains_key(AUTHORIZATION) {
            return Ok(Self(None));
        }
        let token = bearer(parts).map_err(|_other_scheme| unauthorized())?;
        let issuer = pds
            .check_service_token(token, NSID)
            .await
            .map_err(AuthError::from)?;
        Ok(Self(Some(issuer)))
    }
}

fn unauthorized() -> XrpcError {
    XrpcError::new(
        StatusCode::UNAUTHORIZED,
        names::AUTHENTICATION_REQUIRED,
        "an account for an existing DID takes a service token of that DID".to_owned(),
    )
}

pub(super) async fn handle(
    State(pds): State<Pds>,
    Proven(proven): Proven,
    Input(input): Input<CreateAccount>,
) -> Result<Output<Created>, XrpcError> {
    if input.plc_op.is_some() {
        return Err(invalid("Unsupported input: \"plcOp\""));
    }
    if input.did.is_some() && input.did != proven {
        return Err(unauthorized());
    }
    let handle: Handle = input
        .handle
        .parse()
        .map_err(|error| bad(names::INVALID_HANDLE, error))?;
    let wish = SignUp {
        handle,
        email: input.email,
        password: input.password,
        invite: input.invite_code,
        recovery_key: input.recovery_key,
        brings: input.did,
    };
    let done = pds.owned("sign-up", sign_up(pds.clone(), wish)).await??;
    let did_doc = did_doc(&pds, &done.account.did).await;
    Ok(Output(Created {
        access_jwt: done.session.access,
        refresh_jwt: done.session.refresh,
        handle: done.account.handle_text().to_owned(),
        did: done.account.did.to_string(),
        did_doc,
    }))
}
