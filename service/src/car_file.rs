//! A repository's CAR file on disk: taken in piece by piece, then read block by block.
//!
//! Owns the index from names to places, sixteen bytes a block, so that a repository of any size
//! costs little memory. Every block's hash is checked on the way in. Must not know whose repository
//! it is. Follows the CAR serialisation of the atproto repository specification.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use rochdale_protocol::data::{Cid, Link};
use rochdale_protocol::repo::car::{CarError, StreamLimits, StreamReader};
use rochdale_protocol::repo::{BlockSource, SourceError};

/// Largest block, in bytes: a node may be a little larger than a record.
pub const BLOCK_BYTES_MAX: usize = 2 << 20;
/// Most blocks: the index of so many takes 48 MB.
pub const BLOCKS_MAX: usize = 3_000_000;
/// Bytes of a CID in front of its block.
const CID_BYTES: usize = 36;
/// Bits of a place that hold the block's length; the offset is above them.
const LENGTH_BITS: u32 = 24;

/// Why a file was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum CarFileError {
    /// Not a CAR file, or over its limit of bytes.
    #[error(transparent)]
    Car(#[from] CarError),
    /// More blocks than the index may hold.
    #[error("the CAR file has more than {BLOCKS_MAX} blocks")]
    TooManyBlocks,
    /// Not exactly one root.
    #[error("the CAR file must have exactly one root, the commit")]
    Roots,
    /// The disk failed.
    #[error("the CAR file could not be kept on disk")]
    Disk(#[from] io::Error),
}

/// Where a block is: the first bytes of its digest, then offset and length in one number.
type Place = (u64, u64);

/// A file on its way in.
#[derive(Debug)]
pub struct CarFileWriter {
    reader: StreamReader,
    out: BufWriter<File>,
    index: Vec<Place>,
}

/// A file that is in. Nothing but its index is in memory.
#[derive(Debug)]
pub struct CarFile {
    file: File,
    index: Vec<Place>,
    root: Cid,
}

impl CarFileWriter {
    /// Writes to `file`, which is empty and can be read too, at most `limit_bytes`.
    #[must_use]
    pub fn new(file: File, limit_bytes: u64) -> Self {
        let limits = StreamLimits {
            block_bytes: BLOCK_BYTES_MAX,
            total_bytes: limit_bytes,
        };
        Self {
            reader: StreamReader::new(limits),
            // A piece costs a copy, and a write to the page cache now and then.
            out: BufWriter::with_capacity(256 << 10, file),
            index: Vec::new(),
        }
    }

    /// Takes the next piece.
    ///
    /// # Errors
    /// What is wrong with it, or with the disk.
    pub fn feed(&mut self, piece: &[u8]) -> Result<(), CarFileError> {
        self.reader.feed(piece)?;
        self.out.write_all(piece)?;
        while let Some((cid, block)) = self.reader.next_block()? {
            // A block of another form is no part of a repository.
            let Some(cid) = cid else { continue };
            if self.index.len() >= BLOCKS_MAX {
                return Err(CarFileError::TooManyBlocks);
            }
            let length = block.len() as u64;
            let offset = self.reader.position() - length;
            self.index
                .push((prefix(&cid), offset << LENGTH_BITS | length));
        }
        Ok(())
    }

    /// Blocks so far.
    #[must_use]
    pub fn blocks(&self) -> usize {
        self.index.len()
    }

    /// Says that the file has ended.
    ///
    /// # Errors
    /// When it ended too early, or has not exactly one root.
    pub fn finish(mut self) -> Result<CarFile, CarFileError> {
        self.reader.finish()?;
        let root = match self.reader.roots() {
            Some([root]) => Link::as_cid(root).ok_or(CarFileError::Roots)?,
            _ => return Err(CarFileError::Roots),
        };
        let file = self
            .out
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        self.index.sort_unstable();
        self.index.shrink_to_fit();
        Ok(CarFile {
            file,
            index: self.index,
            root,
        })
    }
}

impl CarFile {
    /// The root: the commit's name.
    #[must_use]
    pub fn root(&self) -> Cid {
        self.root
    }

    /// Blocks in the file, repeated ones counted each time.
    #[must_use]
    pub fn blocks(&self) -> usize {
        self.index.len()
    }

    /// The file itself.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// A block by its name.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn read(&self, cid: &Cid) -> io::Result<Option<Bytes>> {
        let prefix = prefix(cid);
        let first = self.index.partition_point(|(found, _)| *found < prefix);
        let rest = self.index.get(first..).unwrap_or_default();
        for (_, place) in rest.iter().take_while(|(found, _)| *found == prefix) {
            let offset = place >> LENGTH_BITS;
            let length = usize::try_from(place & ((1 << LENGTH_BITS) - 1)).unwrap_or_default();
            let mut section = vec![0; CID_BYTES + length];
            // The name stands right before its block.
            self.file
                .read_exact_at(&mut section, offset - CID_BYTES as u64)?;
            let mut section = Bytes::from(section);
            let block = section.split_off(CID_BYTES);
            if section[..] == cid.to_bytes() {
                return Ok(Some(block));
            }
        }
        Ok(None)
    }
}

impl BlockSource for CarFile {
    fn block(&self, cid: &Cid) -> Result<Option<Bytes>, SourceError> {
        self.read(cid).map_err(SourceError::new)
    }
}

/// The first eight bytes of a digest: enough to tell blocks apart, all but always.
fn prefix(cid: &Cid) -> u64 {
    let first = cid.digest().first_chunk().copied().unwrap_or_default();
    u64::from_be_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rochdale_protocol::repo::car::Writer;

    fn blocks(count: u32) -> Vec<(Cid, Vec<u8>)> {
        let block = |number: u32| {
            let bytes = number.to_be_bytes().repeat(number as usize % 300 + 1);
            (Cid::dag_cbor(&bytes), bytes)
        };
        (0..count).map(block).collect()
    }

    fn car(blocks: &[(Cid, Vec<u8>)]) -> Vec<u8> {
        let mut writer = Writer::new(&[blocks[0].0]);
        for (cid, bytes) in blocks {
            writer.block(cid, bytes);
        }
        writer.into_bytes()
    }

    fn take(file: &[u8], piece: usize, limit: u64) -> Result<CarFile, CarFileError> {
        let mut writer = CarFileWriter::new(tempfile::tempfile().unwrap(), limit);
        for piece in file.chunks(piece) {
            writer.feed(piece)?;
        }
        writer.finish()
    }

    #[test]
    fn every_block_is_found_by_its_name_however_the_file_was_cut() {
        let mut all = blocks(500);
        all.push(all[7].clone());
        let file = car(&all);
        for piece in [1, 7, 1000, file.len()] {
            let taken = take(&file, piece, 1 << 20).unwrap();
            assert_eq!((taken.root(), taken.blocks()), (all[0].0, 501));
            for (cid, bytes) in &all {
                assert_eq!(taken.read(cid).unwrap().as_deref(), Some(&bytes[..]));
            }
            assert_eq!(taken.read(&Cid::dag_cbor(b"absent")).unwrap(), None);
            let same_digest =
                Cid::from_digest(rochdale_protocol::data::Codec::Raw, *all[3].0.digest());
            assert_eq!(taken.read(&same_digest).unwrap(), None, "another codec");
        }
    }

    #[test]
    fn what_is_no_whole_repository_is_refused_by_name() {
        let file = car(&blocks(20));
        assert!(matches!(
            take(b"no car file", 4, 100),
            Err(CarFileError::Car(_))
        ));
        assert!(matches!(
            take(&file[..file.len() - 2], 100, 1 << 20),
            Err(CarFileError::Car(CarError::Truncated))
        ));
        assert!(matches!(
            take(&file, 100, 200),
            Err(CarFileError::Car(CarError::TooLong(200)))
        ));
        let mut damaged = file.clone();
        *damaged.last_mut().unwrap() ^= 1;
        assert!(matches!(
            take(&damaged, 100, 1 << 20),
            Err(CarFileError::Car(CarError::Hash(_)))
        ));
        let two = Writer::new(&[Cid::dag_cbor(b"a"), Cid::dag_cbor(b"b")]).into_bytes();
        assert!(matches!(take(&two, 100, 1 << 20), Err(CarFileError::Roots)));
    }
}
