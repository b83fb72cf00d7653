//! Reading a CAR file that is wholly in memory, without copying.

use bytes::Bytes;

use super::{CarError, MAX_HEADER_BYTES, varint};
use crate::data::cbor::Decoder;
use crate::data::{Cid, Link};
use crate::repo::BlockMap;

/// A CAR file read whole.
#[derive(Debug, Clone)]
pub struct Car {
    /// The roots of the header.
    pub roots: Vec<Link>,
    /// The blocks with a CID of the blessed form; each hashes to its CID.
    pub blocks: BlockMap,
}

/// Reads a whole file of blocks up to `max_block_bytes`. The blocks share the memory of `file`.
///
/// # Errors
/// [`CarError`] when it is malformed, or a block does not hash to its CID.
pub fn read(file: &Bytes, max_block_bytes: usize) -> Result<Car, CarError> {
    let mut reader = Reader::new(file, max_block_bytes)?;
    // A small block is about 100 bytes: reserve for what an honest file holds.
    let mut blocks = BlockMap::with_capacity((file.len() / 192).min(1024) + 2);
    while let Some(block) = reader.next_block()? {
        if let Some(cid) = block.cid {
            blocks
                .entry(cid)
                .or_insert_with(|| file.slice_ref(block.bytes));
        }
    }
    Ok(Car {
        roots: reader.roots,
        blocks,
    })
}

/// One block of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block<'a> {
    /// Its CID, checked; `None` when the CID has another form and nothing was checked.
    pub cid: Option<Cid>,
    /// The block.
    pub bytes: &'a [u8],
}

/// Reads a file block by block.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    roots: Vec<Link>,
    rest: &'a [u8],
    length: usize,
    max_block_bytes: usize,
}

impl<'a> Reader<'a> {
    /// Reads the header.
    ///
    /// # Errors
    /// [`CarError`] when it is malformed.
    pub fn new(file: &'a [u8], max_block_bytes: usize) -> Result<Self, CarError> {
        let (roots, rest) = split_header(file)?.ok_or(CarError::Truncated)?;
        Ok(Self {
            roots,
            rest,
            length: file.len(),
            max_block_bytes,
        })
    }

    /// The roots of the header.
    #[must_use]
    pub fn roots(&self) -> &[Link] {
        &self.roots
    }

    /// The next block; `None` after the last.
    ///
    /// # Errors
    /// [`CarError`] when it is malformed, too large, or does not hash to its CID.
    pub fn next_block(&mut self) -> Result<Option<Block<'a>>, CarError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let offset = (self.length - self.rest.len()) as u64;
        let section = split_section(self.rest, offset, self.max_block_bytes)?;
        let (section, rest) = section.ok_or(CarError::Truncated)?;
        self.rest = rest;
        check_section(section, offset).map(Some)
    }
}

/// What was split off the input, and the rest of it; `None` when the input ends too early.
type Split<'a, T> = Result<Option<(T, &'a [u8])>, CarError>;

/// Splits the header off; `None` when the input ends within it.
pub(super) fn split_header(input: &[u8]) -> Split<'_, Vec<Link>> {
    let Some((length, rest)) = varint(input, 0)? else {
        return Ok(None);
    };
    let Some(length) = usize::try_from(length)
        .ok()
        .filter(|bytes| *bytes <= MAX_HEADER_BYTES)
    else {
        return Err(CarError::TooLarge {
            bytes: length,
            limit: MAX_HEADER_BYTES as u64,
        });
    };
    let Some((header, rest)) = rest.split_at_checked(length) else {
        return Ok(None);
    };
    let mut decoder = Decoder::new(header);
    let mut keys = decoder.map()?;
    if keys.next(&mut decoder)? != Some("roots") {
        return Err(CarError::Version);
    }
    let count = decoder.array()?;
    let mut roots = Vec::with_capacity(count.min(16));
    for _ in 0..count {
        roots.push(decoder.link()?);
    }
    if keys.next(&mut decoder)? != Some("version") || decoder.int()? != 1 || keys.remaining() != 0 {
        return Err(CarError::Version);
    }
    decoder.finish()?;
    Ok(Some((roots, rest)))
}

/// Splits the next section (CID and block) off; `None` when the input ends within it.
pub(super) fn split_section(input: &[u8], offset: u64, max_block_bytes: usize) -> Split<'_, &[u8]> {
    let Some((length, rest)) = varint(input, offset)? else {
        return Ok(None);
    };
    // The CID comes on top of the block; none is longer than 100 bytes.
    let limit = max_block_bytes + crate::data::MAX_CID_BYTES;
    match usize::try_from(length) {
        Ok(bytes) if bytes <= limit => Ok(rest.split_at_checked(bytes)),
        _ => Err(CarError::TooLarge {
            bytes: length,
            limit: limit as u64,
        }),
    }
}

/// Tells CID and block of a section apart and checks the one against the other.
pub(super) fn check_section(section: &[u8], offset: u64) -> Result<Block<'_>, CarError> {
    if let Some((head, bytes)) = section.split_at_checked(36)
        && let Ok(cid) = Cid::from_bytes(head)
    {
        if !cid.matches(bytes) {
            return Err(CarError::Hash(cid));
        }
        return Ok(Block {
            cid: Some(cid),
            bytes,
        });
    }
    let bytes = skip_foreign_cid(section, offset)?.ok_or(CarError::Cid(offset))?;
    Ok(Block { cid: None, bytes })
}

/// What follows a CID of any form.
fn skip_foreign_cid(section: &[u8], offset: u64) -> Result<Option<&[u8]>, CarError> {
    if section.starts_with(&[0x12, 0x20]) {
        return Ok(section.get(34..));
    }
    let mut rest = section;
    let mut last = 0;
    for _ in 0..4 {
        let Some((value, after)) = varint(rest, offset)? else {
            return Ok(None);
        };
        (last, rest) = (value, after);
    }
    Ok(usize::try_from(last)
        .ok()
        .and_then(|digest| rest.get(digest..)))
}
