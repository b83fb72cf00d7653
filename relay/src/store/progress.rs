//! How far the state follows the log, and the reservation of numbers kept outside of it.

use rochdale_service::sqlite::Transaction;
use rusqlite::Connection;

use super::{Store, StoreError, from_sql, to_sql};

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The state follows the log up to here.
    pub applied_seq: u64,
    /// No number above this one has been given out.
    pub reserved_seq: u64,
}

impl Store {
    /// The stored progress.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn progress(&self) -> Result<Progress, StoreError> {
        let read = self.db.read(|db: &Connection| {
            db.query_row(
                "SELECT applied_seq, reserved_seq FROM progress",
                [],
                |row| {
                    Ok(Progress {
                        applied_seq: from_sql(row.get(0)?),
                        reserved_seq: from_sql(row.get(1)?),
                    })
                },
            )
        });
        Ok(read.await?)
    }

    /// Sets the reservation, also downwards: at a clean stop, to the last number given out.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_reserved(&self, seq: u64) -> Result<(), StoreError> {
        let write = self.db.write(move |tx: &Transaction| {
            tx.execute("UPDATE progress SET reserved_seq = ?1", [to_sql(seq)])
                .map(drop)
        });
        Ok(write.await?)
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn ping(&self) -> Result<(), StoreError> {
        let read = self
            .db
            .read(|db: &Connection| db.query_row("SELECT 1", [], |_| Ok(())));
        Ok(read.await?)
    }
}
