//! `POST /admin/recommit`: makes the heads of one repository or of all of them anew.
//!
//! For all of them after a restored backup, when relays have seen commits that are gone; for one
//! whose revision lies in the future, or that is closed because its records do not fit its head.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use rochdale_protocol::syntax::AtIdentifier;
use rochdale_service::xrpc::XrpcError;
use serde::{Deserialize, Serialize};

use super::body;
use crate::account::AccountId;
use crate::api::admin::find_account;
use crate::app::Pds;
use crate::auth::Admin;
use crate::repo::Truth;
use crate::store::StoreError;

pub(super) const ROUTE: &str = "/admin/recommit";

const ACCOUNTS_PER_PAGE: usize = 500;
/// Failures that are named in the answer.
const NAMED_MAX: usize = 100;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Recommit {
    /// Whose; absent for every account.
    account: Option<AtIdentifier>,
    /// Take the stored records for right, whatever the head says. For one account only.
    #[serde(default)]
    from_records: bool,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct Done {
    recommitted: usize,
    failed: usize,
    /// The first of them, with the reason.
    failures: Vec<String>,
}

pub(super) async fn handle(
    State(pds): State<Pds>,
    operator: Admin,
    input: Result<Json<Recommit>, JsonRejection>,
) -> Result<Json<Done>, XrpcError> {
    let input = body(input)?;
    let Some(who) = input.account else {
        pds.note(&operator.name, ROUTE, "every account", "").await?;
        let done = pds
            .owned("recommit of all", every_account(pds.clone()))
            .await??;
        return Ok(Json(done));
    };
    let account = find_account(&pds, &who).await?;
    let (truth, detail) = match input.from_records {
        true => (Truth::Records, "from the records"),
        false => (Truth::Head, ""),
    };
    pds.note(&operator.name, ROUTE, &account.did, detail)
        .await?;
    pds.repos.recommit(&account, truth).await?;
    Ok(Json(Done {
        recommitted: 1,
        ..Done::default()
    }))
}

async fn every_account(pds: Pds) -> Result<Done, StoreError> {
    let (mut done, mut after) = (Done::default(), AccountId(0));
    loop {
        let page = pds
            .store
            .accounts
            .page(after, ACCOUNTS_PER_PAGE, None)
            .await?;
        let Some(last) = page.last() else {
            return Ok(done);
        };
        after = last.id;
        for account in page {
            let did = account.did.clone();
            let signed = pds.repos.recommit(&account.into(), Truth::Head).await;
            match signed {
                Ok(_commit) => done.recommitted += 1,
                Err(error) => {
                    tracing::warn!(%did, %error, "a repository was not recommitted");
                    done.failed += 1;
                    if done.failures.len() < NAMED_MAX {
                        done.failures.push(format!("{did}: {error}"));
                    }
                }
            }
        }
    }
}
