//! What tiles and bundles are called.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::{FULL_WIDTH, MAX_LEVEL, TileError, checked_width};
use crate::decimal;
use crate::merkle::{MAX_SIZE, MerkleError, Node, Subtree};

/// A tile of hashes: level, place and width. Its text is its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileId {
    level: u8,
    index: u64,
    width: u16,
}

/// A bundle of entries: place and width. Its text is its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BundleId {
    index: u64,
    width: u16,
}

/// What a path below a log's prefix names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TilePath {
    /// `tile/<level>/…`
    Hashes(TileId),
    /// `tile/entries/…`
    Entries(BundleId),
}

impl TileId {
    /// A tile of a level up to 63 that is 1 to 256 wide.
    pub fn new(level: u8, index: u64, width: u16) -> Result<Self, TileError> {
        if level > MAX_LEVEL {
            return Err(TileError::Level(level));
        }
        let width = checked_width(width.into())?;
        let id = Self {
            level,
            index,
            width,
        };
        Ok(id)
    }

    /// The tile that the hash of a node is computed from, as wide as a tree of a size makes it;
    /// `None` if the tree does not have the node.
    #[must_use]
    pub fn of_node(node: Node, size: u64) -> Option<Self> {
        let level = node.level() / 8;
        let end = (node.index() + 1) << node.level();
        if end > size || size > MAX_SIZE {
            return None;
        }
        let first = node.index() << (node.level() % 8);
        Self::within(level, first / u64::from(FULL_WIDTH), size)
    }

    /// The tiles that the hashes of these nodes are computed from, in a tree of a size.
    pub fn of_nodes(nodes: impl Iterator<Item = Node>, size: u64) -> BTreeSet<Self> {
        nodes.filter_map(|node| Self::of_node(node, size)).collect()
    }

    /// The partial tiles of a tree: what is needed to go on appending to it.
    pub fn partial(size: u64) -> Result<Vec<Self>, MerkleError> {
        Subtree::whole(size)?;
        let levels = 0..8;
        let last = |level| {
            let hashes = size >> (8 * u32::from(level));
            Self::within(level, hashes / u64::from(FULL_WIDTH), size)
        };
        Ok(levels.filter_map(last).collect())
    }

    /// The tile at a place, as wide as a tree of a size makes it; `None` if it has nothing there.
    #[must_use]
    pub fn within(level: u8, index: u64, size: u64) -> Option<Self> {
        let hashes = size.checked_shr(8 * u32::from(level)).unwrap_or(0);
        let before = index.checked_mul(u64::from(FULL_WIDTH))?;
        let width = hashes.checked_sub(before)?.min(FULL_WIDTH.into());
        Self::new(level, index, u16::try_from(width).ok()?).ok()
    }

    /// The level; 0 has the hashes of leaves.
    #[must_use]
    pub const fn level(self) -> u8 {
        self.level
    }

    /// The place within the level, counted from zero.
    #[must_use]
    pub const fn index(self) -> u64 {
        self.index
    }

    /// How many hashes it has.
    #[must_use]
    pub const fn width(self) -> u16 {
        self.width
    }

    /// Whether it can still grow.
    #[must_use]
    pub const fn is_partial(self) -> bool {
        self.width < FULL_WIDTH
    }

    /// Whether a tree of a size publishes it: a tile that is full by then, or the level's last.
    ///
    /// A client asks for no other partial tile, and a log need serve no other.
    #[must_use]
    pub fn is_of(self, size: u64) -> bool {
        Self::within(self.level, self.index, size) == Some(self)
    }
}

impl BundleId {
    /// A bundle of 1 to 256 entries.
    pub fn new(index: u64, width: u16) -> Result<Self, TileError> {
        let width = checked_width(width.into())?;
        Ok(Self { index, width })
    }

    /// The bundle of an entry, as wide as a tree of a size makes it; `None` if the tree ends before
    /// that entry.
    #[must_use]
    pub fn of_entry(entry: u64, size: u64) -> Option<Self> {
        let tile = TileId::within(0, entry / u64::from(FULL_WIDTH), size)?;
        (entry < size).then_some(Self {
            index: tile.index,
            width: tile.width,
        })
    }

    /// The place, counted from zero.
    #[must_use]
    pub const fn index(self) -> u64 {
        self.index
    }

    /// How many entries it has.
    #[must_use]
    pub const fn width(self) -> u16 {
        self.width
    }

    /// The tile with the hashes of its entries.
    #[must_use]
    pub const fn tile(self) -> TileId {
        TileId {
            level: 0,
            index: self.index,
            width: self.width,
        }
    }
}

impl fmt::Display for TileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tile/{}/", self.level)?;
        write_place(f, self.index, self.width)
    }
}

impl fmt::Display for BundleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tile/entries/")?;
        write_place(f, self.index, self.width)
    }
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hashes(tile) => write!(f, "{tile}"),
            Self::Entries(bundle) => write!(f, "{bundle}"),
        }
    }
}

/// `x001/x234/067` and, unless it is full, `.p/<width>`.
fn write_place(f: &mut fmt::Formatter<'_>, index: u64, width: u16) -> fmt::Result {
    // No index has more than seven groups.
    let highest = (0..7).rev().find(|group| index / 1000_u64.pow(*group) > 0);
    for group in (0..=highest.unwrap_or(0)).rev() {
        let digits = index / 1000_u64.pow(group) % 1000;
        match group {
            0 => write!(f, "{digits:03}")?,
            _ => write!(f, "x{digits:03}/")?,
        }
    }
    if width < FULL_WIDTH {
        write!(f, ".p/{width}")?;
    }
    Ok(())
}

impl FromStr for TilePath {
    type Err = TileError;

    /// Strict: the path that is written for what it names, and no other.
    fn from_str(path: &str) -> Result<Self, TileError> {
        let place = path.strip_prefix("tile/").ok_or(TileError::Path)?;
        let (level, place) = place.split_once('/').ok_or(TileError::Path)?;
        let (index, width) = parse_place(place).ok_or(TileError::Path)?;
        if level == "entries" {
            return BundleId::new(index, width).map(Self::Entries);
        }
        let level = decimal::parse(level).and_then(|level| u8::try_from(level).ok());
        TileId::new(level.ok_or(TileError::Path)?, index, width).map(Self::Hashes)
    }
}

fn parse_place(place: &str) -> Option<(u64, u16)> {
    let (groups, width) = match place.split_once(".p/") {
        None => (place, FULL_WIDTH),
        Some((groups, width)) => {
            let width = u16::try_from(decimal::parse(width)?).ok()?;
            (groups, Some(width).filter(|width| *width < FULL_WIDTH)?)
        }
    };
    let (before, last) = match groups.rsplit_once('/') {
        Some((before, last)) => (Some(before), last),
        None => (None, groups),
    };
    let mut index = 0_u64;
    for group in before.into_iter().flat_map(|before| before.split('/')) {
        let digits = three_digits(group.strip_prefix('x')?)?;
        // A first group of zero would be a second name for the same tile.
        if index == 0 && digits == 0 {
            return None;
        }
        index = index.checked_mul(1000)?.checked_add(digits)?;
    }
    let index = index.checked_mul(1000)?.checked_add(three_digits(last)?)?;
    Some((index, width))
}

fn three_digits(group: &str) -> Option<u64> {
    let is_decimal = group.len() == 3 && group.bytes().all(|byte| byte.is_ascii_digit());
    is_decimal.then(|| group.parse().ok()).flatten()
}
