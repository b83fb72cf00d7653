//! Signing up: a new account with a new identity, or one that moves here with its own.
//!
//! Everything is computed first; then the directory learns of a new DID, then the store takes the
//! account with repository, session and events in one value. If the store refuses (two people want
//! one handle), the DID that was just made is ended again. Follows `com.atproto.server.createAccount`.

use std::collections::BTreeMap;

use rochdale_protocol::crypto::{PublicKey, SigningKey};
use rochdale_protocol::plc::{Operation, Service, UnsignedOperation};
use rochdale_protocol::syntax::{Did, Handle, Tid};

use super::email::{self, EmailError};
use super::handle::{HandleError, SetBy};
use super::handle_change::{self, ExternalHandleError};
use super::lifecycle::ABANDONED_AFTER_MS;
use super::session::{self, Session};
use super::{Account, AccountId};
use crate::app::{App, Pds};
use crate::auth::password::{NEW_BYTES_MAX, PasswordError};
use crate::auth::token::Scope;
use crate::identity::plc::PlcClientError;
use crate::keys::{KeyError, Keyring, SealedKey};
use crate::repo;
use crate::sequencer::EventDraft;
use crate::store::StoreError;
use crate::store::account::{AccountKey, CreateError, NewAccount};

/// What a person who signs up gives.
#[derive(Debug)]
pub struct SignUp {
    /// The handle they want.
    pub handle: Handle,
    /// Their mail address.
    pub email: Option<String>,
    /// Their password.
    pub password: Option<String>,
    /// An invite code.
    pub invite: Option<String>,
    /// A rotation key of their own, as `did:key`.
    pub recovery_key: Option<String>,
    /// The identity they bring, proven to be theirs.
    pub brings: Option<Did>,
}

/// Why nobody was signed up.
#[derive(Debug, thiserror::Error)]
pub enum SignUpError {
    /// The handle breaks a rule.
    #[error(transparent)]
    Handle(#[from] HandleError),
    /// A handle elsewhere does not point to the account.
    #[error(transparent)]
    ExternalHandle(#[from] ExternalHandleError),
    /// No or a bad mail address.
    #[error(transparent)]
    Email(#[from] EmailError),
    /// No password, or one that is too short or too long.
    #[error("a password of 1 to {NEW_BYTES_MAX} bytes is required")]
    BadPassword,
    /// No invite code where one is needed.
    #[error("No invite code provided")]
    InviteMissing,
    /// The recovery key is no key.
    #[error("recoveryKey is not a did:key of a k256 or p256 key")]
    BadRecoveryKey,
    /// The password could not be hashed.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The signing key could not be sealed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The directory refused or did not answer.
    #[error(transparent)]
    Directory(#[from] PlcClientError),
    /// The store refused.
    #[error(transparent)]
    Create(#[from] CreateError),
}

impl From<StoreError> for SignUpError {
    fn from(error: StoreError) -> Self {
        Self::Create(error.into())
    }
}

/// A new account and its first session.
#[derive(Debug)]
pub struct SignedUp {
    /// The account as stored.
    pub account: Account,
    /// The session.
    pub session: Session,
}

/// Signs up. Runs to its end once started: call it as an owned task.
///
/// # Errors
/// The first rule broken. Nothing is left behind, but for a tombstone in the directory.
pub async fn sign_up(pds: Pds, wish: SignUp) -> Result<SignedUp, SignUpError> {
    check_invite(&pds, &wish).await?;
    let email = email::check(wish.email.as_deref())?;
    check_handle(&pds, &wish).await?;
    check_free(&pds, &wish, &email).await?;
    let recovery = wish
        .recovery_key
        .as_deref()
        .map(check_recovery_key)
        .transpose()?;
    let password = wish.password.as_ref().filter(|text| is_good_password(text));
    let password = password.ok_or(SignUpError::BadPassword)?.clone();
    let password_hash = pds.passwords.hash(password).await?;

    let identity = match &wish.brings {
        Some(did) => brought_identity(&pds, did).await?,
        None => new_identity(&pds, &wish.handle, recovery),
    };
    let new = prepare(&pds, &wish, identity, email, password_hash)?;
    if let Some(genesis) = &new.genesis {
        pds.plc.submit(&new.account.account.did, genesis).await?;
    }
    store(&pds, new).await
}

/// Whether a new password has an acceptable length.
#[must_use]
pub fn is_good_password(password: &str) -> bool {
    (1..=NEW_BYTES_MAX).contains(&password.len())
}

async fn check_invite(pds: &App, wish: &SignUp) -> Result<(), SignUpError> {
    if !pds.config.invites_required {
        return Ok(());
    }
    let code = wish.invite.clone().ok_or(SignUpError::InviteMissing)?;
    if pds.store.invites.is_available(code).await? {
        return Ok(());
    }
    Err(CreateError::InviteUnavailable.into())
}

async fn check_handle(pds: &App, wish: &SignUp) -> Result<(), SignUpError> {
    if pds.handles.is_ours(&wish.handle) || wish.brings.is_none() {
        return Ok(pds.handles.check_ours(&wish.handle, SetBy::Member)?);
    }
    pds.handles.check_any(&wish.handle)?;
    match &wish.brings {
        Some(did) => Ok(handle_change::check_points_to(pds, &wish.handle, did).await?),
        None => Ok(()),
    }
}

/// Spares the directory an operation for a sign-up that cannot succeed. The store has the last word.
async fn check_free(pds: &App, wish: &SignUp, email: &str) -> Result<(), SignUpError> {
    if let Some(did) = &wish.brings
        && pds.accounts.by_did(did).await?.is_some()
    {
        return Err(CreateError::DidTaken.into());
    }
    if pds.accounts.by_handle(&wish.handle).await?.is_some() {
        return Err(CreateError::HandleTaken.into());
    }
    if pds
        .store
        .accounts
        .find(AccountKey::Email(email.to_owned()))
        .await?
        .is_some()
    {
        return Err(CreateError::EmailTaken.into());
    }
    Ok(())
}

fn check_recovery_key(key: &str) -> Result<String, SignUpError> {
    match PublicKey::from_did_key(key) {
        Ok(_key) => Ok(key.to_owned()),
        Err(_cause) => Err(SignUpError::BadRecoveryKey),
    }
}

struct Identity {
    did: Did,
    key: SigningKey,
    genesis: Option<Operation>,
    /// The name that a promised key is kept under until now.
    promised_under: Option<Did>,
}

/// A genesis operation of this server: its rotation key signs, and stands last.
fn new_identity(pds: &App, handle: &Handle, recovery: Option<String>) -> Identity {
    let key = Keyring::generate();
    let rotation = pds.keys.rotation();
    let ours = pds.config.recovery_key.clone();
    let ours = ours.into_iter().chain([rotation.public().to_did_key()]);
    let mut rotation_keys: Vec<String> = Vec::from_iter(recovery);
    for key in ours {
        if !rotation_keys.contains(&key) {
            rotation_keys.push(key);
        }
    }
    let unsigned = UnsignedOperation {
        rotation_keys,
        verification_methods: BTreeMap::from([("atproto".to_owned(), key.public().to_did_key())]),
        also_known_as: vec![format!("at://{handle}")],
        services: BTreeMap::from([("atproto_pds".to_owned(), pds_service(pds))]),
        prev: None,
    };
    let genesis = Operation::Plc(unsigned.sign(rotation));
    Identity {
        did: genesis.founded_did(),
        key,
        genesis: Some(genesis),
        promised_under: None,
    }
}

/// This server's entry in a DID document.
#[must_use]
pub fn pds_service(pds: &App) -> Service {
    Service {
        kind: "AtprotoPersonalDataServer".to_owned(),
        endpoint: pds.url.clone(),
    }
}

/// The key that was promised to an identity that moves here, or a new one.
async fn brought_identity(pds: &App, did: &Did) -> Result<Identity, SignUpError> {
    let (key, promised_under) = match promised_key(pds, did).await? {
        Some((key, name)) => (key, Some(name)),
        None => (Keyring::generate(), None),
    };
    Ok(Identity {
        did: did.clone(),
        key,
        genesis: None,
        promised_under,
    })
}

/// The key promised to this DID, or the one in its document when that was promised to whoever would
/// put it there; with the name it is kept under.
async fn promised_key(pds: &App, did: &Did) -> Result<Option<(SigningKey, Did)>, SignUpError> {
    let accounts = &pds.store.accounts;
    if let Some(reserved) = accounts.reserved_key(did.to_string()).await? {
        return Ok(Some((pds.keys.unseal(did, &reserved.sealed)?, did.clone())));
    }
    let document = pds.resolver.did_document(did).await.ok();
    let named = document
        .as_ref()
        .and_then(|document| document.signing_key());
    let name = named.and_then(|key| key.to_did_key().parse::<Did>().ok());
    let Some(name) = name else {
        return Ok(None);
    };
    match accounts.reserved_key(name.to_string()).await? {
        Some(reserved) => Ok(Some((pds.keys.unseal(&name, &reserved.sealed)?, name))),
        None => Ok(None),
    }
}

struct Prepared {
    account: NewAccount,
    genesis: Option<Operation>,
    session: Session,
}

fn prepare(
    pds: &App,
    wish: &SignUp,
    identity: Identity,
    email: String,
    password_hash: String,
) -> Result<Prepared, SignUpError> {
    let now_ms = pds.now_ms();
    let moves_here = wish.brings.is_some();
    let Identity {
        did,
        key,
        genesis,
        promised_under,
    } = identity;
    let signing_key: SealedKey = pds.keys.seal(&did, &key)?;
    let rev = Tid::next(None, pds.clock.now_us(), repo::CLOCK_ID);
    let repo = repo::genesis(&did, &key, rev);
    let (session, row) = session::begin(pds, &did, Scope::Full, None, now_ms);
    let events = if moves_here {
        Vec::new()
    } else {
        creation_events(&did, &wish.handle, &repo, pds.clock.now_us())
    };
    let account = Account {
        id: AccountId(0),
        did,
        handle: Some(wish.handle.clone()),
        email: Some(email),
        email_confirmed_at_ms: None,
        email_pending: None,
        email_factor: false,
        password_hash,
        signing_key,
        created_at_ms: now_ms,
        deactivated_at_ms: moves_here.then_some(now_ms),
        delete_after_ms: moves_here.then_some(now_ms + ABANDONED_AFTER_MS),
        takedown_ref: None,
        suspended_until_ms: None,
        invite_code: wish.invite.clone(),
        invites_disabled: false,
    };
    let invite = if pds.config.invites_required {
        wish.invite.clone()
    } else {
        None
    };
    let account = NewAccount {
        account,
        repo,
        invite,
        promised_under: promised_under.map(|name| name.to_string()),
        session: row,
        events,
    };
    Ok(Prepared {
        account,
        genesis,
        session,
    })
}

fn creation_events(
    did: &Did,
    handle: &Handle,
    repo: &repo::InitialRepo,
    now_us: u64,
) -> Vec<EventDraft> {
    // The number is not known yet; the store fills it in.
    let id = AccountId(0);
    vec![
        EventDraft::identity(id, did, Some(handle), now_us),
        EventDraft::account(id, did, super::AccountStatus::Active, now_us),
        EventDraft::commit(id, repo, did, now_us),
        EventDraft::sync(id, did, &repo.block, repo.rev, now_us),
    ]
}

async fn store(pds: &App, new: Prepared) -> Result<SignedUp, SignUpError> {
    let Prepared {
        account: new,
        genesis,
        session,
    } = new;
    let mut account = new.account.clone();
    match pds.store.accounts.create(new).await {
        Ok(id) => {
            account.id = id;
            pds.accounts.changed(&account);
            tracing::info!(did = %account.did, handle = account.handle_text(), "account created");
            Ok(SignedUp { account, session })
        }
        Err(error) => {
            if let Some(genesis) = genesis {
                abandon(pds, &account.did, &genesis).await;
            }
            Err(error.into())
        }
    }
}

/// Ends a DID that was made for an account which then could not be stored.
async fn abandon(pds: &App, did: &Did, genesis: &Operation) {
    let tombstone = rochdale_protocol::plc::Tombstone::sign(genesis.cid(), pds.keys.rotation());
    if let Err(cause) = pds.plc.submit(did, &Operation::Tombstone(tombstone)).await {
        tracing::warn!(%did, %cause, "the DID of a sign-up that failed could not be ended");
    }
}
