//! Blob rows: what was uploaded, what refers to it, which files are to go.
//!
//! Owns the `blob`, `blob_link`, `blob_takedown` and `blob_garbage` tables. A blob is permanent
//! from its first reference and its row goes with its last one, in the same transaction as the
//! record; the file follows later, by way of `blob_garbage`. Must not touch files.

use std::collections::BTreeSet;

use rochdale_protocol::data::{Cid, Codec};
use rochdale_protocol::syntax::{RecordPath, Tid};
use rusqlite::{Connection, OptionalExtension, params};

use super::StoreError;
use super::repo::{ApplyError, BlobRule, RecordChange, RepoWrite, digest};
use crate::account::AccountId;

/// A stored blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobRow {
    /// Its type, as found or declared at upload.
    pub mime: String,
    /// Its size in bytes.
    pub size: u64,
    /// Whether a record ever referred to it.
    pub permanent: bool,
}

/// Brings the links of one changed record up to date and checks what it refers to. Blobs that
/// lost a reference are added to `lost`.
pub(super) fn relink(
    tx: &Connection,
    write: &RepoWrite,
    collection: i64,
    change: &RecordChange,
    lost: &mut BTreeSet<Cid>,
) -> Result<(), ApplyError> {
    let (account, rkey) = (write.account, change.path.rkey.as_str());
    for cid in &change.blobs_before {
        if change.blobs.iter().any(|blob| blob.cid == *cid) {
            continue;
        }
        tx.prepare_cached(
            "DELETE FROM blob_link
             WHERE account = ?1 AND cid = ?2 AND collection = ?3 AND rkey = ?4",
        )?
        .execute(params![account.0, digest(cid), collection, rkey])?;
        lost.insert(*cid);
    }
    for blob in &change.blobs {
        if write.blob_rule == BlobRule::MustExist && !change.blobs_before.contains(&blob.cid) {
            check(tx, account, &blob.cid, &blob.mime, blob.size)?;
        }
        tx.prepare_cached(
            "INSERT OR REPLACE INTO blob_link (account, cid, collection, rkey, rev)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            account.0,
            digest(&blob.cid),
            collection,
            rkey,
            write.head.rev.to_u64() as i64
        ])?;
        tx.prepare_cached(
            "UPDATE blob SET permanent = 1 WHERE account = ?1 AND cid = ?2 AND permanent = 0",
        )?
        .execute(params![account.0, digest(&blob.cid)])?;
    }
    Ok(())
}

fn check(
    tx: &Connection,
    account: AccountId,
    cid: &Cid,
    mime: &str,
    size: u64,
) -> Result<(), ApplyError> {
    let stored = get(tx, account, cid)?.ok_or(ApplyError::BlobNotFound { cid: *cid })?;
    if takedown(tx, account, cid)?.is_some() {
        return Err(ApplyError::BlobNotFound { cid: *cid });
    }
    if !stored.mime.eq_ignore_ascii_case(mime) {
        let given = mime.to_owned();
        return Err(ApplyError::BlobMime {
            cid: *cid,
            stored: stored.mime,
            given,
        });
    }
    if stored.size != size {
        return Err(ApplyError::BlobSize {
            cid: *cid,
            stored: stored.size,
            given: size,
        });
    }
    Ok(())
}

/// Removes the rows of those `lost` blobs that nothing refers to any more and lists their files
/// as garbage. True when there was one.
pub(super) fn drop_unlinked(
    tx: &Connection,
    account: AccountId,
    lost: &BTreeSet<Cid>,
) -> Result<bool, StoreError> {
    let mut any = false;
    for cid in lost {
        if is_linked(tx, account, cid)? {
            continue;
        }
        any |= discard(tx, account, cid)?;
    }
    Ok(any)
}

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

/// Whether a record refers to the blob.
///
/// # Errors
/// Whatever SQLite reports.
pub fn is_linked(conn: &Connection, account: AccountId, cid: &Cid) -> Result<bool, StoreError> {
    Ok(conn
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM blob_link WHERE account = ?1 AND cid = ?2)")?
        .query_row(params![account.0, digest(cid)], |row| row.get(0))?)
}

/// A blob's row.
///
/// # Errors
/// Whatever SQLite reports.
pub fn get(
    conn: &Connection,
    account: AccountId,
    cid: &Cid,
) -> Result<Option<BlobRow>, StoreError> {
    if cid.codec() != Codec::Raw {
        return Ok(None);
    }
    Ok(conn
        .prepare_cached("SELECT mime, size, permanent FROM blob WHERE account = ?1 AND cid = ?2")?
        .query_row(params![account.0, digest(cid)], |row| {
            Ok(BlobRow {
                mime: row.get(0)?,
                size: row.get::<_, i64>(1)? as u64,
                permanent: row.get(2)?,
            })
        })
        .optional()?)
}

/// Notes that a file is about to appear: if nothing follows, it is to be removed again.
///
/// # Errors
/// Whatever SQLite reports.
pub fn expect_file(tx: &Connection, account: AccountId, cid: &Cid) -> Result<(), StoreError> {
    tx.prepare_cached("INSERT OR IGNORE INTO blob_garbage (account, cid) VALUES (?1, ?2)")?
        .execute(params![account.0, digest(cid)])?;
    Ok(())
}

/// Records an upload whose file is in place. A blob that is there already keeps its row, one
/// that a record refers to already is permanent at once. Returns the row as stored.
///
/// # Errors
/// Whatever SQLite reports.
pub fn insert(
    tx: &Connection,
    account: AccountId,
    cid: &Cid,
    mime: &str,
    size: u64,
    now_ms: u64,
) -> Result<BlobRow, StoreError> {
    let permanent = is_linked(tx, account, cid)?;
    tx.prepare_cached(
        "INSERT INTO blob (account, cid, mime, size, uploaded_at_ms, permanent)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (account, cid) DO UPDATE SET uploaded_at_ms = excluded.uploaded_at_ms,
            mime = CASE WHEN permanent THEN mime ELSE excluded.mime END",
    )?
    .execute(params![
        account.0,
        digest(cid),
        mime,
        size as i64,
        now_ms as i64,
        permanent
    ])?;
    tx.prepare_cached("DELETE FROM blob_garbage WHERE account = ?1 AND cid = ?2")?
        .execute(params![account.0, digest(cid)])?;
    get(tx, account, cid)?.ok_or(StoreError::corrupt("blob"))
}

/// CIDs that records refer to, ascending, after `after`; with `since`, only those of records
/// changed later.
///
/// # Errors
/// Whatever SQLite reports.
pub fn list(
    conn: &Connection,
    account: AccountId,
    since: Option<Tid>,
    after: Option<&Cid>,
    limit: usize,
) -> Result<Vec<Cid>, StoreError> {
    let mut select = conn.prepare_cached(
        "SELECT DISTINCT cid FROM blob_link
         WHERE account = ?1 AND cid > ?2 AND rev > ?3 ORDER BY cid LIMIT ?4",
    )?;
    let after = after.map_or(&[][..], digest);
    let since = since.map_or(-1, |rev| rev.to_u64() as i64);
    let rows = select.query_map(params![account.0, after, since, limit as i64], |row| {
        Ok(raw(row.get(0)?))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A blob that a record refers to and that is not here.
#[derive(Debug)]
pub struct MissingBlob {
    /// The blob.
    pub cid: Cid,
    /// One record that refers to it.
    pub path: RecordPath,
}

/// Missing blobs in ascending order after `after`.
///
/// # Errors
/// Whatever SQLite reports.
pub fn missing(
    conn: &Connection,
    account: AccountId,
    after: Option<&Cid>,
    limit: usize,
) -> Result<Vec<MissingBlob>, StoreError> {
    let mut select = conn.prepare_cached(
        "SELECT l.cid, c.nsid || '/' || min(l.rkey)
         FROM blob_link AS l JOIN collection AS c ON c.id = l.collection
         WHERE l.account = ?1 AND l.cid > ?2 AND NOT EXISTS
            (SELECT 1 FROM blob AS b WHERE b.account = l.account AND b.cid = l.cid)
         GROUP BY l.cid ORDER BY l.cid LIMIT ?3",
    )?;
    let mut rows = select.query(params![
        account.0,
        after.map_or(&[][..], digest),
        limit as i64
    ])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let path: String = row.get(1)?;
        let path = path
            .parse()
            .map_err(|_| StoreError::corrupt("record path"))?;
        found.push(MissingBlob {
            cid: raw(row.get(0)?),
            path,
        });
    }
    Ok(found)
}

/// How many distinct blobs records refer to, and how many of them are here.
///
/// # Errors
/// Whatever SQLite reports.
pub fn counts(conn: &Connection, account: AccountId) -> Result<(u64, u64), StoreError> {
    let expected: i64 = conn.query_row(
        "SELECT count(DISTINCT cid) FROM blob_link WHERE account = ?1",
        [account.0],
        |row| row.get(0),
    )?;
    let present: i64 = conn.query_row(
        "SELECT count(*) FROM blob WHERE account = ?1 AND permanent = 1",
        [account.0],
        |row| row.get(0),
    )?;
    Ok((expected as u64, present as u64))
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

/// Files to remove.
///
/// # Errors
/// Whatever SQLite reports.
pub fn garbage(conn: &Connection, limit: usize) -> Result<Vec<(AccountId, Cid)>, StoreError> {
    let mut select = conn.prepare_cached("SELECT account, cid FROM blob_garbage LIMIT ?1")?;
    let rows = select.query_map([limit as i64], owned)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Forgets a file that was removed.
///
/// # Errors
/// Whatever SQLite reports.
pub fn garbage_removed(tx: &Connection, account: AccountId, cid: &Cid) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM blob_garbage WHERE account = ?1 AND cid = ?2")?
        .execute(params![account.0, digest(cid)])?;
    Ok(())
}

/// Hides a blob (`reference` given) or shows it again.
///
/// # Errors
/// Whatever SQLite reports.
pub fn set_takedown(
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
pub fn takedown(
    conn: &Connection,
    account: AccountId,
    cid: &Cid,
) -> Result<Option<String>, StoreError> {
    Ok(conn
        .prepare_cached("SELECT ref FROM blob_takedown WHERE account = ?1 AND cid = ?2")?
        .query_row(params![account.0, digest(cid)], |row| row.get(0))
        .optional()?)
}

fn owned(row: &rusqlite::Row<'_>) -> Result<(AccountId, Cid), rusqlite::Error> {
    Ok((AccountId(row.get(0)?), raw(row.get(1)?)))
}

fn raw(digest: [u8; 32]) -> Cid {
    Cid::from_digest(Codec::Raw, digest)
}
