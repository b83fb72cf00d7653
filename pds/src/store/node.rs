//! Stored tree nodes and how far they reach.
//!
//! Owns the `node` and `node_checkpoint` tables. Nodes are named by their hash, so writing one
//! twice is harmless; which tree is complete stands in `repo.nodes_root`. Must not know what a
//! node holds: `repo::nodes` decides which ones are written and deleted.

use bytes::Bytes;
use rochdale_protocol::data::{Cid, Codec};
use rochdale_protocol::syntax::Tid;
use rusqlite::{Connection, OptionalExtension, params};

use super::StoreError;
use super::repo::{blob, digest};
use crate::account::AccountId;

/// Nodes deleted by one background value when a whole account is cleared.
const ROWS_PER_VALUE: i64 = 1_000;

/// A stored node: the revision that brought it and its bytes.
///
/// # Errors
/// Whatever SQLite reports.
pub fn get(
    conn: &Connection,
    account: AccountId,
    cid: &Cid,
) -> Result<Option<(Tid, Bytes)>, StoreError> {
    if cid.codec() != Codec::DagCbor {
        return Ok(None);
    }
    let row = conn
        .prepare_cached("SELECT rev, bytes FROM node WHERE account = ?1 AND cid = ?2")?
        .query_row(params![account.0, digest(cid)], |row| {
            Ok((row.get::<_, i64>(0)?, Bytes::copy_from_slice(blob(row, 1)?)))
        })
        .optional()?;
    Ok(row.map(|(rev, bytes)| (super::repo::tid(rev), bytes)))
}

/// Writes a node, replacing the revision of an equal one.
///
/// # Errors
/// Whatever SQLite reports.
pub fn put(
    tx: &Connection,
    account: AccountId,
    cid: &Cid,
    rev: Tid,
    bytes: &[u8],
) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT OR REPLACE INTO node (account, cid, rev, bytes) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(params![account.0, digest(cid), rev.to_u64() as i64, bytes])?;
    Ok(())
}

/// Deletes a node; absent is fine.
///
/// # Errors
/// Whatever SQLite reports.
pub fn delete(tx: &Connection, account: AccountId, cid: &Cid) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM node WHERE account = ?1 AND cid = ?2")?
        .execute(params![account.0, digest(cid)])?;
    Ok(())
}

/// Deletes up to a thousand nodes of an account; false when none was left.
///
/// # Errors
/// Whatever SQLite reports.
pub fn clear_some(tx: &Connection, account: AccountId) -> Result<bool, StoreError> {
    let gone = tx
        .prepare_cached(
            "DELETE FROM node WHERE account = ?1 AND cid IN
                (SELECT cid FROM node WHERE account = ?1 LIMIT ?2)",
        )?
        .execute(params![account.0, ROWS_PER_VALUE])?;
    Ok(gone > 0)
}

/// Records that the stored nodes of `account` are complete for the tree `root` of `rev`.
///
/// # Errors
/// Whatever SQLite reports.
pub fn mark_complete(
    tx: &Connection,
    account: AccountId,
    rev: Tid,
    root: &Cid,
) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE repo SET nodes_rev = ?2, nodes_root = ?3 WHERE account = ?1")?
        .execute(params![account.0, rev.to_u64() as i64, digest(root)])?;
    Ok(())
}

/// How many nodes are stored for an account.
///
/// # Errors
/// Whatever SQLite reports.
pub fn count(conn: &Connection, account: AccountId) -> Result<u64, StoreError> {
    let count: i64 = conn
        .prepare_cached("SELECT count(*) FROM node WHERE account = ?1")?
        .query_row([account.0], |row| row.get(0))?;
    Ok(count as u64)
}

/// The event number up to which every commit has its nodes stored.
///
/// # Errors
/// Whatever SQLite reports.
pub fn checkpoint(conn: &Connection) -> Result<u64, StoreError> {
    let seq: i64 = conn
        .prepare_cached("SELECT seq FROM node_checkpoint")?
        .query_row([], |row| row.get(0))?;
    Ok(seq as u64)
}

/// Moves the checkpoint forward.
///
/// # Errors
/// Whatever SQLite reports.
pub fn set_checkpoint(tx: &Connection, seq: u64) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE node_checkpoint SET seq = max(seq, ?1)")?
        .execute([seq as i64])?;
    Ok(())
}
