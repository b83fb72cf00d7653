//! Blob rows: what was uploaded, and which records refer to it.
//!
//! Owns the `blob` and `blob_link` tables. A blob is permanent from its first reference and its
//! row goes with its last one, in the same transaction as the record; the file follows later, by
//! way of [`garbage`]. Must not touch files.

pub mod admit;
pub mod garbage;
pub mod takedown;

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
    if takedown::get(tx, account, cid)?.is_some() {
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
        any |= garbage::discard(tx, account, cid)?;
    }
    Ok(any)
}

/// Makes those `lost` blobs that nothing refers to any more uploads of `now_ms` again: the next
/// reference keeps them, without one they go with other stale uploads.
pub(super) fn loosen_unlinked(
    tx: &Connection,
    account: AccountId,
    lost: &BTreeSet<Cid>,
    now_ms: u64,
) -> Result<(), StoreError> {
    for cid in lost {
        if !is_linked(tx, account, cid)? {
            tx.prepare_cached(
                "UPDATE blob SET permanent = 0, uploaded_at_ms = ?3 WHERE account = ?1 AND cid = ?2",
            )?
            .execute(params![account.0, digest(cid), now_ms as i64])?;
        }
    }
    Ok(())
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

fn raw(digest: [u8; 32]) -> Cid {
    Cid::from_digest(Codec::Raw, digest)
}
