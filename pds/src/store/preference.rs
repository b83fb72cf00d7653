//! What apps keep for a member, on disk.

use futures::future::BoxFuture;
use rochdale_service::sqlite::Database;
use rusqlite::{Connection, params};

use super::StoreError;
use super::access::Access;
use crate::account::AccountId;

/// One preference: its `$type` and its JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preference {
    /// The value of `$type`.
    pub kind: String,
    /// The whole object as JSON.
    pub json: String,
}

/// Preferences on disk.
pub trait PreferenceStore: Send + Sync {
    /// All preferences of an account, in the order in which they were put.
    fn all(&self, account: AccountId) -> BoxFuture<'_, Result<Vec<Preference>, StoreError>>;

    /// Replaces all preferences but those whose kind is in `keep`.
    fn replace(
        &self,
        account: AccountId,
        keep: &'static [&'static str],
        with: Vec<Preference>,
    ) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// [`PreferenceStore`] over SQLite.
pub(super) struct SqlitePreferences {
    database: Access,
}

impl SqlitePreferences {
    pub(super) fn new(database: Database) -> Self {
        Self {
            database: Access::new(database),
        }
    }
}

impl PreferenceStore for SqlitePreferences {
    fn all(&self, account: AccountId) -> BoxFuture<'_, Result<Vec<Preference>, StoreError>> {
        self.database.read(move |db| all(db, account))
    }

    fn replace(
        &self,
        account: AccountId,
        keep: &'static [&'static str],
        with: Vec<Preference>,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        self.database
            .write(move |db| replace(db, account, keep, &with))
    }
}

fn all(db: &Connection, account: AccountId) -> rusqlite::Result<Vec<Preference>> {
    db.prepare_cached("SELECT kind, value FROM preference WHERE account = ?1 ORDER BY position")?
        .query_map([account.0], |row| {
            Ok(Preference {
                kind: row.get(0)?,
                json: row.get(1)?,
            })
        })?
        .collect()
}

fn replace(
    db: &Connection,
    account: AccountId,
    keep: &[&str],
    with: &[Preference],
) -> rusqlite::Result<()> {
    let mut kept = all(db, account)?;
    kept.retain(|preference| keep.contains(&preference.kind.as_str()));
    db.prepare_cached("DELETE FROM preference WHERE account = ?1")?
        .execute([account.0])?;
    let mut insert = db.prepare_cached(
        "INSERT INTO preference (account, position, kind, value) VALUES (?1, ?2, ?3, ?4)",
    )?;
    for (position, preference) in (0_i64..).zip(kept.iter().chain(with)) {
        insert.execute(params![
            account.0,
            position,
            preference.kind,
            preference.json
        ])?;
    }
    Ok(())
}
