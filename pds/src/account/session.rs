//! Signing in, renewing a session, signing out.
//!
//! Follows `com.atproto.server.createSession` and `refreshSession`: one answer for an unknown
//! account and a wrong password, a refresh token that may be used again for two hours, tokens of a
//! taken-down account that only allow to appeal and move out.

use std::sync::Arc;
use std::time::Duration;

use rochdale_protocol::syntax::{Did, Handle};

use super::Account;
use super::code::{EmailPurpose, app_password_digest, looks_like_app_password};
use super::mailed::{self, MailCodeError};
use crate::app::App;
use crate::auth::password::{LOGIN_BYTES_MAX, PasswordError};
use crate::auth::token::{REFRESH_GRACE_MS, REFRESH_MS, Scope, TokenError, new_jti};
use crate::store::StoreError;
use crate::store::account::{AccountChange, AccountKey, ChangeError, Redeem};
use crate::store::session::{NewSession, RotateError, Rotation};

/// A refused sign-in is answered after this time at the earliest, so that its length tells nothing.
const REFUSAL_FLOOR: Duration = Duration::from_millis(350);

/// The shortest time between two codes for one account, in milliseconds.
const FACTOR_SPACING_MS: i64 = 60_000;

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
    /// The password is right, and the code that was mailed is asked for.
    #[error("A sign in code has been sent to your email address")]
    FactorRequired,
    /// The code is not good, or the account changed meanwhile.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// No code could be mailed.
    #[error(transparent)]
    Mail(#[from] MailCodeError),
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

/// What a person who signs in gives.
#[derive(Debug)]
pub struct SignIn {
    /// Handle, DID or mail address.
    pub identifier: String,
    /// Main password or app password.
    pub password: String,
    /// The code that was mailed as a second factor.
    pub code: Option<String>,
    /// Whether a taken-down account gets the session for appeals.
    pub allow_taken_down: bool,
}

/// Signs in. An app password takes no second factor: it is one of many, and revoked alone.
///
/// # Errors
/// [`SignInError::Invalid`] for everything a stranger may not learn.
pub async fn sign_in(pds: &App, given: SignIn) -> Result<(Arc<Account>, Session), SignInError> {
    let floor = tokio::time::sleep(REFUSAL_FLOOR);
    let outcome = try_sign_in(pds, given).await;
    if matches!(outcome, Err(SignInError::Invalid)) {
        floor.await;
    }
    outcome
}

async fn try_sign_in(pds: &App, given: SignIn) -> Result<(Arc<Account>, Session), SignInError> {
    if given.password.len() > LOGIN_BYTES_MAX {
        return Err(SignInError::Invalid);
    }
    let account = find(pds, spelling(&given.identifier)).await?;
    let verified = verify(pds, account.as_deref(), given.password).await?;
    let (Some(account), Some(proof)) = (account, verified) else {
        return Err(SignInError::Invalid);
    };
    let now_ms = pds.now_ms();
    let taken_down = account.is_taken_down();
    let (scope, app_password) = match proof {
        Proof::AppPassword { .. } if taken_down => return Err(SignInError::TakenDown),
        Proof::MainPassword if taken_down && !given.allow_taken_down => {
            return Err(SignInError::TakenDown);
        }
        Proof::MainPassword if taken_down => (Scope::TakenDown, None),
        Proof::MainPassword => (Scope::Full, None),
        Proof::AppPassword { name, privileged } => (Scope::AppPassword { privileged }, Some(name)),
    };
    // A new password ends all sessions: one that was opened with the old one must not come after it.
    let mut change = AccountChange::of(account.id);
    if app_password.is_none() {
        change = change.if_password(account.password_hash.clone());
    }
    if account.email_factor && app_password.is_none() {
        change = change.redeems(second_factor(pds, &account, given.code).await?);
    }
    let (session, row) = begin(pds, &account.did, scope, app_password, now_ms);
    // The session of a taken-down account cannot be renewed, so it is not kept.
    if !taken_down {
        change = change.opens(row);
    }
    pds.store.accounts.change(change).await?;
    Ok((account, session))
}

/// The code given, to be used up together with the beginning of the session. Without one a code is
/// mailed, but no second one within a minute: somebody who has the password alone can neither flood
/// the member nor take them the code they were just sent.
async fn second_factor(
    pds: &App,
    account: &Account,
    given: Option<String>,
) -> Result<Redeem, SignInError> {
    if let Some(code) = given.filter(|code| !code.trim().is_empty()) {
        return Ok(mailed::redeem(pds, EmailPurpose::SignIn, &code));
    }
    let recently_ms = pds.now_ms() - FACTOR_SPACING_MS;
    mailed::send_unless_after(pds, account, EmailPurpose::SignIn, recently_ms).await?;
    Err(SignInError::FactorRequired)
}

/// An identifier without what people write around it: a handle is often written with `@`. What counts
/// tries must count by this, or every spelling has tries of its own.
#[must_use]
pub fn spelling(identifier: &str) -> &str {
    identifier.trim().trim_start_matches('@')
}

async fn find(pds: &App, identifier: &str) -> Result<Option<Arc<Account>>, StoreError> {
    if identifier.starts_with("did:") {
        let Ok(did) = identifier.parse::<Did>() else {
            return Ok(None);
        };
        return pds.accounts.by_did(&did).await;
    }
    if identifier.contains('@') {
        let found = pds
            .store
            .accounts
            .find(AccountKey::Email(identifier.to_owned()))
            .await?;
        return Ok(found.map(Arc::new));
    }
    let Ok(handle) = identifier.parse::<Handle>() else {
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
