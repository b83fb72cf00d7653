//! Accounts this relay has taken down.

use rochdale_protocol::syntax::Did;
use rochdale_service::sqlite::Transaction;
use rusqlite::{Connection, params};

use super::{Store, StoreError, corrupt, to_sql};

/// One takedown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Takedown {
    /// Its number, for paging.
    pub id: i64,
    /// The account.
    pub did: Did,
    /// Whether subscribers have been told.
    pub announced: bool,
}

impl Store {
    /// Takes an account down, known or not; taking it down again changes nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn take_down(&self, did: &Did, now_ms: u64) -> Result<(), StoreError> {
        let did = did.clone();
        let write = self.db.write(move |tx: &Transaction| {
            let sql = "INSERT INTO takedown (did, announced, created_at_ms) VALUES (?1, 0, ?2) ON CONFLICT (did) DO NOTHING";
            tx.execute(sql, params![did.as_str(), to_sql(now_ms)]).map(drop)
        });
        Ok(write.await?)
    }

    /// Takes a takedown back; answers whether there was one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn reverse_takedown(&self, did: &Did) -> Result<bool, StoreError> {
        let did = did.clone();
        let write = self.db.write(move |tx: &Transaction| {
            tx.execute("DELETE FROM takedown WHERE did = ?1", [did.as_str()])
        });
        Ok(write.await? > 0)
    }

    /// Takedowns in the order they were made, above `after`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn takedowns(&self, after: i64, limit: u64) -> Result<Vec<Takedown>, StoreError> {
        let rows = self.db.read(move |db: &Connection| {
            let mut statement = db.prepare_cached(
                "SELECT id, did, announced FROM takedown WHERE id > ?1 ORDER BY id LIMIT ?2",
            )?;
            let rows = statement.query_map(params![after, to_sql(limit)], |row| {
                Ok((
                    row.get::<_, i64>(0)?,
                    row.get::<_, String>(1)?,
                    row.get::<_, bool>(2)?,
                ))
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        });
        let build = |(id, did, announced): (i64, String, bool)| {
            Ok(Takedown {
                id,
                did: did.parse().map_err(|_| corrupt("DID", did))?,
                announced,
            })
        };
        rows.await?.into_iter().map(build).collect()
    }
}
