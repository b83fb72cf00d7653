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
use crate::store::account::{AccountChange, ChangeError, Deactivation, Due, Redeem, Set, Takedown};

/// An account brought here is removed again when it is not activated for this long, in ms.
pub const ABANDONED_AFTER_MS: i64 = 3 * 24 * 60 * 60 * 1000;

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
        // Never the moment of its making: that marks an account on its way here.
        at_ms: pds.now_ms().max(account.created_at_ms + 1),
        delete_after_ms,
    };
    let verdict = Verdict {
        deactivated: Some(Some(state)),
        ..Verdict::default()
    };
    judge(pds, account, verdict).await
}

/// What becomes of an account's state; what is `None` stays as it is.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// A takedown, or that it is lifted.
    pub takedown: Option<Option<Takedown>>,
    /// Deactivation, or waking on the operator's word, without a look at the DID document.
    pub deactivated: Option<Option<Deactivation>>,
}

/// Sets an account's state, and tells it in one event even when nothing changed. Sessions end with
/// a takedown.
///
/// # Errors
/// When the account is gone or the store fails.
pub async fn judge(pds: Pds, account: Arc<Account>, verdict: Verdict) -> Result<(), ChangeError> {
    let mut after = Account::clone(&account);
    let mut change = AccountChange::of(account.id);
    if let Some(takedown) = verdict.takedown {
        change.revoke_sessions = takedown.is_some();
        after.takedown_ref = takedown.as_ref().map(|one| one.reference.clone());
        after.suspended_until_ms = takedown.as_ref().and_then(|one| one.until_ms);
        change = change.set(Set::Takedown(takedown));
    }
    if let Some(state) = verdict.deactivated {
        after.deactivated_at_ms = state.map(|state| state.at_ms);
        change = change.set(Set::Deactivated(state));
    }
    let now_us = pds.clock.now_us();
    let event = EventDraft::account(account.id, &account.did, after.status(), now_us);
    let done = pds.store.accounts.change(change.sends(vec![event])).await;
    pds.accounts.changed(&account);
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
    let done = pds.store.accounts.delete(account.id, redeem, event).await;
    pds.accounts.changed(&account);
    pds.sequencer.hide(account.id, done?);
    forget(&pds, &account);
    Ok(())
}

/// Drops what is in memory of a deleted account and has its data removed.
fn forget(pds: &App, account: &Account) {
    pds.keys.forget(account.id);
    pds.repos.forget(account.id);
    pds.repos.purge_soon();
    tracing::info!(did = %account.did, "account deleted");
}

/// Deletes an account whose date has come, if it is still deactivated.
///
/// One that was brought here and never activated leaves without a word, since nobody was told of it;
/// and it stays while its DID document names this server, because then it has no other home.
///
/// # Errors
/// When the store fails.
pub async fn delete_abandoned(pds: &Pds, account: Account) -> Result<(), ChangeError> {
    let now_ms = pds.now_ms();
    let due = if account.is_arriving() {
        match pds.resolver.refresh(&account.did).await {
            Ok(document) if document.pds() == Some(pds.url.as_str()) => {
                tracing::info!(did = %account.did, "kept though never activated: its DID names this server");
                Due::Postponement(now_ms + ABANDONED_AFTER_MS)
            }
            // Where it lives is not known: asked again at the next round.
            Err(error) if error.is_transient() => return Ok(()),
            Ok(_) | Err(_) => Due::Deletion(None),
        }
    } else {
        let now_us = pds.clock.now_us();
        Due::Deletion(Some(EventDraft::deleted(account.id, &account.did, now_us)))
    };
    let store = &pds.store.accounts;
    let done = store.settle_abandoned(account.id, now_ms, due).await;
    pds.accounts.changed(&account);
    if let Some(seq) = done? {
        pds.sequencer.hide(account.id, seq);
        forget(pds, &account);
    }
    Ok(())
}
