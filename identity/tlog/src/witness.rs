//! What a log asks of a witness: to cosign a checkpoint that grew out of the one before (C2SP
//! tlog-witness, `add-checkpoint`).
//!
//! The form of the request, and the rules by which it is answered. Looking up the log, storing the
//! new checkpoint before the cosignature leaves, and doing both as one step belong to the service.

use std::fmt;

use crate::checkpoint::{CheckpointError, Origin, SignedCheckpoint};
use crate::merkle::{Consistency, Hash, MAX_PROOF_HASHES, MAX_SIZE, MerkleError};
use crate::note::{MAX_NOTE_BYTES, NoteError, Verifiers};
use crate::{decimal, hash_lines};

#[cfg(test)]
mod tests;

/// Longest request that is read, in bytes.
pub const MAX_REQUEST_BYTES: usize = 64 * 45 + 64 + MAX_NOTE_BYTES;

/// The content type of a 409, whose body is the size that the witness knows and a line feed.
pub const SIZE_CONTENT_TYPE: &str = "text/x.tlog.size";

/// A request that cannot be read: status 400.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Over the limit.
    #[error("the request has {0} bytes, over the limit of {MAX_REQUEST_BYTES}")]
    TooLong(usize),
    /// Not UTF-8, or another first line.
    #[error("the request starts with a line \"old <size>\", a decimal of at most {MAX_SIZE}")]
    OldSize,
    /// Proof lines that are none, or too many of them.
    #[error("at most {MAX_PROOF_HASHES} lines with a hash each follow, then an empty line")]
    Proof,
    /// The checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// Why a witness does not cosign, in the order in which that is found out. An unknown origin (404)
/// comes before all of these.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 403: no signature of the log's, or one that does not hold.
    #[error(transparent)]
    Signature(NoteError),
    /// 400: the log would have become smaller.
    #[error("the old size {old} is over the checkpoint's size {new}")]
    Shrinks {
        /// The old size that the request names.
        old: u64,
        /// The size of the checkpoint.
        new: u64,
    },
    /// 409: the witness has cosigned another size since.
    #[error("the latest checkpoint that was cosigned has the size {known}")]
    Stale {
        /// The size to start from.
        known: u64,
    },
    /// 422: the checkpoint contradicts the one before it, or the proof does not hold. If the log
    /// has signed both, they are evidence against it.
    #[error(transparent)]
    Inconsistent(MerkleError),
}

/// The latest checkpoint of a log that a witness has cosigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latest {
    /// Its size; 0 if there was none.
    pub size: u64,
    /// Its root; [`Hash::empty`] if there was none.
    pub root: Hash,
}

impl Latest {
    /// Of a log that was never cosigned.
    #[must_use]
    pub fn never() -> Self {
        let root = Hash::empty();
        Self { size: 0, root }
    }
}

/// A request to cosign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    old: u64,
    proof: Vec<Hash>,
    checkpoint: SignedCheckpoint,
}

impl AddCheckpoint {
    /// A request to cosign a checkpoint, with the proof that it grew out of the tree of the old
    /// size. With an old size of zero a log learns which size the witness knows.
    pub fn new(
        old: u64,
        proof: Vec<Hash>,
        checkpoint: SignedCheckpoint,
    ) -> Result<Self, RequestError> {
        if old > MAX_SIZE {
            return Err(RequestError::OldSize);
        }
        if proof.len() > MAX_PROOF_HASHES {
            return Err(RequestError::Proof);
        }
        Ok(Self {
            old,
            proof,
            checkpoint,
        })
    }

    /// Reads a request. What is read is written as the very same text.
    pub fn parse(bytes: &[u8]) -> Result<Self, RequestError> {
        if bytes.len() > MAX_REQUEST_BYTES {
            return Err(RequestError::TooLong(bytes.len()));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| RequestError::OldSize)?;
        let rest = text.strip_prefix("old ").ok_or(RequestError::OldSize)?;
        let (old, rest) = rest.split_once('\n').ok_or(RequestError::OldSize)?;
        let old = decimal::parse(old).ok_or(RequestError::OldSize)?;
        let (lines, checkpoint) = hash_lines::split(rest).ok_or(RequestError::Proof)?;
        let proof = hash_lines::parse(lines).ok_or(RequestError::Proof)?;
        Self::new(old, proof, SignedCheckpoint::parse(checkpoint.as_bytes())?)
    }

    /// The log that asks, by which the witness finds its keys and the latest checkpoint.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        self.checkpoint.checkpoint().origin()
    }

    /// The size that the proof starts from.
    #[must_use]
    pub const fn old_size(&self) -> u64 {
        self.old
    }

    /// The checkpoint to cosign.
    #[must_use]
    pub const fn checkpoint(&self) -> &SignedCheckpoint {
        &self.checkpoint
    }

    /// Whether a witness that trusts these keys for the origin, and has cosigned `latest`, is to
    /// cosign this. The checks come in the order that the specification gives them.
    ///
    /// The caller stores the new checkpoint only if `latest` is still the latest.
    pub fn check(&self, keys: &Verifiers, latest: &Latest) -> Result<(), Refusal> {
        let verified = self.checkpoint.note().verify(keys);
        verified.map_err(Refusal::Signature)?;
        let checkpoint = self.checkpoint.checkpoint();
        let (old, new) = (self.old, checkpoint.size());
        if old > new {
            return Err(Refusal::Shrinks { old, new });
        }
        if old != latest.size {
            let known = latest.size;
            return Err(Refusal::Stale { known });
        }
        if new == 0 && checkpoint.root() != Hash::empty() {
            return Err(Refusal::Inconsistent(MerkleError::Root));
        }
        Consistency::new(old, new)
            .and_then(|grown| grown.verify(latest.root, &self.proof, checkpoint.root()))
            .map_err(Refusal::Inconsistent)
    }
}

impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        hash_lines::write(f, &self.proof)?;
        write!(f, "\n{}", self.checkpoint)
    }
}
