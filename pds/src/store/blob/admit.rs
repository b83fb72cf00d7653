//! Letting a new blob in: what an account may have, and the two steps around its file.
//!
//! [`expect_file`] comes before the file is in place, [`insert`] after it. Both refuse, since
//! other uploads of the account may have ended in between; a refused file is garbage.

use rochdale_protocol::data::Cid;
use rusqlite::{Connection, OptionalExtension, params};

use super::{BlobRow, get, is_linked, takedown};
use crate::account::AccountId;
use crate::store::StoreError;
use crate::store::repo::digest;

/// What an account may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Blobs.
    pub count: u64,
    /// Bytes of all of them together.
    pub bytes: u64,
}

/// What an account has, unused uploads included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Blobs.
    pub count: u64,
    /// Bytes of all of them together.
    pub bytes: u64,
}

/// Why a blob is not let in.
#[derive(Debug, thiserror::Error)]
pub enum AdmitError {
    /// A moderator hid this blob.
    #[error("the blob was taken down and is not accepted")]
    TakenDown,
    /// The account has as many blobs as it may have.
    #[error(
        "the account has {count} blobs, which is all it may have: delete some records with files"
    )]
    TooMany {
        /// How many it has.
        count: u64,
    },
    /// The account's blobs would take more room than they may.
    #[error(
        "the account's blobs take {used_bytes} bytes, the blob has {size_bytes}, {quota_bytes} \
         are allowed together: delete some records with files"
    )]
    TooMuch {
        /// Bytes of the blobs it has.
        used_bytes: u64,
        /// Bytes of the new one.
        size_bytes: u64,
        /// Bytes that are allowed.
        quota_bytes: u64,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<rusqlite::Error> for AdmitError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

/// A blob on its way in.
#[derive(Debug, Clone)]
pub struct NewBlob {
    /// Whose it is.
    pub account: AccountId,
    /// Its CID.
    pub cid: Cid,
    /// Its type.
    pub mime: String,
    /// Its size in bytes.
    pub size: u64,
}

/// Notes that a file is about to appear: if nothing follows, it is to be removed again.
///
/// # Errors
/// Says why the account may not have it.
pub fn expect_file(tx: &Connection, blob: &NewBlob, quota: &Quota) -> Result<(), AdmitError> {
    check(tx, blob, quota)?;
    tx.prepare_cached("INSERT OR IGNORE INTO blob_garbage (account, cid) VALUES (?1, ?2)")?
        .execute(params![blob.account.0, digest(&blob.cid)])?;
    Ok(())
}

/// Records an upload whose file is in place. A blob that is there already keeps its row, one
/// that a record refers to already is permanent at once. Returns the row as stored.
///
/// # Errors
/// Says why the account may not have it.
pub fn insert(
    tx: &Connection,
    blob: &NewBlob,
    quota: &Quota,
    now_ms: u64,
) -> Result<BlobRow, AdmitError> {
    check(tx, blob, quota)?;
    let (account, cid) = (blob.account, &blob.cid);
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
        blob.mime,
        blob.size as i64,
        now_ms as i64,
        permanent
    ])?;
    tx.prepare_cached("DELETE FROM blob_garbage WHERE account = ?1 AND cid = ?2")?
        .execute(params![account.0, digest(cid)])?;
    Ok(get(tx, account, cid)?.ok_or(StoreError::corrupt("blob"))?)
}

/// What the account's blobs take up.
///
/// # Errors
/// Whatever SQLite reports.
pub fn usage(conn: &Connection, account: AccountId) -> Result<Usage, StoreError> {
    Ok(conn
        .prepare_cached("SELECT count, bytes FROM blob_usage WHERE account = ?1")?
        .query_row([account.0], |row| {
            Ok(Usage {
                count: row.get::<_, i64>(0)? as u64,
                bytes: row.get::<_, i64>(1)? as u64,
            })
        })
        .optional()?
        .unwrap_or_default())
}

fn check(tx: &Connection, blob: &NewBlob, quota: &Quota) -> Result<(), AdmitError> {
    if takedown::get(tx, blob.account, &blob.cid)?.is_some() {
        return Err(AdmitError::TakenDown);
    }
    // The account has it already: nothing is added, and a lost file may be replaced.
    if get(tx, blob.account, &blob.cid)?.is_some() {
        return Ok(());
    }
    let used = usage(tx, blob.account)?;
    if used.count >= quota.count {
        return Err(AdmitError::TooMany { count: used.count });
    }
    if used.bytes.saturating_add(blob.size) > quota.bytes {
        return Err(AdmitError::TooMuch {
            used_bytes: used.bytes,
            size_bytes: blob.size,
            quota_bytes: quota.bytes,
        });
    }
    Ok(())
}
