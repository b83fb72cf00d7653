//! Changing an account's signing key: the DID document first, then the account and its commit.
//!
//! Only a key that this server holds can be put in: one that was reserved for the DID before. When
//! something fails in between, the document names a key that is still reserved here, and asking
//! again completes the change. Follows the atproto account and identity specifications.

use std::sync::Arc;

use rochdale_protocol::plc::Operation;
use rochdale_resolver::ResolveError;

use super::Account;
use crate::app::{App, Pds};
use crate::identity::plc::PlcClientError;
use crate::keys::KeyError;
use crate::repo::WriteError;
use crate::sequencer::EventDraft;
use crate::store::account::{AccountChange, ReservedKey, Set};
use crate::store::{StoreError, apply_unconditional, forget_reserved_key};

/// Why a signing key was not changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyChangeError {
    /// The server does not hold the secret of this key.
    #[error(
        "{key} is not a key that is reserved for this account: get one with com.atproto.server.reserveSigningKey"
    )]
    NotHeld {
        /// The key asked for.
        key: String,
    },
    /// Only the member can change the DID document.
    #[error("the DID document must name the key first: this server cannot change it")]
    DocumentFirst,
    /// The DID document could not be had.
    #[error(transparent)]
    Document(#[from] ResolveError),
    /// The directory refused or did not answer.
    #[error(transparent)]
    Directory(#[from] PlcClientError),
    /// The key could not be opened.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The repository could not be signed with it.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes `key`, a `did:key` that is reserved for the account, its signing key: `#identity`, and
/// `#sync` with a commit under the new key. Runs to its end once started: call it as an owned task.
///
/// # Errors
/// The first thing that does not fit; the account keeps its key.
pub async fn change_signing_key(
    pds: Pds,
    account: Arc<Account>,
    key: String,
) -> Result<(), KeyChangeError> {
    let reserved = held(&pds, &account, key).await?;
    publish(&pds, &account, &reserved.public).await?;
    pds.resolver.purge(&account.did);

    let changed = Arc::new(Account {
        signing_key: reserved.sealed.clone(),
        ..Account::clone(&account)
    });
    let change = AccountChange::of(account.id).set(Set::SigningKey(reserved.sealed));
    let did = account.did.clone();
    let handle = account.handle.as_ref();
    let events = vec![EventDraft::identity(
        account.id,
        &account.did,
        handle,
        pds.clock.now_us(),
    )];
    let before = move |db: &rusqlite::Connection| {
        apply_unconditional(db, &change)?;
        forget_reserved_key(db, &did)?;
        Ok(events)
    };
    let done = pds.repos.resign(&changed, before).await;
    pds.accounts.changed(&account);
    done?;
    tracing::info!(did = %account.did, key = reserved.public, "signing key changed");
    Ok(())
}

/// The reserved key, or the present one: putting that in again signs the repository anew.
async fn held(pds: &App, account: &Account, key: String) -> Result<ReservedKey, KeyChangeError> {
    let present = pds.keys.signing_key(account)?.public().to_did_key();
    if present == key {
        return Ok(ReservedKey {
            sealed: account.signing_key.clone(),
            public: present,
        });
    }
    let reserved = pds.store.accounts.reserved_key(account.did.to_string());
    match reserved.await? {
        Some(reserved) if reserved.public == key => Ok(reserved),
        Some(_) | None => Err(KeyChangeError::NotHeld { key }),
    }
}

/// Makes the DID document name `key`.
async fn publish(pds: &App, account: &Account, key: &str) -> Result<(), KeyChangeError> {
    let did = &account.did;
    if !did.is_plc() {
        let document = pds.resolver.refresh(did).await?;
        let named = document.signing_key().map(|key| key.to_did_key());
        return if named.as_deref() == Some(key) {
            Ok(())
        } else {
            Err(KeyChangeError::DocumentFirst)
        };
    }
    let before = pds.plc.state(did).await?;
    let mut next = before.next();
    let named = next
        .verification_methods
        .insert("atproto".to_owned(), key.to_owned());
    if named.as_deref() == Some(key) {
        return Ok(());
    }
    let own = pds.keys.rotation().public().to_did_key();
    if !before.data.rotation_keys.contains(&own) {
        return Err(KeyChangeError::DocumentFirst);
    }
    let operation = Operation::Plc(next.sign(pds.keys.rotation()));
    Ok(pds.plc.submit(did, &operation).await?)
}
