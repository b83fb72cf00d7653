//! Filling one piece of an export inside one short read.
//!
//! Owns the walk: nodes by name, records as one scan per collection that goes along with the
//! walk, because the order of the tree is the order of the records. What was replaced since the
//! head was pinned comes from memory.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use rochdale_protocol::data::{Cid, Link};
use rochdale_protocol::repo::car;
use rochdale_protocol::repo::export::{Exporter, Step};
use rochdale_protocol::syntax::{Nsid, RecordPath, Tid};
use rusqlite::Connection;

use super::ExportError;
use crate::repo::shelf::OpenShelf;
use crate::repo::slots::Slot;
use crate::store::record::{self, ScannedRecord};
use crate::store::{StoreError, repo};

/// Rows read ahead at once.
const ROWS_AHEAD: usize = 256;
/// Bytes of rows read ahead at once.
const BYTES_AHEAD: usize = 128 << 10;

/// How far a piece got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// The piece has its size.
    Full,
    /// The repository is exported.
    Done,
}

/// Where an export stands between two pieces.
#[derive(Debug)]
pub(super) struct Filling {
    slot: Arc<Slot>,
    since: Option<Tid>,
    exporter: Exporter,
    /// A record that could not be read yet.
    unread: Option<Step>,
    rows: Rows,
    done: bool,
}

impl Filling {
    /// At the root of the tree `data`.
    pub(super) fn new(slot: &Arc<Slot>, data: Cid, since: Option<Tid>) -> Self {
        Self {
            slot: Arc::clone(slot),
            since,
            exporter: Exporter::new(data),
            unread: None,
            rows: Rows::default(),
            done: false,
        }
    }

    /// Whether nothing is left.
    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// Appends blocks to `piece` until it has `target` bytes. After an error the same call can
    /// be made again.
    ///
    /// # Errors
    /// [`ExportError`].
    pub(super) fn fill(
        &mut self,
        conn: &Connection,
        piece: &mut Vec<u8>,
        target: usize,
    ) -> Result<Progress, ExportError> {
        if self.slot.nodes.lock().is_broken() {
            return Err(ExportError::Broken);
        }
        let slot = Arc::clone(&self.slot);
        let shelf = OpenShelf { conn, slot: &slot };
        while piece.len() < target {
            let step = self.unread.take().or_else(|| self.exporter.next_step());
            match step {
                None => {
                    self.done = true;
                    return Ok(Progress::Done);
                }
                Some(Step::Node(cid)) => {
                    let (rev, block) = shelf.node(&cid)?.ok_or(ExportError::Missing { cid })?;
                    // An unchanged node stands for its whole subtree.
                    if self.since.is_some_and(|since| rev <= since) {
                        self.exporter.skip();
                        continue;
                    }
                    self.exporter.provide(cid, &block)?;
                    car::append_block(piece, &cid, &block);
                }
                Some(Step::LoadedNode(cid, block)) => car::append_block(piece, &cid, &block),
                Some(Step::Record { key, cid }) => {
                    if let Err(error) = self.record(conn, &key, &cid, piece) {
                        self.unread = Some(Step::Record { key, cid });
                        return Err(error);
                    }
                }
            }
        }
        Ok(Progress::Full)
    }

    fn record(
        &mut self,
        conn: &Connection,
        key: &[u8],
        link: &Link,
        piece: &mut Vec<u8>,
    ) -> Result<(), ExportError> {
        let corrupt = || StoreError::corrupt("tree leaf");
        let cid = link.as_cid().ok_or_else(corrupt)?;
        let path = std::str::from_utf8(key).map_err(|_| corrupt())?;
        let (collection, rkey) = path.split_once('/').ok_or_else(corrupt)?;
        let stored = if self.since.is_some() {
            let path: RecordPath = path.parse().map_err(|_| corrupt())?;
            record::get(conn, self.slot.account, &path)?
                .map(|found| (found.cid, found.rev, found.value))
        } else {
            self.rows.find(conn, &self.slot, collection, rkey)?
        };
        match stored {
            Some((found, rev, value)) if found == cid => {
                if self.since.is_none_or(|since| rev > since) {
                    car::append_block(piece, &cid, &value);
                }
            }
            _ => {
                let kept = self.slot.nodes.lock().kept_record(&cid);
                let value = kept.ok_or(ExportError::Missing { cid })?;
                car::append_block(piece, &cid, &value);
            }
        }
        Ok(())
    }
}

/// Rows read ahead of the walk. Rows may be older than the store: what counts is their CID.
#[derive(Debug, Default)]
struct Rows {
    collection: Option<(String, Option<i64>)>,
    ahead: VecDeque<ScannedRecord>,
    exhausted: bool,
}

impl Rows {
    /// The row of `rkey`, which comes after every key asked for before.
    fn find(
        &mut self,
        conn: &Connection,
        slot: &Slot,
        collection: &str,
        rkey: &str,
    ) -> Result<Option<(Cid, Tid, Bytes)>, StoreError> {
        let id = self.enter(conn, collection)?;
        loop {
            while self
                .ahead
                .front()
                .is_some_and(|row| row.rkey.as_str() < rkey)
            {
                self.ahead.pop_front();
            }
            match self.ahead.front() {
                Some(row) if row.rkey == rkey => {
                    return Ok(Some((row.cid, row.rev, row.value.clone())));
                }
                Some(_) => return Ok(None),
                None if self.exhausted => return Ok(None),
                None => self.read_ahead(conn, slot, id, rkey)?,
            }
        }
    }

    fn enter(&mut self, conn: &Connection, nsid: &str) -> Result<Option<i64>, StoreError> {
        if let Some((name, id)) = &self.collection
            && name == nsid
        {
            return Ok(*id);
        }
        let parsed: Nsid = nsid.parse().map_err(|_| StoreError::corrupt("tree leaf"))?;
        let id = repo::collection_id(conn, &parsed)?;
        self.collection = Some((nsid.to_owned(), id));
        self.ahead.clear();
        self.exhausted = id.is_none();
        Ok(id)
    }

    fn read_ahead(
        &mut self,
        conn: &Connection,
        slot: &Slot,
        collection: Option<i64>,
        from: &str,
    ) -> Result<(), StoreError> {
        let Some(collection) = collection else {
            return Ok(());
        };
        let (mut rows, mut bytes) = (0, 0);
        self.exhausted = true;
        let (ahead, exhausted) = (&mut self.ahead, &mut self.exhausted);
        record::scan(conn, slot.account, collection, Some(from), |row| {
            rows += 1;
            bytes += row.value.len();
            ahead.push_back(row);
            *exhausted = rows < ROWS_AHEAD && bytes < BYTES_AHEAD;
            *exhausted
        })
    }
}
