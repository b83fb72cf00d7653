//! `POST /admin/suspend`: takes an account down until a date, when it comes back by itself.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use http::StatusCode;
use rochdale_protocol::syntax::{AtIdentifier, Datetime};
use rochdale_service::xrpc::XrpcError;
use serde::Deserialize;

use super::body;
use crate::account::lifecycle::{self, Verdict};
use crate::api::admin::find_account;
use crate::api::error::invalid;
use crate::app::Pds;
use crate::auth::Admin;
use crate::store::account::Takedown;

pub(super) const ROUTE: &str = "/admin/suspend";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Suspend {
    account: AtIdentifier,
    /// When it ends.
    until: Datetime,
    /// The moderator's reference.
    #[serde(rename = "ref")]
    reference: Option<String>,
}

pub(super) async fn handle(
    State(pds): State<Pds>,
    operator: Admin,
    input: Result<Json<Suspend>, JsonRejection>,
) -> Result<StatusCode, XrpcError> {
    let input = body(input)?;
    let until_ms = input.until.unix_ms();
    if until_ms <= pds.now_ms() {
        return Err(invalid("until must lie in the future"));
    }
    let account = find_account(&pds, &input.account).await?;
    let detail = format!("until {}", input.until);
    pds.note(&operator.name, ROUTE, &account.did, detail)
        .await?;
    let reference = input.reference.unwrap_or_else(|| pds.now_ms().to_string());
    let takedown = Takedown {
        reference,
        until_ms: Some(until_ms),
    };
    let verdict = Verdict {
        takedown: Some(Some(takedown)),
        ..Verdict::default()
    };
    let work = lifecycle::judge(pds.clone(), account, verdict);
    pds.owned("suspension", work).await??;
    Ok(StatusCode::OK)
}
