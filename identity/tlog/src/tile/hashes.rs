//! The hashes of one tile.

use super::{FULL_WIDTH, TileError, checked_width};
use crate::merkle::{Hash, Peaks};

/// A tile: 1 to 256 hashes of consecutive subtrees of equal size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile(Vec<Hash>);

impl Tile {
    /// A tile of 1 to 256 hashes.
    pub fn new(hashes: Vec<Hash>) -> Result<Self, TileError> {
        checked_width(hashes.len())?;
        Ok(Self(hashes))
    }

    /// Reads a tile of a width: exactly 32 bytes for each hash.
    pub fn decode(bytes: &[u8], width: u16) -> Result<Self, TileError> {
        let expected = usize::from(checked_width(width.into())?) * Hash::BYTES;
        let (hashes, []) = bytes.as_chunks::<{ Hash::BYTES }>() else {
            let found = bytes.len();
            return Err(TileError::Length { expected, found });
        };
        if bytes.len() != expected {
            let found = bytes.len();
            return Err(TileError::Length { expected, found });
        }
        Ok(Self(hashes.iter().copied().map(Hash::from_bytes).collect()))
    }

    /// The bytes that are served: at most 8192.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.0.iter().flat_map(|hash| *hash.as_bytes()).collect()
    }

    /// How many hashes it has.
    #[must_use]
    pub fn width(&self) -> u16 {
        // Never more than 256 by construction.
        self.0.len().try_into().unwrap_or(FULL_WIDTH)
    }

    /// The hashes, from the left.
    #[must_use]
    pub fn hashes(&self) -> &[Hash] {
        &self.0
    }

    /// The root over all of its hashes: for a full tile, its hash in the tile above.
    #[must_use]
    pub fn root(&self) -> Hash {
        root_of(&self.0)
    }
}

/// The root over hashes of consecutive subtrees of equal size.
pub(super) fn root_of(hashes: &[Hash]) -> Hash {
    let mut peaks = Peaks::new();
    for hash in hashes {
        // Fails only for the largest of all trees, and a tile has 256 hashes.
        let _ = peaks.append(*hash);
    }
    peaks.root()
}
