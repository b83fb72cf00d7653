//! Writing the log: numbers, records, one `fdatasync` per batch, rolling to a new segment.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use parking_lot::RwLock;
use rochdale_protocol::sync::FrameTemplate;
use rochdale_protocol::syntax::Did;
use sha2::{Digest, Sha256};

use super::format::{HEADER_BYTES, Header, RecordHead, VERSION, encode_record};
use super::segment::{Extent, Segment};
use super::{Kind, Log, LogError};

/// A larger buffer is given back after use.
const BUFFER_KEPT_BYTES: usize = 8 << 20;

/// An accepted event that has no number yet.
#[derive(Debug)]
pub struct Draft {
    /// When the relay received it, µs since 1970.
    pub arrival_us: u64,
    /// What it is about.
    pub kind: Kind,
    /// See [`super::flags`].
    pub flags: u8,
    /// The host it came from; 0 for the relay itself.
    pub host: u32,
    /// The DID it is about.
    pub did: Did,
    /// Everything but the number.
    pub frame: FrameTemplate,
}

/// The one writer of a [`Log`].
#[derive(Debug)]
pub struct Appender {
    log: Arc<Log>,
    next_seq: u64,
    open: Option<Open>,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Open {
    segment: Arc<Segment>,
    hasher: Sha256,
}

impl Appender {
    /// A writer whose first event gets the number `next_seq`, which must be above every number given out before.
    pub fn new(log: Arc<Log>, next_seq: u64) -> Self {
        let next_seq = next_seq.max(log.head() + 1);
        log.head.store(next_seq - 1, Ordering::Release);
        Self {
            log,
            next_seq,
            open: None,
            buffer: Vec::new(),
        }
    }

    /// The number the next event gets.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Numbers the drafts and stores them. On return they are on disk and visible to readers; answers number and frame of
    /// each, in order. Blocks on the disk.
    ///
    /// # Errors
    /// [`LogError::Io`] when they could not be written (a full disk): nothing has changed, and it may be tried again.
    /// A failed sync ends the process, for what is on disk is then unknown.
    pub fn append(&mut self, drafts: &[Draft], now_us: u64) -> Result<Vec<(u64, Bytes)>, LogError> {
        if drafts.is_empty() {
            return Ok(Vec::new());
        }
        self.roll_if_due(now_us)?;
        let fresh = self.open.is_none();
        if fresh {
            self.open = Some(self.create(now_us)?);
        }
        let Some(open) = &mut self.open else {
            return Ok(Vec::new());
        };
        let segment = Arc::clone(&open.segment);
        let mut extent = segment.extent.read().tail();
        let (start, kept) = (extent.end, extent.index.len());
        self.buffer.clear();
        let stored = lay_out(drafts, self.next_seq, &mut self.buffer, &mut extent);
        if let Err(source) = segment.file.write_all_at(&self.buffer, start) {
            let failure = LogError::io("could not write", &segment.path, source);
            return Err(self.undo(&segment, start, fresh, failure));
        }
        sync_or_abort(&segment.file, &segment.path);
        if fresh {
            sync_folder(&self.log.folder);
        }
        open.hasher.update(&self.buffer);
        self.next_seq += drafts.len() as u64;
        segment.extent.write().advance(extent, kept);
        if fresh {
            self.log.segments.write().push(segment);
        }
        self.log.head.store(self.next_seq - 1, Ordering::Release);
        if self.buffer.capacity() > BUFFER_KEPT_BYTES {
            self.buffer = Vec::new();
        }
        Ok(stored)
    }

    /// Seals the open segment, as at a clean stop.
    ///
    /// # Errors
    /// [`LogError::Io`]; the next start recovers the segment by reading it.
    pub fn close(&mut self) -> Result<(), LogError> {
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        let hash = open.hasher.finalize().into();
        open.segment.seal(hash)?;
        *self.log.last_hash.write() = hash;
        Ok(())
    }

    fn roll_if_due(&mut self, now_us: u64) -> Result<(), LogError> {
        let Some(open) = &self.open else {
            return Ok(());
        };
        let age_us = u128::from(now_us.saturating_sub(open.segment.created_us));
        let options = &self.log.options;
        let full = open.segment.extent.read().end >= options.segment_bytes;
        if full || age_us >= options.segment_age.as_micros() {
            self.close()?;
        }
        Ok(())
    }

    fn create(&self, now_us: u64) -> Result<Open, LogError> {
        let path = self.log.folder.join(Segment::file_name(self.next_seq));
        let header = Header {
            version: VERSION,
            first_seq: self.next_seq,
            created_us: now_us,
            footer_offset: 0,
            previous: *self.log.last_hash.read(),
        };
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path);
        let file = file.map_err(|e| LogError::io("could not create", &path, e))?;
        let bytes: [u8; HEADER_BYTES] = header.encode();
        if let Err(source) = file.write_all_at(&bytes, 0) {
            // Best effort: an empty segment is removed at the next start too.
            drop(std::fs::remove_file(&path));
            return Err(LogError::io("could not write", &path, source));
        }
        let mut hasher = Sha256::new();
        hasher.update(bytes);
        let extent = RwLock::new(Extent::empty());
        let segment = Segment {
            path,
            first_seq: self.next_seq,
            created_us: now_us,
            previous: header.previous,
            file,
            extent,
        };
        Ok(Open {
            segment: Arc::new(segment),
            hasher,
        })
    }

    /// Takes back a write that failed half-way, so that it can be tried again.
    fn undo(&mut self, segment: &Segment, start: u64, fresh: bool, failure: LogError) -> LogError {
        if fresh {
            self.open = None;
            drop(std::fs::remove_file(&segment.path));
        } else if let Err(source) = segment.file.set_len(start) {
            return LogError::io("could not truncate", &segment.path, source);
        }
        failure
    }
}

/// Appends the records of `drafts` to `buffer` and lets `extent` grow by them; answers number and frame of each.
fn lay_out(
    drafts: &[Draft],
    first_seq: u64,
    buffer: &mut Vec<u8>,
    extent: &mut Extent,
) -> Vec<(u64, Bytes)> {
    let mut stored = Vec::with_capacity(drafts.len());
    for (seq, draft) in (first_seq..).zip(drafts) {
        let frame = draft.frame.with_seq(seq);
        let Draft {
            arrival_us,
            kind,
            flags,
            host,
            ref did,
            ..
        } = *draft;
        let head = RecordHead {
            seq,
            arrival_us,
            kind,
            flags,
            host,
            did: did.as_str(),
        };
        let before = buffer.len();
        encode_record(&head, &frame, buffer);
        extent.grow(seq, arrival_us, buffer.len() - before);
        stored.push((seq, frame));
    }
    stored
}

/// After a failed sync nobody knows what the disk holds, and asking again would be answered "fine": stop.
fn sync_or_abort(file: &File, path: &Path) {
    if let Err(error) = file.sync_data() {
        tracing::error!(path = %path.display(), %error, "the disk failed to store the log: stopping at once");
        std::process::abort();
    }
}

fn sync_folder(folder: &Path) {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    if let Err(error) = synced {
        tracing::error!(path = %folder.display(), %error, "the disk failed to store the log folder: stopping at once");
        std::process::abort();
    }
}
