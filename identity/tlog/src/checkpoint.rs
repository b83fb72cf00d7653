//! Checkpoints: what a log says about itself, as the text of a signed note (C2SP tlog-checkpoint).

use std::fmt;
use std::str::FromStr;

use crate::decimal;
use crate::merkle::{Hash, MAX_SIZE};
use crate::note::{Note, NoteError};

#[cfg(test)]
mod tests;

/// Longest origin, in bytes: what a post-quantum cosignature can name (tlog-cosignature).
pub const MAX_ORIGIN_BYTES: usize = 255;

/// Most extension lines that are read.
pub const MAX_EXTENSION_LINES: usize = 16;

/// Longest extension line, in bytes.
pub const MAX_EXTENSION_BYTES: usize = 1024;

/// What is wrong with a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The note around it.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// Fewer than three lines, an empty one among them, or a last one without its line feed.
    #[error("a checkpoint is at least three lines, none empty, each with a line feed at its end")]
    Lines,
    /// An origin that is empty, too long or has control characters.
    #[error("a checkpoint's origin is 1 to {MAX_ORIGIN_BYTES} bytes on one line")]
    Origin,
    /// A second line that is not a size, or one that no tree has.
    #[error("a checkpoint's size is a decimal without leading zeros, at most {MAX_SIZE}")]
    Size,
    /// A third line that is not a hash.
    #[error("a checkpoint's root is 44 characters of standard base64")]
    Root,
    /// Too many extension lines, or one that is too long.
    #[error(
        "a checkpoint has at most {MAX_EXTENSION_LINES} extension lines of {MAX_EXTENSION_BYTES} \
         bytes"
    )]
    Extensions,
}

/// The head of a log: its name, its size and its root.
#[derive(Clone, PartialEq, Eq)]
pub struct Checkpoint {
    origin: Origin,
    size: u64,
    root: Hash,
    extensions: Vec<String>,
}

impl Checkpoint {
    /// A checkpoint without extension lines, as a log should make it.
    ///
    /// [`CheckpointError::Size`] if no tree is as large.
    pub fn new(origin: Origin, size: u64, root: Hash) -> Result<Self, CheckpointError> {
        if size > MAX_SIZE {
            return Err(CheckpointError::Size);
        }
        Ok(Self {
            origin,
            size,
            root,
            extensions: Vec::new(),
        })
    }

    /// Reads the text of a note. What is read is written as the very same text.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let text = text.strip_suffix('\n').ok_or(CheckpointError::Lines)?;
        let mut lines = text.split('\n');
        let mut next = || {
            let line = lines.next().filter(|line| !line.is_empty());
            line.ok_or(CheckpointError::Lines)
        };
        let (origin, size, root) = (next()?, next()?, next()?);
        let size = decimal::parse(size).ok_or(CheckpointError::Size)?;
        let root = root.parse().map_err(|_| CheckpointError::Root)?;
        let mut checkpoint = Self::new(origin.parse()?, size, root)?;
        for line in lines {
            if line.is_empty() {
                return Err(CheckpointError::Lines);
            }
            let is_full = checkpoint.extensions.len() == MAX_EXTENSION_LINES;
            if is_full || line.len() > MAX_EXTENSION_BYTES {
                return Err(CheckpointError::Extensions);
            }
            checkpoint.extensions.push(line.to_owned());
        }
        Ok(checkpoint)
    }

    /// The log's unique name, usually the URL of the log without scheme.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The number of leaves.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The root of the tree.
    #[must_use]
    pub const fn root(&self) -> Hash {
        self.root
    }

    /// Opaque lines that the log added. No witness says anything about them.
    #[must_use]
    pub fn extensions(&self) -> &[String] {
        &self.extensions
    }
}

impl fmt::Display for Checkpoint {
    /// The text of the note.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n{}\n", self.origin, self.size, self.root)?;
        let mut extensions = self.extensions.iter();
        extensions.try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (origin, size, root) = (&self.origin, self.size, self.root);
        write!(f, "Checkpoint({origin} {size} {root})")
    }
}

/// The unique name of a log. It is a key name where the log follows the recommendation, but need
/// not be one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin(String);

impl Origin {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Origin {
    type Err = CheckpointError;

    fn from_str(text: &str) -> Result<Self, CheckpointError> {
        let has_length = (1..=MAX_ORIGIN_BYTES).contains(&text.len());
        if has_length && !text.bytes().any(|byte| byte < b' ') {
            Ok(Self(text.to_owned()))
        } else {
            Err(CheckpointError::Origin)
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A checkpoint with the note it stands in: the text is known to be one, its signatures are not
/// known to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: Note,
}

impl SignedCheckpoint {
    /// A checkpoint that nobody has signed yet.
    pub fn unsigned(checkpoint: Checkpoint) -> Result<Self, CheckpointError> {
        let note = Note::unsigned(checkpoint.to_string())?;
        Ok(Self { checkpoint, note })
    }

    /// Reads a signed note whose text is a checkpoint.
    pub fn parse(bytes: &[u8]) -> Result<Self, CheckpointError> {
        Note::parse(bytes)?.try_into()
    }

    /// What the log says.
    #[must_use]
    pub const fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The note with its signatures.
    #[must_use]
    pub const fn note(&self) -> &Note {
        &self.note
    }

    /// The note, to add signatures to it.
    pub const fn note_mut(&mut self) -> &mut Note {
        &mut self.note
    }
}

impl TryFrom<Note> for SignedCheckpoint {
    type Error = CheckpointError;

    fn try_from(note: Note) -> Result<Self, CheckpointError> {
        let checkpoint = Checkpoint::parse(note.text())?;
        Ok(Self { checkpoint, note })
    }
}

impl fmt::Display for SignedCheckpoint {
    /// The note, as it is served.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.note, f)
    }
}
