//! `com.atproto.repo.putRecord`: adds or replaces one record in the caller's repository.

use axum::extract::State;
use rochdale_protocol::data::Value;
use rochdale_protocol::syntax::{AtIdentifier, Nsid, RecordKey, RecordPath};
use rochdale_service::xrpc::{Charges, Input, Output, XrpcError};
use serde::Deserialize;

use super::own_repo::{
    UPDATE_POINTS, Written, charge, check_own_repo, new_record, nullable, optional_cid,
};
use crate::app::Pds;
use crate::auth::extract::Member;
use crate::blob::has_legacy_pictures;
use crate::lexicon::Checks;
use crate::repo::{Batch, Intent, Write};

pub(super) const NSID: &str = "com.atproto.repo.putRecord";

const PROFILE: &str = "app.bsky.actor.profile";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PutRecord {
    repo: AtIdentifier,
    collection: Nsid,
    rkey: RecordKey,
    validate: Option<bool>,
    record: Value,
    /// Null says that there must be no record.
    #[serde(default, deserialize_with = "nullable")]
    swap_record: Option<Option<String>>,
    swap_commit: Option<String>,
}

pub(super) async fn handle(
    State(pds): State<Pds>,
    member: Member,
    charges: Charges,
    Input(mut input): Input<PutRecord>,
) -> Result<Output<Written>, XrpcError> {
    check_own_repo(&pds, &member, &input.repo).await?;
    charge(&charges, &member, UPDATE_POINTS)?;
    let path = RecordPath::new(input.collection, input.rkey);
    if path.collection.as_str() == PROFILE
        && has_legacy_pictures(&input.record)
        && pds.repos.record_cid(member.id(), &path)?.is_some()
    {
        pds.blobs.renew_pictures(member.id(), &mut input.record)?;
    }
    let checks = Checks::new(&pds.lexicons, input.validate);
    let (record, status) = new_record(&checks, &path, input.record).await?;
    let cid = record.cid;
    let swap_record = match &input.swap_record {
        Some(text) => Some(optional_cid("swapRecord", text.as_deref())?),
        None => None,
    };
    let batch = Batch {
        swap_commit: optional_cid("swapCommit", input.swap_commit.as_deref())?,
        ..Batch::one(Write {
            path: path.clone(),
            intent: Intent::Put(record),
            swap_record,
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
