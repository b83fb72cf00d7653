//! `com.atproto.repo.deleteRecord`: removes one record, or makes sure that it is not there.

use axum::extract::State;
use rochdale_protocol::syntax::{AtIdentifier, Nsid, RecordKey, RecordPath};
use rochdale_service::xrpc::{Charges, Input, Output, XrpcError};
use serde::{Deserialize, Serialize};

use super::own_repo::{CommitView, DELETE_POINTS, charge, check_own_repo, optional_cid};
use crate::app::Pds;
use crate::auth::extract::Member;
use crate::repo::{Batch, Intent, Write};

pub(super) const NSID: &str = "com.atproto.repo.deleteRecord";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeleteRecord {
    repo: AtIdentifier,
    collection: Nsid,
    rkey: RecordKey,
    swap_record: Option<String>,
    swap_commit: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Deleted {
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<CommitView>,
}

pub(super) async fn handle(
    State(pds): State<Pds>,
    member: Member,
    charges: Charges,
    Input(input): Input<DeleteRecord>,
) -> Result<Output<Deleted>, XrpcError> {
    check_own_repo(&pds, &member, &input.repo).await?;
    charge(&charges, &member, DELETE_POINTS)?;
    let swap_record = optional_cid("swapRecord", input.swap_record.as_deref())?;
    let batch = Batch {
        swap_commit: optional_cid("swapCommit", input.swap_commit.as_deref())?,
        ..Batch::one(Write {
            path: RecordPath::new(input.collection, input.rkey),
            intent: Intent::Ensure,
            swap_record: swap_record.map(Some),
        })
    };
    let commit = pds.repos.write(&member.account, batch).await?;
    Ok(Output(Deleted {
        commit: commit.map(Into::into),
    }))
}
