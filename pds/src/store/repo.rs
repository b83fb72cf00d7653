//! Repositories on disk: heads, and the one way a commit is applied.
//!
//! Owns the `repo`, `collection`, `record`, `backlink` tables' writes. A commit arrives as one
//! [`RepoWrite`]: what must still hold and what changes. It is applied entirely, with its event,
//! or not at all. Must not compute anything about trees, records or signatures.

use std::collections::BTreeSet;

use bytes::Bytes;
use rochdale_protocol::data::blob::BlobRef;
use rochdale_protocol::data::{Cid, Codec};
use rochdale_protocol::repo::Action;
use rochdale_protocol::syntax::{Nsid, RecordPath, Tid};
use rochdale_service::stream::Frame;
use rusqlite::{Connection, OptionalExtension, params};

use super::{StoreError, blob as blobs, event};
use crate::account::AccountId;
use crate::keys::SealedKey;
use crate::repo::InitialRepo;
use crate::sequencer::EventDraft;

/// The newest commit of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// CID of the commit.
    pub cid: Cid,
    /// Its revision.
    pub rev: Tid,
    /// Root of its tree.
    pub data: Cid,
    /// The signed commit block.
    pub block: Bytes,
}

/// First bytes of the hash of what a like, repost, follow or block points at.
pub type Subject = [u8; 16];

/// What becomes of one record.
#[derive(Debug, Clone)]
pub struct RecordChange {
    /// Create, update or delete.
    pub action: Action,
    /// Which record.
    pub path: RecordPath,
    /// The new block; `None` for a delete.
    pub block: Option<(Cid, Bytes)>,
    /// Blobs the new version refers to.
    pub blobs: Vec<BlobRef>,
    /// Blobs the old version referred to.
    pub blobs_before: Vec<Cid>,
    /// Subject of the new version.
    pub subject: Option<Subject>,
    /// Subject of the old version.
    pub subject_before: Option<Subject>,
}

/// How strictly the blobs of a write are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlobRule {
    /// Each blob must have been uploaded, with this type and size.
    MustExist,
    /// Blobs may come later: an imported repository.
    MayFollow,
}

/// Which states an account may be in for a write to go through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountRule {
    /// Ordinary writes: active accounts only.
    Active,
    /// Moves and repairs: any account that still exists.
    Any,
}

/// One commit as a value: applied while the head is still `expects`, else refused.
#[derive(Debug, Clone)]
pub struct RepoWrite {
    /// Whose repository.
    pub account: AccountId,
    /// The head this was computed on.
    pub expects: Cid,
    /// The head after it.
    pub head: Head,
    /// Records that change, each path once.
    pub changes: Vec<RecordChange>,
    /// Whether blobs must be there already.
    pub blob_rule: BlobRule,
    /// Which account states allow it.
    pub account_rule: AccountRule,
    /// The account's key, with which the head is signed; it must still be that.
    pub signing_key: Option<SealedKey>,
    /// The event that announces it, when it is announced.
    pub event: Option<EventDraft>,
}

/// Why a [`RepoWrite`] was refused; nothing was stored.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Another commit came first.
    #[error("the repository moved on to {present}")]
    HeadMoved {
        /// The head as it is.
        present: Cid,
    },
    /// There is no such repository (any more).
    #[error("the account has no repository")]
    NoRepo,
    /// The account was deactivated or taken down meanwhile.
    #[error("the account is not active")]
    Inactive,
    /// The account got another signing key meanwhile.
    #[error("the account's signing key was changed meanwhile: try again")]
    KeyChanged,
    /// A referenced blob was never uploaded to this account.
    #[error("blob {cid} was not found: upload it first")]
    BlobNotFound {
        /// The missing blob.
        cid: Cid,
    },
    /// A reference names another type than the stored blob has.
    #[error("blob {cid} is {stored}, the record says {given}")]
    BlobMime {
        /// The blob.
        cid: Cid,
        /// Its type.
        stored: String,
        /// The type in the record.
        given: String,
    },
    /// A reference names another size than the stored blob has.
    #[error("blob {cid} has {stored} bytes, the record says {given}")]
    BlobSize {
        /// The blob.
        cid: Cid,
        /// Its size in bytes.
        stored: u64,
        /// The size in the record.
        given: u64,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<rusqlite::Error> for ApplyError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

/// What the store did.
#[derive(Debug, Default)]
pub struct Applied {
    /// Frames to publish once durable.
    pub frames: Vec<Frame>,
    /// Files to remove from disk became due.
    pub blobs_gone: bool,
}

/// Applies `write` entirely or not at all, with its event, if the head is still `write.expects`.
///
/// # Errors
/// `HeadMoved` names the present head; the blob errors name the blob. Nothing is kept then.
pub fn apply(tx: &Connection, write: &RepoWrite) -> Result<Applied, ApplyError> {
    apply_before(tx, write, |_| Ok(Vec::new()))
}

/// As [`apply`], with `first` run between the check of the head and the change; the events it
/// answers go before the commit's own.
///
/// # Errors
/// As [`apply`], or what `first` answers.
pub fn apply_before(
    tx: &Connection,
    write: &RepoWrite,
    first: impl FnOnce(&Connection) -> Result<Vec<EventDraft>, StoreError>,
) -> Result<Applied, ApplyError> {
    move_head(tx, write)?;
    let mut events = first(tx)?;
    check_account(tx, write)?;
    let blobs_gone = apply_changes(tx, write)?;
    events.extend(write.event.clone());
    Ok(Applied {
        frames: event::append(tx, &events)?,
        blobs_gone,
    })
}

/// Applies only the records of `write`, while an import is under way; head and events stay.
///
/// A blob that loses its last record may be referred to by one that is still to come, so it only
/// counts as uploaded at `now_ms` from then on.
///
/// # Errors
/// As [`apply`].
pub fn stage(tx: &Connection, write: &RepoWrite, now_ms: u64) -> Result<(), ApplyError> {
    match head(tx, write.account)? {
        Some(present) if present.cid == write.expects => {}
        Some(present) => {
            return Err(ApplyError::HeadMoved {
                present: present.cid,
            });
        }
        None => return Err(ApplyError::NoRepo),
    }
    let lost = relink_records(tx, write)?;
    Ok(blobs::loosen_unlinked(tx, write.account, &lost, now_ms)?)
}

/// Notes that the records of an account are being replaced: until [`end_import`] they and the
/// stored nodes fit no head.
///
/// # Errors
/// Whatever SQLite reports.
pub fn begin_import(tx: &Connection, account: AccountId) -> Result<(), StoreError> {
    tx.execute(
        "INSERT OR IGNORE INTO import (account) VALUES (?1)",
        [account.0],
    )?;
    Ok(())
}

/// Takes the note of [`begin_import`] away.
///
/// # Errors
/// Whatever SQLite reports.
pub fn end_import(tx: &Connection, account: AccountId) -> Result<(), StoreError> {
    tx.execute("DELETE FROM import WHERE account = ?1", [account.0])?;
    Ok(())
}

/// Whether an import is under way, or was interrupted.
///
/// # Errors
/// Whatever SQLite reports.
pub fn is_importing(conn: &Connection, account: AccountId) -> Result<bool, StoreError> {
    Ok(conn
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM import WHERE account = ?1)")?
        .query_row([account.0], |row| row.get(0))?)
}

/// Accounts whose import is under way, or was interrupted.
///
/// # Errors
/// Whatever SQLite reports.
pub fn importing(conn: &Connection) -> Result<Vec<AccountId>, StoreError> {
    let mut select = conn.prepare("SELECT account FROM import ORDER BY account")?;
    let rows = select.query_map([], |row| row.get(0).map(AccountId))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn apply_changes(tx: &Connection, write: &RepoWrite) -> Result<bool, ApplyError> {
    let lost = relink_records(tx, write)?;
    Ok(blobs::drop_unlinked(tx, write.account, &lost)?)
}

/// Changes the records and their links; answers the blobs that lost a reference.
fn relink_records(tx: &Connection, write: &RepoWrite) -> Result<BTreeSet<Cid>, ApplyError> {
    let mut lost = BTreeSet::new();
    for change in &write.changes {
        let collection = intern(tx, &change.path.collection)?;
        apply_record(tx, write, collection, change)?;
        blobs::relink(tx, write, collection, change, &mut lost)?;
    }
    Ok(lost)
}

fn check_account(tx: &Connection, write: &RepoWrite) -> Result<(), ApplyError> {
    let found: Option<(bool, bool)> = tx
        .prepare_cached(
            "SELECT deactivated_at_ms IS NULL AND takedown_ref IS NULL,
                    ?2 IS NULL OR signing_key = ?2
             FROM account WHERE id = ?1",
        )?
        .query_row(
            params![
                write.account.0,
                write.signing_key.as_ref().map(SealedKey::as_bytes)
            ],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    match found {
        None => Err(ApplyError::NoRepo),
        Some((false, _)) if write.account_rule == AccountRule::Active => Err(ApplyError::Inactive),
        Some((_, false)) => Err(ApplyError::KeyChanged),
        Some((_, true)) => Ok(()),
    }
}

fn move_head(tx: &Connection, write: &RepoWrite) -> Result<(), ApplyError> {
    let moved = tx
        .prepare_cached(
            "UPDATE repo SET head = ?3, rev = ?4, data = ?5, block = ?6
             WHERE account = ?1 AND head = ?2",
        )?
        .execute(params![
            write.account.0,
            digest(&write.expects),
            digest(&write.head.cid),
            write.head.rev.to_u64() as i64,
            digest(&write.head.data),
            &write.head.block[..]
        ])?;
    if moved == 1 {
        return Ok(());
    }
    match head(tx, write.account)? {
        Some(present) => Err(ApplyError::HeadMoved {
            present: present.cid,
        }),
        None => Err(ApplyError::NoRepo),
    }
}

fn apply_record(
    tx: &Connection,
    write: &RepoWrite,
    collection: i64,
    change: &RecordChange,
) -> Result<(), StoreError> {
    let (account, rkey) = (write.account.0, change.path.rkey.as_str());
    let rev = write.head.rev.to_u64() as i64;
    let changed = match (change.action, &change.block) {
        (Action::Create, Some((cid, value))) => tx
            .prepare_cached(
                "INSERT INTO record (account, collection, rkey, cid, rev, value)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                account,
                collection,
                rkey,
                digest(cid),
                rev,
                &value[..]
            ])?,
        (Action::Update, Some((cid, value))) => tx
            .prepare_cached(
                "UPDATE record SET cid = ?4, rev = ?5, value = ?6
                 WHERE account = ?1 AND collection = ?2 AND rkey = ?3",
            )?
            .execute(params![
                account,
                collection,
                rkey,
                digest(cid),
                rev,
                &value[..]
            ])?,
        (Action::Delete, _) => tx
            .prepare_cached(
                "DELETE FROM record WHERE account = ?1 AND collection = ?2 AND rkey = ?3",
            )?
            .execute(params![account, collection, rkey])?,
        (Action::Create | Action::Update, None) => 0,
    };
    if changed != 1 {
        tracing::error!(account, path = %change.path, "a record does not fit its tree");
        return Err(StoreError::corrupt("record"));
    }
    if change.subject_before != change.subject {
        if let Some(subject) = &change.subject_before {
            tx.prepare_cached(
                "DELETE FROM backlink
                 WHERE account = ?1 AND collection = ?2 AND subject = ?3 AND rkey = ?4",
            )?
            .execute(params![account, collection, &subject[..], rkey])?;
        }
        if let Some(subject) = &change.subject {
            tx.prepare_cached(
                "INSERT OR IGNORE INTO backlink (account, collection, subject, rkey)
                 VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![account, collection, &subject[..], rkey])?;
        }
    }
    Ok(())
}

/// The number of a collection, given on first use.
///
/// # Errors
/// Whatever SQLite reports.
pub fn intern(tx: &Connection, nsid: &Nsid) -> Result<i64, StoreError> {
    if let Some(id) = collection_id(tx, nsid)? {
        return Ok(id);
    }
    tx.prepare_cached("INSERT INTO collection (nsid) VALUES (?1)")?
        .execute([nsid.as_str()])?;
    Ok(tx.last_insert_rowid())
}

/// The number of a collection that was ever used here.
///
/// # Errors
/// Whatever SQLite reports.
pub fn collection_id(conn: &Connection, nsid: &Nsid) -> Result<Option<i64>, StoreError> {
    Ok(conn
        .prepare_cached("SELECT id FROM collection WHERE nsid = ?1")?
        .query_row([nsid.as_str()], |row| row.get(0))
        .optional()?)
}

/// Stores the first commit of a new account; its event is the caller's to append.
///
/// # Errors
/// Whatever SQLite reports, so also that the account has a repository already.
pub fn insert_initial(
    tx: &Connection,
    account: AccountId,
    repo: &InitialRepo,
) -> Result<(), StoreError> {
    let head = repo.head();
    let rev = head.rev.to_u64() as i64;
    tx.prepare_cached(
        "INSERT INTO repo (account, head, rev, data, block, nodes_rev, nodes_root)
         VALUES (?1, ?2, ?3, ?4, ?5, ?3, ?4)",
    )?
    .execute(params![
        account.0,
        digest(&head.cid),
        rev,
        digest(&head.data),
        &head.block[..]
    ])?;
    Ok(())
}

/// The head of a repository.
///
/// # Errors
/// Whatever SQLite reports.
pub fn head(conn: &Connection, account: AccountId) -> Result<Option<Head>, StoreError> {
    let row = conn
        .prepare_cached("SELECT head, rev, data, block FROM repo WHERE account = ?1")?
        .query_row([account.0], |row| {
            Ok(Head {
                cid: cid(row.get(0)?),
                rev: tid(row.get(1)?),
                data: cid(row.get(2)?),
                block: Bytes::copy_from_slice(blob(row, 3)?),
            })
        })
        .optional()?;
    Ok(row)
}

/// For which tree the stored nodes are complete.
///
/// # Errors
/// Whatever SQLite reports.
pub fn nodes_at(conn: &Connection, account: AccountId) -> Result<Option<(Tid, Cid)>, StoreError> {
    Ok(conn
        .prepare_cached("SELECT nodes_rev, nodes_root FROM repo WHERE account = ?1")?
        .query_row([account.0], |row| Ok((tid(row.get(0)?), cid(row.get(1)?))))
        .optional()?)
}

/// One line of the list of repositories.
#[derive(Debug)]
pub struct ListedRepo {
    /// Whose.
    pub did: String,
    /// When the account was made, Unix ms.
    pub created_at_ms: i64,
    /// Commit CID.
    pub head: Cid,
    /// Revision.
    pub rev: Tid,
    /// Set by the member.
    pub deactivated: bool,
    /// Set by a moderator.
    pub taken_down: bool,
    /// Set by a moderator until a date.
    pub suspended: bool,
}

/// Repositories in the order their accounts were made (and of the DID), after a time and DID.
///
/// # Errors
/// Whatever SQLite reports.
pub fn list(
    conn: &Connection,
    after: Option<&(i64, String)>,
    limit: usize,
) -> Result<Vec<ListedRepo>, StoreError> {
    let mut select = conn.prepare_cached(
        "SELECT a.did, a.created_at_ms, r.head, r.rev,
            a.deactivated_at_ms IS NOT NULL, a.takedown_ref IS NOT NULL,
            a.suspended_until_ms IS NOT NULL
         FROM account AS a JOIN repo AS r ON r.account = a.id
         WHERE (a.created_at_ms, a.did) > (?1, ?2) ORDER BY a.created_at_ms, a.did LIMIT ?3",
    )?;
    let (ms, did) = after.map_or((i64::MIN, ""), |(ms, did)| (*ms, did.as_str()));
    let rows = select.query_map(params![ms, did, limit as i64], |row| {
        Ok(ListedRepo {
            did: row.get(0)?,
            created_at_ms: row.get(1)?,
            head: cid(row.get(2)?),
            rev: tid(row.get(3)?),
            deactivated: row.get(4)?,
            taken_down: row.get(5)?,
            suspended: row.get(6)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The 32 bytes a dag-cbor CID is stored as.
pub(super) fn digest(cid: &Cid) -> &[u8] {
    cid.digest()
}

/// The dag-cbor CID of a stored digest.
pub(super) fn cid(digest: [u8; 32]) -> Cid {
    Cid::from_digest(Codec::DagCbor, digest)
}

/// A stored revision.
pub(super) fn tid(rev: i64) -> Tid {
    Tid::from_u64(rev as u64)
}

/// A column's bytes, without a copy.
pub(super) fn blob<'r>(row: &'r rusqlite::Row<'_>, column: usize) -> rusqlite::Result<&'r [u8]> {
    Ok(row.get_ref(column)?.as_blob()?)
}

/// A column's text, without a copy.
pub(super) fn text<'r>(row: &'r rusqlite::Row<'_>, column: usize) -> rusqlite::Result<&'r str> {
    Ok(row.get_ref(column)?.as_str()?)
}
