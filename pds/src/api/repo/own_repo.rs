//! What the writing methods share: whose repository, what it costs, what is answered.

use rochdale_protocol::data::{Cid, Value};
use rochdale_protocol::syntax::{AtIdentifier, AtUri, Did, RecordKey, RecordPath};
use rochdale_service::xrpc::{Budget, Charges, XrpcError};
use serde::{Deserialize, Deserializer, Serialize};

use crate::api::error::invalid;
use crate::app::Pds;
use crate::auth::extract::Member;
use crate::lexicon::{Checks, Status};
use crate::repo::{CommitMeta, NewRecord};

const HOUR: Budget = Budget {
    name: "repo-write-hour",
    points: 5_000,
    seconds: 3_600,
};
const DAY: Budget = Budget {
    name: "repo-write-day",
    points: 35_000,
    seconds: 86_400,
};

/// Points of one operation.
pub(super) const CREATE_POINTS: u32 = 3;
/// Points of one operation.
pub(super) const UPDATE_POINTS: u32 = 2;
/// Points of one operation.
pub(super) const DELETE_POINTS: u32 = 1;

/// Refuses a member that is not active, or that names another repository than its own.
pub(super) async fn check_own_repo(
    pds: &Pds,
    member: &Member,
    repo: &AtIdentifier,
) -> Result<(), XrpcError> {
    member.require_active()?;
    let own = match repo {
        AtIdentifier::Did(did) => did == member.did(),
        AtIdentifier::Handle(handle) => member.account.handle.as_ref() == Some(handle),
    };
    if own {
        return Ok(());
    }
    match pds.accounts.find(repo).await? {
        Some(account) if account.id == member.id() => Ok(()),
        Some(_) => Err(XrpcError::auth_required(
            "the repository is not the caller's own",
        )),
        None => Err(invalid(format_args!(
            "Could not find repo: {}",
            repo.as_str()
        ))),
    }
}

/// Takes the points of a write from the account's budgets.
pub(super) fn charge(charges: &Charges, member: &Member, points: u32) -> Result<(), XrpcError> {
    charges.take(&HOUR, member.did(), points)?;
    charges.take(&DAY, member.did(), points)
}

/// The record to stand at `path`, and the `validationStatus` that is answered.
pub(super) async fn new_record(
    checks: &Checks<'_>,
    path: &RecordPath,
    mut value: Value,
) -> Result<(NewRecord, Option<&'static str>), XrpcError> {
    let record = NewRecord::parse(&path.collection, &mut value)?;
    let status = checks.check(path, &value).await?;
    Ok((record, status.map(Status::as_str)))
}

/// The record key given, or a new one when it is absent or empty.
pub(super) fn record_key(pds: &Pds, given: Option<&str>) -> Result<RecordKey, XrpcError> {
    match given {
        None | Some("") => Ok(RecordKey::from(pds.repos.next_key())),
        Some(text) => text.parse().map_err(invalid),
    }
}

/// A CID parameter of the body.
pub(super) fn cid(name: &str, text: &str) -> Result<Cid, XrpcError> {
    text.parse()
        .map_err(|error| invalid(format_args!("{name}: {error}")))
}

/// As [`cid`], when it may be absent.
pub(super) fn optional_cid(name: &str, text: Option<&str>) -> Result<Option<Cid>, XrpcError> {
    text.map(|text| cid(name, text)).transpose()
}

/// Tells a field that is null from one that is absent.
pub(super) fn nullable<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(deserializer).map(Some)
}

/// `com.atproto.repo.defs#commitMeta`.
#[derive(Serialize)]
pub(super) struct CommitView {
    cid: Cid,
    rev: String,
}

impl From<CommitMeta> for CommitView {
    fn from(commit: CommitMeta) -> Self {
        Self {
            cid: commit.cid,
            rev: commit.rev.to_string(),
        }
    }
}

/// The answer to one written record.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Written {
    uri: String,
    cid: Cid,
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<CommitView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    validation_status: Option<&'static str>,
}

impl Written {
    pub(super) fn new(
        did: &Did,
        path: &RecordPath,
        cid: Cid,
        commit: Option<CommitMeta>,
        validation_status: Option<&'static str>,
    ) -> Self {
        Self {
            uri: uri(did, path),
            cid,
            commit: commit.map(Into::into),
            validation_status,
        }
    }
}

/// The AT URI of a record.
pub(super) fn uri(did: &Did, path: &RecordPath) -> String {
    AtUri::record(did.clone(), path).as_str().to_owned()
}
