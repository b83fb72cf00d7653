//! `com.atproto.identity.updateHandle`: gives the member another handle.

use axum::extract::State;
use http::StatusCode;
use rochdale_protocol::syntax::Handle;
use rochdale_protocol::xrpc::names;
use rochdale_service::xrpc::{Budget, Charges, Input, XrpcError};
use serde::Deserialize;

use crate::account::handle::SetBy;
use crate::account::handle_change::change_handle;
use crate::api::error::bad;
use crate::app::Pds;
use crate::auth::Member;

pub(super) const NSID: &str = "com.atproto.identity.updateHandle";

const SHORT: Budget = Budget {
    name: "update-handle",
    points: 10,
    seconds: 300,
};
const DAY: Budget = Budget {
    name: "update-handle-day",
    points: 50,
    seconds: 86_400,
};

#[derive(Deserialize)]
pub(super) struct UpdateHandle {
    handle: String,
}

pub(super) async fn handle(
    State(pds): State<Pds>,
    caller: Member,
    charges: Charges,
    Input(input): Input<UpdateHandle>,
) -> Result<StatusCode, XrpcError> {
    charges.take(&SHORT, caller.did(), 1)?;
    charges.take(&DAY, caller.did(), 1)?;
    let handle: Handle = input
        .handle
        .parse()
        .map_err(|error| bad(names::INVALID_HANDLE, error))?;
    let work = change_handle(pds.clone(), caller.account, handle, SetBy::Member);
    pds.owned("handle change", work).await??;
    Ok(StatusCode::OK)
}
