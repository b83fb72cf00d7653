//! The rules of the did:plc directory: what is accepted, and what is answered about a DID.
//!
//! Owns the order of checks, the limit of operations per DID and the forms in which operations go
//! out. Cryptography and chain rules are the protocol crate's, SQL is the store's, HTTP is `api`'s.

mod did_key;
mod export;
mod line;
mod rate;
mod stream_log;
mod submit;

use std::fmt;
use std::sync::Arc;

use rochdale_protocol::data::Cid;
use rochdale_protocol::plc::{DidData, Operation};
use rochdale_service::clock::SharedClock;

use crate::store::{Store, StoreError};

pub(crate) use did_key::DidKey;
pub(crate) use export::{After, MAX_PAGE};
pub(crate) use line::{push_audit, push_sequenced};
pub(crate) use stream_log::StreamLog;
pub(crate) use submit::Refusal;

/// Called with each accepted operation, in order, once it is durable.
pub(crate) type Publish = Arc<dyn Fn(Published) + Send + Sync>;

/// An accepted operation, ready for the export stream.
#[derive(Debug)]
pub(crate) struct Published {
    /// Its number.
    pub(crate) seq: u64,
    /// The line that the export by number has for it.
    pub(crate) line: String,
}

/// The directory. Clones are the same directory.
#[derive(Clone)]
pub(crate) struct Directory {
    store: Store,
    clock: SharedClock,
    publish: Publish,
}

/// What is known about a DID.
#[derive(Debug)]
pub(crate) enum Known {
    /// It was never registered.
    Nothing,
    /// It was ended by a tombstone.
    Ended,
    /// Its state after the newest operation.
    State {
        /// The state.
        data: DidData,
        /// The newest operation, which names this version of the state.
        version: Cid,
    },
}

/// A DID's operations as text, and the newest one's CID.
#[derive(Debug)]
pub(crate) struct Log {
    /// JSON.
    pub(crate) json: String,
    /// The newest operation, which names this version of the log.
    pub(crate) version: Cid,
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

impl Directory {
    pub(crate) fn new(store: Store, clock: SharedClock, publish: Publish) -> Self {
        Self {
            store,
            clock,
            publish,
        }
    }

    /// The present state of a DID.
    pub(crate) fn state(&self, did: DidKey) -> Result<Known, StoreError> {
        let Some(head) = self.store.head(did)? else {
            return Ok(Known::Nothing);
        };
        let version = head.operation.cid;
        Ok(
            match read_back(&head.operation.bytes)?.data(&did.to_did()) {
                Some(data) => Known::State { data, version },
                None => Known::Ended,
            },
        )
    }

    /// The newest operation of a DID as JSON, also when it is a tombstone.
    pub(crate) fn newest(&self, did: DidKey) -> Result<Option<Log>, StoreError> {
        let Some(head) = self.store.head(did)? else {
            return Ok(None);
        };
        let mut json = String::with_capacity(1024);
        line::push_operation(&mut json, &head.operation.bytes)?;
        Ok(Some(Log {
            json,
            version: head.operation.cid,
        }))
    }

    /// The operations that hold, oldest first, as a JSON array.
    pub(crate) async fn log(&self, did: DidKey) -> Result<Option<Log>, StoreError> {
        let log = self.store.log(did).await?;
        let live = log.iter().filter(|operation| !operation.nullified);
        array(live, |json, operation| {
            line::push_operation(json, &operation.bytes)
        })
    }

    /// All operations, oldest first, each with its CID and time, as a JSON array.
    pub(crate) async fn audit_log(&self, did: DidKey) -> Result<Option<Log>, StoreError> {
        let log = self.store.log(did).await?;
        array(log.iter(), |json, operation| {
            let row = crate::store::Row {
                seq: operation.seq,
                did,
                created_at_ms: operation.created_at_ms,
                cid: operation.cid,
                nullified: operation.nullified,
                bytes: &operation.bytes,
            };
            push_audit(json, &row)
        })
    }

    /// Whether the directory can answer.
    pub(crate) fn is_healthy(&self) -> bool {
        self.store.is_healthy()
    }
}

fn array<'a>(
    operations: impl Iterator<Item = &'a crate::store::Stored>,
    push: impl Fn(&mut String, &crate::store::Stored) -> Result<(), StoreError>,
) -> Result<Option<Log>, StoreError> {
    let mut json = String::from("[");
    let mut version = None;
    for operation in operations {
        if version.replace(operation.cid).is_some() {
            json.push(',');
        }
        push(&mut json, operation)?;
    }
    json.push(']');
    Ok(version.map(|version| Log { json, version }))
}

/// Bytes from the store were an operation when they were stored.
fn read_back(bytes: &[u8]) -> Result<Operation, StoreError> {
    Operation::from_cbor(bytes).map_err(|_| StoreError::Corrupt("stored bytes are no operation"))
}
