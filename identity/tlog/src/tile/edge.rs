//! The right edge of a log: where it grows.

use super::{FULL_WIDTH, MissingHash, Tile, TileError, TileId, TileSet};
use crate::merkle::{Hash, Peaks, Subtree};

/// The partial tiles of a tree, one a level at most: all that appending needs.
///
/// A log that takes in a batch appends every leaf, writes the tiles that became full and then the
/// partial ones, makes them durable, and only then signs [`Edge::root`]. It holds at most 8 × 255
/// hashes, whatever the size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    peaks: Peaks,
    /// The hashes of each level that are in no full tile yet; below 256 of them.
    levels: Vec<Vec<Hash>>,
}

impl Edge {
    /// The edge of the tree without leaves.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The edge of a tree of a size, from a set with its partial tiles ([`TileId::partial`]).
    pub fn load(size: u64, tiles: &TileSet) -> Result<Self, TileError> {
        let peaks = Peaks::load(Subtree::whole(size)?, tiles)?;
        let mut levels = Vec::new();
        for id in TileId::partial(size)? {
            // Levels whose last tile is full have an empty edge.
            levels.resize(usize::from(id.level()), Vec::new());
            let hashes = tiles.first_hashes(id).ok_or(MissingHash {
                level: id.level() * 8,
                index: id.index() * u64::from(FULL_WIDTH),
            })?;
            levels.push(hashes.to_vec());
        }
        Ok(Self { peaks, levels })
    }

    /// Appends a leaf by its hash, and gives the tiles that became full with it, from below.
    ///
    /// [`TileError::Tree`] when the tree is full.
    pub fn append(&mut self, leaf: Hash) -> Result<Vec<(TileId, Tile)>, TileError> {
        self.peaks.append(leaf)?;
        let mut full = Vec::new();
        let mut grown = leaf;
        for level in 0_u8.. {
            if self.levels.len() <= usize::from(level) {
                self.levels.push(Vec::new());
            }
            let Some(hashes) = self.levels.get_mut(usize::from(level)) else {
                break;
            };
            hashes.push(grown);
            if hashes.len() < usize::from(FULL_WIDTH) {
                break;
            }
            let tile = Tile::new(std::mem::take(hashes))?;
            grown = tile.root();
            let index = (self.size() >> (8 * u32::from(level) + 8)) - 1;
            full.push((TileId::new(level, index, FULL_WIDTH)?, tile));
        }
        Ok(full)
    }

    /// The number of leaves.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.peaks.size()
    }

    /// The partial tiles, from below; together with the full ones they are all tiles of the tree.
    pub fn partial_tiles(&self) -> Result<Vec<(TileId, Tile)>, TileError> {
        let ids = TileId::partial(self.size())?.into_iter();
        ids.map(|id| {
            let hashes = self.levels.get(usize::from(id.level()));
            Ok((id, Tile::new(hashes.cloned().unwrap_or_default())?))
        })
        .collect()
    }

    /// The root of the tree.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.peaks.root()
    }

    /// The peaks of the tree, for who goes on without tiles.
    #[must_use]
    pub const fn peaks(&self) -> &Peaks {
        &self.peaks
    }
}
