//! Hashes of leaves and nodes.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use super::MerkleError;
use crate::base64;

/// A hash of the tree: SHA-256 with a prefix that tells leaves from nodes (RFC 6962, 2.1).
///
/// Its text is standard base64 with padding, as in checkpoints and proofs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    /// Bytes of a hash.
    pub const BYTES: usize = 32;

    /// The root of the tree without leaves: SHA-256 of nothing.
    #[must_use]
    pub fn empty() -> Self {
        Self(Sha256::digest([]).into())
    }

    /// The hash of a leaf, over a zero byte and the entry.
    #[must_use]
    pub fn leaf(entry: &[u8]) -> Self {
        Self(
            Sha256::new_with_prefix([0])
                .chain_update(entry)
                .finalize()
                .into(),
        )
    }

    /// The hash of a node, over a one byte and its two children.
    #[must_use]
    pub fn node(left: Self, right: Self) -> Self {
        let hasher = Sha256::new_with_prefix([1]).chain_update(left.0);
        Self(hasher.chain_update(right.0).finalize().into())
    }

    /// A hash that was computed elsewhere.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        base64::write(f, &self.0)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hash {
    type Err = MerkleError;

    /// Strict: padding, no line breaks, no stray bits at the end.
    fn from_str(text: &str) -> Result<Self, MerkleError> {
        // The length first: whatever a stranger sends, no more than a hash is decoded.
        if text.len() != 44 {
            return Err(MerkleError::HashText);
        }
        base64::decode(text)
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or(MerkleError::HashText)
    }
}
