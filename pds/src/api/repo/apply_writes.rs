//! `com.atproto.repo.applyWrites`: several operations as one commit, or none of them.

use axum::extract::State;
use rochdale_protocol::data::{Cid, Value};
use rochdale_protocol::syntax::{AtIdentifier, Did, Nsid, RecordKey, RecordPath};
use rochdale_service::xrpc::{Charges, Input, Output, XrpcError};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::own_repo::{
    CREATE_POINTS, CommitView, DELETE_POINTS, UPDATE_POINTS, charge, check_own_repo, new_record,
    optional_cid, record_key, uri,
};
use crate::api::error::invalid;
use crate::app::Pds;
use crate::auth::extract::Member;
use crate::lexicon::Checks;
use crate::repo::{Batch, Intent, NewRecord, OPERATIONS_MAX, Write};

pub(super) const NSID: &str = "com.atproto.repo.applyWrites";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApplyWrites {
    repo: AtIdentifier,
    validate: Option<bool>,
    writes: Vec<Box<RawValue>>,
    swap_commit: Option<String>,
}

#[derive(Deserialize)]
struct Typed<'a> {
    #[serde(rename = "$type", borrow)]
    kind: std::borrow::Cow<'a, str>,
}

#[derive(Deserialize)]
struct Create {
    collection: Nsid,
    rkey: Option<String>,
    value: Value,
}

#[derive(Deserialize)]
struct Update {
    collection: Nsid,
    rkey: RecordKey,
    value: Value,
}

#[derive(Deserialize)]
struct Delete {
    collection: Nsid,
    rkey: RecordKey,
}

#[derive(Serialize)]
pub(super) struct Applied {
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<CommitView>,
    results: Vec<OperationResult>,
}

#[derive(Serialize)]
#[serde(tag = "$type")]
enum OperationResult {
    #[serde(rename = "com.atproto.repo.applyWrites#createResult")]
    Created(Written),
    #[serde(rename = "com.atproto.repo.applyWrites#updateResult")]
    Updated(Written),
    #[serde(rename = "com.atproto.repo.applyWrites#deleteResult")]
    Deleted {},
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    uri: String,
    cid: Cid,
    #[serde(skip_serializing_if = "Option::is_none")]
    validation_status: Option<&'static str>,
}

pub(super) async fn handle(
    State(pds): State<Pds>,
    member: Member,
    charges: Charges,
    Input(input): Input<ApplyWrites>,
) -> Result<Output<Applied>, XrpcError> {
    check_own_repo(&pds, &member, &input.repo).await?;
    if input.writes.len() > OPERATIONS_MAX {
        return Err(invalid(format_args!(
            "Too many writes. Max: {OPERATIONS_MAX}"
        )));
    }
    let swap_commit = optional_cid("swapCommit", input.swap_commit.as_deref())?;
    let mut batch = Batch {
        swap_commit,
        ..Batch::default()
    };
    let checks = Checks::new(&pds.lexicons, input.validate);
    let (mut results, mut points) = (Vec::new(), 0);
    for (place, text) in input.writes.iter().enumerate() {
        let operation = Operation {
            pds: &pds,
            checks: &checks,
            did: member.did(),
            place,
            text,
        };
        let (write, result, cost) = operation.parse().await?;
        batch.writes.push(write);
        results.push(result);
        points += cost;
    }
    charge(&charges, &member, points)?;
    let commit = pds.repos.write(&member.account, batch).await?;
    Ok(Output(Applied {
        commit: commit.map(Into::into),
        results,
    }))
}

struct Operation<'a> {
    pds: &'a Pds,
    checks: &'a Checks<'a>,
    did: &'a Did,
    place: usize,
    text: &'a RawValue,
}

impl Operation<'_> {
    async fn parse(&self) -> Result<(Write, OperationResult, u32), XrpcError> {
        let typed: Typed<'_> = self.read()?;
        match typed.kind.strip_prefix("com.atproto.repo.applyWrites#") {
            Some("create") => {
                let Create {
                    collection,
                    rkey,
                    value,
                } = self.read()?;
                let path = RecordPath::new(collection, record_key(self.pds, rkey.as_deref())?);
                let (record, written) = self.record(&path, value).await?;
                let result = OperationResult::Created(written);
                Ok((write(path, Intent::Create(record)), result, CREATE_POINTS))
            }
            Some("update") => {
                let Update {
                    collection,
                    rkey,
                    value,
                } = self.read()?;
                let path = RecordPath::new(collection, rkey);
                let (record, written) = self.record(&path, value).await?;
                let result = OperationResult::Updated(written);
                Ok((write(path, Intent::Update(record)), result, UPDATE_POINTS))
            }
            Some("delete") => {
                let Delete { collection, rkey } = self.read()?;
                let path = RecordPath::new(collection, rkey);
                Ok((
                    write(path, Intent::Delete),
                    OperationResult::Deleted {},
                    DELETE_POINTS,
                ))
            }
            _ => Err(invalid(format_args!(
                "writes[{}]: $type must be com.atproto.repo.applyWrites#create, #update or #delete",
                self.place
            ))),
        }
    }

    /// What is written at `path`, and what is answered about it.
    async fn record(
        &self,
        path: &RecordPath,
        value: Value,
    ) -> Result<(NewRecord, Written), XrpcError> {
        let (record, validation_status) = new_record(self.checks, path, value).await?;
        let written = Written {
            uri: uri(self.did, path),
            cid: record.cid,
            validation_status,
        };
        Ok((record, written))
    }

    fn read<'t, T: Deserialize<'t>>(&'t self) -> Result<T, XrpcError> {
        serde_json::from_str(self.text.get())
            .map_err(|error| invalid(format_args!("writes[{}]: {error}", self.place)))
    }
}

fn write(path: RecordPath, intent: Intent) -> Write {
    Write {
        path,
        intent,
        swap_record: None,
    }
}
