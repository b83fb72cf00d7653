//! Leaves for did:plc operations.

use rochdale_protocol::data::{MAX_INTEGER, Map, Value};
use rochdale_protocol::plc::Operation;
use rochdale_protocol::syntax::Did;

use super::fields::{Fields, refused};
use super::{LeafError, checked_time};
use crate::checkpoint::Origin;

/// An operation, when it was accepted, and where it came from.
///
/// Whether it was nullified later is not part of it: that follows from the leaves after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationLeaf {
    /// The did:plc that it is about. Of a genesis operation, the one that it founds.
    pub did: Did,
    /// The signed operation.
    pub operation: Operation,
    /// When this log accepted it, in Unix milliseconds.
    pub at_ms: i64,
    /// Where it came from.
    pub source: Source,
}

/// Where an operation came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// It was submitted to this log.
    Local,
    /// It was read from another directory.
    Upstream {
        /// Which one, such as `plc.directory`.
        origin: Origin,
        /// Its sequence number there, if it has one.
        seq: Option<u64>,
    },
}

/// `src` of an operation that was submitted here.
const LOCAL: &str = "local";

impl OperationLeaf {
    pub(super) fn read(fields: &mut Fields) -> Result<Self, LeafError> {
        let did: Did = fields.parsed("did", IS_PLC)?;
        let cid = fields.text("cid")?;
        let operation = Operation::from_cbor(&fields.bytes("op")?)
            .map_err(|_| refused("op", "a signed operation in canonical DAG-CBOR"))?;
        if operation.cid().to_string() != cid {
            return Err(refused("cid", "the CID of the operation"));
        }
        let at_ms = checked_time("at", fields.integer("at")?)?;
        let source = Source::read(fields)?;
        let leaf = Self {
            did,
            operation,
            at_ms,
            source,
        };
        leaf.check_did()?;
        Ok(leaf)
    }

    pub(super) fn write(&self, map: &mut Map) -> Result<(), LeafError> {
        self.check_did()?;
        map.insert("did", self.did.as_str());
        map.insert("cid", self.operation.cid().to_string());
        map.insert("op", Value::Bytes(self.operation.to_cbor()));
        map.insert("at", checked_time("at", self.at_ms)?);
        self.source.write(map)
    }

    fn check_did(&self) -> Result<(), LeafError> {
        if !self.did.is_plc() {
            return Err(refused("did", IS_PLC));
        }
        if self.operation.prev().is_none() && self.operation.founded_did() != self.did {
            return Err(refused("did", "the DID that the genesis operation founds"));
        }
        Ok(())
    }
}

const IS_PLC: &str = "a did:plc";

impl Source {
    fn read(fields: &mut Fields) -> Result<Self, LeafError> {
        let source = fields.text("src")?;
        if source == LOCAL {
            // A sequence number of nobody is left over, and so refused.
            return Ok(Self::Local);
        }
        let origin = source.parse().map_err(|_| refused("src", IS_SOURCE))?;
        let seq = match fields.optional_integer("useq")? {
            Some(seq) => Some(u64::try_from(seq).map_err(|_| refused("useq", IS_SEQ))?),
            None => None,
        };
        let source = Self::Upstream { origin, seq };
        source.write(&mut Map::new())?;
        Ok(source)
    }

    fn write(&self, map: &mut Map) -> Result<(), LeafError> {
        match self {
            Self::Local => {
                map.insert("src", LOCAL);
            }
            Self::Upstream { origin, seq } => {
                if origin.as_str() == LOCAL {
                    return Err(refused("src", IS_SOURCE));
                }
                map.insert("src", origin.as_str());
                if let Some(seq) = seq {
                    let seq = i64::try_from(*seq).ok().filter(|seq| *seq <= MAX_INTEGER);
                    map.insert("useq", seq.ok_or(refused("useq", IS_SEQ))?);
                }
            }
        }
        Ok(())
    }
}

const IS_SOURCE: &str = "\"local\" or the name of a directory";
const IS_SEQ: &str = "a sequence number from 0 to 2^53 - 1";
