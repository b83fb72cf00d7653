//! What is to go: uploads that nothing refers to, files whose row is gone.
//!
//! Owns the `blob_garbage` table: a file stands in it from before it appears until its row is
//! written, and from when its row goes until it is removed.

use rochdale_protocol::data::Cid;
use rusqlite::{Connection, params};

use super::{is_linked, raw};
use crate::account::AccountId;
use crate::store::StoreError;
use crate::store::repo::digest;

/// Removes a blob's row and lists its file as garbage; false when there was no row.
///
/// # Errors
/// Whatever SQLite reports.
pub fn discard(tx: &Connection, account: AccountId, cid: &Cid) -> Result<bool, StoreError> {
    let gone = tx
        .prepare_cached("DELETE FROM blob WHERE account = ?1 AND cid = ?2")?
        .execute(params![account.0, digest(cid)])?;
    if gone > 0 {
        tx.prepare_cached("INSERT OR IGNORE INTO blob_garbage (account, cid) VALUES (?1, ?2)")?
            .execute(params![account.0, digest(cid)])?;
    }
    Ok(gone > 0)
}

/// Uploads before `before_ms` that no record ever referred to, oldest first.
///
/// # Errors
/// Whatever SQLite reports.
pub fn stale(
    conn: &Connection,
    before_ms: u64,
    limit: usize,
) -> Result<Vec<(AccountId, Cid)>, StoreError> {
    let mut select = conn.prepare_cached(
        "SELECT account, cid FROM blob WHERE permanent = 0 AND uploaded_at_ms < ?1
         ORDER BY uploaded_at_ms LIMIT ?2",
    )?;
    let rows = select.query_map(params![before_ms as i64, limit as i64], owned)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Removes the row of an upload that is still unreferenced and older than `before_ms`.
///
/// # Errors
/// Whatever SQLite reports.
pub fn discard_stale(
    tx: &Connection,
    account: AccountId,
    cid: &Cid,
    before_ms: u64,
) -> Result<(), StoreError> {
    let still: bool = tx.query_row(
        "SELECT EXISTS (SELECT 1 FROM blob WHERE account = ?1 AND cid = ?2
            AND permanent = 0 AND uploaded_at_ms < ?3)",
        params![account.0, digest(cid), before_ms as i64],
        |row| row.get(0),
    )?;
    if still && !is_linked(tx, account, cid)? {
        discard(tx, account, cid)?;
    }
    Ok(())
}

/// Files to remove, ascending after `after`.
///
/// # Errors
/// Whatever SQLite reports.
pub fn list(
    conn: &Connection,
    after: Option<&(AccountId, Cid)>,
    limit: usize,
) -> Result<Vec<(AccountId, Cid)>, StoreError> {
    let mut select = conn.prepare_cached(
        "SELECT account, cid FROM blob_garbage WHERE (account, cid) > (?1, ?2)
         ORDER BY account, cid LIMIT ?3",
    )?;
    let account = after.map_or(-1, |(account, _)| account.0);
    let cid = after.map_or(&[][..], |(_, cid)| digest(cid));
    let rows = select.query_map(params![account, cid, limit as i64], owned)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Forgets a file that was removed.
///
/// # Errors
/// Whatever SQLite reports.
pub fn removed(tx: &Connection, account: AccountId, cid: &Cid) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM blob_garbage WHERE account = ?1 AND cid = ?2")?
        .execute(params![account.0, digest(cid)])?;
    Ok(())
}

fn owned(row: &rusqlite::Row<'_>) -> Result<(AccountId, Cid), rusqlite::Error> {
    Ok((AccountId(row.get(0)?), raw(row.get(1)?)))
}
