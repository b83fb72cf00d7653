//! The audit log on disk: rows are added and read, never changed.

use rochdale_service::sqlite::Database;
use rusqlite::{Connection, params};

use super::StoreError;
use super::access::Access;
use crate::audit::Entry;

/// The audit log on disk.
#[derive(Debug, Clone)]
pub struct AuditStore {
    database: Access,
}

impl AuditStore {
    pub(super) fn new(database: Database) -> Self {
        Self {
            database: Access::new(database),
        }
    }

    /// Adds an entry; durable on return. Its number is given here.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn add(&self, entry: Entry) -> Result<(), StoreError> {
        let add = move |db: &Connection| {
            db.prepare_cached(
                "INSERT INTO audit (at_ms, who, method, subject, detail)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![
                entry.at_ms,
                entry.who,
                entry.method,
                entry.subject,
                entry.detail
            ])?;
            Ok(())
        };
        self.database.write(add).await
    }

    /// Up to `limit` entries, newest first, with numbers below `before` when that is given.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn page(&self, before: Option<i64>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let page = move |db: &Connection| {
            db.prepare_cached(
                "SELECT id, at_ms, who, method, subject, detail FROM audit
                 WHERE id < ?1 ORDER BY id DESC LIMIT ?2",
            )?
            .query_map(params![before.unwrap_or(i64::MAX), limit as i64], |row| {
                Ok(Entry {
                    id: row.get(0)?,
                    at_ms: row.get(1)?,
                    who: row.get(2)?,
                    method: row.get(3)?,
                    subject: row.get(4)?,
                    detail: row.get(5)?,
                })
            })?
            .collect()
        };
        self.database.read(page).await
    }
}
