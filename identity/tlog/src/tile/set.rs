//! Tiles that have been loaded, as a source of hashes.

use std::collections::BTreeMap;

use super::hashes::root_of;
use super::{FULL_WIDTH, Tile, TileId};
use crate::merkle::{Hash, HashSource, Node};

/// No tile of a set has the hash of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the hash at level {level}, place {index} is in no tile that was loaded; load tile \
     {}/{}", .level / 8, (.index << (.level % 8)) / u64::from(FULL_WIDTH)
)]
pub struct MissingHash {
    /// The node's height above the leaves.
    pub level: u8,
    /// Its place within the level.
    pub index: u64,
}

/// Loaded tiles, by level and place.
///
/// The owner asks which tiles a proof needs ([`TileId::of_nodes`]), loads them however it likes, and
/// proves from here. A tile that is wider than needed serves as well: logs may delete partial tiles
/// once the full one exists. Nothing is checked here; a proof from false tiles leads to another
/// root.
#[derive(Clone, Debug, Default)]
pub struct TileSet {
    tiles: BTreeMap<(u8, u64), Tile>,
}

impl TileSet {
    /// A set without tiles.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a tile in; of two for one place the wider one stays. The width in the name is ignored.
    pub fn insert(&mut self, id: TileId, tile: Tile) {
        let place = (id.level(), id.index());
        match self.tiles.get(&place) {
            Some(known) if known.width() >= tile.width() => {}
            _ => {
                self.tiles.insert(place, tile);
            }
        }
    }

    /// The first hashes of a tile, as many as its name says.
    pub(super) fn first_hashes(&self, id: TileId) -> Option<&[Hash]> {
        let tile = self.tiles.get(&(id.level(), id.index()))?;
        tile.hashes().get(..usize::from(id.width()))
    }
}

impl HashSource for TileSet {
    type Error = MissingHash;

    fn hash(&self, node: Node) -> Result<Hash, MissingHash> {
        let below = node.level() % 8;
        let first = node.index() << below;
        let full = u64::from(FULL_WIDTH);
        let offset = (first % full) as usize;
        self.tiles
            .get(&(node.level() / 8, first / full))
            .and_then(|tile| tile.hashes().get(offset..offset + (1 << below)))
            .map(root_of)
            .ok_or(MissingHash {
                level: node.level(),
                index: node.index(),
            })
    }
}

impl FromIterator<(TileId, Tile)> for TileSet {
    fn from_iter<I: IntoIterator<Item = (TileId, Tile)>>(tiles: I) -> Self {
        let mut set = Self::new();
        for (id, tile) in tiles {
            set.insert(id, tile);
        }
        set
    }
}
