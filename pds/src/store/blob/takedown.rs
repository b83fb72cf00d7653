//! Blobs hidden by a moderator: not served, not referred to anew, not accepted again.
//!
//! Owns the `blob_takedown` table, which knows also blobs that are not here.

use rochdale_protocol::data::Cid;
use rusqlite::{Connection, OptionalExtension, params};

use crate::account::AccountId;
use crate::store::StoreError;
use crate::store::repo::digest;

/// Hides a blob (`reference` given) or shows it again.
///
/// # Errors
/// Whatever SQLite reports.
pub fn set(
    tx: &Connection,
    account: AccountId,
    cid: &Cid,
    reference: Option<&str>,
) -> Result<(), StoreError> {
    match reference {
        Some(reference) => tx.execute(
            "INSERT OR REPLACE INTO blob_takedown (account, cid, ref) VALUES (?1, ?2, ?3)",
            params![account.0, digest(cid), reference],
        )?,
        None => tx.execute(
            "DELETE FROM blob_takedown WHERE account = ?1 AND cid = ?2",
            params![account.0, digest(cid)],
        )?,
    };
    Ok(())
}

/// The reference under which a blob is hidden.
///
/// # Errors
/// Whatever SQLite reports.
pub fn get(conn: &Connection, account: AccountId, cid: &Cid) -> Result<Option<String>, StoreError> {
    Ok(conn
        .prepare_cached("SELECT ref FROM blob_takedown WHERE account = ?1 AND cid = ?2")?
        .query_row(params![account.0, digest(cid)], |row| row.get(0))
        .optional()?)
}

/// Ends all takedowns of a deleted account; what was kept of its hidden blobs is to go.
///
/// # Errors
/// Whatever SQLite reports.
pub fn end_all(tx: &Connection, account: AccountId) -> Result<(), StoreError> {
    tx.execute(
        "INSERT OR IGNORE INTO blob_garbage (account, cid)
         SELECT account, cid FROM blob_takedown WHERE account = ?1",
        [account.0],
    )?;
    tx.execute("DELETE FROM blob_takedown WHERE account = ?1", [account.0])?;
    Ok(())
}
