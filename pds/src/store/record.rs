//! Records as they are read: one, a page of a collection, everything in the order of the tree.
//!
//! Owns the reads of `record`, `backlink` and `record_takedown`. The order of a repository is
//! that of the bytes `collection/rkey`: collections sorted by `nsid/`, never by their number.
//! Must not know how a record is shown.

use bytes::Bytes;
use rochdale_protocol::data::Cid;
use rochdale_protocol::syntax::{Nsid, RecordKey, RecordPath, Tid};
use rusqlite::{Connection, OptionalExtension, params};

use super::StoreError;
use super::repo::{Subject, blob, cid, collection_id, digest, intern, text, tid};
use crate::account::AccountId;

/// A stored record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// CID of its block.
    pub cid: Cid,
    /// The commit that brought this version.
    pub rev: Tid,
    /// Its DAG-CBOR block.
    pub value: Bytes,
}

/// One record of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedRecord {
    /// Its key.
    pub rkey: String,
    /// CID of its block.
    pub cid: Cid,
    /// Its DAG-CBOR block.
    pub value: Bytes,
}

/// A record as stored, hidden or not.
///
/// # Errors
/// Whatever SQLite reports.
pub fn get(
    conn: &Connection,
    account: AccountId,
    path: &RecordPath,
) -> Result<Option<StoredRecord>, StoreError> {
    let row = conn
        .prepare_cached(
            "SELECT r.cid, r.rev, r.value FROM record AS r
             WHERE r.account = ?1 AND r.rkey = ?3
               AND r.collection = (SELECT id FROM collection WHERE nsid = ?2)",
        )?
        .query_row(
            params![account.0, path.collection.as_str(), path.rkey.as_str()],
            stored,
        )
        .optional()?;
    Ok(row)
}

/// A record unless a moderator hid it.
///
/// # Errors
/// Whatever SQLite reports.
pub fn get_visible(
    conn: &Connection,
    account: AccountId,
    path: &RecordPath,
) -> Result<Option<StoredRecord>, StoreError> {
    let row = conn
        .prepare_cached(
            "SELECT r.cid, r.rev, r.value FROM record AS r
             WHERE r.account = ?1 AND r.rkey = ?3
               AND r.collection = (SELECT id FROM collection WHERE nsid = ?2)
               AND NOT EXISTS (SELECT 1 FROM record_takedown AS t WHERE t.account = r.account
                   AND t.collection = r.collection AND t.rkey = r.rkey)",
        )?
        .query_row(
            params![account.0, path.collection.as_str(), path.rkey.as_str()],
            stored,
        )
        .optional()?;
    Ok(row)
}

fn stored(row: &rusqlite::Row<'_>) -> Result<StoredRecord, rusqlite::Error> {
    Ok(StoredRecord {
        cid: cid(row.get(0)?),
        rev: tid(row.get(1)?),
        value: Bytes::copy_from_slice(blob(row, 2)?),
    })
}

/// Which page of a collection.
#[derive(Debug, Clone)]
pub struct Page {
    /// Start beyond this key (below it when descending).
    pub after: Option<String>,
    /// At most so many.
    pub limit: usize,
    /// Smallest key first.
    pub ascending: bool,
}

/// A page of a collection, hidden records left out.
///
/// # Errors
/// Whatever SQLite reports.
pub fn list(
    conn: &Connection,
    account: AccountId,
    collection: &Nsid,
    page: &Page,
) -> Result<Vec<ListedRecord>, StoreError> {
    let Some(id) = collection_id(conn, collection)? else {
        return Ok(Vec::new());
    };
    const VISIBLE: &str = "AND NOT EXISTS (SELECT 1 FROM record_takedown AS t
        WHERE t.account = r.account AND t.collection = r.collection AND t.rkey = r.rkey)";
    let (bound, order) = match (page.ascending, page.after.is_some()) {
        (true, true) => ("AND r.rkey > ?4", "ASC"),
        (true, false) => ("", "ASC"),
        (false, true) => ("AND r.rkey < ?4", "DESC"),
        (false, false) => ("", "DESC"),
    };
    let mut select = conn.prepare_cached(&format!(
        "SELECT r.rkey, r.cid, r.value FROM record AS r
         WHERE r.account = ?1 AND r.collection = ?2 {bound} {VISIBLE}
         ORDER BY r.rkey {order} LIMIT ?3"
    ))?;
    let limit = page.limit as i64;
    let mut rows = match &page.after {
        Some(after) => select.query(params![account.0, id, limit, after])?,
        None => select.query(params![account.0, id, limit])?,
    };
    let mut records = Vec::with_capacity(page.limit);
    while let Some(row) = rows.next()? {
        records.push(ListedRecord {
            rkey: row.get(0)?,
            cid: cid(row.get(1)?),
            value: Bytes::copy_from_slice(blob(row, 2)?),
        });
    }
    Ok(records)
}

/// The collections of a repository with at least one record, in the order of the tree.
///
/// # Errors
/// Whatever SQLite reports.
pub fn collections(conn: &Connection, account: AccountId) -> Result<Vec<(i64, Nsid)>, StoreError> {
    // Jumps from collection to collection instead of reading every record.
    let mut select = conn.prepare_cached(
        "WITH RECURSIVE used(id) AS (
            SELECT min(collection) FROM record WHERE account = ?1
            UNION ALL
            SELECT (SELECT min(collection) FROM record WHERE account = ?1 AND collection > used.id)
            FROM used WHERE used.id IS NOT NULL)
         SELECT c.id, c.nsid FROM used JOIN collection AS c ON c.id = used.id
         ORDER BY c.nsid || '/'",
    )?;
    let mut rows = select.query([account.0])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let nsid: String = row.get(1)?;
        let nsid = nsid
            .parse()
            .map_err(|_| StoreError::corrupt("collection"))?;
        found.push((row.get(0)?, nsid));
    }
    Ok(found)
}

/// A record row without its path's collection.
#[derive(Debug)]
pub struct ScannedRecord {
    /// Its key.
    pub rkey: String,
    /// CID of its block.
    pub cid: Cid,
    /// The commit that brought it.
    pub rev: Tid,
    /// Its DAG-CBOR block.
    pub value: Bytes,
}

/// Calls `each` with the records of one collection from `from` on, until it answers false.
///
/// # Errors
/// Whatever SQLite reports.
pub fn scan(
    conn: &Connection,
    account: AccountId,
    collection: i64,
    from: Option<&str>,
    mut each: impl FnMut(ScannedRecord) -> bool,
) -> Result<(), StoreError> {
    let mut select = conn.prepare_cached(
        "SELECT rkey, cid, rev, value FROM record
         WHERE account = ?1 AND collection = ?2 AND rkey >= ?3 ORDER BY rkey",
    )?;
    let mut rows = select.query(params![account.0, collection, from.unwrap_or("")])?;
    while let Some(row) = rows.next()? {
        let record = ScannedRecord {
            rkey: row.get(0)?,
            cid: cid(row.get(1)?),
            rev: tid(row.get(2)?),
            value: Bytes::copy_from_slice(blob(row, 3)?),
        };
        if !each(record) {
            break;
        }
    }
    Ok(())
}

/// Calls `each` with key and CID of the records of one collection after `after`, at most `limit`.
/// Returns the last key seen when the limit was reached.
///
/// # Errors
/// Whatever SQLite reports.
pub fn scan_cids(
    conn: &Connection,
    account: AccountId,
    collection: i64,
    after: &str,
    limit: usize,
    mut each: impl FnMut(&str, Cid),
) -> Result<Option<String>, StoreError> {
    let mut select = conn.prepare_cached(
        "SELECT rkey, cid FROM record
         WHERE account = ?1 AND collection = ?2 AND rkey > ?3 ORDER BY rkey LIMIT ?4",
    )?;
    let mut rows = select.query(params![account.0, collection, after, limit as i64])?;
    let (mut seen, mut last) = (0, String::new());
    while let Some(row) = rows.next()? {
        let rkey = text(row, 0)?;
        each(rkey, cid(row.get(1)?));
        seen += 1;
        if seen == limit {
            rkey.clone_into(&mut last);
        }
    }
    Ok((seen == limit).then_some(last))
}

/// The block `wanted`, if it is that of one of the `limit` records from `from` on.
///
/// # Errors
/// Whatever SQLite reports.
pub fn block_from(
    conn: &Connection,
    account: AccountId,
    collection: i64,
    from: &str,
    limit: usize,
    wanted: &Cid,
) -> Result<Option<Bytes>, StoreError> {
    let mut select = conn.prepare_cached(
        "SELECT cid, value FROM record
         WHERE account = ?1 AND collection = ?2 AND rkey >= ?3 ORDER BY rkey LIMIT ?4",
    )?;
    let mut rows = select.query(params![account.0, collection, from, limit as i64])?;
    while let Some(row) = rows.next()? {
        if blob(row, 0)? == digest(wanted) {
            return Ok(Some(Bytes::copy_from_slice(blob(row, 1)?)));
        }
    }
    Ok(None)
}

/// Calls `each` with CID and block of the records of one collection with the largest keys.
///
/// # Errors
/// Whatever SQLite reports.
pub fn newest_blocks(
    conn: &Connection,
    account: AccountId,
    collection: i64,
    limit: usize,
    mut each: impl FnMut(Cid, &[u8]),
) -> Result<(), StoreError> {
    let mut select = conn.prepare_cached(
        "SELECT cid, value FROM record
         WHERE account = ?1 AND collection = ?2 ORDER BY rkey DESC LIMIT ?3",
    )?;
    let mut rows = select.query(params![account.0, collection, limit as i64])?;
    while let Some(row) = rows.next()? {
        each(cid(row.get(0)?), blob(row, 1)?);
    }
    Ok(())
}

/// Keys of the records of `collection` that point at `subject`.
///
/// # Errors
/// Whatever SQLite reports.
pub fn pointing_at(
    conn: &Connection,
    account: AccountId,
    collection: &Nsid,
    subject: &Subject,
    limit: usize,
) -> Result<Vec<RecordKey>, StoreError> {
    let mut select = conn.prepare_cached(
        "SELECT rkey FROM backlink WHERE account = ?1 AND subject = ?3
            AND collection = (SELECT id FROM collection WHERE nsid = ?2) LIMIT ?4",
    )?;
    let mut rows = select.query(params![
        account.0,
        collection.as_str(),
        &subject[..],
        limit as i64
    ])?;
    let mut keys = Vec::new();
    while let Some(row) = rows.next()? {
        let rkey = text(row, 0)?;
        keys.push(
            rkey.parse()
                .map_err(|_| StoreError::corrupt("record key"))?,
        );
    }
    Ok(keys)
}

/// How many records a repository holds.
///
/// # Errors
/// Whatever SQLite reports.
pub fn count(conn: &Connection, account: AccountId) -> Result<u64, StoreError> {
    let count: i64 = conn
        .prepare_cached("SELECT count(*) FROM record WHERE account = ?1")?
        .query_row([account.0], |row| row.get(0))?;
    Ok(count as u64)
}

/// Hides a record (`reference` given) or shows it again.
///
/// # Errors
/// Whatever SQLite reports.
pub fn set_takedown(
    tx: &Connection,
    account: AccountId,
    path: &RecordPath,
    reference: Option<&str>,
) -> Result<(), StoreError> {
    let collection = intern(tx, &path.collection)?;
    let rkey = path.rkey.as_str();
    match reference {
        Some(reference) => tx.execute(
            "INSERT OR REPLACE INTO record_takedown (account, collection, rkey, ref)
             VALUES (?1, ?2, ?3, ?4)",
            params![account.0, collection, rkey, reference],
        )?,
        None => tx.execute(
            "DELETE FROM record_takedown WHERE account = ?1 AND collection = ?2 AND rkey = ?3",
            params![account.0, collection, rkey],
        )?,
    };
    Ok(())
}

/// The reference under which a record is hidden.
///
/// # Errors
/// Whatever SQLite reports.
pub fn takedown(
    conn: &Connection,
    account: AccountId,
    path: &RecordPath,
) -> Result<Option<String>, StoreError> {
    Ok(conn
        .query_row(
            "SELECT ref FROM record_takedown WHERE account = ?1 AND rkey = ?3
                AND collection = (SELECT id FROM collection WHERE nsid = ?2)",
            params![account.0, path.collection.as_str(), path.rkey.as_str()],
            |row| row.get(0),
        )
        .optional()?)
}
