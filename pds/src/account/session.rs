//! Signing in, renewing a session, signing out.
//!
//! Follows `com.atproto.server.createSession` and `refreshSession`: one answer for an unknown
//! account and a wrong password, a refresh token that may be used again for two hours, tokens of a
//! taken-down account that only allow to appeal and move out.

use std::sync::Arc;
use std::time::Duration;

use rochdale_protocol::syntax::{Did, Handle};

use super::Account;
use super::code::{app_password_digest, looks_like_app_password};
use crate::app::App;
use crate::auth::password::{LOGIN_BYTES_MAX, PasswordError};
use crate::auth::token::{REFRESH_GRACE_MS, REFRESH_MS, Scope, TokenError, new_jti};
use crate::store::StoreError;
use crate::store::account::AccountKey;
use crate::store::session::{NewSession, RotateError, Rotation};

/// A refused sign-in is answered after this time at the earliest, so that its length tells nothing.
const REFUSAL_FLOOR: Duration = Duration::from_millis(350);

/// The two tokens of a session.
#[derive(Debug, Clone)]
pub struct Session {
    /// Good for two hours.
    pub access: String,
    /// Good for one renewal within 90 days.
    pub refresh: String,
}

/// Why nobody was signed in.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// No such account, or not its password: one answer for both.
    #[error("Invalid identifier or password")]
    Invalid,
    /// The account was taken down.
    #[error("Account has been taken down")]
    TakenDown,
    /// Passwords cannot be checked at the moment.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a session was not renewed.
#[derive(Debug, thiserror::Error)]
pub enum RenewError {
    /// The token is not good.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// Not known, used up or revoked.
    #[error("Token has been revoked")]
    Revoked,
    /// The account was taken down.
    #[error("Account has been taken down")]
    TakenDown,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes the tokens of a new session and the row to keep.
#[must_use]
pub fn begin(
    pds: &App,
    did: &Did,
    scope: Scope,
    app_password: Option<String>,
    now_ms: i64,
) -> (Session, NewSession) {
    let row = NewSession {
        jti: new_jti(),
        expires_at_ms: now_ms + REFRESH_MS,
        app_password,
    };
    let session = Session {
        access: pds.tokens.access(did, scope, now_ms),
        refresh: pds
            .tokens
            .refresh(did, row.jti.clone(), now_ms, row.expires_at_ms),
    };
    (session, row)
}

/// Signs in with a handle, DID or mail address and a password or app password.
///
/// # Errors
/// [`SignInError::Invalid`] for everything a stranger may not learn.
pub async fn sign_in(
    pds: &App,
    identifier: &str,
    password: String,
    allow_taken_down: bool,
) -> Result<(Arc<Account>, Session), SignInError> {
    let floor = tokio::time::sleep(REFUSAL_FLOOR);
    let outcome = try_sign_in(pds, identifier, password, allow_taken_down).await;
    if matches!(outcome, Err(SignInError::Invalid)) {
        floor.await;
    }
    outcome
}

async fn try_sign_in(
    pds: &App,
    identifier: &str,
    password: String,
    allow_taken_down: bool,
) -> Result<(Arc<Account>, Session), SignInError> {
    if password.len() > LOGIN_BYTES_MAX {
        return Err(SignInError::Invalid);
    }
    let account = find(pds, identifier.trim()).await?;
    let verified = verify(pds, account.as_deref(), password).await?;
    let (Some(account), Some(proof)) = (account, verified) else {
        return Err(SignInError::Invalid);
    };
    let now_ms = pds.now_ms();
    let taken_down = account.is_taken_down();
    let (scope, app_password) = match proof {
        Proof::AppPassword { .. } if taken_down => return Err(SignInError::TakenDown),
        Proof::MainPassword if taken_down && !allow_taken_down => {
            return Err(SignInError::TakenDown);
        }
        Proof::MainPassword if taken_down => (Scope::TakenDown, None),
        Proof::MainPassword => (Scope::Full, None),
        Proof::AppPassword { name, privileged } => (Scope::AppPassword { privileged }, Some(name)),
    };
    let (session, row) = begin(pds, &account.did, scope, app_password, now_ms);
    // The session of a taken-down account cannot be renewed, so it is not kept.
    if !taken_down {
        pds.store.sessions.open(account.id, row).await?;
    }
    Ok((account, session))
}

async fn find(pds: &App, identifier: &str) -> Result<Option<Arc<Account>>, StoreError> {
    if identifier.starts_with("did:") {
        let Ok(did) = identifier.parse::<Did>() else {
            return Ok(None);
        };
        return pds.accounts.by_did(&did).await;
    }
    if identifier.contains('@') && !identifier.starts_with('@') {
        let found = pds
            .store
            .accounts
            .find(AccountKey::Email(identifier.to_owned()))
            .await?;
        return Ok(found.map(Arc::new));
    }
    let Ok(handle) = identifier.trim_start_matches('@').parse::<Handle>() else {
        return Ok(None);
    };
    pds.accounts.by_handle(&handle).await
}

enum Proof {
    MainPassword,
    AppPassword { name: String, privileged: bool },
}

async fn verify(
    pds: &App,
    account: Option<&Account>,
    password: String,
) -> Result<Option<Proof>, SignInError> {
    if let Some(account) = account
        && looks_like_app_password(&password)
    {
        let digest = app_password_digest(&account.did, &password);
        if let Some(found) = pds.store.sessions.app_password(account.id, digest).await? {
            let (name, privileged) = (found.name, found.privileged);
            return Ok(Some(Proof::AppPassword { name, privileged }));
        }
    }
    let stored = account.map(|account| account.password_hash.clone());
    let matches = pds.passwords.verify(password, stored).await?;
    Ok(matches.then_some(Proof::MainPassword))
}

/// Renews a session with its refresh token. Uses of one token within its grace all lead to the same
/// next refresh token, so that two tabs, or a client that lost an answer, stay signed in.
///
/// # Errors
/// [`RenewError::Revoked`] for a token past its use.
pub async fn renew(pds: &App, token: &str) -> Result<(Arc<Account>, Session), RenewError> {
    let now_ms = pds.now_ms();
    let token = pds.tokens.check_refresh(token, Some(now_ms))?;
    let account = pds
        .accounts
        .by_did(&token.subject)
        .await?
        .ok_or(RenewError::Revoked)?;
    if account.is_taken_down() {
        return Err(RenewError::TakenDown);
    }
    let rotation = Rotation {
        account: account.id,
        jti: token.jti,
        offered_jti: new_jti(),
        now_ms,
        grace_until_ms: now_ms + REFRESH_GRACE_MS,
        next_expires_at_ms: now_ms + REFRESH_MS,
    };
    let next = pds
        .store
        .sessions
        .rotate(rotation)
        .await
        .map_err(|error| match error {
            RotateError::Revoked => RenewError::Revoked,
            RotateError::Store(error) => RenewError::Store(error),
        })?;
    let scope = match next.app_password {
        None => Scope::Full,
        Some((_name, privileged)) => Scope::AppPassword { privileged },
    };
    let session = Session {
        access: pds.tokens.access(&account.did, scope, now_ms),
        refresh: pds
            .tokens
            .refresh(&account.did, next.jti, now_ms, next.expires_at_ms),
    };
    Ok((account, session))
}

/// Ends the session of a refresh token, also of an expired one. Absent is fine.
///
/// # Errors
/// A token that is not ours.
pub async fn sign_out(pds: &App, token: &str) -> Result<(), RenewError> {
    let token = pds.tokens.check_refresh(token, None)?;
    Ok(pds.store.sessions.close(token.jti).await?)
}
