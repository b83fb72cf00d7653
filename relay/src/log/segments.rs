//! All segments: the log as its readers see it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;

use super::format::Record;
use super::segment::Segment;
use super::{Hidden, LogError};

/// How large segments get and how long they are kept.
#[derive(Debug, Clone, Copy)]
pub struct LogOptions {
    /// A segment is sealed when it has reached this size.
    pub segment_bytes: u64,
    /// A segment is sealed when it is this old.
    pub segment_age: Duration,
    /// Sealed segments whose last event is older are removed.
    pub retain_age: Duration,
    /// The oldest sealed segments are removed while all together are larger.
    pub retain_bytes: u64,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 256 << 20,
            segment_age: Duration::from_secs(600),
            retain_age: Duration::from_secs(72 * 3600),
            retain_bytes: 20 << 30,
        }
    }
}

/// The output log as its readers see it.
#[derive(Debug)]
pub struct Log {
    pub(super) folder: PathBuf,
    pub(super) options: LogOptions,
    pub(super) segments: RwLock<Vec<Arc<Segment>>>,
    /// The highest number that is, or may have been, given out.
    pub(super) head: AtomicU64,
    /// Hash of the newest sealed segment.
    pub(super) last_hash: RwLock<[u8; 32]>,
    /// The highest number of which it is known that its event is no longer here.
    trimmed: AtomicU64,
    hidden: Arc<Hidden>,
}

impl Log {
    /// Opens the log in `folder` (made if missing), cutting off a torn tail.
    ///
    /// # Errors
    /// [`LogError`] when the folder cannot be used or a sealed segment is damaged.
    pub fn open(
        folder: &Path,
        options: LogOptions,
        hidden: Arc<Hidden>,
    ) -> Result<Arc<Self>, LogError> {
        std::fs::create_dir_all(folder).map_err(|e| LogError::io("could not make", folder, e))?;
        let mut paths = Vec::new();
        for entry in
            std::fs::read_dir(folder).map_err(|e| LogError::io("could not list", folder, e))?
        {
            let path = entry
                .map_err(|e| LogError::io("could not list", folder, e))?
                .path();
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            if name.starts_with("seg-") && name.ends_with(".log") {
                paths.push(path);
            }
        }
        // Twenty digits: the order of the names is the order of the numbers.
        paths.sort();
        let mut segments = Vec::with_capacity(paths.len());
        let mut last_hash = [0; 32];
        for path in paths {
            if let Some((segment, hash)) = Segment::open(&path)? {
                last_hash = hash;
                segments.push(Arc::new(segment));
            }
        }
        let head = segments
            .last()
            .map_or(0, |segment| segment.extent.read().last_seq);
        let first = segments.first().filter(|first| first.previous != [0; 32]);
        let trimmed = first.map_or(0, |first| first.first_seq.saturating_sub(1));
        Ok(Arc::new(Self {
            folder: folder.to_owned(),
            options,
            segments: RwLock::new(segments),
            head: AtomicU64::new(head),
            last_hash: RwLock::new(last_hash),
            trimmed: AtomicU64::new(trimmed),
            hidden,
        }))
    }

    /// The highest number that is, or may have been, given out.
    pub fn head(&self) -> u64 {
        self.head.load(Ordering::Acquire)
    }

    /// The number of the last event stored; `None` when nothing is stored.
    pub fn last_stored(&self) -> Option<u64> {
        self.segments
            .read()
            .last()
            .map(|segment| segment.extent.read().last_seq)
            .filter(|seq| *seq > 0)
    }

    /// The number of the oldest event stored.
    pub fn oldest(&self) -> Option<u64> {
        let segments = self.segments.read();
        segments
            .iter()
            .find(|segment| segment.extent.read().events > 0)
            .map(|segment| segment.first_seq)
    }

    /// The highest number of which it is known that its event is no longer here; 0 when nothing ever went.
    pub fn trimmed(&self) -> u64 {
        self.trimmed.load(Ordering::Acquire)
    }

    /// Events up to this number are no longer here.
    pub fn note_trimmed(&self, seq: u64) {
        self.trimmed.fetch_max(seq, Ordering::AcqRel);
    }

    /// All bytes stored.
    pub fn size_bytes(&self) -> u64 {
        self.segments
            .read()
            .iter()
            .map(|segment| segment.extent.read().end)
            .sum()
    }

    pub(super) fn forget_hidden(&self) {
        self.hidden
            .forget_before(self.oldest().unwrap_or_else(|| self.head() + 1));
    }

    /// Visible events with a number above `after`, in order, about `limit_bytes` of them. Empty only at the end of the log.
    /// Blocks on the disk.
    ///
    /// # Errors
    /// [`LogError`] when a segment cannot be read or is damaged: there is no way on past that without a gap.
    pub fn read(&self, after: u64, limit_bytes: usize) -> Result<Vec<Record>, LogError> {
        let mut after = after;
        loop {
            let mut records = self.read_all(after, limit_bytes)?;
            let Some(last) = records.last().map(|record| record.seq) else {
                return Ok(records);
            };
            records.retain(|record| {
                self.hidden
                    .shows(self.hidden.subject(record.kind, &record.did), record.seq)
            });
            if !records.is_empty() {
                return Ok(records);
            }
            after = last;
        }
    }

    /// As [`Self::read`], hidden events included.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_all(&self, after: u64, limit_bytes: usize) -> Result<Vec<Record>, LogError> {
        let found = {
            let segments = self.segments.read();
            let at = segments.partition_point(|segment| segment.extent.read().last_seq <= after);
            segments.get(at).map(Arc::clone)
        };
        // The file stays readable when retention removes it meanwhile: it is open.
        found.map_or_else(
            || Ok(Vec::new()),
            |segment| segment.read(after, limit_bytes),
        )
    }
}
