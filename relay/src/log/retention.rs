//! Which old segments go: by age and by size, never the open one.

use std::sync::Arc;

use super::{Log, LogError};

impl Log {
    /// Removes the sealed segments that are older, or more in bytes, than is kept. Answers how many went. Blocks on the disk.
    ///
    /// # Errors
    /// [`LogError::Io`] when a file could not be removed; the segments before it are gone.
    pub fn trim(&self, now_us: u64) -> Result<usize, LogError> {
        let retain_us = u64::try_from(self.options.retain_age.as_micros()).unwrap_or(u64::MAX);
        let oldest_kept_us = now_us.saturating_sub(retain_us);
        let mut removed = 0;
        loop {
            let candidate = {
                let segments = self.segments.read();
                segments.first().map(Arc::clone)
            };
            let Some(segment) = candidate else { break };
            let (sealed, last_us) = {
                let extent = segment.extent.read();
                (extent.sealed, extent.last_us)
            };
            let too_old = last_us < oldest_kept_us;
            let too_much = self.size_bytes() > self.options.retain_bytes;
            if !sealed || !(too_old || too_much) {
                break;
            }
            std::fs::remove_file(&segment.path)
                .map_err(|e| LogError::io("could not remove", &segment.path, e))?;
            self.note_trimmed(segment.extent.read().last_seq);
            let mut segments = self.segments.write();
            if segments
                .first()
                .is_some_and(|first| Arc::ptr_eq(first, &segment))
            {
                segments.remove(0);
            }
            removed += 1;
        }
        if removed > 0 {
            self.forget_hidden();
        }
        Ok(removed)
    }
}
