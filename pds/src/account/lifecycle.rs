//! Sleep, waking, takedown and deletion of accounts, each with its events in the same transaction.
//!
//! Follows the account hosting states of the AT Protocol account specification.

use std::sync::Arc;

use rochdale_protocol::plc::DidDocument;
use rochdale_protocol::syntax::Did;
use rochdale_resolver::ResolveError;

use super::{Account, AccountStatus};
use crate::app::{App, Pds};
use crate::keys::KeyError;
use crate::repo::WriteError;
use crate::sequencer::EventDraft;
use crate::store::account::{AccountChange, ChangeError, Deactivation, Redeem, Set};

/// Why an account was not activated.
#[derive(Debug, thiserror::Error)]
pub enum ActivateError {
    /// The DID document could not be had.
    #[error("the DID document could not be resolved: {0}")]
    Unresolvable(#[from] ResolveError),
    /// The DID document does not say that the account lives here.
    #[error(transparent)]
    Document(#[from] DocumentFault),
    /// The signing key does not open.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The repository could not be signed anew.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// What is wrong with a DID document for an account here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentFault {
    /// It names another PDS.
    #[error(
        "DID document atproto_pds service endpoint does not match PDS public url: it is {found:?}, expected {expected:?}"
    )]
    OtherPds {
        /// What it names.
        found: Option<String>,
        /// This server.
        expected: String,
    },
    /// It names another signing key.
    #[error(
        "DID document verification method does not match expected signing key: it is {found:?}, expected {expected:?}"
    )]
    OtherKey {
        /// What it names.
        found: Option<String>,
        /// The account's key.
        expected: String,
    },
}

/// Checks that `document` says that the account lives here under its present key.
///
/// # Errors
/// The first thing that does not fit.
pub fn check_document(
    pds: &App,
    account: &Account,
    document: &DidDocument,
) -> Result<(), ActivateError> {
    let found = document.pds();
    if found != Some(pds.url.as_str()) {
        let found = found.map(str::to_owned);
        return Err(DocumentFault::OtherPds {
            found,
            expected: pds.url.clone(),
        }
        .into());
    }
    let expected = pds.keys.signing_key(account)?.public().to_did_key();
    let found = document.signing_key().map(|key| key.to_did_key());
    if found.as_ref() != Some(&expected) {
        return Err(DocumentFault::OtherKey { found, expected }.into());
    }
    Ok(())
}

/// The document as it is now: the member has just changed it, and comes back until it fits.
///
/// # Errors
/// When it cannot be had.
pub async fn newest_document(pds: &App, did: &Did) -> Result<Arc<DidDocument>, ResolveError> {
    pds.resolver.purge(did);
    pds.resolver.did_document(did).await
}

/// Wakes an account: `#account`, `#identity` and `#sync` with a commit of its present key.
/// Waking an active account sends them again.
///
/// # Errors
/// When the DID document does not name this server and key.
pub async fn activate(pds: Pds, account: Arc<Account>) -> Result<(), ActivateError> {
    let document = newest_document(&pds, &account.did).await?;
    check_document(&pds, &account, &document)?;
    let change = AccountChange::of(account.id).set(Set::Deactivated(None));
    let now_us = pds.clock.now_us();
    let events = vec![
        EventDraft::account(account.id, &account.did, AccountStatus::Active, now_us),
        EventDraft::identity(account.id, &account.did, account.handle.as_ref(), now_us),
    ];
    let before = move |db: &rusqlite::Connection| {
        crate::store::apply_unconditional(db, &change)?;
        Ok(events)
    };
    let done = pds.repos.resign(&account, before).await;
    pds.accounts.changed(&account);
    done?;
    Ok(())
}

/// Puts an account to sleep. Its sessions stay.
///
/// # Errors
/// When the account is gone or the store fails.
pub async fn deactivate(
    pds: Pds,
    account: Arc<Account>,
    delete_after_ms: Option<i64>,
) -> Result<(), ChangeError> {
    let state = Deactivation {
        at_ms: pds.now_ms(),
        delete_after_ms,
    };
    change_state(&pds, &account, Set::Deactivated(Some(state))).await
}

/// Wakes an account on the operator's word, without looking at its DID document.
///
/// # Errors
/// When the account is gone or the store fails.
pub async fn reactivate(pds: Pds, account: Arc<Account>) -> Result<(), ChangeError> {
    change_state(&pds, &account, Set::Deactivated(None)).await
}

/// Takes an account down under a reference, or lifts the takedown. Sessions end with a takedown.
///
/// # Errors
/// When the account is gone or the store fails.
pub async fn take_down(
    pds: Pds,
    account: Arc<Account>,
    reference: Option<String>,
) -> Result<(), ChangeError> {
    change_state(&pds, &account, Set::Takedown(reference)).await
}

async fn change_state(pds: &App, account: &Account, set: Set) -> Result<(), ChangeError> {
    let mut after = account.clone();
    let mut change = AccountChange::of(account.id);
    match &set {
        Set::Takedown(reference) => {
            change.revoke_sessions = reference.is_some();
            after.takedown_ref.clone_from(reference);
        }
        Set::Deactivated(state) => after.deactivated_at_ms = state.map(|state| state.at_ms),
        Set::Handle(_)
        | Set::Email(_)
        | Set::EmailPending(_)
        | Set::EmailProven(..)
        | Set::EmailFactor(_)
        | Set::PasswordHash(_)
        | Set::InvitesDisabled(_) => {}
    }
    let now_us = pds.clock.now_us();
    let event = EventDraft::account(account.id, &account.did, after.status(), now_us);
    let done = pds
        .store
        .accounts
        .change(change.set(set).sends(vec![event]))
        .await;
    pds.accounts.changed(account);
    done
}

/// Deletes an account: rows and `#account deleted` in one transaction, records and blobs after.
///
/// # Errors
/// When a code is demanded and not live, the account is gone or the store fails.
pub async fn delete(
    pds: Pds,
    account: Arc<Account>,
    redeem: Option<Redeem>,
) -> Result<(), ChangeError> {
    let event = EventDraft::deleted(account.id, &account.did, pds.clock.now_us());
    let done = pds
        .store
        .accounts
        .delete(account.id, redeem, vec![event])
        .await;
    pds.accounts.changed(&account);
    done?;
    pds.keys.forget(account.id);
    pds.repos.forget(account.id);
    pds.repos.purge_soon();
    tracing::info!(did = %account.did, "account deleted");
    Ok(())
}
