//! `com.atproto.server.createSession`: signs in with a password or an app password.

use axum::extract::State;
use rochdale_service::xrpc::{Budget, Charges, ClientIp, Input, Output, XrpcError};
use serde::Deserialize;

use super::session_view::SessionView;
use crate::account::session::{SignIn, sign_in, spelling};
use crate::app::Pds;

pub(super) const NSID: &str = "com.atproto.server.createSession";

const SHORT: Budget = Budget {
    name: "sign-in-account",
    points: 30,
    seconds: 300,
};
const DAY: Budget = Budget {
    name: "sign-in-account-day",
    points: 300,
    seconds: 86_400,
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CreateSession {
    identifier: String,
    password: String,
    auth_factor_token: Option<String>,
    #[serde(default)]
    allow_takendown: bool,
}

pub(super) async fn handle(
    State(pds): State<Pds>,
    client: ClientIp,
    charges: Charges,
    Input(input): Input<CreateSession>,
) -> Result<Output<SessionView>, XrpcError> {
    let name = spelling(&input.identifier).to_ascii_lowercase();
    let key = (name, client.key());
    charges.take(&SHORT, &key, 1)?;
    charges.take(&DAY, &key, 1)?;
    let given = SignIn {
        identifier: input.identifier,
        password: input.password,
        code: input.auth_factor_token,
        allow_taken_down: input.allow_takendown,
    };
    let (account, session) = sign_in(&pds, given).await?;
    Ok(Output(SessionView::of(&pds, &account, Some(session)).await))
}
