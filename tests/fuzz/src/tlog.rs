//! What a transparency log reads from the network: notes, proofs, policies, requests, tiles, leaves.
//!
//! Every text has one spelling: what is accepted is written as the very same bytes.

use rochdale_tlog::checkpoint::{Checkpoint, SignedCheckpoint};
use rochdale_tlog::leaf::Leaf;
use rochdale_tlog::merkle::Hash;
use rochdale_tlog::note::{Note, Signature, VerifierKey, Verifiers};
use rochdale_tlog::policy::Policy;
use rochdale_tlog::proof::Proof;
use rochdale_tlog::tile::{BundleId, Tile, TileId, TilePath, bundle};
use rochdale_tlog::witness::{AddCheckpoint, Latest};

/// The keys to the signed seeds: of a log and of two witnesses, one for each kind of cosignature.
const KEYS: &str = include_str!("../../../identity/tlog/tests/vectors/verifier-keys");

fn known() -> Verifiers {
    let keys = KEYS.lines().map(|key| key.parse().unwrap());
    Verifiers::new(keys).unwrap()
}

/// A policy that accepts the seeds' log, without a witness.
fn policy() -> Policy {
    let log: VerifierKey = KEYS.lines().next().unwrap().parse().unwrap();
    let policy = Policy::parse(b"quorum none\n").unwrap();
    policy.with_log(log).unwrap()
}

/// Signed notes, checkpoints in them, lines of signatures, and keys.
pub fn note(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        if let Ok(key) = text.parse::<VerifierKey>() {
            assert_eq!(key.to_string(), text);
        }
        if let Ok(lines) = Signature::parse_lines(text) {
            let written: String = lines.iter().map(Signature::to_string).collect();
            assert_eq!(written, text);
        }
        if let Ok(checkpoint) = Checkpoint::parse(text) {
            assert_eq!(checkpoint.to_string(), text);
        }
    }
    let Ok(note) = Note::parse(bytes) else {
        assert!(SignedCheckpoint::parse(bytes).is_err());
        return;
    };
    assert_eq!(note.to_string().as_bytes(), bytes);
    if let Ok(verified) = note.verify(&known()) {
        assert!(!verified.is_empty());
    }
    let unsigned = Note::unsigned(note.text()).unwrap();
    assert_eq!(unsigned.text(), note.text());
    if let Ok(signed) = SignedCheckpoint::parse(bytes) {
        assert_eq!(signed.checkpoint().to_string(), signed.note().text());
        let _ = policy().trust(&signed);
    }
}

/// Paths of tiles and bundles.
pub fn tile_path(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let Ok(path) = text.parse::<TilePath>() else {
        return;
    };
    assert_eq!(path.to_string(), text);
    let tile = match path {
        TilePath::Hashes(id) => id,
        TilePath::Entries(id) => id.tile(),
    };
    assert_eq!(
        TileId::new(tile.level(), tile.index(), tile.width()),
        Ok(tile)
    );
    for size in [0, 1, 256, 70_000, u64::MAX] {
        if tile.is_of(size) {
            assert_eq!(TileId::within(tile.level(), tile.index(), size), Some(tile));
        }
    }
}

/// Bundles and tiles. The first byte is the width less one.
pub fn tile_bytes(bytes: &[u8]) {
    let Some((width, bytes)) = bytes.split_first() else {
        return;
    };
    let width = u16::from(*width) + 1;
    if let Ok(tile) = Tile::decode(bytes, width) {
        assert_eq!(tile.encode(), bytes);
        assert_eq!(tile.width(), width);
    }
    if let Ok(entries) = bundle::decode(bytes, width) {
        assert_eq!(entries.len(), usize::from(width));
        assert_eq!(bundle::encode(&entries).as_deref(), Ok(bytes));
        assert!(bytes.len() <= bundle::max_bytes(width));
        let hashes = entries.iter().map(|entry| Hash::leaf(entry)).collect();
        let tile = Tile::new(hashes).unwrap();
        assert_eq!(bundle::check(&entries, &tile), Ok(()));
        assert_eq!(
            BundleId::new(0, width).unwrap().tile().width(),
            tile.width()
        );
    }
}

/// Proofs that stand alone.
pub fn proof(bytes: &[u8]) {
    let Ok(proof) = Proof::parse(bytes) else {
        return;
    };
    assert_eq!(proof.to_string().as_bytes(), bytes);
    let leaf = Hash::leaf(proof.extra().unwrap_or_default());
    let policy = policy();
    if let Ok(trusted) = proof.verify(leaf, &policy) {
        assert!(proof.index() < trusted.checkpoint.size());
    }
}

/// Policies; each judges a checkpoint that is signed and cosigned.
pub fn policy_file(bytes: &[u8]) {
    let Ok(policy) = Policy::parse(bytes) else {
        return;
    };
    let checkpoint = include_bytes!("../../../identity/tlog/tests/vectors/checkpoint");
    let signed = SignedCheckpoint::parse(checkpoint).unwrap();
    if let Ok(trusted) = policy.trust(&signed) {
        assert!(trusted.witnessed.len() <= policy.witnesses().len());
        assert!(!policy.logs().is_empty());
    }
}

/// Requests to a witness.
pub fn add_checkpoint(bytes: &[u8]) {
    let Ok(request) = AddCheckpoint::parse(bytes) else {
        return;
    };
    assert_eq!(request.to_string().as_bytes(), bytes);
    let root = Hash::empty();
    let size = request.old_size();
    for latest in [Latest::never(), Latest { size, root }] {
        if request.check(&known(), &latest).is_ok() {
            assert!(latest.size <= request.checkpoint().checkpoint().size());
        }
    }
}

/// Leaves.
pub fn leaf(bytes: &[u8]) {
    if let Ok(leaf) = Leaf::decode(bytes) {
        assert_eq!(leaf.encode().as_deref(), Ok(bytes));
        assert_eq!(leaf.hash(), Ok(Hash::leaf(bytes)));
        assert!(leaf.at_ms() >= 0);
    }
}
