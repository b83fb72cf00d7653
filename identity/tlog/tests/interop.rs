//! The published test log of Tessera: fifteen leaves, and the log as it was at every size.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test reports by panicking"
)]

use std::fs;
use std::path::{Path, PathBuf};

use rochdale_tlog::checkpoint::SignedCheckpoint;
use rochdale_tlog::merkle::{Consistency, Hash, Inclusion, Peaks, Subtree};
use rochdale_tlog::note::{NoteError, VerifierKey, Verifiers};
use rochdale_tlog::policy::Policy;
use rochdale_tlog::proof::Proof;
use rochdale_tlog::tile::{BundleId, Edge, Tile, TileError, TileId, TilePath, TileSet, bundle};
use rochdale_tlog::witness::{AddCheckpoint, Latest};

const KEY: &str = "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx";

const SIZE: u64 = 15;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/interop/tlog/log")
}

fn read(path: &str) -> Vec<u8> {
    let file = folder().join(path);
    fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn checkpoint(size: u64) -> SignedCheckpoint {
    SignedCheckpoint::parse(&read(&format!("checkpoint.{size}"))).unwrap()
}

fn known() -> Verifiers {
    Verifiers::new([KEY.parse::<VerifierKey>().unwrap()]).unwrap()
}

fn tile(size: u64) -> (TileId, Tile) {
    let id = TileId::within(0, 0, size).unwrap();
    let tile = Tile::decode(&read(&id.to_string()), id.width()).unwrap();
    (id, tile)
}

fn tiles() -> TileSet {
    [tile(SIZE)].into_iter().collect()
}

fn entries() -> Vec<Vec<u8>> {
    let id = BundleId::of_entry(0, SIZE).unwrap();
    let bundle = read(&id.to_string());
    let entries = bundle::decode(&bundle, id.width()).unwrap();
    entries.into_iter().map(<[u8]>::to_vec).collect()
}

/// Every file below a folder, by its path from there.
fn files(below: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path.strip_prefix(folder()).unwrap().display().to_string());
        }
    }
    found
}

#[test]
fn every_file_of_the_log_is_read_here() {
    let all = files(&folder());
    let count = |what: &str| all.iter().filter(|path| path.starts_with(what)).count();
    assert_eq!(count("checkpoint"), 17);
    assert_eq!(count("tile/entries/"), 15);
    assert_eq!(count("tile/0/"), 15);
    assert_eq!(all.len(), 47);
    for path in all.iter().filter(|path| path.starts_with("tile/")) {
        let parsed: TilePath = path.parse().unwrap();
        assert_eq!(&parsed.to_string(), path);
        let bytes = read(path);
        match parsed {
            TilePath::Hashes(id) => {
                assert!(id.is_of(id.width().into()));
                let tile = Tile::decode(&bytes, id.width()).unwrap();
                assert_eq!(tile.encode(), bytes);
            }
            TilePath::Entries(id) => {
                let entries = bundle::decode(&bytes, id.width()).unwrap();
                assert_eq!(bundle::encode(&entries).unwrap(), bytes);
                let (_, tile) = tile(id.width().into());
                assert_eq!(bundle::check(&entries, &tile), Ok(()));
            }
        }
    }
    assert_eq!(read("checkpoint"), read("checkpoint.15"));
}

#[test]
fn every_checkpoint_is_signed_and_has_the_root_of_its_leaves() {
    let entries = entries();
    let texts: Vec<&str> = entries
        .iter()
        .map(|entry| std::str::from_utf8(entry).unwrap())
        .collect();
    assert_eq!((texts[0], texts[14], texts.len()), ("one", "fivten", 15));
    let mut peaks = Peaks::new();
    let mut edge = Edge::new();
    for size in 0..=SIZE {
        let signed = checkpoint(size);
        assert_eq!(
            signed.to_string().as_bytes(),
            read(&format!("checkpoint.{size}"))
        );
        let known = known();
        let verified = signed.note().verify(&known).unwrap();
        assert_eq!(verified[0].key.to_string(), KEY);
        assert_eq!(signed.checkpoint().size(), size);
        assert_eq!(
            signed.checkpoint().origin().as_str(),
            "example.com/log/testdata"
        );
        let root = signed.checkpoint().root();
        assert_eq!((peaks.root(), edge.root()), (root, root), "{size}");
        let of_tiles = Subtree::whole(size).unwrap().hash(&tiles());
        assert_eq!(of_tiles, Ok(root), "{size}");
        let partial = if size == 0 { vec![] } else { vec![tile(size)] };
        assert_eq!(edge.partial_tiles().unwrap(), partial);
        assert_eq!(Edge::load(size, &tiles()), Ok(edge.clone()));
        if let Some(entry) = entries.get(size as usize) {
            peaks.append(Hash::leaf(entry)).unwrap();
            assert_eq!(edge.append(Hash::leaf(entry)), Ok(vec![]));
        }
    }
}

#[test]
fn every_leaf_is_proven_to_be_in_every_checkpoint() {
    let policy = Policy::parse(format!("log {KEY}\nquorum none\n").as_bytes()).unwrap();
    let mut proofs = 0;
    for size in 1..=SIZE {
        for index in 0..size {
            let hashes = Inclusion::new(index, size)
                .unwrap()
                .prove(&tiles())
                .unwrap();
            let proof = Proof::new(index, hashes, checkpoint(size)).unwrap();
            let proof = Proof::parse(proof.to_string().as_bytes()).unwrap();
            let leaf = Hash::leaf(&entries()[index as usize]);
            assert!(proof.verify(leaf, &policy).is_ok(), "{index}/{size}");
            assert!(proof.verify(Hash::leaf(b"other"), &policy).is_err());
            proofs += 1;
        }
    }
    assert_eq!(proofs, 120);
}

#[test]
fn every_checkpoint_grew_out_of_every_smaller_one() {
    let mut proofs = 0;
    for new in 0..=SIZE {
        for old in 0..=new {
            let proof = Consistency::new(old, new).unwrap().prove(&tiles()).unwrap();
            let request = AddCheckpoint::new(old, proof, checkpoint(new)).unwrap();
            let request = AddCheckpoint::parse(request.to_string().as_bytes()).unwrap();
            let root = checkpoint(old).checkpoint().root();
            let latest = Latest { size: old, root };
            assert_eq!(request.check(&known(), &latest), Ok(()), "{old}/{new}");
            let root = Hash::leaf(b"other");
            let fork = Latest { size: old, root };
            assert!(request.check(&known(), &fork).is_err(), "{old}/{new}");
            proofs += 1;
        }
    }
    assert_eq!(proofs, 136);
}

#[test]
fn a_damaged_file_is_refused() {
    let whole = read("tile/0/000.p/15");
    for end in 0..whole.len() {
        let cut = Tile::decode(&whole[..end], 15);
        let length = TileError::Length {
            expected: 480,
            found: end,
        };
        assert_eq!(cut, Err(length));
    }
    let bundle = read("tile/entries/000.p/15");
    for end in 0..bundle.len() {
        let cut = bundle::decode(&bundle[..end], 15);
        assert!(
            matches!(cut, Err(TileError::Truncated(_))),
            "{end}: {cut:?}"
        );
    }
    // Any bit of the text, and any of the signature, past its key's ID.
    let note = read("checkpoint.15");
    let key: VerifierKey = KEY.parse().unwrap();
    let mut refused = 0;
    for bit in 0..note.len() * 8 {
        let mut damaged = note.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let Ok(signed) = SignedCheckpoint::parse(&damaged) else {
            refused += 1;
            continue;
        };
        match signed.note().verify(&known()) {
            Err(NoteError::BadSignature(name, id)) => {
                assert_eq!((&name, id), (key.name(), key.id()));
            }
            Err(NoteError::UnknownSigners) => {}
            other => panic!("{other:?} after a change of bit {bit}"),
        }
    }
    assert!(refused > note.len());
}
