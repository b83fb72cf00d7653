//! `com.atproto.server.createInviteCode(s)` and `getAccountInviteCodes`.

use axum::extract::State;
use rochdale_protocol::syntax::Datetime;
use rochdale_protocol::xrpc::names;
use rochdale_service::xrpc::{Input, Output, Query, XrpcError};
use serde::{Deserialize, Serialize};

use crate::account::invite::{OPERATOR, is_open, new_codes};
use crate::api::error::{bad, invalid};
use crate::app::{App, Pds};
use crate::auth::{Admin, FullMember};
use crate::store::invite::InviteCode;

pub(super) const CREATE_ONE: &str = "com.atproto.server.createInviteCode";
pub(super) const CREATE: &str = "com.atproto.server.createInviteCodes";
pub(super) const OF_ACCOUNT: &str = "com.atproto.server.getAccountInviteCodes";

/// Codes made by one call at most.
const CODES_MAX: usize = 1000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CreateOne {
    use_count: u32,
    for_account: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Code {
    code: String,
}

pub(super) async fn create_one(
    State(pds): State<Pds>,
    operator: Admin,
    Input(input): Input<CreateOne>,
) -> Result<Output<Code>, XrpcError> {
    let owner = input.for_account.unwrap_or_else(|| OPERATOR.to_owned());
    let detail = format!("a code for {} uses", input.use_count);
    pds.note(&operator.name, CREATE_ONE, &owner, detail).await?;
    let codes = make(&pds, &owner, 1, input.use_count);
    let code = codes.iter().map(|made| made.code.clone()).collect();
    pds.store.invites.add(codes).await?;
    Ok(Output(Code { code }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CreateMany {
    #[serde(default = "one")]
    code_count: usize,
    use_count: u32,
    #[serde(default)]
    for_accounts: Vec<String>,
}

fn one() -> usize {
    1
}

#[derive(Serialize)]
pub(super) struct Codes {
    codes: Vec<AccountCodes>,
}

#[derive(Serialize)]
struct AccountCodes {
    account: String,
    codes: Vec<String>,
}

pub(super) async fn create_many(
    State(pds): State<Pds>,
    operator: Admin,
    Input(input): Input<CreateMany>,
) -> Result<Output<Codes>, XrpcError> {
    let owners = if input.for_accounts.is_empty() {
        vec![OPERATOR.to_owned()]
    } else {
        input.for_accounts
    };
    if input.code_count.saturating_mul(owners.len()) > CODES_MAX {
        return Err(invalid(format!(
            "at most {CODES_MAX} codes are made at once"
        )));
    }
    let detail = format!("{} codes for {} uses", input.code_count, input.use_count);
    pds.note(&operator.name, CREATE, owners.join(" "), detail)
        .await?;
    let mut all = Vec::new();
    let mut codes = Vec::new();
    for account in owners {
        let made = make(&pds, &account, input.code_count, input.use_count);
        codes.push(AccountCodes {
            account,
            codes: made.iter().map(|code| code.code.clone()).collect(),
        });
        all.extend(made);
    }
    pds.store.invites.add(all).await?;
    Ok(Output(Codes { codes }))
}

fn make(pds: &App, owner: &str, count: usize, uses: u32) -> Vec<InviteCode> {
    new_codes(&pds.host, count, uses, owner, OPERATOR, pds.now_ms())
}

/// A code as the protocol shows it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::api) struct InviteView {
    code: String,
    available: u32,
    disabled: bool,
    for_account: String,
    created_by: String,
    created_at: String,
    uses: Vec<UseView>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UseView {
    used_by: String,
    used_at: String,
}

impl From<InviteCode> for InviteView {
    fn from(code: InviteCode) -> Self {
        let date = |ms| Datetime::from_unix_ms(ms).to_string();
        Self {
            code: code.code,
            available: code.uses_allowed,
            disabled: code.disabled,
            for_account: code.for_account,
            created_by: code.created_by,
            created_at: date(code.created_at_ms),
            uses: code
                .uses
                .into_iter()
                .map(|(used_by, used_at_ms)| UseView {
                    used_by,
                    used_at: date(used_at_ms),
                })
                .collect(),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OfAccount {
    #[serde(default = "yes")]
    include_used: bool,
    #[serde(default = "yes")]
    create_available: bool,
}

fn yes() -> bool {
    true
}

#[derive(Serialize)]
pub(super) struct OwnCodes {
    codes: Vec<InviteView>,
}

pub(super) async fn of_account(
    State(pds): State<Pds>,
    Query(params): Query<OfAccount>,
    FullMember(caller): FullMember,
) -> Result<Output<OwnCodes>, XrpcError> {
    let account = &caller.account;
    if !account.is_active() {
        return Err(bad(
            names::NOT_FOUND,
            "Account not found: it is deactivated",
        ));
    }
    let did = account.did.to_string();
    let mut codes = pds.store.invites.of_account(did.clone()).await?;
    let schedule = pds.config.invite_schedule;
    let schedule = schedule.filter(|_| pds.config.invites_required && params.create_available);
    if let Some(schedule) = schedule {
        let count = schedule.due(account.created_at_ms, pds.now_ms(), &codes);
        let mut new = new_codes(&pds.host, count, 1, &did, &did, pds.now_ms());
        for code in &mut new {
            code.disabled = account.invites_disabled;
        }
        if !new.is_empty() {
            let invites = &pds.store.invites;
            invites.add_own(did, codes.len(), new.clone()).await?;
            codes.splice(0..0, new);
        }
    }
    let shown = codes
        .into_iter()
        .filter(|code| params.include_used || is_open(code));
    Ok(Output(OwnCodes {
        codes: shown.map(InviteView::from).collect(),
    }))
}
