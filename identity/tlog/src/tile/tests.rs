//! Tiles against their definition, paths against their one spelling, bundles at their bounds.

mod paths;

use std::collections::BTreeMap;

use super::{
    Edge, FULL_WIDTH, MAX_ENTRY_BYTES, MissingHash, Tile, TileError, TileId, TileSet, bundle,
};
use crate::merkle::{Consistency, Hash, Inclusion, MAX_SIZE, MerkleError, Peaks, Subtree};

/// Large enough for a full tile of level 1 and a partial one after it.
const LEAVES: u64 = 256 * 256 + 600;

/// `n` different hashes.
fn hashes(count: u64) -> Vec<Hash> {
    let leaf = |index: u64| Hash::leaf(&index.to_be_bytes());
    (0..count).map(leaf).collect()
}

/// The tiles of a tree by their definition: each hash is that of its range of leaves.
fn defined(leaves: &[Hash]) -> BTreeMap<TileId, Tile> {
    let mut tiles = BTreeMap::new();
    let mut below = leaves.to_vec();
    for level in 0.. {
        for (index, hashes) in below.chunks(256).enumerate() {
            let id = TileId::new(level, index as u64, hashes.len() as u16).unwrap();
            tiles.insert(id, Tile::new(hashes.to_vec()).unwrap());
        }
        below = below.chunks_exact(256).map(naive_root).collect();
        if below.is_empty() {
            break;
        }
    }
    tiles
}

/// The root over a power of two of hashes.
fn naive_root(hashes: &[Hash]) -> Hash {
    match hashes {
        [hash] => *hash,
        _ => {
            let (left, right) = hashes.split_at(hashes.len() / 2);
            Hash::node(naive_root(left), naive_root(right))
        }
    }
}

#[test]
fn a_tree_of_70000_has_the_tiles_of_the_specification() {
    let tiles: Vec<TileId> = defined(&vec![Hash::empty(); 70_000]).into_keys().collect();
    let count = |level, full: bool| {
        let of = |tile: &&TileId| tile.level() == level && tile.is_partial() != full;
        tiles.iter().filter(of).count()
    };
    assert_eq!((count(0, true), count(0, false)), (273, 1));
    assert_eq!((count(1, true), count(1, false)), (1, 1));
    assert_eq!((count(2, true), count(2, false)), (0, 1));
    let partial = [(0, 273, 112), (1, 1, 17), (2, 0, 1)];
    let partial = partial.map(|(level, index, width)| TileId::new(level, index, width).unwrap());
    assert_eq!(TileId::partial(70_000).unwrap(), partial);
    assert!(tiles.iter().all(|tile| tile.is_of(70_000)));
    let one_more = TileId::new(0, 273, 113).unwrap();
    assert!(!one_more.is_of(70_000) && one_more.is_of(70_001));
    let full = TileId::new(0, 272, FULL_WIDTH).unwrap();
    assert!(full.is_of(70_000) && !full.is_of(69_887));
    // A tree of 256 has one full tile below, and one hash above.
    let above = TileId::new(1, 0, 1).unwrap();
    assert_eq!(TileId::partial(256).unwrap(), [above]);
    assert_eq!(TileId::partial(0).unwrap(), []);
    let refused = TileId::partial(MAX_SIZE + 1);
    assert_eq!(refused, Err(MerkleError::Size(MAX_SIZE + 1)));
}

#[test]
fn an_edge_grows_into_the_tiles_of_every_size() {
    let leaves = hashes(LEAVES);
    let mut edge = Edge::new();
    let mut written: BTreeMap<TileId, Tile> = BTreeMap::new();
    for (index, leaf) in leaves.iter().enumerate() {
        for (id, tile) in edge.append(*leaf).unwrap() {
            assert_eq!(written.insert(id, tile), None, "{id} became full twice");
        }
        let size = index + 1;
        // Each size would take minutes: the ones around changes of level, and some between.
        let is_watched = size < 600 || size % 4099 == 0 || size.abs_diff(65_536) < 3;
        if is_watched || size == leaves.len() {
            let partial = edge.partial_tiles().unwrap();
            let all: BTreeMap<_, _> = written.clone().into_iter().chain(partial).collect();
            assert_eq!(all, defined(&leaves[..size]), "{size}");
            let loaded = all.into_iter().collect();
            assert_eq!(Edge::load(size as u64, &loaded), Ok(edge.clone()), "{size}");
        }
    }
    let mut peaks = Peaks::new();
    for leaf in &leaves {
        peaks.append(*leaf).unwrap();
    }
    assert_eq!((edge.size(), edge.root()), (LEAVES, peaks.root()));
    assert_eq!(edge.peaks(), &peaks);
}

#[test]
fn proofs_come_from_the_tiles_named_beforehand_and_from_no_fewer() {
    let leaves = hashes(LEAVES);
    let tiles = defined(&leaves);
    let everything: TileSet = tiles.clone().into_iter().collect();
    let tree = |size: u64| Subtree::whole(size).unwrap();
    let root = |size: u64| tree(size).hash(&everything).unwrap();
    for (small, size) in [
        (0, LEAVES),
        (300, 7000),
        (65_535, LEAVES),
        (65_536, LEAVES),
        (0, 1),
    ] {
        let inclusion = Inclusion::new(small, size).unwrap();
        let consistency = Consistency::new(small, size).unwrap();
        let needed = [
            TileId::of_nodes(inclusion.nodes(), LEAVES),
            TileId::of_nodes(consistency.nodes(), LEAVES),
        ];
        let [for_inclusion, for_consistency] = needed
            .clone()
            .map(|ids| -> TileSet { ids.iter().map(|id| (*id, tiles[id].clone())).collect() });
        let proof = inclusion.prove(&for_inclusion).unwrap();
        let leaf = leaves[small as usize];
        assert_eq!(
            inclusion.verify(leaf, &proof, root(size)),
            Ok(()),
            "{small}/{size}"
        );
        let proof = consistency.prove(&for_consistency).unwrap();
        let grown = consistency.verify(root(small), &proof, root(size));
        assert_eq!(grown, Ok(()), "{small}/{size}");
        for missing in &needed[0] {
            let others = needed[0].iter().filter(|id| *id != missing);
            let some: TileSet = others.map(|id| (*id, tiles[id].clone())).collect();
            let MissingHash { level, .. } = inclusion.prove(&some).unwrap_err();
            assert_eq!(level / 8, missing.level());
        }
    }
}

#[test]
fn a_wider_tile_serves_and_a_narrower_one_does_not_replace_it() {
    let leaves = hashes(300);
    let wide = Tile::new(leaves[256..300].to_vec()).unwrap();
    let narrow = Tile::new(leaves[256..260].to_vec()).unwrap();
    let id = |width| TileId::new(0, 1, width).unwrap();
    let full = (
        TileId::new(0, 0, 256).unwrap(),
        Tile::new(leaves[..256].to_vec()).unwrap(),
    );
    let above = (
        TileId::new(1, 0, 1).unwrap(),
        Tile::new(vec![full.1.root()]).unwrap(),
    );
    let mut tiles: TileSet = [full, above, (id(44), wide)].into_iter().collect();
    tiles.insert(id(4), narrow);
    let mut peaks = Peaks::new();
    for leaf in &leaves[..290] {
        peaks.append(*leaf).unwrap();
    }
    let edge = Edge::load(290, &tiles).unwrap();
    assert_eq!(edge.root(), peaks.root());
    // One leaf further than the tile is wide.
    let missing = Edge::load(301, &tiles).unwrap_err();
    assert!(matches!(missing, TileError::Missing(_)), "{missing}");
}

#[test]
fn a_tile_has_1_to_256_hashes_and_32_bytes_for_each() {
    let tile = Tile::new(hashes(3)).unwrap();
    let bytes = tile.encode();
    assert_eq!(bytes.len(), 96);
    assert_eq!(Tile::decode(&bytes, 3), Ok(tile));
    assert_eq!(Tile::new(hashes(256)).unwrap().encode().len(), 8192);
    let length = |expected, found| Err(TileError::Length { expected, found });
    assert_eq!(Tile::decode(&bytes[..95], 3), length(96, 95));
    assert_eq!(Tile::decode(&bytes, 2), length(64, 96));
    assert_eq!(Tile::decode(&bytes, 4), length(128, 96));
    assert_eq!(Tile::decode(&[], 0), Err(TileError::Width(0)));
    assert_eq!(
        Tile::decode(&[0; 257 * 32], 257),
        Err(TileError::Width(257))
    );
    assert_eq!(Tile::new(Vec::new()), Err(TileError::Width(0)));
    assert_eq!(Tile::new(hashes(257)), Err(TileError::Width(257)));
}

#[test]
fn a_bundle_holds_exactly_its_entries() {
    let longest = vec![7; MAX_ENTRY_BYTES];
    let entries: [&[u8]; 3] = [b"one", b"", &longest];
    let bundle = bundle::encode(&entries).unwrap();
    assert_eq!(&bundle[..7], b"\0\x03one\0\0");
    assert_eq!(bundle::decode(&bundle, 3).unwrap(), entries);
    assert_eq!(bundle::decode(&bundle, 4), Err(TileError::Truncated(3)));
    let last = bundle::decode(&bundle[..bundle.len() - 1], 3);
    assert_eq!(last, Err(TileError::Truncated(2)));
    assert_eq!(
        bundle::decode(&bundle[..6], 3),
        Err(TileError::Truncated(1))
    );
    let trailing = longest.len() + 2;
    assert_eq!(
        bundle::decode(&bundle, 2),
        Err(TileError::Trailing(trailing))
    );
    for width in [0, 257, u16::MAX] {
        let refused = Err(TileError::Width(width.into()));
        assert_eq!(bundle::decode(&bundle, width), refused);
    }
    let too_long = vec![7; MAX_ENTRY_BYTES + 1];
    let refused = bundle::encode(&[&too_long]);
    assert_eq!(refused, Err(TileError::EntryBytes(MAX_ENTRY_BYTES + 1)));
    assert_eq!(bundle::encode::<&[u8]>(&[]), Err(TileError::Width(0)));
    assert_eq!(bundle::encode(&[b""; 257]), Err(TileError::Width(257)));
    let full = bundle::encode(&vec![&longest; 256]).unwrap();
    assert_eq!(full.len(), bundle::max_bytes(FULL_WIDTH));
    assert_eq!(
        bundle::decode(&full, 256).map(|entries| entries.len()),
        Ok(256)
    );
}

#[test]
fn entries_are_held_against_the_hashes_of_their_tile() {
    let entries: [&[u8]; 3] = [b"one", b"two", b"three"];
    let tile = Tile::new(entries.map(Hash::leaf).to_vec()).unwrap();
    assert_eq!(bundle::check(&entries, &tile), Ok(()));
    let other: [&[u8]; 3] = [b"one", b"too", b"three"];
    assert_eq!(bundle::check(&other, &tile), Err(TileError::EntryHash(1)));
    let fewer = bundle::check(&entries[..2], &tile);
    assert_eq!(fewer, Err(TileError::Truncated(2)));
}
