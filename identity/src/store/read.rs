//! Reading one DID's operations.

use rochdale_protocol::data::Cid;
use rusqlite::{Connection, OptionalExtension as _};

use super::{COLUMNS, Head, Store, StoreError, Stored, read_error, stored};
use crate::directory::DidKey;

impl Store {
    /// The newest operation of a DID. Cheap: read on the caller's thread.
    pub(crate) fn head(&self, did: DidKey) -> Result<Option<Head>, StoreError> {
        self.database
            .read_point(|connection| head(connection, did))
            .map_err(read_error)
    }

    /// Every operation of a DID, oldest first, nullified ones included.
    pub(crate) async fn log(&self, did: DidKey) -> Result<Vec<Stored>, StoreError> {
        let read = move |connection: &Connection| {
            let mut log = Vec::new();
            walk(connection, did, |operation| {
                log.push(operation);
                true
            })?;
            log.reverse();
            Ok(log)
        };
        self.database.read(read).await.map_err(read_error)
    }

    /// The operations of a DID that are not nullified, oldest first, from the one with this CID on;
    /// none if no such operation has it.
    pub(crate) async fn live_from(
        &self,
        did: DidKey,
        first: Cid,
    ) -> Result<Vec<Stored>, StoreError> {
        let read = move |connection: &Connection| {
            let mut live = Vec::new();
            let mut found = false;
            walk(connection, did, |operation| {
                if !operation.nullified {
                    found = operation.cid == first;
                    live.push(operation);
                }
                !found
            })?;
            live.reverse();
            Ok(if found { live } else { Vec::new() })
        };
        self.database.read(read).await.map_err(read_error)
    }

    /// When the operations of a DID that are not nullified were accepted, newest first, as far back
    /// as `since_ms` (exclusive). Unix milliseconds.
    pub(crate) async fn live_times(
        &self,
        did: DidKey,
        since_ms: i64,
    ) -> Result<Vec<i64>, StoreError> {
        let read = move |connection: &Connection| {
            let mut times = Vec::new();
            walk(connection, did, |operation| {
                if operation.created_at_ms > since_ms && !operation.nullified {
                    times.push(operation.created_at_ms);
                }
                operation.created_at_ms > since_ms
            })?;
            Ok(times)
        };
        self.database.read(read).await.map_err(read_error)
    }

    /// Whether the database answers at all.
    pub(crate) fn is_healthy(&self) -> bool {
        let read = |connection: &Connection| {
            connection
                .query_row("SELECT 1", [], |_| Ok(()))
                .map_err(StoreError::from)
        };
        self.database.read_point(read).is_ok()
    }
}

fn head(connection: &Connection, did: DidKey) -> Result<Option<Head>, StoreError> {
    const SQL: &str = "SELECT o.seq, o.created_at_ms, o.digest, o.signer_key, o.nullified_by, \
                       o.bytes, d.live FROM did d JOIN operation o ON o.seq = d.head \
                       WHERE d.did = ?1";
    let mut statement = connection.prepare_cached(SQL)?;
    let mut rows = statement.query([did.as_bytes()])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    Ok(Some(Head {
        operation: stored(row)?,
        live: row.get(6)?,
    }))
}

/// Visits a DID's operations, newest first, until told to stop. Each row names the one before it.
fn walk(
    connection: &Connection,
    did: DidKey,
    mut visit: impl FnMut(Stored) -> bool,
) -> Result<(), StoreError> {
    let head = "SELECT head FROM did WHERE did = ?1";
    let mut next: Option<i64> = connection
        .prepare_cached(head)?
        .query_row([did.as_bytes()], |row| row.get(0))
        .optional()?;
    let sql = format!("SELECT {COLUMNS}, o.previous FROM operation o WHERE o.seq = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    while let Some(seq) = next {
        let mut rows = statement.query([seq])?;
        let row = rows.next()?.ok_or(StoreError::Corrupt("a log has a gap"))?;
        next = row.get(6)?;
        if next.is_some_and(|next| next >= seq) {
            return Err(StoreError::Corrupt("a log runs in a circle"));
        }
        if !visit(stored(row)?) {
            break;
        }
    }
    Ok(())
}
