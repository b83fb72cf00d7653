//! The output log: every event the relay has accepted, numbered, in segment files.
//!
//! Owns the files of the log folder: their format, appending with group `fdatasync`, recovery after a crash, retention and
//! reading back. It knows nothing about validation and never changes a frame. Events become visible to subscribers only
//! after they are on disk, and a sequence number is never used twice (atproto sync spec, "cursors").

mod append;
mod events;
mod format;
mod hidden;
mod retention;
mod segment;
mod segments;

#[cfg(test)]
mod tests;

pub use append::{Appender, Draft};
pub use events::StreamLog;
pub use format::{Kind, Record, flags};
pub use hidden::Hidden;
pub use segments::{Log, LogOptions};

/// What can go wrong with the output log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The folder or a file could not be read or written.
    #[error("{action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: String,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A finished part of a segment does not read back as it was written.
    #[error(
        "{path} is damaged at byte {offset}: {reason}; move the file away to go on without its events"
    )]
    Damaged {
        /// The segment file.
        path: String,
        /// Where the damage was noticed.
        offset: u64,
        /// What was wrong.
        reason: &'static str,
    },
    /// A segment was written by a newer version.
    #[error(
        "{path} has log format {found}, this program knows {known}: run the newer program on this folder"
    )]
    Version {
        /// The segment file.
        path: String,
        /// The version found.
        found: u16,
        /// The version this program writes.
        known: u16,
    },
}

impl LogError {
    pub(crate) fn io(action: &'static str, path: &std::path::Path, source: std::io::Error) -> Self {
        Self::Io {
            action,
            path: path.display().to_string(),
            source,
        }
    }
}
