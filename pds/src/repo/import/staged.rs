//! An imported CAR file on disk: its blocks by name.
//!
//! Owns the scratch file, which has no name and so is gone with the process. Every block's hash
//! was checked on the way in.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use bytes::Bytes;
use rochdale_protocol::data::{Cid, Link};
use rochdale_protocol::repo::car::{CarError, StreamLimits, StreamReader};
use rochdale_protocol::repo::{BlockSource, Commit, SourceError};
use rochdale_protocol::syntax::Did;
use rochdale_service::clock::random;

use super::ImportError;

/// Largest block, in bytes: a node may be a little larger than a record.
const BLOCK_BYTES_MAX: usize = 2 << 20;
/// Most blocks: their index takes about 100 bytes each.
const BLOCKS_MAX: usize = 3_000_000;

/// Where a block is in the file.
#[derive(Debug, Clone, Copy)]
struct Place {
    offset: u64,
    bytes: u32,
}

/// A file on its way in.
pub(super) struct Writer {
    reader: StreamReader,
    out: BufWriter<File>,
    index: HashMap<Cid, Place>,
    offset: u64,
    limit_bytes: u64,
}

/// A file that is in.
#[derive(Debug)]
pub(super) struct Staged {
    file: File,
    index: HashMap<Cid, Place>,
    root: Cid,
}

impl Writer {
    /// An empty scratch file in `folder`.
    pub(super) fn create(folder: Option<&Path>, limit_bytes: u64) -> io::Result<Self> {
        let name = format!("import-{}", data_encoding::HEXLOWER.encode(&random::<8>()));
        let path = folder.unwrap_or(Path::new(".")).join(name);
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)?;
        fs::remove_file(&path)?;
        let limits = StreamLimits {
            block_bytes: BLOCK_BYTES_MAX,
            total_bytes: limit_bytes,
        };
        Ok(Self {
            reader: StreamReader::new(limits),
            out: BufWriter::with_capacity(256 << 10, file),
            index: HashMap::new(),
            offset: 0,
            limit_bytes,
        })
    }

    /// Takes the next piece of the CAR file.
    pub(super) fn feed(&mut self, piece: &[u8]) -> Result<(), ImportError> {
        let limit_bytes = self.limit_bytes;
        let refuse = |error| match error {
            CarError::TooLong(_) => ImportError::TooLarge { limit_bytes },
            other => ImportError::Car(other),
        };
        self.reader.feed(piece).map_err(refuse)?;
        while let Some((cid, block)) = self.reader.next_block().map_err(refuse)? {
            let Some(cid) = cid else { continue };
            if self.index.contains_key(&cid) {
                continue;
            }
            if self.index.len() >= BLOCKS_MAX {
                return Err(ImportError::TooLarge { limit_bytes });
            }
            self.out.write_all(&block)?;
            let bytes = u32::try_from(block.len()).unwrap_or(u32::MAX);
            self.index.insert(
                cid,
                Place {
                    offset: self.offset,
                    bytes,
                },
            );
            self.offset += u64::from(bytes);
        }
        Ok(())
    }

    /// The whole file was fed.
    pub(super) fn finish(self) -> Result<Staged, ImportError> {
        self.reader.finish()?;
        let root = match self.reader.roots() {
            Some([root]) => Link::as_cid(root).ok_or(ImportError::Roots)?,
            _ => return Err(ImportError::Roots),
        };
        let file = self
            .out
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        Ok(Staged {
            file,
            index: self.index,
            root,
        })
    }
}

impl Staged {
    /// The commit, if it is one of `did`.
    pub(super) fn commit(&self, did: &Did) -> Result<Commit, ImportError> {
        let block = self.read(&self.root)?.ok_or(ImportError::Roots)?;
        let commit = Commit::decode(&block)?;
        if commit.did == *did {
            return Ok(commit);
        }
        Err(ImportError::OtherAccount {
            given: commit.did,
            wanted: did.clone(),
        })
    }

    fn read(&self, cid: &Cid) -> io::Result<Option<Bytes>> {
        let Some(place) = self.index.get(cid) else {
            return Ok(None);
        };
        let mut block = vec![0; usize::try_from(place.bytes).unwrap_or(0)];
        self.file.read_exact_at(&mut block, place.offset)?;
        Ok(Some(block.into()))
    }
}

impl BlockSource for Staged {
    fn block(&self, cid: &Cid) -> Result<Option<Bytes>, SourceError> {
        self.read(cid).map_err(SourceError::new)
    }
}
