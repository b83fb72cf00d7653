//! Appending: one value with its preconditions, applied in one transaction.

use std::sync::atomic::{AtomicI64, Ordering};

use rochdale_protocol::data::Cid;
use rochdale_service::clock::SharedClock;
use rochdale_service::sqlite::Transaction;
use rusqlite::{OptionalExtension as _, params};

use super::{Store, StoreError, write_error};
use crate::directory::DidKey;

/// Operations that may share a millisecond, so that an export by time has a bounded page.
const PER_MILLISECOND: i64 = 256;

/// An operation that was found valid, and what must still hold when it is appended.
#[derive(Debug)]
pub(crate) struct Append {
    /// Whose it is.
    pub(crate) did: DidKey,
    /// The operation that must still be the newest; `None`: the DID must not exist.
    pub(crate) expected_head: Option<i64>,
    /// Canonical DAG-CBOR.
    pub(crate) bytes: Vec<u8>,
    /// Its CID.
    pub(crate) cid: Cid,
    /// See `ChainEntry::signer_key`.
    pub(crate) signer_key: usize,
    /// The operations it undoes.
    pub(crate) nullifies: Vec<i64>,
    /// The latest time at which it may be accepted, Unix milliseconds.
    pub(crate) deadline_ms: Option<i64>,
}

/// Where an operation was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Appended {
    /// Its place in the order of acceptance.
    pub(crate) seq: i64,
    /// When it was accepted, Unix milliseconds.
    pub(crate) created_at_ms: i64,
}

/// Why nothing was appended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppendError {
    /// Another operation of the DID was accepted meanwhile.
    #[error("another operation was accepted meanwhile")]
    HeadMoved,
    /// The deadline passed meanwhile; by how much is given in milliseconds.
    #[error("the recovery window ended {0} ms ago")]
    TooLate(i64),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<rusqlite::Error> for AppendError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Store {
    /// Appends an operation; durable on return. `then` runs after that, in the order of acceptance.
    ///
    /// The time is taken from `clock` at the moment of acceptance: later than the DID's newest
    /// operation, and never earlier than any other operation of the directory.
    pub(crate) async fn append(
        &self,
        append: Append,
        clock: SharedClock,
        then: impl FnOnce(&Appended) + Send + 'static,
    ) -> Result<Appended, AppendError> {
        let open_ms = std::sync::Arc::clone(&self.open_ms);
        let apply = move |transaction: &Transaction| {
            let now_ms = i64::try_from(clock.now_ms()).unwrap_or(i64::MAX);
            apply(transaction, &append, now_ms, &open_ms)
        };
        let appended = self.database.write_then(apply, then).await;
        appended.map_err(write_error)
    }

    /// Returns when every append that was queued before has ended.
    pub(crate) async fn settle(&self) -> Result<(), StoreError> {
        let nothing = |_: &Transaction| Ok::<(), StoreError>(());
        self.database.write(nothing).await.map_err(write_error)
    }
}

fn apply(
    transaction: &Transaction,
    append: &Append,
    now_ms: i64,
    open_ms: &AtomicI64,
) -> Result<Appended, AppendError> {
    let head: Option<i64> = transaction
        .prepare_cached("SELECT head FROM did WHERE did = ?1")?
        .query_row([append.did.as_bytes()], |row| row.get(0))
        .optional()?;
    if head != append.expected_head {
        return Err(AppendError::HeadMoved);
    }
    let (last, created_at_ms) = next_time(transaction, head, now_ms, open_ms)?;
    if let Some(deadline_ms) = append.deadline_ms
        && created_at_ms > deadline_ms
    {
        return Err(AppendError::TooLate(
            created_at_ms.saturating_sub(deadline_ms),
        ));
    }
    let seq = last.saturating_add(1);
    let signer_key = u32::try_from(append.signer_key).unwrap_or(u32::MAX);
    transaction
        .prepare_cached(
            "INSERT INTO operation (seq, did, previous, created_at_ms, digest, signer_key, bytes) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            seq,
            append.did.as_bytes(),
            head,
            created_at_ms,
            append.cid.digest(),
            signer_key,
            append.bytes
        ])?;
    for undone in &append.nullifies {
        transaction
            .prepare_cached("UPDATE operation SET nullified_by = ?2 WHERE seq = ?1")?
            .execute([*undone, seq])?;
    }
    let undone = i64::try_from(append.nullifies.len()).unwrap_or(i64::MAX);
    transaction
        .prepare_cached(
            "INSERT INTO did (did, head, live) VALUES (?1, ?2, 1) \
             ON CONFLICT (did) DO UPDATE SET head = ?2, live = live + 1 - ?3",
        )?
        .execute(params![append.did.as_bytes(), seq, undone])?;
    Ok(Appended { seq, created_at_ms })
}

/// The newest operation's number, and the time for the next.
///
/// Operations of different DIDs share a time only while the clock still shows that millisecond: a
/// time that has passed, or was made up because the clock ran backwards, is never given out again.
/// An export by time relies on this.
fn next_time(
    transaction: &Transaction,
    head: Option<i64>,
    now_ms: i64,
    open_ms: &AtomicI64,
) -> Result<(i64, i64), AppendError> {
    let newest: Option<(i64, i64)> = transaction
        .prepare_cached("SELECT seq, created_at_ms FROM operation ORDER BY seq DESC LIMIT 1")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((last, last_ms)) = newest else {
        open_ms.store(now_ms, Ordering::Relaxed);
        return Ok((0, now_ms));
    };
    let time_of = |seq: i64| {
        transaction
            .prepare_cached("SELECT created_at_ms FROM operation WHERE seq = ?1")?
            .query_row([seq], |row| row.get::<_, i64>(0))
            .optional()
    };
    let is_shared = now_ms == last_ms
        && open_ms.load(Ordering::Relaxed) == now_ms
        && time_of(last - PER_MILLISECOND + 1)? != Some(now_ms);
    let mut created_at_ms = if is_shared {
        now_ms
    } else {
        now_ms.max(last_ms + 1)
    };
    if let Some(head) = head
        && let Some(head_ms) = time_of(head)?
    {
        created_at_ms = created_at_ms.max(head_ms + 1);
    }
    if created_at_ms == now_ms {
        open_ms.store(now_ms, Ordering::Relaxed);
    }
    Ok((last, created_at_ms))
}
