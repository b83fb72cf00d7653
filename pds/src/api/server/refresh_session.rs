//! `com.atproto.server.refreshSession`: new tokens for a refresh token.

use axum::extract::State;
use rochdale_service::xrpc::{NoInput, Output, XrpcError};

use super::bearer_token::BearerToken;
use super::session_view::SessionView;
use crate::account::session::renew;
use crate::app::Pds;

pub(super) const NSID: &str = "com.atproto.server.refreshSession";

pub(super) async fn handle(
    State(pds): State<Pds>,
    BearerToken(token): BearerToken,
    _no_input: NoInput,
) -> Result<Output<SessionView>, XrpcError> {
    let work = pds.clone();
    let renewed = pds
        .owned("renewal", async move { renew(&work, &token).await })
        .await?;
    let (account, session) = renewed?;
    Ok(Output(SessionView::of(&pds, &account, Some(session)).await))
}
