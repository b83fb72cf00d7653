//! Removing a deleted account's repository in small steps.
//!
//! Owns the `purge` table. One row makes the repository invisible at once, in the transaction
//! that deletes the account; the rows go afterwards, a bounded number per value, and the job
//! survives a restart. Must not touch files: blobs become garbage rows.

use rochdale_protocol::data::{Cid, Codec};
use rusqlite::{Connection, OptionalExtension, params};

use super::{StoreError, blob, event};
use crate::account::AccountId;

/// Rows removed by one value.
const ROWS_PER_VALUE: i64 = 500;

/// An account whose data is being removed.
#[derive(Debug, Clone, Copy)]
pub struct Purge {
    /// Which account.
    pub account: AccountId,
    /// Its events up to this number are hidden and go.
    pub below_seq: u64,
}

/// Makes the repository of `account` invisible and its removal due. Call it before the event
/// that announces the deletion is appended: every event so far is hidden.
///
/// # Errors
/// Whatever SQLite reports.
pub fn mark(tx: &Connection, account: AccountId) -> Result<(), StoreError> {
    let below_seq = event::last_seq(tx)?;
    tx.execute(
        "INSERT OR REPLACE INTO purge (account, below_seq) VALUES (?1, ?2)",
        params![account.0, below_seq as i64],
    )?;
    tx.execute("DELETE FROM repo WHERE account = ?1", [account.0])?;
    tx.execute("DELETE FROM import WHERE account = ?1", [account.0])?;
    Ok(())
}

/// The next account to work on.
///
/// # Errors
/// Whatever SQLite reports.
pub fn next(conn: &Connection) -> Result<Option<Purge>, StoreError> {
    Ok(conn
        .query_row(
            "SELECT account, below_seq FROM purge ORDER BY account LIMIT 1",
            [],
            |row| {
                Ok(Purge {
                    account: AccountId(row.get(0)?),
                    below_seq: row.get::<_, i64>(1)? as u64,
                })
            },
        )
        .optional()?)
}

/// Removes some rows of an account; false when none was left.
///
/// # Errors
/// Whatever SQLite reports.
pub fn step(tx: &Connection, account: AccountId) -> Result<bool, StoreError> {
    let mut gone = 0;
    for statement in [
        "DELETE FROM record WHERE account = ?1 AND (collection, rkey) IN
            (SELECT collection, rkey FROM record WHERE account = ?1 LIMIT ?2)",
        "DELETE FROM node WHERE account = ?1 AND cid IN
            (SELECT cid FROM node WHERE account = ?1 LIMIT ?2)",
        "DELETE FROM backlink WHERE account = ?1 AND (collection, subject, rkey) IN
            (SELECT collection, subject, rkey FROM backlink WHERE account = ?1 LIMIT ?2)",
        "DELETE FROM blob_link WHERE account = ?1 AND (cid, collection, rkey) IN
            (SELECT cid, collection, rkey FROM blob_link WHERE account = ?1 LIMIT ?2)",
    ] {
        gone += tx
            .prepare_cached(statement)?
            .execute(params![account.0, ROWS_PER_VALUE])?;
        if gone > 0 {
            return Ok(true);
        }
    }
    discard_blobs(tx, account)
}

fn discard_blobs(tx: &Connection, account: AccountId) -> Result<bool, StoreError> {
    let cids: Vec<[u8; 32]> = tx
        .prepare_cached("SELECT cid FROM blob WHERE account = ?1 LIMIT ?2")?
        .query_map(params![account.0, ROWS_PER_VALUE], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for digest in &cids {
        blob::garbage::discard(tx, account, &Cid::from_digest(Codec::Raw, *digest))?;
    }
    Ok(!cids.is_empty())
}

/// Ends the removal of an account.
///
/// # Errors
/// Whatever SQLite reports.
pub fn finish(tx: &Connection, account: AccountId) -> Result<(), StoreError> {
    tx.execute(
        "DELETE FROM record_takedown WHERE account = ?1",
        [account.0],
    )?;
    blob::takedown::end_all(tx, account)?;
    tx.execute("DELETE FROM purge WHERE account = ?1", [account.0])?;
    Ok(())
}
