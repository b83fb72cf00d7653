//! `com.atproto.repo.createRecord`: adds one record to the caller's repository.

use axum::extract::State;
use rochdale_protocol::data::Value;
use rochdale_protocol::syntax::{AtIdentifier, Nsid, RecordPath};
use rochdale_service::xrpc::{Charges, Input, Output, XrpcError};
use serde::Deserialize;

use super::own_repo::{
    CREATE_POINTS, Written, charge, check_own_repo, new_record, optional_cid, record_key,
};
use crate::app::Pds;
use crate::auth::extract::Member;
use crate::lexicon::Checks;
use crate::repo::{Batch, Intent, Write};

pub(super) const NSID: &str = "com.atproto.repo.createRecord";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CreateRecord {
    repo: AtIdentifier,
    collection: Nsid,
    rkey: Option<String>,
    validate: Option<bool>,
    record: Value,
    swap_commit: Option<String>,
}

pub(super) async fn handle(
    State(pds): State<Pds>,
    member: Member,
    charges: Charges,
    Input(input): Input<CreateRecord>,
) -> Result<Output<Written>, XrpcError> {
    check_own_repo(&pds, &member, &input.repo).await?;
    charge(&charges, &member, CREATE_POINTS)?;
    let rkey = record_key(&pds, input.rkey.as_deref())?;
    let path = RecordPath::new(input.collection, rkey);
    let checks = Checks::new(&pds.lexicons, input.validate);
    let (record, status) = new_record(&checks, &path, input.record).await?;
    let cid = record.cid;
    let batch = Batch {
        swap_commit: optional_cid("swapCommit", input.swap_commit.as_deref())?,
        replace_same_subject: input.validate != Some(false),
        ..Batch::one(Write {
            path: path.clone(),
            intent: Intent::Create(record),
            swap_record: None,
        })
    };
    let commit = pds.repos.write(&member.account, batch).await?;
    Ok(Output(Written::new(
        member.did(),
        &path,
        cid,
        commit,
        status,
    )))
}
