//! `com.atproto.admin.{get,update}SubjectStatus`: takedown of accounts, records and blobs.

use std::sync::Arc;

use axum::extract::State;
use rochdale_protocol::data::Cid;
use rochdale_protocol::syntax::{AtIdentifier, AtUri, Did, RecordPath};
use rochdale_protocol::xrpc::names;
use rochdale_service::xrpc::{Input, Output, Query, XrpcError};
use serde::{Deserialize, Serialize};

use super::account::find;
use crate::account::Account;
use crate::account::lifecycle::{self, Verdict};
use crate::api::error::{bad, invalid};
use crate::app::{App, Pds};
use crate::auth::Moderator;
use crate::store::account::{Deactivation, Takedown};

pub(super) const GET: &str = "com.atproto.admin.getSubjectStatus";
pub(super) const UPDATE: &str = "com.atproto.admin.updateSubjectStatus";

/// What a takedown applies to.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(tag = "$type")]
pub(super) enum Subject {
    /// A whole account.
    #[serde(rename = "com.atproto.admin.defs#repoRef")]
    Repo {
        /// Whose.
        did: Did,
    },
    /// One record.
    #[serde(rename = "com.atproto.repo.strongRef")]
    Record {
        /// Where it is.
        uri: AtUri,
        /// Which version was looked at.
        cid: Cid,
    },
    /// One blob.
    #[serde(rename = "com.atproto.admin.defs#repoBlobRef")]
    Blob {
        /// Whose.
        did: Did,
        /// Which.
        cid: Cid,
        /// A record that refers to it.
        #[serde(rename = "recordUri", skip_serializing_if = "Option::is_none", default)]
        record_uri: Option<AtUri>,
    },
}

#[derive(Debug, Clone, Deserialize, Serialize)]
pub(super) struct Applied {
    applied: bool,
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none", default)]
    reference: Option<String>,
}

impl Applied {
    fn by(reference: Option<String>) -> Self {
        Self {
            applied: reference.is_some(),
            reference,
        }
    }
}

#[derive(Serialize)]
pub(super) struct Status {
    subject: Subject,
    #[serde(skip_serializing_if = "Option::is_none")]
    takedown: Option<Applied>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deactivated: Option<Applied>,
}

#[derive(Deserialize)]
pub(super) struct Get {
    did: Option<Did>,
    uri: Option<AtUri>,
    blob: Option<Cid>,
}

pub(super) async fn get(
    State(pds): State<Pds>,
    Query(params): Query<Get>,
    _moderator: Moderator,
) -> Result<Output<Status>, XrpcError> {
    if let Some(cid) = params.blob {
        let did = params
            .did
            .ok_or_else(|| invalid("Must provide a did to request blob state"))?;
        let account = find(&pds, &AtIdentifier::Did(did.clone())).await?;
        let takedown = pds.blobs.takedown(account.id, &cid).await?;
        if takedown.is_none() && !pds.blobs.exists(account.id, cid).await? {
            return Err(bad(names::NOT_FOUND, format!("Subject not found: {cid}")));
        }
        let subject = Subject::Blob {
            did,
            cid,
            record_uri: None,
        };
        return Ok(Output(Status {
            subject,
            takedown: Some(Applied::by(takedown)),
            deactivated: None,
        }));
    }
    if let Some(uri) = params.uri {
        let (account, path) = record(&pds, &uri).await?;
        let found = pds.repos.record_cid(account.id, &path)?;
        let cid =
            found.ok_or_else(|| bad(names::NOT_FOUND, format!("Subject not found: {uri}")))?;
        let takedown = pds.repos.record_takedown(account.id, &path)?;
        let subject = Subject::Record { uri, cid };
        return Ok(Output(Status {
            subject,
            takedown: Some(Applied::by(takedown)),
            deactivated: None,
        }));
    }
    let did = params.did.ok_or_else(|| invalid("No provided subject"))?;
    let account = find(&pds, &AtIdentifier::Did(did.clone())).await?;
    Ok(Output(Status {
        subject: Subject::Repo { did },
        takedown: Some(Applied::by(account.takedown_ref.clone())),
        deactivated: Some(Applied {
            applied: account.deactivated_at_ms.is_some(),
            reference: None,
        }),
    }))
}

async fn record(pds: &App, uri: &AtUri) -> Result<(Arc<Account>, RecordPath), XrpcError> {
    let account = find(pds, uri.authority()).await?;
    let path = uri.record_path();
    let path = path.ok_or_else(|| invalid(format!("{uri} does not name a record")))?;
    Ok((account, path))
}

#[derive(Deserialize)]
pub(super) struct Update {
    subject: Subject,
    takedown: Option<Applied>,
    deactivated: Option<Applied>,
}

pub(super) async fn update(
    State(pds): State<Pds>,
    moderator: Moderator,
    Input(input): Input<Update>,
) -> Result<Output<Status>, XrpcError> {
    let Update {
        subject,
        takedown,
        deactivated,
    } = input;
    let reference = takedown.as_ref().map(|wanted| {
        let given = wanted.reference.clone();
        let reference = given.unwrap_or_else(|| pds.now_ms().to_string());
        wanted.applied.then_some(reference)
    });
    let detail = [
        reference.as_ref().map(|reference| match reference {
            Some(reference) => format!("taken down: {reference}"),
            None => "takedown lifted".to_owned(),
        }),
        deactivated.as_ref().map(|wanted| match wanted.applied {
            true => "deactivated".to_owned(),
            false => "activated".to_owned(),
        }),
    ];
    let detail = detail.into_iter().flatten().collect::<Vec<_>>().join(", ");
    let who = moderator.name();
    match &subject {
        Subject::Repo { did } => {
            let account = find(&pds, &AtIdentifier::Did(did.clone())).await?;
            let deactivate = deactivated.map(|wanted| wanted.applied);
            check_repo(&account, reference.as_ref(), deactivate)?;
            pds.note(who, UPDATE, did, detail).await?;
            let verdict = verdict(pds.now_ms(), reference, deactivate);
            let work = lifecycle::judge(pds.clone(), account, verdict);
            pds.owned("moderation", work).await??;
        }
        Subject::Record { uri, .. } => {
            let (account, path) = record(&pds, uri).await?;
            pds.note(who, UPDATE, uri, detail).await?;
            if let Some(reference) = reference {
                pds.repos
                    .set_record_takedown(account.id, &path, reference)
                    .await?;
            }
        }
        Subject::Blob { did, cid, .. } => {
            let account = find(&pds, &AtIdentifier::Did(did.clone())).await?;
            pds.note(who, UPDATE, format!("{did} {cid}"), detail)
                .await?;
            if let Some(reference) = reference {
                pds.blobs.set_takedown(account.id, cid, reference).await?;
            }
        }
    }
    Ok(Output(Status {
        subject,
        takedown,
        deactivated: None,
    }))
}

/// An account that is taken down is not woken, neither before nor in one go.
fn check_repo(
    account: &Account,
    takedown: Option<&Option<String>>,
    deactivate: Option<bool>,
) -> Result<(), XrpcError> {
    if deactivate != Some(false) {
        return Ok(());
    }
    match takedown {
        Some(Some(_)) => Err(invalid(
            "Cannot takedown an account and activate it at the same time",
        )),
        None if account.is_taken_down() => {
            Err(invalid("Cannot activate an account that is taken down"))
        }
        Some(None) | None => Ok(()),
    }
}

fn verdict(now_ms: i64, takedown: Option<Option<String>>, deactivate: Option<bool>) -> Verdict {
    Verdict {
        takedown: takedown.map(|reference| {
            reference.map(|reference| Takedown {
                reference,
                until_ms: None,
            })
        }),
        deactivated: deactivate.map(|is_put_to_sleep| {
            is_put_to_sleep.then_some(Deactivation {
                at_ms: now_ms,
                delete_after_ms: None,
            })
        }),
    }
}
