//! The event log: frames numbered inside the transaction that causes them.
//!
//! Owns the `event`, `event_floor` and `purge` tables. Numbers are taken from the tables inside
//! the writer's transaction, so their order is the order of commits and a rolled back write
//! leaves no gap. The newest row is never deleted, so no number is given twice; at start the
//! floor is raised to the clock, so a restored copy never falls behind what readers have seen.
//! Must not decide what an event says: drafts come from `sequencer`.
//! Follows the atproto event stream and sync specifications.

use bytes::Bytes;
use rochdale_service::stream::Frame;
use rusqlite::{Connection, OptionalExtension, params};

use super::StoreError;
use super::repo::blob;
use crate::account::AccountId;
use crate::sequencer::EventDraft;

/// Rows removed by one background value.
const ROWS_PER_VALUE: i64 = 500;
/// Rows looked through by one read.
const ROWS_PER_SEARCH: i64 = 2_000;

/// Numbers and stores `drafts`, in order; the frames are to be published once the transaction
/// is durable.
///
/// # Errors
/// Whatever SQLite reports; nothing is stored then.
pub fn append(tx: &Connection, drafts: &[EventDraft]) -> Result<Vec<Frame>, StoreError> {
    let mut seq = last_seq(tx)?;
    let mut insert = tx.prepare_cached(
        "INSERT INTO event (seq, account, kind, time_us, frame) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    let mut frames = Vec::with_capacity(drafts.len());
    for draft in drafts {
        seq += 1;
        let bytes = draft.template.with_seq(seq);
        insert.execute(params![
            seq as i64,
            draft.account.0,
            draft.kind as i64,
            draft.time_us as i64,
            &bytes[..]
        ])?;
        frames.push(Frame {
            seq,
            bytes,
            subject: draft.account.0 as u64,
        });
    }
    Ok(frames)
}

/// The last number given, or the floor when nothing was stored yet.
///
/// # Errors
/// Whatever SQLite reports.
pub fn last_seq(conn: &Connection) -> Result<u64, StoreError> {
    let seq: i64 = conn
        .prepare_cached(
            "SELECT max(coalesce((SELECT max(seq) FROM event), 0), (SELECT seq FROM event_floor))",
        )?
        .query_row([], |row| row.get(0))?;
    Ok(seq as u64)
}

/// The highest number that was removed because of its age; 0 when none was.
///
/// # Errors
/// Whatever SQLite reports.
pub fn trimmed_seq(conn: &Connection) -> Result<u64, StoreError> {
    let seq: i64 = conn
        .prepare_cached("SELECT trimmed FROM event_floor")?
        .query_row([], |row| row.get(0))?;
    Ok(seq as u64)
}

/// Raises the floor to `now_us`, when that is above everything given so far.
///
/// # Errors
/// Whatever SQLite reports.
pub fn raise_floor(tx: &Connection, now_us: u64) -> Result<(), StoreError> {
    tx.execute("UPDATE event_floor SET seq = max(seq, ?1)", [now_us as i64])?;
    Ok(())
}

/// Frames after `after`, oldest first, until `limit_bytes` is passed or `limit_rows` are read.
/// Events of accounts being purged are left out.
///
/// # Errors
/// Whatever SQLite reports.
pub fn read_after(
    conn: &Connection,
    after: u64,
    limit_rows: usize,
    limit_bytes: usize,
) -> Result<Vec<Frame>, StoreError> {
    let mut select = conn.prepare_cached(
        "SELECT seq, account, frame FROM event AS e WHERE seq > ?1 AND NOT EXISTS
            (SELECT 1 FROM purge AS p WHERE p.account = e.account AND e.seq <= p.below_seq)
         ORDER BY seq LIMIT ?2",
    )?;
    let mut rows = select.query(params![clamp(after), limit_rows as i64])?;
    let mut frames = Vec::new();
    let mut total = 0;
    while let Some(row) = rows.next()? {
        let bytes = Bytes::copy_from_slice(blob(row, 2)?);
        total += bytes.len();
        let (seq, account): (i64, i64) = (row.get(0)?, row.get(1)?);
        frames.push(Frame {
            seq: seq as u64,
            bytes,
            subject: account as u64,
        });
        if total >= limit_bytes {
            break;
        }
    }
    Ok(frames)
}

/// One event for replaying commits into tree nodes.
#[derive(Debug)]
pub struct StoredEvent {
    /// Its number.
    pub seq: u64,
    /// Whose event.
    pub account: AccountId,
    /// The frame as sent.
    pub frame: Bytes,
}

/// Commit events after `after`, of every account, oldest first, at most `limit`.
///
/// # Errors
/// Whatever SQLite reports.
pub fn commits_after(
    conn: &Connection,
    after: u64,
    limit: usize,
) -> Result<Vec<StoredEvent>, StoreError> {
    let mut select = conn.prepare_cached(
        "SELECT seq, account, frame FROM event WHERE seq > ?1 AND kind = 1 ORDER BY seq LIMIT ?2",
    )?;
    let rows = select.query_map(params![clamp(after), limit as i64], stored)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn stored(row: &rusqlite::Row<'_>) -> rusqlite::Result<StoredEvent> {
    Ok(StoredEvent {
        seq: row.get::<_, i64>(0)? as u64,
        account: AccountId(row.get(1)?),
        frame: Bytes::copy_from_slice(blob(row, 2)?),
    })
}

/// The commit events of one account among the next few thousand rows after `after`, and where the
/// next call goes on; nothing when the log's end was reached.
///
/// # Errors
/// Whatever SQLite reports.
pub fn of_account(
    conn: &Connection,
    account: AccountId,
    after: u64,
) -> Result<(Vec<StoredEvent>, Option<u64>), StoreError> {
    let end: Option<i64> = conn
        .prepare_cached(
            "SELECT max(seq) FROM (SELECT seq FROM event WHERE seq > ?1 ORDER BY seq LIMIT ?2)",
        )?
        .query_row(params![clamp(after), ROWS_PER_SEARCH], |row| row.get(0))?;
    let Some(end) = end else {
        return Ok((Vec::new(), None));
    };
    let mut select = conn.prepare_cached(
        "SELECT seq, account, frame FROM event
         WHERE seq > ?1 AND seq <= ?2 AND account = ?3 AND kind = 1 ORDER BY seq",
    )?;
    let events = select
        .query_map(params![clamp(after), end, account.0], stored)?
        .collect::<Result<_, _>>()?;
    Ok((events, Some(end as u64)))
}

/// Deletes up to a few hundred events older than `before_us`, never the newest one and none
/// above `keep_above` (whose nodes are not stored yet). Returns how many went.
///
/// # Errors
/// Whatever SQLite reports.
pub fn trim(tx: &Connection, before_us: u64, keep_above: u64) -> Result<usize, StoreError> {
    let newest = last_seq(tx)?;
    let cut: Option<i64> = tx
        .prepare_cached(
            "SELECT max(seq) FROM
                (SELECT seq, time_us FROM event WHERE seq <= ?1 AND seq < ?2 ORDER BY seq LIMIT ?3)
             WHERE time_us < ?4",
        )?
        .query_row(
            params![
                clamp(keep_above),
                clamp(newest),
                ROWS_PER_VALUE,
                clamp(before_us)
            ],
            |row| row.get(0),
        )
        .optional()?
        .flatten();
    let Some(cut) = cut else { return Ok(0) };
    tx.prepare_cached("UPDATE event_floor SET trimmed = max(trimmed, ?1)")?
        .execute([cut])?;
    Ok(tx
        .prepare_cached("DELETE FROM event WHERE seq <= ?1")?
        .execute([cut])?)
}

/// Deletes the events of a purged account in the next few hundred rows after `after`.
/// Returns where the next call goes on, or nothing when `below_seq` is passed.
///
/// # Errors
/// Whatever SQLite reports.
pub fn remove_account(
    tx: &Connection,
    account: AccountId,
    after: u64,
    below_seq: u64,
) -> Result<Option<u64>, StoreError> {
    let end: Option<i64> = tx
        .prepare_cached(
            "SELECT max(seq) FROM
                (SELECT seq FROM event WHERE seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3)",
        )?
        .query_row(
            params![clamp(after), clamp(below_seq), ROWS_PER_VALUE],
            |row| row.get(0),
        )?;
    let Some(end) = end else { return Ok(None) };
    tx.prepare_cached(
        "DELETE FROM event WHERE seq > ?1 AND seq <= ?2 AND account = ?3
            AND seq < (SELECT max(seq) FROM event)",
    )?
    .execute(params![clamp(after), end, account.0])?;
    Ok(Some(end as u64))
}

/// SQLite integers are signed: a number beyond them means "after everything".
fn clamp(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}
