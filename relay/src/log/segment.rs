//! One segment on disk: opening, recovery, reading, sealing.
//!
//! A segment is *open* while the appender writes to it and *sealed* afterwards. Readers see an open segment up to the last
//! byte that is known to be on disk.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use parking_lot::RwLock;
use sha2::{Digest, Sha256};

use super::LogError;
use super::format::{
    FOOTER_OFFSET_AT, Footer, HEADER_BYTES, Header, IndexEntry, Parsed, RECORD_PREFIX_BYTES,
    Record, VERSION, decode_record,
};

/// Distance of index entries.
pub(super) const INDEX_STEP_BYTES: u64 = 64 * 1024;
const SCAN_CHUNK_BYTES: usize = 1024 * 1024;

/// One segment file.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) first_seq: u64,
    pub(super) created_us: u64,
    /// Hash of the segment before; zeros if there was none.
    pub(super) previous: [u8; 32],
    pub(super) file: File,
    pub(super) extent: RwLock<Extent>,
}

/// How far a segment goes.
#[derive(Debug, Clone)]
pub(super) struct Extent {
    /// End of the last record on disk.
    pub(super) end: u64,
    pub(super) last_seq: u64,
    pub(super) last_us: u64,
    pub(super) events: u64,
    pub(super) index: Vec<IndexEntry>,
    pub(super) sealed: bool,
}

impl Extent {
    pub(super) fn empty() -> Self {
        Self {
            end: HEADER_BYTES as u64,
            last_seq: 0,
            last_us: 0,
            events: 0,
            index: Vec::new(),
            sealed: false,
        }
    }

    /// The same place, with the last index entry alone.
    pub(super) fn tail(&self) -> Self {
        let Self {
            end,
            last_seq,
            last_us,
            events,
            ref index,
            sealed,
        } = *self;
        Self {
            end,
            last_seq,
            last_us,
            events,
            index: index.last().copied().into_iter().collect(),
            sealed,
        }
    }

    /// Takes over how far `further` goes, whose first `kept` index entries are the last ones here.
    pub(super) fn advance(&mut self, further: Self, kept: usize) {
        let Self {
            end,
            last_seq,
            last_us,
            events,
            index,
            ..
        } = further;
        self.index.extend(index.into_iter().skip(kept));
        (self.end, self.last_seq, self.last_us, self.events) = (end, last_seq, last_us, events);
    }

    /// Takes note of a record of `size` bytes at the present end.
    pub(super) fn grow(&mut self, seq: u64, arrival_us: u64, size: usize) {
        let due = self
            .index
            .last()
            .is_none_or(|last| self.end - last.offset >= INDEX_STEP_BYTES);
        if due {
            self.index.push(IndexEntry {
                seq,
                arrival_us,
                offset: self.end,
            });
        }
        self.end += size as u64;
        self.last_seq = seq;
        self.last_us = arrival_us;
        self.events += 1;
    }
}

impl Segment {
    pub(super) fn file_name(first_seq: u64) -> String {
        format!("seg-{first_seq:020}.log")
    }

    fn io(&self, action: &'static str) -> impl Fn(std::io::Error) -> LogError + use<'_> {
        move |source| LogError::io(action, &self.path, source)
    }

    /// Records with a number above `after`, in order, about `limit_bytes` of them (at least one if there is one).
    pub(super) fn read(&self, after: u64, limit_bytes: usize) -> Result<Vec<Record>, LogError> {
        let (mut offset, end) = {
            let extent = self.extent.read();
            let at = extent
                .index
                .partition_point(|entry| entry.seq <= after.saturating_add(1));
            let from = at
                .checked_sub(1)
                .and_then(|at| extent.index.get(at))
                .map_or(HEADER_BYTES as u64, |entry| entry.offset);
            (from, extent.end)
        };
        let mut want = limit_bytes.saturating_add(2 * INDEX_STEP_BYTES as usize);
        let mut records = Vec::new();
        let mut taken = 0;
        while offset < end && taken < limit_bytes {
            let mut chunk = self.chunk(offset, want, end)?;
            let whole_file = offset + chunk.len() as u64 == end;
            loop {
                match decode_record(&chunk) {
                    Parsed::Record(record, size) => {
                        offset += size as u64;
                        chunk = chunk.slice(size..);
                        if record.seq > after {
                            taken += size;
                            records.push(record);
                        }
                        if taken >= limit_bytes || chunk.is_empty() {
                            break;
                        }
                    }
                    Parsed::Short(size) if !whole_file => {
                        if !records.is_empty() {
                            return Ok(records);
                        }
                        want = size.max(want);
                        break;
                    }
                    Parsed::Short(_) => {
                        return Err(self.damaged(offset, "record goes past the end"));
                    }
                    Parsed::Bad(reason) => return Err(self.damaged(offset, reason)),
                }
            }
        }
        Ok(records)
    }

    fn chunk(&self, offset: u64, want: usize, end: u64) -> Result<Bytes, LogError> {
        let left = usize::try_from(end - offset).unwrap_or(usize::MAX);
        let mut buffer = vec![0; want.max(RECORD_PREFIX_BYTES).min(left)];
        self.file
            .read_exact_at(&mut buffer, offset)
            .map_err(self.io("could not read"))?;
        Ok(Bytes::from(buffer))
    }

    fn damaged(&self, offset: u64, reason: &'static str) -> LogError {
        LogError::Damaged {
            path: self.path.display().to_string(),
            offset,
            reason,
        }
    }

    /// Seals the segment: footer, sync, then the mark in the header, sync. `hash` covers header and records.
    pub(super) fn seal(&self, hash: [u8; 32]) -> Result<(), LogError> {
        let mut extent = self.extent.write();
        let Extent {
            last_seq,
            last_us,
            events,
            ref index,
            ..
        } = *extent;
        let footer = Footer {
            last_seq,
            last_us,
            events,
            hash,
            index: index.clone(),
        }
        .encode();
        self.file
            .write_all_at(&footer, extent.end)
            .map_err(self.io("could not write the footer of"))?;
        self.file.sync_data().map_err(self.io("could not sync"))?;
        self.file
            .write_all_at(&extent.end.to_le_bytes(), FOOTER_OFFSET_AT)
            .map_err(self.io("could not seal"))?;
        self.file.sync_data().map_err(self.io("could not sync"))?;
        extent.sealed = true;
        Ok(())
    }

    /// Opens a segment as a crash or a clean stop left it. `None`: it never held anything, and is gone now.
    pub(super) fn open(path: &Path) -> Result<Option<(Self, [u8; 32])>, LogError> {
        let io = |action| move |source| LogError::io(action, path, source);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .map_err(io("could not open"))?;
        let length = file.metadata().map_err(io("could not examine"))?.len();
        let mut bytes = [0; HEADER_BYTES];
        let header = match file.read_exact_at(&mut bytes, 0) {
            Ok(()) => Header::decode(&bytes),
            Err(_) => None,
        };
        let Some(header) = header else {
            // The header is one disk sector, written with the first events before any of them was shown.
            if length < HEADER_BYTES as u64 || bytes == [0; HEADER_BYTES] {
                tracing::warn!(path = %path.display(), "removing a log segment whose creation was interrupted");
                std::fs::remove_file(path).map_err(io("could not remove"))?;
                return Ok(None);
            }
            return Err(LogError::Damaged {
                path: path.display().to_string(),
                offset: 0,
                reason: "not a log segment",
            });
        };
        if header.version != VERSION {
            return Err(LogError::Version {
                path: path.display().to_string(),
                found: header.version,
                known: VERSION,
            });
        }
        let segment = Self {
            path: path.to_owned(),
            first_seq: header.first_seq,
            created_us: header.created_us,
            previous: header.previous,
            file,
            extent: RwLock::new(Extent::empty()),
        };
        if header.footer_offset == 0 {
            return segment.recover(&header, length);
        }
        let hash = segment.load_footer(header.footer_offset, length)?;
        Ok(Some((segment, hash)))
    }

    fn load_footer(&self, offset: u64, length: u64) -> Result<[u8; 32], LogError> {
        let size = length
            .checked_sub(offset)
            .and_then(|size| usize::try_from(size).ok());
        let size = size
            .ok_or_else(|| self.damaged(offset, "the file is shorter than when it was sealed"))?;
        let mut bytes = vec![0; size];
        self.file
            .read_exact_at(&mut bytes, offset)
            .map_err(self.io("could not read"))?;
        let footer = Footer::decode(&bytes).ok_or_else(|| self.damaged(offset, "bad footer"))?;
        let Footer {
            last_seq,
            last_us,
            events,
            hash,
            index,
        } = footer;
        *self.extent.write() = Extent {
            end: offset,
            last_seq,
            last_us,
            events,
            index,
            sealed: true,
        };
        Ok(hash)
    }

    /// Scans an unsealed segment, cuts off what is not a whole record, and seals the rest.
    fn recover(self, header: &Header, length: u64) -> Result<Option<(Self, [u8; 32])>, LogError> {
        let mut extent = Extent::empty();
        let mut hasher = Sha256::new();
        hasher.update(header.encode());
        let mut want = SCAN_CHUNK_BYTES;
        'scan: while extent.end < length {
            let mut chunk = self.chunk(extent.end, want, length)?;
            let whole_file = extent.end + chunk.len() as u64 == length;
            want = SCAN_CHUNK_BYTES;
            while !chunk.is_empty() {
                match decode_record(&chunk) {
                    Parsed::Record(record, size) if record.seq > extent.last_seq => {
                        extent.grow(record.seq, record.arrival_us, size);
                        hasher.update(chunk.slice(..size));
                        chunk = chunk.slice(size..);
                    }
                    Parsed::Short(size) if !whole_file => {
                        want = size.max(SCAN_CHUNK_BYTES);
                        break;
                    }
                    Parsed::Record(..) | Parsed::Short(_) | Parsed::Bad(_) => break 'scan,
                }
            }
        }
        if extent.end < length {
            let cut_bytes = length - extent.end;
            tracing::warn!(path = %self.path.display(), cut_bytes, last_seq = extent.last_seq, "cut a torn tail off the log");
            self.file
                .set_len(extent.end)
                .map_err(self.io("could not truncate"))?;
            self.file.sync_all().map_err(self.io("could not sync"))?;
        }
        if extent.events == 0 {
            std::fs::remove_file(&self.path).map_err(self.io("could not remove"))?;
            return Ok(None);
        }
        *self.extent.write() = extent;
        let hash = hasher.finalize().into();
        self.seal(hash)?;
        Ok(Some((self, hash)))
    }
}
