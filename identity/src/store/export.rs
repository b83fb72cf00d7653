//! Reading everybody's operations in order, a page at a time.
//!
//! A page is read whole, so that no read transaction waits for a socket.

use futures::FutureExt as _;
use rochdale_protocol::data::Cid;
use rusqlite::{Connection, OptionalExtension as _};

use super::{Store, StoreError, cid, did_key, read_error};
use crate::directory::DidKey;

/// One operation on its way out.
#[derive(Debug)]
pub(crate) struct Row<'a> {
    /// Place in the order of acceptance.
    pub(crate) seq: i64,
    /// Whose it is.
    pub(crate) did: DidKey,
    /// When it was accepted, Unix milliseconds.
    pub(crate) created_at_ms: i64,
    /// Its CID.
    pub(crate) cid: Cid,
    /// Whether a recovery undid it.
    pub(crate) nullified: bool,
    /// Canonical DAG-CBOR.
    pub(crate) bytes: &'a [u8],
}

/// A page of operations by time.
#[derive(Debug)]
pub(crate) struct TimePage<T> {
    /// What was made of each operation, in order of time and CID.
    pub(crate) items: Vec<T>,
    /// The time of the newest operation of the directory, if the page reaches it.
    pub(crate) reached_ms: Option<i64>,
}

const SQL: &str = "SELECT seq, did, created_at_ms, digest, nullified_by, bytes FROM operation \
                   WHERE seq > ?1 ORDER BY seq LIMIT ?2";

impl Store {
    /// The number of the newest operation, 0 when there is none.
    pub(crate) fn newest(&self) -> Result<i64, StoreError> {
        let read = |connection: &Connection| {
            let sql = "SELECT max(seq) FROM operation";
            let newest: Option<i64> = connection
                .prepare_cached(sql)?
                .query_row([], |row| row.get(0))?;
            Ok(newest.unwrap_or(0))
        };
        self.database.read_point(read).map_err(read_error)
    }

    /// The number of the last operation accepted at or before a time, 0 when there is none.
    pub(crate) async fn last_at(&self, time_ms: i64) -> Result<i64, StoreError> {
        let read = move |connection: &Connection| last_at(connection, time_ms);
        self.database.read(read).await.map_err(read_error)
    }

    /// Visits at most `count` operations after `after`, in order, on a reader thread, until `visit`
    /// says that it has enough. Answers what `visit` made of them.
    pub(crate) fn by_seq<T, F>(
        &self,
        after: i64,
        count: usize,
        mut made: T,
        mut visit: F,
    ) -> impl Future<Output = Result<T, StoreError>> + Send + use<T, F>
    where
        T: Send + 'static,
        F: FnMut(&mut T, &Row<'_>) -> Result<bool, StoreError> + Send + 'static,
    {
        let read = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(SQL)?;
            let mut rows = statement.query([after, i64::try_from(count).unwrap_or(i64::MAX)])?;
            while let Some(row) = rows.next()? {
                if !visit(&mut made, &row_of(row)?)? {
                    break;
                }
            }
            Ok(made)
        };
        self.database
            .read(read)
            .map(|made| made.map_err(read_error))
    }

    /// Makes a page of about `count` operations that were accepted after `after_ms` and no later
    /// than `until_ms`.
    ///
    /// A page never ends between two operations of the same time: it ends at the last complete time
    /// within `count`, or takes its first time whole, however many share it.
    pub(crate) async fn by_time<T, F>(
        &self,
        after_ms: Option<i64>,
        until_ms: i64,
        count: usize,
        make: F,
    ) -> Result<TimePage<T>, StoreError>
    where
        T: Send + 'static,
        F: Fn(&Row<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let read = move |connection: &Connection| {
            let start = match after_ms {
                Some(after_ms) => last_at(connection, after_ms)?,
                None => 0,
            };
            time_page(connection, start, until_ms, count, make)
        };
        self.database.read(read).await.map_err(read_error)
    }
}

fn time_page<T>(
    connection: &Connection,
    start: i64,
    until_ms: i64,
    count: usize,
    make: impl Fn(&Row<'_>) -> Result<T, StoreError>,
) -> Result<TimePage<T>, StoreError> {
    let mut statement = connection.prepare_cached(SQL)?;
    let mut rows = statement.query([start, i64::MAX])?;
    let mut items: Vec<(i64, Cid, T)> = Vec::with_capacity(count);
    let mut reached_ms = None;
    // Where the run of the newest time seen so far begins.
    let mut run = 0;
    loop {
        let Some(row) = rows.next()? else {
            reached_ms = items.last().map(|(time, ..)| *time);
            break;
        };
        let row = row_of(row)?;
        if row.created_at_ms > until_ms {
            break;
        }
        let same = items
            .last()
            .is_some_and(|(time, ..)| *time == row.created_at_ms);
        if items.len() >= count {
            if !same {
                break;
            }
            if run > 0 {
                items.truncate(run);
                break;
            }
        }
        if !same {
            run = items.len();
        }
        items.push((row.created_at_ms, row.cid, make(&row)?));
    }
    items.sort_by_key(|(time, cid, _)| (*time, *cid));
    Ok(TimePage {
        items: items.into_iter().map(|(.., item)| item).collect(),
        reached_ms,
    })
}

/// The number of the last operation accepted at or before `time_ms`: times never decrease along the
/// numbers, so a binary search finds it without an index.
fn last_at(connection: &Connection, time_ms: i64) -> Result<i64, StoreError> {
    let newest: Option<i64> = connection
        .prepare_cached("SELECT max(seq) FROM operation")?
        .query_row([], |row| row.get(0))?;
    // Everything up to `low` is at or before the time, everything from `high` on is after it.
    let (mut low, mut high) = (0, newest.unwrap_or(0) + 1);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        match first_after(connection, middle - 1)? {
            Some((seq, created_at_ms)) if seq < high && created_at_ms <= time_ms => low = seq,
            _ => high = middle,
        }
    }
    Ok(low)
}

fn first_after(connection: &Connection, seq: i64) -> Result<Option<(i64, i64)>, StoreError> {
    let sql = "SELECT seq, created_at_ms FROM operation WHERE seq > ?1 ORDER BY seq LIMIT 1";
    let first = connection
        .prepare_cached(sql)?
        .query_row([seq], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(first)
}

fn row_of<'a>(row: &'a rusqlite::Row<'_>) -> Result<Row<'a>, StoreError> {
    let blob = |column| -> Result<&'a [u8], StoreError> {
        Ok(row
            .get_ref(column)?
            .as_blob()
            .map_err(rusqlite::Error::from)?)
    };
    Ok(Row {
        seq: row.get(0)?,
        did: did_key(row, 1)?,
        created_at_ms: row.get(2)?,
        cid: cid(blob(3)?)?,
        nullified: row.get::<_, Option<i64>>(4)?.is_some(),
        bytes: blob(5)?,
    })
}
