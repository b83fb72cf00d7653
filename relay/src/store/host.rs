//! Hosts and their cursors.

use rochdale_service::sqlite::Transaction;
use rusqlite::params;

use super::{Store, StoreError, corrupt, from_sql, to_sql};
use crate::hosts::{HostId, HostName, HostStatus};

/// A host as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostRow {
    /// Its number, in the order of discovery.
    pub id: HostId,
    /// Its name.
    pub name: HostName,
    /// Never [`HostStatus::Throttled`]: that is of the moment.
    pub status: HostStatus,
    /// `None`: start live. 0: start from the oldest.
    pub cursor: Option<u64>,
    /// Accounts it may have.
    pub account_limit: u64,
    /// Accounts it has, deleted ones not counted.
    pub accounts: u64,
}

impl Store {
    /// All hosts, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn hosts(&self) -> Result<Vec<HostRow>, StoreError> {
        let rows = self.db.write(|tx: &Transaction| {
            // On the writer: this runs once, at the start, and may count long.
            let mut statement = tx.prepare(
                "SELECT id, hostname, status, cursor, account_limit,
                        (SELECT count(*) FROM account WHERE host = host.id AND status IS NOT 'deleted')
                 FROM host ORDER BY id",
            )?;
            let rows = statement.query_map([], |row| {
                Ok((row.get(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
            })?;
            rows.collect::<rusqlite::Result<Vec<(u32, _, _, Option<i64>, i64, i64)>>>()
        });
        let build = |(id, name, status, cursor, limit, accounts): (
            u32,
            String,
            String,
            Option<i64>,
            i64,
            i64,
        )| {
            Ok(HostRow {
                id: HostId(id),
                name: HostName::from_stored(&name),
                status: HostStatus::from_name(&status)
                    .ok_or_else(|| corrupt("host status", status))?,
                cursor: cursor.map(from_sql),
                account_limit: from_sql(limit),
                accounts: from_sql(accounts),
            })
        };
        rows.await?.into_iter().map(build).collect()
    }

    /// Adds a host, or answers the number of the one with that name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn add_host(
        &self,
        name: HostName,
        cursor: Option<u64>,
        account_limit: u64,
        now_ms: u64,
    ) -> Result<HostId, StoreError> {
        let id = self.db.write(move |tx: &Transaction| {
            tx.execute(
                "INSERT INTO host (hostname, status, cursor, account_limit, created_at_ms) VALUES (?1, 'active', ?2, ?3, ?4)
                 ON CONFLICT (hostname) DO NOTHING",
                params![name.as_str(), cursor.map(to_sql), to_sql(account_limit), to_sql(now_ms)],
            )?;
            tx.query_row("SELECT id FROM host WHERE hostname = ?1", [name.as_str()], |row| row.get(0))
        });
        Ok(HostId(id.await?))
    }

    /// Sets a status that follows from what the connection does. A ban stays.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_host_status(&self, id: HostId, status: HostStatus) -> Result<(), StoreError> {
        self.write_status(
            "UPDATE host SET status = ?2 WHERE id = ?1 AND status <> 'banned'",
            id,
            status,
        )
        .await
    }

    /// Sets a status by the operator's decision.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn decide_host_status(
        &self,
        id: HostId,
        status: HostStatus,
    ) -> Result<(), StoreError> {
        self.write_status("UPDATE host SET status = ?2 WHERE id = ?1", id, status)
            .await
    }

    async fn write_status(
        &self,
        sql: &'static str,
        id: HostId,
        status: HostStatus,
    ) -> Result<(), StoreError> {
        let write = self.db.write(move |tx: &Transaction| {
            tx.execute(sql, params![id.0, status.stored_name()])
                .map(drop)
        });
        Ok(write.await?)
    }

    /// Changes how many accounts a host may have.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_account_limit(&self, id: HostId, limit: u64) -> Result<(), StoreError> {
        let write = self.db.write(move |tx: &Transaction| {
            tx.execute(
                "UPDATE host SET account_limit = ?2 WHERE id = ?1",
                params![id.0, to_sql(limit)],
            )
            .map(drop)
        });
        Ok(write.await?)
    }

    /// Saves cursors, and nothing but cursors.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn save_cursors(
        &self,
        cursors: Vec<(HostId, Option<u64>)>,
    ) -> Result<(), StoreError> {
        let write = self.db.write(move |tx: &Transaction| {
            let mut statement = tx.prepare_cached("UPDATE host SET cursor = ?2 WHERE id = ?1")?;
            for (id, cursor) in cursors {
                statement.execute(params![id.0, cursor.map(to_sql)])?;
            }
            Ok(())
        });
        Ok(write.await?)
    }
}
