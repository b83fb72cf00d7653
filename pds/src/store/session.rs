//! Refresh tokens and app passwords on disk.

#[cfg(test)]
mod tests;

use futures::future::BoxFuture;
use rochdale_service::sqlite::Database;
use rusqlite::{Connection, OptionalExtension, params};

use super::StoreError;
use super::access::Access;
use crate::account::AccountId;

/// Rows that one value removes.
const PRUNED_AT_ONCE: i64 = 500;

/// A session that begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSession {
    /// Id of its refresh token.
    pub jti: String,
    /// When that token ends, Unix ms.
    pub expires_at_ms: i64,
    /// Name of the app password it was opened with.
    pub app_password: Option<String>,
}

/// The use of a refresh token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// Whose token.
    pub account: AccountId,
    /// Id of the token presented.
    pub jti: String,
    /// Id of the next one, unless an earlier use has set another.
    pub offered_jti: String,
    /// Now, Unix ms.
    pub now_ms: i64,
    /// When the presented token ends at the latest from now on, Unix ms.
    pub grace_until_ms: i64,
    /// When the next token ends, Unix ms.
    pub next_expires_at_ms: i64,
}

/// The token that replaces a used one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotated {
    /// Its id: the same for every use of the old token.
    pub jti: String,
    /// When it ends, Unix ms.
    pub expires_at_ms: i64,
    /// The app password of the session, if it has one: name, and whether privileged.
    pub app_password: Option<(String, bool)>,
}

/// Why a refresh token was not rotated. Nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// Not known, used up or revoked.
    #[error("Token has been revoked")]
    Revoked,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<rusqlite::Error> for RotateError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

/// An app password as listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppPassword {
    /// The name its owner gave it.
    pub name: String,
    /// Whether it reaches private messages and migration.
    pub privileged: bool,
    /// When it was made, Unix ms.
    pub created_at_ms: i64,
}

/// Why an app password was not added. Nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum AppPasswordError {
    /// One with this name exists.
    #[error("an app password named {0:?} exists already: choose another name or revoke it first")]
    NameTaken(String),
    /// The account has as many as one may have.
    #[error("an account may have at most {0} app passwords: revoke one first")]
    TooMany(usize),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<rusqlite::Error> for AppPasswordError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Refresh tokens and app passwords on disk.
pub trait SessionStore: Send + Sync {
    /// Uses a refresh token. Uses of one token within its grace all answer the same next token.
    /// The account's expired tokens are removed on the way.
    fn rotate(&self, rotation: Rotation) -> BoxFuture<'_, Result<Rotated, RotateError>>;

    /// Removes a refresh token and the used ones that still lead to it. Absent is fine.
    fn close(&self, jti: String) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Removes some expired tokens and answers how many; 0 when none is left.
    fn prune(&self, now_ms: i64) -> BoxFuture<'_, Result<usize, StoreError>>;

    /// Adds an app password, unless its name is taken or there are `max` already.
    fn add_app_password(
        &self,
        account: AccountId,
        new: AppPassword,
        digest: [u8; 32],
        max: usize,
    ) -> BoxFuture<'_, Result<(), AppPasswordError>>;

    /// The app passwords of an account, newest first.
    fn app_passwords(
        &self,
        account: AccountId,
    ) -> BoxFuture<'_, Result<Vec<AppPassword>, StoreError>>;

    /// The app password with this digest.
    fn app_password(
        &self,
        account: AccountId,
        digest: [u8; 32],
    ) -> BoxFuture<'_, Result<Option<AppPassword>, StoreError>>;

    /// Removes an app password and every session made with it. Absent is fine.
    fn revoke_app_password(
        &self,
        account: AccountId,
        name: String,
    ) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// [`SessionStore`] over SQLite.
pub(super) struct SqliteSessions {
    database: Access,
}

impl SqliteSessions {
    pub(super) fn new(database: Database) -> Self {
        Self {
            database: Access::new(database),
        }
    }
}

impl SessionStore for SqliteSessions {
    fn rotate(&self, rotation: Rotation) -> BoxFuture<'_, Result<Rotated, RotateError>> {
        self.database.apply(move |db| rotate(db, &rotation))
    }

    fn close(&self, jti: String) -> BoxFuture<'_, Result<(), StoreError>> {
        self.database.write(move |db| {
            db.prepare_cached("DELETE FROM session WHERE jti = ?1")?
                .execute([&jti])?;
            db.prepare_cached("DELETE FROM session WHERE next_jti = ?1")?
                .execute([&jti])?;
            Ok(())
        })
    }

    fn prune(&self, now_ms: i64) -> BoxFuture<'_, Result<usize, StoreError>> {
        self.database.write_background(move |db| {
            db.prepare_cached(
                "DELETE FROM session WHERE jti IN
                     (SELECT jti FROM session WHERE expires_at_ms <= ?1 LIMIT ?2)",
            )?
            .execute(params![now_ms, PRUNED_AT_ONCE])
        })
    }

    fn add_app_password(
        &self,
        account: AccountId,
        new: AppPassword,
        digest: [u8; 32],
        max: usize,
    ) -> BoxFuture<'_, Result<(), AppPasswordError>> {
        self.database
            .apply(move |db| add_app_password(db, account, new, digest, max))
    }

    fn app_passwords(
        &self,
        account: AccountId,
    ) -> BoxFuture<'_, Result<Vec<AppPassword>, StoreError>> {
        self.database.read(move |db| {
            let listed = db
                .prepare_cached(
                    "SELECT name, privileged, created_at_ms FROM app_password
                     WHERE account = ?1 ORDER BY created_at_ms DESC, name",
                )?
                .query_map([account.0], app_password_row)?
                .collect::<Result<_, _>>()?;
            Ok(listed)
        })
    }

    fn app_password(
        &self,
        account: AccountId,
        digest: [u8; 32],
    ) -> BoxFuture<'_, Result<Option<AppPassword>, StoreError>> {
        self.database.read(move |db| {
            let found = db
                .prepare_cached(
                    "SELECT name, privileged, created_at_ms FROM app_password
                     WHERE account = ?1 AND digest = ?2",
                )?
                .query_row(params![account.0, digest.as_slice()], app_password_row)
                .optional()?;
            Ok(found)
        })
    }

    fn revoke_app_password(
        &self,
        account: AccountId,
        name: String,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        self.database.write(move |db| {
            db.prepare_cached("DELETE FROM session WHERE account = ?1 AND app_password = ?2")?
                .execute(params![account.0, name])?;
            db.prepare_cached("DELETE FROM app_password WHERE account = ?1 AND name = ?2")?
                .execute(params![account.0, name])?;
            Ok(())
        })
    }
}

fn app_password_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<AppPassword> {
    Ok(AppPassword {
        name: row.get(0)?,
        privileged: row.get(1)?,
        created_at_ms: row.get(2)?,
    })
}

/// Writes the row of a new session.
pub(super) fn insert(
    db: &Connection,
    account: AccountId,
    new: &NewSession,
) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO session (jti, account, expires_at_ms, app_password) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(params![
        new.jti,
        account.0,
        new.expires_at_ms,
        new.app_password
    ])?;
    Ok(())
}

fn rotate(db: &Connection, rotation: &Rotation) -> Result<Rotated, RotateError> {
    let Rotation {
        account,
        jti,
        now_ms,
        ..
    } = rotation;
    db.prepare_cached("DELETE FROM session WHERE account = ?1 AND expires_at_ms <= ?2")?
        .execute(params![account.0, now_ms])?;
    let found: Option<(Option<String>, Option<String>)> = db
        .prepare_cached(
            "SELECT next_jti, app_password FROM session WHERE jti = ?1 AND account = ?2",
        )?
        .query_row(params![jti, account.0], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    let Some((next_jti, app_password)) = found else {
        return Err(RotateError::Revoked);
    };
    let next_jti = next_jti.unwrap_or_else(|| rotation.offered_jti.clone());
    db.prepare_cached(
        "UPDATE session SET next_jti = ?2, expires_at_ms = min(expires_at_ms, ?3) WHERE jti = ?1",
    )?
    .execute(params![jti, next_jti, rotation.grace_until_ms])?;
    db.prepare_cached(
        "INSERT INTO session (jti, account, expires_at_ms, app_password) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (jti) DO NOTHING",
    )?
    .execute(params![
        next_jti,
        account.0,
        rotation.next_expires_at_ms,
        app_password
    ])?;
    let expires_at_ms = db
        .prepare_cached("SELECT expires_at_ms FROM session WHERE jti = ?1")?
        .query_row([&next_jti], |row| row.get(0))?;
    let app_password = match app_password {
        None => None,
        Some(name) => db
            .prepare_cached("SELECT privileged FROM app_password WHERE account = ?1 AND name = ?2")?
            .query_row(params![account.0, name], |row| row.get(0))
            .optional()?
            .map(|privileged| Some((name, privileged)))
            .ok_or(RotateError::Revoked)?,
    };
    Ok(Rotated {
        jti: next_jti,
        expires_at_ms,
        app_password,
    })
}

fn add_app_password(
    db: &Connection,
    account: AccountId,
    new: AppPassword,
    digest: [u8; 32],
    max: usize,
) -> Result<(), AppPasswordError> {
    let count: usize = db
        .prepare_cached("SELECT count(*) FROM app_password WHERE account = ?1")?
        .query_row([account.0], |row| row.get::<_, i64>(0))?
        .try_into()
        .unwrap_or(usize::MAX);
    if count >= max {
        return Err(AppPasswordError::TooMany(max));
    }
    let added = db
        .prepare_cached(
            "INSERT INTO app_password (account, name, digest, privileged, created_at_ms)
             VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (account, name) DO NOTHING",
        )?
        .execute(params![
            account.0,
            new.name,
            digest.as_slice(),
            new.privileged,
            new.created_at_ms
        ])?;
    if added == 0 {
        return Err(AppPasswordError::NameTaken(new.name));
    }
    Ok(())
}
