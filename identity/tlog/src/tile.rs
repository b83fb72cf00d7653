//! Tiles: how a log is published, 256 hashes or entries to a file (C2SP tlog-tiles).
//!
//! Level 0 has the leaves' hashes; each hash of a higher level is the root of one full tile below.
//! A [`TileSet`] is what has been loaded, and a [`HashSource`](crate::merkle::HashSource) for
//! proofs; an [`Edge`] is where a log grows.

pub mod bundle;
mod edge;
mod hashes;
mod path;
mod set;

#[cfg(test)]
mod tests;

pub use edge::Edge;
pub use hashes::Tile;
pub use path::{BundleId, TileId, TilePath};
pub use set::{MissingHash, TileSet};

use crate::merkle::MerkleError;

/// Hashes of a full tile, and entries of a full bundle.
pub const FULL_WIDTH: u16 = 256;

/// Highest level that a path can name.
pub const MAX_LEVEL: u8 = 63;

/// Longest entry, in bytes: what a bundle can frame.
pub const MAX_ENTRY_BYTES: usize = u16::MAX as usize;

/// What is wrong with a tile, a bundle or a path to one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TileError {
    /// Neither `tile/<level>/<index>[.p/<width>]` nor `tile/entries/<index>[.p/<width>]`.
    #[error(
        "not the path of a tile: expected tile/<level>/<index>, with x before all three-digit \
         groups but the last, and .p/<width> if it is partial"
    )]
    Path,
    /// A level over 63.
    #[error("tile level {0} is over the highest, {MAX_LEVEL}")]
    Level(u8),
    /// A width of zero or over 256.
    #[error("a tile is 1 to {FULL_WIDTH} wide, not {0}")]
    Width(usize),
    /// The bytes of a tile are not 32 for each hash.
    #[error("the tile has {found} bytes where its width makes {expected}")]
    Length {
        /// 32 times the width.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// A bundle that ends inside of an entry or before its last one.
    #[error("the bundle ends within entry {0}")]
    Truncated(usize),
    /// Bytes after the last entry of a bundle.
    #[error("{0} bytes follow the last entry of the bundle")]
    Trailing(usize),
    /// An entry that a bundle cannot frame.
    #[error("the entry has {0} bytes, over the {MAX_ENTRY_BYTES} that a bundle can hold")]
    EntryBytes(usize),
    /// An entry whose hash is not the one in the tile of the same place.
    #[error("entry {0} of the bundle does not have the hash that stands in the tile")]
    EntryHash(usize),
    /// A tile that must be there is not, or is too narrow.
    #[error(transparent)]
    Missing(#[from] MissingHash),
    /// A size that no tree has, or a tree that is full.
    #[error(transparent)]
    Tree(#[from] MerkleError),
}

/// The width, if a tile can have it.
fn checked_width(width: usize) -> Result<u16, TileError> {
    match u16::try_from(width) {
        Ok(narrow @ 1..=FULL_WIDTH) => Ok(narrow),
        _ => Err(TileError::Width(width)),
    }
}
