//! Reading one repository's blocks: memory first, then the store.
//!
//! Owns the order in which a block is looked for. Reads are points of a few microseconds each
//! and see no common snapshot: callers hold the turn or a pin, so what they ask for stays.

use bytes::Bytes;
use rochdale_protocol::data::Cid;
use rochdale_protocol::repo::mst::empty_root;
use rochdale_protocol::repo::{BlockSource, SourceError};
use rochdale_protocol::syntax::{Nsid, RecordKey, RecordPath, Tid};
use rochdale_service::sqlite::Database;
use rusqlite::Connection;

use super::plan::{SAME_SUBJECT_MAX, Source};
use super::slots::Slot;
use crate::store::repo::Subject;
use crate::store::{StoreError, node, read_error, record};

/// The node of a repository without records.
pub(super) const EMPTY_NODE: &[u8] = b"\xa2\x61e\x80\x61l\xf6";

/// One repository's blocks, through point reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shelf<'a> {
    /// Where they are stored.
    pub(super) database: &'a Database,
    /// Whose they are.
    pub(super) slot: &'a Slot,
}

impl BlockSource for Shelf<'_> {
    fn block(&self, cid: &Cid) -> Result<Option<Bytes>, SourceError> {
        if let Some((_, bytes)) = in_memory(self.slot, cid) {
            return Ok(Some(bytes));
        }
        let found: Result<_, StoreError> = self
            .database
            .read_point(|conn| node::get(conn, self.slot.account, cid))
            .map_err(read_error);
        Ok(found.map_err(SourceError::new)?.map(|(_, bytes)| bytes))
    }
}

impl Source for Shelf<'_> {
    fn record(&self, path: &RecordPath) -> Result<Option<Bytes>, StoreError> {
        let found = self
            .database
            .read_point(|conn| record::get(conn, self.slot.account, path))
            .map_err(read_error::<StoreError>)?;
        Ok(found.map(|record| record.value))
    }

    fn pointing_at(
        &self,
        collection: &Nsid,
        subject: &Subject,
    ) -> Result<Vec<RecordKey>, StoreError> {
        self.database
            .read_point(|conn| {
                record::pointing_at(
                    conn,
                    self.slot.account,
                    collection,
                    subject,
                    SAME_SUBJECT_MAX,
                )
            })
            .map_err(read_error)
    }
}

/// One repository's nodes within a read that holds a connection already.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenShelf<'a> {
    /// The read's connection.
    pub(super) conn: &'a Connection,
    /// Whose they are.
    pub(super) slot: &'a Slot,
}

impl OpenShelf<'_> {
    /// A node with the revision that brought it.
    pub(super) fn node(&self, cid: &Cid) -> Result<Option<(Tid, Bytes)>, StoreError> {
        match in_memory(self.slot, cid) {
            Some(found) => Ok(Some(found)),
            None => node::get(self.conn, self.slot.account, cid),
        }
    }
}

impl BlockSource for OpenShelf<'_> {
    fn block(&self, cid: &Cid) -> Result<Option<Bytes>, SourceError> {
        Ok(self
            .node(cid)
            .map_err(SourceError::new)?
            .map(|(_, bytes)| bytes))
    }
}

fn in_memory(slot: &Slot, cid: &Cid) -> Option<(Tid, Bytes)> {
    let found = slot.nodes.lock().get(cid);
    found.or_else(|| {
        (*cid == empty_root()).then(|| (Tid::from_u64(0), Bytes::from_static(EMPTY_NODE)))
    })
}
