//! Reading a CAR file that arrives in pieces, with bounded memory.

use bytes::{Buf, Bytes, BytesMut};

use super::CarError;
use super::read::{check_section, split_header, split_section};
use crate::data::{Cid, Link};

/// What a stranger's file may cost.
#[derive(Debug, Clone, Copy)]
pub struct StreamLimits {
    /// Largest block, in bytes.
    pub block_bytes: usize,
    /// Longest file, in bytes.
    pub total_bytes: u64,
}

/// Takes a file in pieces and gives out its blocks. Never holds more than one block and one piece.
#[derive(Debug)]
pub struct StreamReader {
    limits: StreamLimits,
    buffer: BytesMut,
    roots: Option<Vec<Link>>,
    fed: u64,
}

impl StreamReader {
    /// A reader at the start of a file.
    #[must_use]
    pub fn new(limits: StreamLimits) -> Self {
        Self {
            limits,
            buffer: BytesMut::new(),
            roots: None,
            fed: 0,
        }
    }

    /// Takes the next piece. Take all blocks with [`StreamReader::next_block`] before the next call.
    ///
    /// # Errors
    /// [`CarError::TooLong`] when the file is longer than its limit.
    pub fn feed(&mut self, piece: &[u8]) -> Result<(), CarError> {
        self.fed += piece.len() as u64;
        if self.fed > self.limits.total_bytes {
            return Err(CarError::TooLong(self.limits.total_bytes));
        }
        self.buffer.extend_from_slice(piece);
        Ok(())
    }

    /// The roots, once the header has arrived.
    #[must_use]
    pub fn roots(&self) -> Option<&[Link]> {
        self.roots.as_deref()
    }

    /// Where in the file the next block's section begins: just after the block given out last.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.fed - self.buffer.len() as u64
    }

    /// The next whole block that has arrived, with its checked CID (`None`: of another form, not
    /// checked); `Ok(None)` asks for more.
    ///
    /// # Errors
    /// [`CarError`] when the file is malformed, or a block too large or not what its CID says.
    pub fn next_block(&mut self) -> Result<Option<(Option<Cid>, Bytes)>, CarError> {
        if self.roots.is_none() {
            let Some((roots, rest)) = split_header(&self.buffer)? else {
                return Ok(None);
            };
            let used = self.buffer.len() - rest.len();
            self.buffer.advance(used);
            self.roots = Some(roots);
        }
        if self.buffer.is_empty() {
            return Ok(None);
        }
        let offset = self.position();
        let Some((section, rest)) = split_section(&self.buffer, offset, self.limits.block_bytes)?
        else {
            return Ok(None);
        };
        let block = check_section(section, offset)?;
        let (cid, bytes) = (block.cid, block.bytes.len());
        let used = self.buffer.len() - rest.len();
        self.buffer.advance(used - bytes);
        Ok(Some((cid, self.buffer.split_to(bytes).freeze())))
    }

    /// Says that the file has ended.
    ///
    /// # Errors
    /// [`CarError::Truncated`] when it ended within its header or a block.
    pub fn finish(&self) -> Result<(), CarError> {
        if self.roots.is_some() && self.buffer.is_empty() {
            Ok(())
        } else {
            Err(CarError::Truncated)
        }
    }
}
