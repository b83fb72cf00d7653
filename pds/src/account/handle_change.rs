//! Changing a handle: the directory first, then the account and its `#identity` event.
//!
//! Two accounts that want one handle: the store lets one have it. The other's DID document is put
//! back to what it was. A failed operation leaves the account untouched.

use std::sync::Arc;

use rochdale_protocol::plc::Operation;
use rochdale_protocol::syntax::{Did, Handle};
use rochdale_resolver::ResolveError;

use super::Account;
use super::handle::{HandleError, SetBy};
use super::lifecycle::newest_document;
use crate::app::{App, Pds};
use crate::identity::plc::{PlcClientError, PlcState};
use crate::sequencer::EventDraft;
use crate::store::StoreError;
use crate::store::account::{AccountChange, ChangeError, Set};

/// Why a handle under another domain was refused.
#[derive(Debug, thiserror::Error)]
pub enum ExternalHandleError {
    /// The name points nowhere or to someone else.
    #[error(
        "External handle did not resolve to DID: add a DNS record _atproto.{handle} with did={did}, or serve the DID at https://{handle}/.well-known/atproto-did"
    )]
    PointsElsewhere {
        /// The handle.
        handle: Handle,
        /// Where it should point.
        did: Did,
    },
    /// The name could not be looked up at all.
    #[error("External handle {handle} could not be resolved: {cause}")]
    Unresolvable {
        /// The handle.
        handle: Handle,
        /// Why.
        #[source]
        cause: ResolveError,
    },
}

/// Why a handle was not changed.
#[derive(Debug, thiserror::Error)]
pub enum HandleChangeError {
    /// The handle breaks a rule.
    #[error(transparent)]
    Rule(#[from] HandleError),
    /// A handle elsewhere does not point to the account.
    #[error(transparent)]
    External(#[from] ExternalHandleError),
    /// Another account has it.
    #[error("Handle already taken")]
    Taken,
    /// Only the member can change the DID document.
    #[error("the DID document of {0} must name the handle first: this server cannot change it")]
    DocumentFirst(Did),
    /// The DID document could not be had.
    #[error(transparent)]
    Document(#[from] ResolveError),
    /// The directory refused or did not answer.
    #[error(transparent)]
    Directory(#[from] PlcClientError),
    /// The store refused.
    #[error(transparent)]
    Change(ChangeError),
}

impl From<ChangeError> for HandleChangeError {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::HandleTaken => Self::Taken,
            ChangeError::Gone
            | ChangeError::PasswordChanged
            | ChangeError::CodeInvalid
            | ChangeError::CodeExpired
            | ChangeError::EmailTaken
            | ChangeError::Store(_) => Self::Change(error),
        }
    }
}

impl From<StoreError> for HandleChangeError {
    fn from(error: StoreError) -> Self {
        Self::Change(error.into())
    }
}

/// Checks that a handle elsewhere points to `did`.
///
/// # Errors
/// [`ExternalHandleError`].
pub async fn check_points_to(
    pds: &App,
    handle: &Handle,
    did: &Did,
) -> Result<(), ExternalHandleError> {
    // The member may have set the name right a moment ago.
    pds.resolver.purge_handle(handle);
    match pds.resolver.handle_to_did(handle).await {
        Ok(found) if found == *did => Ok(()),
        Ok(_) | Err(ResolveError::HandleNotFound { .. }) => {
            Err(ExternalHandleError::PointsElsewhere {
                handle: handle.clone(),
                did: did.clone(),
            })
        }
        Err(cause) => Err(ExternalHandleError::Unresolvable {
            handle: handle.clone(),
            cause,
        }),
    }
}

/// Gives `account` the handle. Runs to its end once started: call it as an owned task.
///
/// # Errors
/// The first rule broken; the account keeps its handle.
pub async fn change_handle(
    pds: Pds,
    account: Arc<Account>,
    handle: Handle,
    by: SetBy,
) -> Result<(), HandleChangeError> {
    if pds.handles.is_ours(&handle) {
        pds.handles.check_ours(&handle, by)?;
    } else {
        pds.handles.check_any(&handle)?;
        check_points_to(&pds, &handle, &account.did).await?;
    }
    if let Some(holder) = pds.accounts.by_handle(&handle).await?
        && holder.id != account.id
    {
        return Err(HandleChangeError::Taken);
    }
    let changed = publish_handle(&pds, &account.did, &handle).await?;

    let now_us = pds.clock.now_us();
    let change = AccountChange::of(account.id)
        .set(Set::Handle(Some(handle.clone())))
        .sends(vec![EventDraft::identity(
            account.id,
            &account.did,
            Some(&handle),
            now_us,
        )]);
    let stored = pds.store.accounts.change(change).await;
    pds.accounts.changed(&account);
    if let Err(error) = stored {
        if let Some(before) = changed {
            put_back(&pds, &account.did, before).await;
        }
        return Err(error.into());
    }
    pds.resolver.purge(&account.did);
    Ok(())
}

/// Makes the DID document name `handle`; answers the state before, if an operation was needed.
async fn publish_handle(
    pds: &App,
    did: &Did,
    handle: &Handle,
) -> Result<Option<PlcState>, HandleChangeError> {
    if !did.is_plc() {
        let document = newest_document(pds, did).await?;
        if document.handle() == Some(handle) {
            return Ok(None);
        }
        return Err(HandleChangeError::DocumentFirst(did.clone()));
    }
    let before = pds.plc.state(did).await?;
    let wanted = with_handle(&before.data.also_known_as, handle);
    if wanted == before.data.also_known_as {
        return Ok(None);
    }
    let own = pds.keys.rotation().public().to_did_key();
    if !before.data.rotation_keys.contains(&own) {
        return Err(HandleChangeError::DocumentFirst(did.clone()));
    }
    let mut next = before.next();
    next.also_known_as = wanted;
    pds.plc
        .submit(did, &Operation::Plc(next.sign(pds.keys.rotation())))
        .await?;
    Ok(Some(before))
}

/// Signs the state of before once more, after an operation whose handle turned out to be taken.
async fn put_back(pds: &App, did: &Did, before: PlcState) {
    let restored = async {
        let mut next = pds.plc.state(did).await?.next();
        next.also_known_as = before.data.also_known_as;
        pds.plc
            .submit(did, &Operation::Plc(next.sign(pds.keys.rotation())))
            .await
    };
    if let Err(cause) = restored.await {
        tracing::warn!(%did, %cause, "a DID document names a handle that its account did not get");
    }
    pds.resolver.purge(did);
}

/// `also_known_as` with its first `at://` entry replaced; other entries stay where they are.
#[must_use]
pub fn with_handle(also_known_as: &[String], handle: &Handle) -> Vec<String> {
    let entry = format!("at://{handle}");
    let mut list = also_known_as.to_vec();
    match list.iter_mut().find(|name| name.starts_with("at://")) {
        Some(name) => *name = entry,
        None => list.insert(0, entry),
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_at_name_is_replaced_and_others_are_kept() {
        let handle = "ada.test".parse().unwrap();
        let list = |names: &[&str]| {
            names
                .iter()
                .map(|&name| name.to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(with_handle(&[], &handle), list(&["at://ada.test"]));
        assert_eq!(
            with_handle(
                &list(&["https://ada.org", "at://old.test", "at://second.test"]),
                &handle
            ),
            list(&["https://ada.org", "at://ada.test", "at://second.test"])
        );
        assert_eq!(
            with_handle(&list(&["https://ada.org"]), &handle),
            list(&["at://ada.test", "https://ada.org"])
        );
    }
}
