//! Proofs that stand alone: their one text, and what they prove.

use proptest::prelude::*;

use super::{MAX_EXTRA_BYTES, MAX_PROOF_BYTES, Proof, ProofError};
use crate::checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint};
use crate::merkle::{Hash, Inclusion, MerkleError, Subtree};
use crate::note::{NoteError, NoteSigner};
use crate::policy::{Policy, Untrusted};
use crate::tile::{Tile, TileId, TileSet};

/// The leaves of the tests' tree, which fits into one tile.
const LEAVES: u64 = 100;

fn log() -> NoteSigner {
    NoteSigner::from_seed("example.com/log".parse().unwrap(), &[1; 32]).unwrap()
}

fn policy() -> Policy {
    let text = format!("log {}\nquorum none\n", log().public());
    Policy::parse(text.as_bytes()).unwrap()
}

fn leaf(index: u64) -> Hash {
    Hash::leaf(&index.to_be_bytes())
}

fn tiles() -> TileSet {
    let tile = Tile::new((0..LEAVES).map(leaf).collect()).unwrap();
    let id = TileId::new(0, 0, tile.width()).unwrap();
    [(id, tile)].into_iter().collect()
}

fn checkpoint(size: u64) -> SignedCheckpoint {
    let root = Subtree::whole(size).unwrap().hash(&tiles()).unwrap();
    let origin = "example.com/log".parse().unwrap();
    let checkpoint = Checkpoint::new(origin, size, root).unwrap();
    let mut signed = SignedCheckpoint::unsigned(checkpoint).unwrap();
    let signature = log().sign(signed.note());
    signed.note_mut().add(signature).unwrap();
    signed
}

fn proof(index: u64, size: u64) -> Proof {
    let inclusion = Inclusion::new(index, size).unwrap();
    let hashes = inclusion.prove(&tiles()).unwrap();
    Proof::new(index, hashes, checkpoint(size)).unwrap()
}

#[test]
fn every_leaf_has_a_proof_that_is_read_as_it_was_written() {
    let policy = policy();
    for size in [1, 2, 3, 64, 65, LEAVES] {
        for index in 0..size {
            let proof = proof(index, size);
            let text = proof.to_string();
            let read = Proof::parse(text.as_bytes()).unwrap();
            assert_eq!(read, proof);
            let trusted = read.verify(leaf(index), &policy).unwrap();
            assert_eq!(trusted.checkpoint.size(), size);
        }
    }
}

#[test]
fn a_proof_looks_as_specified() {
    let proof = proof(1, 3).with_extra(b"leaf".to_vec()).unwrap();
    let expected = format!(
        "c2sp.org/tlog-proof@v1\nextra bGVhZg==\nindex 1\n{}\n{}\n\n{}",
        leaf(0),
        leaf(2),
        checkpoint(3)
    );
    assert_eq!(proof.to_string(), expected);
    let read = Proof::parse(expected.as_bytes()).unwrap();
    assert_eq!((read.index(), read.extra()), (1, Some(&b"leaf"[..])));
    assert_eq!(read.hashes(), [leaf(0), leaf(2)]);
    assert_eq!(read.checkpoint(), &checkpoint(3));
    // The only leaf of a log needs no hashes.
    let alone = self::proof(0, 1).to_string();
    let expected = format!("c2sp.org/tlog-proof@v1\nindex 0\n\n{}", checkpoint(1));
    assert_eq!(alone, expected);
}

#[test]
fn a_proof_proves_nothing_else() {
    let policy = policy();
    let proof = proof(5, 9);
    let root = Err(ProofError::Inclusion(MerkleError::Root));
    assert_eq!(proof.verify(leaf(6), &policy), root);
    let moved = proof.to_string().replace("index 5\n", "index 4\n");
    let moved = Proof::parse(moved.as_bytes()).unwrap();
    assert_eq!(moved.verify(leaf(5), &policy), root);
    // With the right hashes and a log that nobody knows.
    let stranger = format!("log {}\nquorum none\n", log().public()).replace("example.com", "a");
    assert!(Policy::parse(stranger.as_bytes()).is_err());
    let stranger = NoteSigner::from_seed("example.com/log".parse().unwrap(), &[2; 32]).unwrap();
    let stranger = format!("log {}\nquorum none\n", stranger.public());
    let stranger = Policy::parse(stranger.as_bytes()).unwrap();
    let unknown = Err(ProofError::Untrusted(Untrusted::Note(
        NoteError::UnknownSigners,
    )));
    assert_eq!(proof.verify(leaf(5), &stranger), unknown);
}

#[test]
fn what_is_no_proof_is_refused_for_its_reason() {
    use ProofError::{Extra, Hashes, Index, Version};
    let signed = checkpoint(3);
    let (a, b) = (leaf(0), leaf(2));
    let first = "c2sp.org/tlog-proof@v1\n";
    let cases = [
        (String::new(), Version),
        ("c2sp.org/tlog-proof@v1".to_owned(), Version),
        (
            format!("c2sp.org/tlog-proof@v2\nindex 1\n{a}\n{b}\n\n{signed}"),
            Version,
        ),
        (format!("\n{first}index 1\n{a}\n{b}\n\n{signed}"), Version),
        (
            format!("{first}extra \nindex 1\n{a}\n{b}\n\n{signed}"),
            Extra,
        ),
        (
            format!("{first}extra bGVhZg\nindex 1\n{a}\n{b}\n\n{signed}"),
            Extra,
        ),
        (
            format!("{first}extra bGVhZg== \nindex 1\n{a}\n{b}\n\n{signed}"),
            Extra,
        ),
        (format!("{first}extra bGVhZg=="), Extra),
        (
            format!("{first}extra\nindex 1\n{a}\n{b}\n\n{signed}"),
            Index,
        ),
        (format!("{first}index 1"), Index),
        (format!("{first}index 01\n{a}\n{b}\n\n{signed}"), Index),
        (format!("{first}index -1\n{a}\n{b}\n\n{signed}"), Index),
        (format!("{first}index\n{a}\n{b}\n\n{signed}"), Index),
        (format!("{first}{a}\n{b}\n\n{signed}"), Index),
        (
            format!("{first}index 1\nextra bGVhZg==\n{a}\n{b}\n\n{signed}"),
            Hashes,
        ),
        (format!("{first}index 1\n{a}\n{b}\n{signed}"), Hashes),
        (format!("{first}index 1\n{a}\n {b}\n\n{signed}"), Hashes),
        (format!("{first}index 1\n{a}\n{b}\n"), Hashes),
        (
            format!("{first}index 1\n{}\n{signed}", format!("{a}\n").repeat(64)),
            Hashes,
        ),
    ];
    for (text, fault) in cases {
        assert_eq!(Proof::parse(text.as_bytes()), Err(fault), "{text:?}");
    }
    let refused = |text: String| Proof::parse(text.as_bytes()).unwrap_err();
    let unsigned = refused(format!(
        "{first}index 1\n{a}\n{b}\n\n{}",
        signed.note().text()
    ));
    let no_signatures = CheckpointError::Note(NoteError::NoSignatures);
    assert_eq!(unsigned, ProofError::Checkpoint(no_signatures));
    let beyond = refused(format!("{first}index 3\n{a}\n{b}\n\n{signed}"));
    let index = MerkleError::Index { index: 3, size: 3 };
    assert_eq!(beyond, ProofError::Inclusion(index));
    let short = refused(format!("{first}index 1\n{a}\n\n{signed}"));
    let length = MerkleError::ProofLength {
        expected: 2,
        found: 1,
    };
    assert_eq!(short, ProofError::Inclusion(length));
    let not_utf8 = Proof::parse(&[first.as_bytes(), b"\xff"].concat());
    assert_eq!(not_utf8, Err(Version));
}

#[test]
fn proofs_and_their_extra_data_are_limited() {
    let most = proof(1, 3).with_extra(vec![7; MAX_EXTRA_BYTES]).unwrap();
    assert_eq!(Proof::parse(most.to_string().as_bytes()), Ok(most.clone()));
    for extra in [0, MAX_EXTRA_BYTES + 1] {
        let refused = proof(1, 3).with_extra(vec![7; extra]);
        assert_eq!(refused, Err(ProofError::Extra));
    }
    let long = vec![b'a'; MAX_PROOF_BYTES + 1];
    let refused = Err(ProofError::TooLong(MAX_PROOF_BYTES + 1));
    assert_eq!(Proof::parse(&long), refused);
}

proptest! {
    #[test]
    fn what_is_accepted_is_written_the_same(
        index in 0..4_u64, extra in "(extra [A-Za-z0-9+/]{0,8}={0,2}\n)?", hashes in 0..4_usize
    ) {
        let lines: String = (0..hashes as u64).map(|n| format!("{}\n", leaf(n))).collect();
        let signed = checkpoint(4);
        let text = format!("c2sp.org/tlog-proof@v1\n{extra}index {index}\n{lines}\n{signed}");
        if let Ok(proof) = Proof::parse(text.as_bytes()) {
            prop_assert_eq!(proof.to_string(), text);
        }
    }
}
