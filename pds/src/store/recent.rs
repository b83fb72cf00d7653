//! What a repository gained after a revision: for showing a member their own newest records.
//!
//! There is no index by revision, which would cost every write a page. Keys of posts are
//! timestamps, so what was just written is among the newest keys, and only those are looked at.

use bytes::Bytes;
use rochdale_protocol::data::Cid;
use rochdale_protocol::syntax::Tid;
use rusqlite::{Connection, params};

use super::StoreError;
use super::repo::{blob, cid, tid};
use crate::account::AccountId;

/// So many of a collection's newest keys are looked at.
const KEYS_LOOKED_AT: i64 = 500;

/// A record with the commit that brought it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecentRecord {
    /// Its key.
    pub rkey: String,
    /// CID of its block.
    pub cid: Cid,
    /// The commit that brought this version.
    pub rev: Tid,
    /// Its DAG-CBOR block.
    pub value: Bytes,
}

/// The newest records of a collection that came after `rev`, oldest first, hidden ones left out.
///
/// # Errors
/// Whatever SQLite reports.
pub fn after(
    conn: &Connection,
    account: AccountId,
    collection: &str,
    rev: Tid,
    limit: usize,
) -> Result<Vec<RecentRecord>, StoreError> {
    let mut select = conn.prepare_cached(
        "SELECT r.rkey, r.cid, r.rev, r.value FROM (
            SELECT * FROM record WHERE account = ?1
                AND collection = (SELECT id FROM collection WHERE nsid = ?2)
            ORDER BY rkey DESC LIMIT ?5) AS r
         WHERE r.rev > ?3
            AND NOT EXISTS (SELECT 1 FROM record_takedown AS t WHERE t.account = r.account
                AND t.collection = r.collection AND t.rkey = r.rkey)
         ORDER BY r.rev DESC, r.rkey DESC LIMIT ?4",
    )?;
    let rev = rev.to_u64() as i64;
    let rows = select.query_map(
        params![account.0, collection, rev, limit as i64, KEYS_LOOKED_AT],
        |row| {
            Ok(RecentRecord {
                rkey: row.get(0)?,
                cid: cid(row.get(1)?),
                rev: tid(row.get(2)?),
                value: Bytes::copy_from_slice(blob(row, 3)?),
            })
        },
    )?;
    let mut found = rows.collect::<Result<Vec<_>, _>>()?;
    found.reverse();
    Ok(found)
}

/// Whether any record is as old as `rev`: not so where the account has just moved here and every
/// record came with the import.
///
/// # Errors
/// Whatever SQLite reports.
pub fn reaches_back_to(
    conn: &Connection,
    account: AccountId,
    rev: Tid,
) -> Result<bool, StoreError> {
    let mut select = conn.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM (SELECT rev FROM record WHERE account = ?1 LIMIT ?3)
         WHERE rev <= ?2)",
    )?;
    let rev = rev.to_u64() as i64;
    Ok(select.query_row(params![account.0, rev, KEYS_LOOKED_AT], |row| row.get(0))?)
}
