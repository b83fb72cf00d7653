//! `com.atproto.server.deleteSession`: signs out, also with an expired refresh token.

use axum::extract::State;
use http::StatusCode;
use rochdale_service::xrpc::{NoInput, XrpcError};

use super::bearer_token::BearerToken;
use crate::account::session::sign_out;
use crate::app::Pds;

pub(super) const NSID: &str = "com.atproto.server.deleteSession";

pub(super) async fn handle(
    State(pds): State<Pds>,
    BearerToken(token): BearerToken,
    _no_input: NoInput,
) -> Result<StatusCode, XrpcError> {
    sign_out(&pds, &token).await?;
    Ok(StatusCode::OK)
}
