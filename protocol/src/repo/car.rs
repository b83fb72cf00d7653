//! CAR version 1: a header with roots, then blocks ("atproto repository" spec, "CAR File Serialization").
//!
//! Readers recompute the hash of every block whose CID has the blessed form, accept blocks in any
//! order, repeated or unrelated, and hand out blocks with other CIDs as untrusted.

mod read;
mod stream;

use crate::data::Cid;
use crate::data::cbor::{CborError, Encoder};

pub use read::{Block, Car, Reader, read};
pub use stream::{StreamLimits, StreamReader};

/// The media type of a CAR file.
pub const MEDIA_TYPE: &str = "application/vnd.ipld.car";

/// Longest header accepted, in bytes: room for some twenty roots.
pub(crate) const MAX_HEADER_BYTES: usize = 1024;

/// Why bytes are not a CAR file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CarError {
    /// The file ends within its header or a block.
    #[error("the CAR file ends within its header or a block")]
    Truncated,
    /// A length that is not a minimal varint.
    #[error("the CAR file has a length that is not a minimal varint at byte {0}")]
    Varint(u64),
    /// The header is not what it must be.
    #[error("the CAR header is malformed: {0}")]
    Header(#[from] CborError),
    /// The header has other fields than `roots` and `version`, or a version other than 1.
    #[error("the CAR header is not a map of roots and version 1")]
    Version,
    /// The header or a block is longer than the reader's limit.
    #[error("the CAR file has a section of {bytes} bytes, more than {limit}")]
    TooLarge {
        /// The section's length.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// More bytes in all than the reader's limit.
    #[error("the CAR file is longer than {0} bytes")]
    TooLong(u64),
    /// A block does not start with a CID.
    #[error("the CAR file has a block without a CID at byte {0}")]
    Cid(u64),
    /// A block is not what its CID says.
    #[error("block {0} does not hash to its CID")]
    Hash(Cid),
}

/// Writes a CAR file into memory.
#[derive(Debug, Clone)]
pub struct Writer {
    out: Vec<u8>,
}

impl Writer {
    /// Starts a file with these roots.
    #[must_use]
    pub fn new(roots: &[Cid]) -> Self {
        Self::with_capacity(roots, 0)
    }

    /// As [`Writer::new`], with room for this many bytes of sections.
    #[must_use]
    pub fn with_capacity(roots: &[Cid], bytes: usize) -> Self {
        let mut out = Vec::with_capacity(bytes + 64 + roots.len() * 48);
        out.extend_from_slice(&header(roots));
        Self { out }
    }

    /// Appends a block.
    pub fn block(&mut self, cid: &Cid, block: &[u8]) -> &mut Self {
        append_block(&mut self.out, cid, block);
        self
    }

    /// The bytes so far.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.out
    }

    /// The file.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.out
    }
}

/// The header section of a file with these roots, its length before it.
#[must_use]
pub fn header(roots: &[Cid]) -> Vec<u8> {
    let mut map = Encoder::with_capacity(64 + roots.len() * 48);
    map.map(2).text("roots").array(roots.len());
    for root in roots {
        map.cid(root);
    }
    map.text("version").int(1);
    let mut out = Vec::with_capacity(map.position() + 2);
    append_varint(&mut out, map.position());
    out.extend_from_slice(map.as_bytes());
    out
}

/// Appends one block section.
pub fn append_block(out: &mut Vec<u8>, cid: &Cid, block: &[u8]) {
    let cid = cid.to_bytes();
    append_varint(out, cid.len() + block.len());
    out.extend_from_slice(&cid);
    out.extend_from_slice(block);
}

/// How many bytes the section of a block takes.
#[must_use]
pub fn block_section_bytes(block_bytes: usize) -> usize {
    let section = 36 + block_bytes;
    let bits = usize::BITS - section.leading_zeros();
    section + bits.div_ceil(7) as usize
}

fn append_varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(0x80 | (value & 0x7f) as u8);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Reads a varint: `Ok(None)` when the input ends within it.
fn varint(input: &[u8], offset: u64) -> Result<Option<(u64, &[u8])>, CarError> {
    let mut value = 0_u64;
    for (place, &byte) in input.iter().enumerate() {
        // Nine groups of seven bits are more than any limit.
        if place == 9 {
            return Err(CarError::Varint(offset));
        }
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            if byte == 0 && place > 0 {
                return Err(CarError::Varint(offset));
            }
            return Ok(Some((value, input.get(place + 1..).unwrap_or_default())));
        }
    }
    if input.len() >= 9 {
        Err(CarError::Varint(offset))
    } else {
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
