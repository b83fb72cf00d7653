//! Paths: one spelling each.

use proptest::prelude::*;

use crate::merkle::{MAX_SIZE, Node};
use crate::tile::{BundleId, FULL_WIDTH, TileError, TileId, TilePath};

fn tile(level: u8, index: u64, width: u16) -> TilePath {
    TilePath::Hashes(TileId::new(level, index, width).unwrap())
}

fn bundle(index: u64, width: u16) -> TilePath {
    TilePath::Entries(BundleId::new(index, width).unwrap())
}

#[test]
fn paths_are_written_and_read_as_specified() {
    let paths = [
        ("tile/0/000", tile(0, 0, 256)),
        ("tile/0/000.p/1", tile(0, 0, 1)),
        ("tile/1/x001/x234/067", tile(1, 1_234_067, 256)),
        ("tile/15/x123/x456/789.p/41", tile(15, 123_456_789, 41)),
        ("tile/63/999.p/255", tile(63, 999, 255)),
        ("tile/0/x001/000", tile(0, 1000, 256)),
        (
            "tile/0/x018/x446/x744/x073/x709/x551/615",
            tile(0, u64::MAX, 256),
        ),
        ("tile/entries/000", bundle(0, 256)),
        ("tile/entries/255.p/253", bundle(255, 253)),
        ("tile/entries/x123/x456/789", bundle(123_456_789, 256)),
    ];
    for (text, path) in paths {
        assert_eq!(path.to_string(), text);
        assert_eq!(text.parse(), Ok(path));
    }
}

#[test]
fn every_other_spelling_is_refused() {
    let paths = [
        "",
        "tile",
        "tile/",
        "tile/0",
        "tile/0/",
        "/tile/0/000",
        "tile/0/000/",
        "tiles/0/000",
        "tile/00/000",
        "tile/-1/000",
        "tile/a/000",
        "tile//000",
        "tile/256/000",
        "tile/+1/000",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/0/-01",
        "tile/0/x000",
        "tile/0/x001",
        "tile/0/x001/",
        "tile/0/001/002",
        "tile/0/x001/0002",
        "tile/0/x001/-02",
        "tile/0/x1/002",
        "tile/0/X001/002",
        "tile/0/xx01/002",
        "tile/0/x001/x002",
        "tile/0/x001//002",
        // A second name for tile 2.
        "tile/0/x000/002",
        // One more than 64 bits hold, and much more.
        "tile/0/x018/x446/x744/x073/x709/x551/616",
        "tile/0/x999/x999/x999/x999/x999/x999/999",
        "tile/0/x001/x000/x000/x000/x000/x000/x000/000",
        "tile/0/000.p",
        "tile/0/000.p/",
        "tile/0/000.p/01",
        "tile/0/000.p/256",
        "tile/0/000.p/x",
        "tile/0/000.p/-1",
        "tile/0/000.p/1/",
        "tile/0/000.p/1.p/1",
        "tile/0/000.p/99999999999",
        "tile/0/.p/1",
        "tile/0/x001.p/1",
        "tile/0/x001/.p/1",
        "tile/0/x001.p/1/002",
        "tile/entries",
        "tile/entries/",
        "tile/Entries/000",
        "tile/entries/0/000",
        "tile/0/٠٠٠",
        "tile/0/000\n",
        " tile/0/000",
        "tile/0/000.p/1 ",
        "tile/0/000?",
    ];
    for path in paths {
        assert_eq!(path.parse::<TilePath>(), Err(TileError::Path), "{path:?}");
    }
    let high = "tile/64/000".parse::<TilePath>();
    assert_eq!(high, Err(TileError::Level(64)));
    for path in ["tile/0/000.p/0", "tile/entries/001.p/0"] {
        assert_eq!(path.parse::<TilePath>(), Err(TileError::Width(0)), "{path}");
    }
}

#[test]
fn names_stay_within_levels_and_widths() {
    assert_eq!(TileId::new(64, 0, 1), Err(TileError::Level(64)));
    assert_eq!(TileId::new(63, 0, 0), Err(TileError::Width(0)));
    assert_eq!(TileId::new(63, 0, 257), Err(TileError::Width(257)));
    assert_eq!(BundleId::new(0, 257), Err(TileError::Width(257)));
}

#[test]
fn the_bundle_of_an_entry_is_as_wide_as_the_tree_makes_it() {
    let path = |entry, size| BundleId::of_entry(entry, size).map(|id| id.to_string());
    let paths = [
        (0, 256, "tile/entries/000"),
        (255, 256, "tile/entries/000"),
        (251, 255, "tile/entries/000.p/255"),
        (256, 257, "tile/entries/001.p/1"),
        (3, 257, "tile/entries/000"),
    ];
    for (entry, size, expected) in paths {
        assert_eq!(path(entry, size).as_deref(), Some(expected));
    }
    assert_eq!(path(256, 256), None);
    assert_eq!(path(257, 257), None);
    assert_eq!(path(258, 257), None);
    assert_eq!(path(u64::MAX, MAX_SIZE), None);
}

#[test]
fn the_tile_of_a_node_is_the_one_whose_hashes_make_it() {
    let of = |level, index, size| TileId::of_node(Node::new(level, index).unwrap(), size);
    let id = |level, index, width| Some(TileId::new(level, index, width).unwrap());
    assert_eq!(of(0, 5, 6), id(0, 0, 6));
    assert_eq!(of(0, 5, 5), None);
    assert_eq!(of(7, 1, 256), id(0, 0, FULL_WIDTH));
    assert_eq!(of(8, 0, 256), id(1, 0, 1));
    assert_eq!(of(8, 0, 255), None);
    assert_eq!(of(9, 1, 70_000), id(1, 0, FULL_WIDTH));
    assert_eq!(of(9, 130, 70_000), id(1, 1, 17));
    assert_eq!(of(16, 0, 70_000), id(2, 0, 1));
    assert_eq!(of(0, 0, MAX_SIZE + 1), None);
    assert_eq!(of(62, 0, MAX_SIZE), id(7, 0, 64));
}

proptest! {
    #[test]
    fn every_name_is_read_as_it_was_written(
        level in 0..=63_u8, index: u64, shift in 0..64_u32, width in 1..=256_u16
    ) {
        let index = index >> shift;
        for path in [tile(level, index, width), bundle(index, width)] {
            prop_assert_eq!(path.to_string().parse(), Ok(path));
        }
    }

    #[test]
    fn what_is_read_is_written_the_same(path in "tile/([0-9]{1,2}|entries)/(x[0-9]{3}/){0,7}[0-9]{3}(\\.p/[0-9]{1,3})?") {
        if let Ok(parsed) = path.parse::<TilePath>() {
            prop_assert_eq!(parsed.to_string(), path);
        }
    }
}
