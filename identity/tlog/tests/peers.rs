//! Against other implementations of the same specifications: `ct-merkle` for the tree, `tlog_tiles`
//! for proofs, paths and checkpoints, `signed_note` for notes and keys.

#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

use std::sync::LazyLock;

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use proptest::prelude::*;
use rochdale_tlog::checkpoint::Checkpoint;
use rochdale_tlog::merkle::{Consistency, Hash, HashSource, Inclusion, Node, Subtree};
use rochdale_tlog::note::{Note, NoteSigner, VerifierKey, Verifiers};
use rochdale_tlog::tile::{Edge, TilePath, TileSet};
use sha2::Sha256;
use signed_note::{Signer as _, Verifier as _};

/// Leaves of the largest tree here: beyond one tile.
const LEAVES: u64 = 300;

fn leaves() -> Vec<[u8; 8]> {
    (0..LEAVES).map(u64::to_be_bytes).collect()
}

/// All tiles of a tree of every leaf.
static TILES: LazyLock<TileSet> = LazyLock::new(|| {
    let mut edge = Edge::new();
    let mut tiles = TileSet::new();
    for leaf in leaves() {
        for (id, tile) in edge.append(Hash::leaf(&leaf)).unwrap() {
            tiles.insert(id, tile);
        }
    }
    for (id, tile) in edge.partial_tiles().unwrap() {
        tiles.insert(id, tile);
    }
    tiles
});

fn root(size: u64) -> Hash {
    Subtree::whole(size).unwrap().hash(&*TILES).unwrap()
}

#[test]
fn roots_and_proofs_are_those_of_ct_merkle() {
    let tiles = &*TILES;
    let mut tree = MemoryBackedTree::<Sha256, [u8; 8]>::new();
    for (size, leaf) in (1_u64..).zip(leaves()) {
        tree.push(leaf);
        let root = Subtree::whole(size).unwrap().hash(tiles).unwrap();
        assert_eq!(tree.root().as_bytes().as_slice(), root.as_bytes());
        // Ours against every size is the oracle's task; theirs makes proofs slowly.
        if size % 41 != 0 && size.abs_diff(256) > 1 && size != LEAVES {
            continue;
        }
        for small in 0..size {
            let ours = Inclusion::new(small, size).unwrap().prove(tiles).unwrap();
            let theirs = tree.prove_inclusion(small as usize);
            assert_eq!(concat(&ours), theirs.as_bytes(), "{small}/{size}");
            // Theirs is defined from one leaf on.
            if small > 0 {
                let ours = Consistency::new(small, size)
                    .unwrap()
                    .prove(&tiles)
                    .unwrap();
                let theirs = tree.prove_consistency((size - small) as usize);
                assert_eq!(concat(&ours), theirs.as_bytes(), "{small}/{size}");
            }
        }
    }
}

fn concat(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| *hash.as_bytes()).collect()
}

/// Our tiles as their source of hashes.
struct Stored;

impl tlog_tiles::tlog::HashReader for Stored {
    fn read_hashes(
        &self,
        indexes: &[u64],
    ) -> Result<Vec<tlog_tiles::tlog::Hash>, tlog_tiles::tlog::Error> {
        let hash = |index: &u64| {
            let (level, place) = tlog_tiles::tlog::split_stored_hash_index(*index);
            let node = Node::new(level, place).unwrap();
            tlog_tiles::tlog::Hash(*TILES.hash(node).unwrap().as_bytes())
        };
        Ok(indexes.iter().map(hash).collect())
    }
}

fn theirs(hash: Hash) -> tlog_tiles::tlog::Hash {
    tlog_tiles::tlog::Hash(*hash.as_bytes())
}

proptest! {
    #[test]
    fn tlog_tiles_accepts_our_proofs_and_makes_the_same(size in 1..=LEAVES, at: u64) {
        let small = at % size;
        let ours = Inclusion::new(small, size).unwrap().prove(&*TILES).unwrap();
        let ours: Vec<_> = ours.into_iter().map(theirs).collect();
        let proof = tlog_tiles::tlog::prove_record(size, small, &Stored).unwrap();
        prop_assert_eq!(&ours, &proof);
        let leaf = theirs(Hash::leaf(&leaves()[small as usize]));
        let checked = tlog_tiles::tlog::check_record(&ours, size, theirs(root(size)), small, leaf);
        prop_assert!(checked.is_ok());

        let old = small + 1;
        let ours = Consistency::new(old, size).unwrap().prove(&*TILES).unwrap();
        let ours: Vec<_> = ours.into_iter().map(theirs).collect();
        let proof = tlog_tiles::tlog::prove_tree(size, old, &Stored).unwrap();
        prop_assert_eq!(&ours, &proof);
        let (new, old_root) = (theirs(root(size)), theirs(root(old)));
        prop_assert!(tlog_tiles::tlog::check_tree(&ours, size, new, old, old_root).is_ok());
    }

    /// Theirs knows tile heights other than 8, and reads a data tile where we read entries.
    #[test]
    fn tlog_tiles_reads_and_writes_the_same_paths(
        level in 0..=63_u8, index in 0..(1_u64 << 40), shift in 0..40_u32, width in 1..=256_u16
    ) {
        let index = index >> shift;
        let path = tlog_tiles::tile::Tile::new(8, level, index, width.into(), false).path();
        let ours: TilePath = path.replacen("tile/8/", "tile/", 1).parse().unwrap();
        let TilePath::Hashes(id) = ours else { panic!("{ours:?}") };
        prop_assert_eq!((id.level(), id.index(), id.width()), (level, index, width));
    }

    #[test]
    fn signed_note_reads_our_notes_and_keys_and_we_read_theirs(
        seed: [u8; 32], text in "[ -~\n]{0,60}\n"
    ) {
        let ours = NoteSigner::from_seed("example.com/log".parse().unwrap(), &seed).unwrap();
        let signer = signed_note::StandardSigner::new(&ours.to_secret_text()).unwrap();
        let verifier = signed_note::StandardVerifier::new(&ours.public().to_string()).unwrap();
        prop_assert_eq!(signer.key_id().to_be_bytes(), *ours.public().id().as_bytes());
        prop_assert_eq!(verifier.key_id(), signer.key_id());

        let mut note = Note::unsigned(text.as_str()).unwrap();
        note.add(ours.sign(&note)).unwrap();
        let list = signed_note::VerifierList::new(vec![Box::new(verifier)]);
        let read = signed_note::Note::from_bytes(note.to_string().as_bytes()).unwrap();
        prop_assert!(read.verify(&list).is_ok());

        let mut theirs = signed_note::Note::new(text.as_bytes(), &[]).unwrap();
        theirs.add_sigs(&[&signer]).unwrap();
        prop_assert_eq!(theirs.to_bytes(), note.to_string().into_bytes());
        let known = Verifiers::new([ours.public().clone()]).unwrap();
        prop_assert!(Note::parse(&theirs.to_bytes()).unwrap().verify(&known).is_ok());
    }

    /// Around the edges of the form, both accept or both refuse.
    #[test]
    fn signed_note_accepts_the_same_notes(note in "[a\n ]{0,4}\n\n(— [a+ ]{0,2} [AB]{6,9}={0,2}\n){0,2}") {
        let ours = Note::parse(note.as_bytes());
        let theirs = signed_note::Note::from_bytes(note.as_bytes());
        prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{:?} {:?}", ours, theirs);
    }

    /// Up to the largest tree here; theirs takes sizes up to 2^64.
    #[test]
    fn tlog_tiles_reads_the_same_checkpoints(
        text in "(a b|é|)\n(0|7|07|-1|9{10,18}|9{21})\n[A-Z]{42}(A|E|B)=\n(x\n){0,2}"
    ) {
        let ours = Checkpoint::parse(&text);
        let theirs = tlog_tiles::Checkpoint::from_bytes(text.as_bytes());
        match (ours, theirs) {
            (Ok(ours), Ok(theirs)) => {
                prop_assert_eq!(ours.origin().as_str(), theirs.origin());
                prop_assert_eq!(ours.size(), theirs.size());
                prop_assert_eq!(*ours.root().as_bytes(), theirs.hash().0);
                prop_assert_eq!(theirs.to_bytes(), text.into_bytes());
            }
            (ours, theirs) => prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{:?}", text),
        }
    }
}

/// A key that the documentation of Go's note package shows.
#[test]
fn the_key_of_gos_documentation_is_read() {
    let secret = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    let ours: NoteSigner = secret.parse().unwrap();
    let theirs = signed_note::StandardSigner::new(secret).unwrap();
    assert_eq!(ours.public().id().to_string(), "c74f20a3");
    let mut note = Note::unsigned("If you think cryptography is the answer\n").unwrap();
    note.add(ours.sign(&note)).unwrap();
    let mut other = signed_note::Note::new(note.text().as_bytes(), &[]).unwrap();
    other.add_sigs(&[&theirs]).unwrap();
    assert_eq!(other.to_bytes(), note.to_string().into_bytes());
    let key: VerifierKey = ours.public().to_string().parse().unwrap();
    assert_eq!(&key, ours.public());
}
