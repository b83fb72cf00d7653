//! Banned domains.

use rochdale_service::sqlite::Transaction;
use rusqlite::params;

use super::{Store, StoreError, to_sql};

impl Store {
    /// All banned domains, in alphabetical order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn domain_bans(&self) -> Result<Vec<String>, StoreError> {
        let rows = self.db.write(|tx: &Transaction| {
            let mut statement = tx.prepare("SELECT domain FROM domain_ban ORDER BY domain")?;
            let rows = statement.query_map([], |row| row.get(0))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        });
        Ok(rows.await?)
    }

    /// Bans a domain; banning it again changes nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn ban_domain(&self, domain: String, now_ms: u64) -> Result<(), StoreError> {
        let write = self.db.write(move |tx: &Transaction| {
            let sql = "INSERT INTO domain_ban (domain, created_at_ms) VALUES (?1, ?2) ON CONFLICT (domain) DO NOTHING";
            tx.execute(sql, params![domain, to_sql(now_ms)]).map(drop)
        });
        Ok(write.await?)
    }

    /// Lifts the ban of a domain; answers whether there was one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn unban_domain(&self, domain: String) -> Result<bool, StoreError> {
        let write = self.db.write(move |tx: &Transaction| {
            tx.execute("DELETE FROM domain_ban WHERE domain = ?1", [domain])
        });
        Ok(write.await? > 0)
    }
}
