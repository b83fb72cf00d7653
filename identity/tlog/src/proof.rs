//! Proofs that stand alone: an index, an inclusion proof and the signed checkpoint it leads to, in
//! one text that can be checked offline (C2SP tlog-proof).

use std::fmt;

use crate::checkpoint::{CheckpointError, SignedCheckpoint};
use crate::merkle::{Hash, Inclusion, MAX_PROOF_HASHES, MerkleError};
use crate::note::MAX_NOTE_BYTES;
use crate::policy::{Policy, Trusted, Untrusted};
use crate::{base64, decimal, hash_lines};

#[cfg(test)]
mod tests;

/// Most extra data of a proof, in bytes: enough for the longest leaf and what is needed to make it.
pub const MAX_EXTRA_BYTES: usize = 128 * 1024;

/// Longest proof that is read, in bytes.
pub const MAX_PROOF_BYTES: usize = MAX_EXTRA_BYTES / 3 * 4 + 64 * 45 + 64 + MAX_NOTE_BYTES;

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1\n";

/// What is wrong with a proof.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Over the limit.
    #[error("the proof has {0} bytes, over the limit of {MAX_PROOF_BYTES}")]
    TooLong(usize),
    /// Not UTF-8, or another first line.
    #[error("a proof starts with the line c2sp.org/tlog-proof@v1")]
    Version,
    /// An extra line that is not base64, says nothing, or says too much.
    #[error("the extra line of a proof is 1 to {MAX_EXTRA_BYTES} bytes in standard base64")]
    Extra,
    /// No index line where one must be.
    #[error("a proof has a line \"index <decimal>\" before its hashes")]
    Index,
    /// Hash lines that are none, or too many of them.
    #[error("a proof has at most {MAX_PROOF_HASHES} lines with a hash each, then an empty line")]
    Hashes,
    /// The checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The index, or where the hashes lead.
    #[error(transparent)]
    Inclusion(#[from] MerkleError),
    /// The checkpoint's signatures.
    #[error(transparent)]
    Untrusted(#[from] Untrusted),
}

/// A proof that a leaf is in a log.
///
/// Once made or read its parts fit together: the tree has the index, and the number of hashes is
/// the right one. Whether they lead to the root, and who has signed it, is for [`Proof::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    extra: Option<Vec<u8>>,
    inclusion: Inclusion,
    hashes: Vec<Hash>,
    checkpoint: SignedCheckpoint,
}

impl Proof {
    /// A proof of the leaf at an index of the checkpoint's tree.
    pub fn new(
        index: u64,
        hashes: Vec<Hash>,
        checkpoint: SignedCheckpoint,
    ) -> Result<Self, ProofError> {
        let inclusion = Inclusion::new(index, checkpoint.checkpoint().size())?;
        // Any leaf will do: what is asked is whether the number of hashes fits.
        inclusion.root(Hash::empty(), &hashes)?;
        Ok(Self {
            extra: None,
            inclusion,
            hashes,
            checkpoint,
        })
    }

    /// The proof with data of the application's own, which nothing authenticates.
    pub fn with_extra(mut self, extra: Vec<u8>) -> Result<Self, ProofError> {
        if (1..=MAX_EXTRA_BYTES).contains(&extra.len()) {
            self.extra = Some(extra);
            Ok(self)
        } else {
            Err(ProofError::Extra)
        }
    }

    /// Reads a proof. What is read is written as the very same text.
    pub fn parse(bytes: &[u8]) -> Result<Self, ProofError> {
        if bytes.len() > MAX_PROOF_BYTES {
            return Err(ProofError::TooLong(bytes.len()));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| ProofError::Version)?;
        let rest = text.strip_prefix(FIRST_LINE).ok_or(ProofError::Version)?;
        let (extra, rest) = match rest.strip_prefix("extra ") {
            Some(rest) => {
                let (extra, rest) = rest.split_once('\n').ok_or(ProofError::Extra)?;
                (Some(base64::decode(extra).ok_or(ProofError::Extra)?), rest)
            }
            None => (None, rest),
        };
        let rest = rest.strip_prefix("index ").ok_or(ProofError::Index)?;
        let (index, rest) = rest.split_once('\n').ok_or(ProofError::Index)?;
        let index = decimal::parse(index).ok_or(ProofError::Index)?;
        let (lines, checkpoint) = hash_lines::split(rest).ok_or(ProofError::Hashes)?;
        let hashes = hash_lines::parse(lines).ok_or(ProofError::Hashes)?;
        let checkpoint = SignedCheckpoint::parse(checkpoint.as_bytes())?;
        let proof = Self::new(index, hashes, checkpoint)?;
        match extra {
            Some(extra) => proof.with_extra(extra),
            None => Ok(proof),
        }
    }

    /// The place of the leaf.
    #[must_use]
    pub const fn index(&self) -> u64 {
        self.inclusion.index()
    }

    /// The inclusion proof, the leaf's sibling first.
    #[must_use]
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    /// The application's own data. Not authenticated: only the leaf's hash is.
    #[must_use]
    pub fn extra(&self) -> Option<&[u8]> {
        self.extra.as_deref()
    }

    /// The checkpoint that the proof leads to.
    #[must_use]
    pub const fn checkpoint(&self) -> &SignedCheckpoint {
        &self.checkpoint
    }

    /// Checks that a leaf with this hash is in a log that the policy trusts, as far as the policy
    /// asks for.
    pub fn verify<'a>(&'a self, leaf: Hash, policy: &'a Policy) -> Result<Trusted<'a>, ProofError> {
        let trusted = policy.trust(&self.checkpoint)?;
        self.inclusion
            .verify(leaf, &self.hashes, trusted.checkpoint.root())?;
        Ok(trusted)
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(FIRST_LINE)?;
        if let Some(extra) = &self.extra {
            f.write_str("extra ")?;
            base64::write(f, extra)?;
            f.write_str("\n")?;
        }
        writeln!(f, "index {}", self.index())?;
        hash_lines::write(f, &self.hashes)?;
        write!(f, "\n{}", self.checkpoint)
    }
}
