//! Proofs: equal to the oracle's, accepted, and refused once anything about them is changed.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::Known;
use super::oracle::Oracle;
use crate::merkle::{
    Consistency, Hash, HashSource as _, Inclusion, MAX_PROOF_HASHES, MAX_SIZE, MerkleError, Node,
};

/// Every pair of numbers up to this is tried.
const ALL_UP_TO: u64 = 300;

#[test]
fn every_leaf_of_every_tree_is_proven_as_the_oracle_proves_it() {
    let oracle = Oracle::new(ALL_UP_TO);
    let mut proofs = 0;
    for size in 1..=ALL_UP_TO {
        for index in 0..size {
            let inclusion = Inclusion::new(index, size).unwrap();
            let proof = inclusion.prove(&oracle).unwrap();
            assert_eq!(proof, oracle.path(index, size), "{index}/{size}");
            let checked = inclusion.verify(oracle.leaf(index), &proof, oracle.root(size));
            assert_eq!(checked, Ok(()), "{index}/{size}");
            proofs += 1;
        }
    }
    assert_eq!(proofs, ALL_UP_TO * (ALL_UP_TO + 1) / 2);
}

#[test]
fn every_growth_of_every_tree_is_proven_as_the_oracle_proves_it() {
    let oracle = Oracle::new(ALL_UP_TO);
    for new in 0..=ALL_UP_TO {
        for old in 0..=new {
            let consistency = Consistency::new(old, new).unwrap();
            let proof = consistency.prove(&oracle).unwrap();
            assert_eq!(proof, oracle.proof(old, new), "{old}/{new}");
            let checked = consistency.verify(oracle.root(old), &proof, oracle.root(new));
            assert_eq!(checked, Ok(()), "{old}/{new}");
        }
    }
}

#[test]
fn the_nodes_named_beforehand_are_all_that_a_proof_asks_for() {
    let oracle = Oracle::new(300);
    let load = |nodes: &mut dyn Iterator<Item = Node>| {
        let known = nodes.map(|node| (node, oracle.hash(node).unwrap()));
        Known(known.collect::<BTreeMap<_, _>>())
    };
    for (small, size) in [(0, 1), (0, 300), (131, 300), (255, 256), (299, 300)] {
        let inclusion = Inclusion::new(small, size).unwrap();
        let known = load(&mut inclusion.nodes());
        assert_eq!(inclusion.prove(&known), Ok(oracle.path(small, size)));
        let consistency = Consistency::new(small, size).unwrap();
        let known = load(&mut consistency.nodes());
        assert_eq!(consistency.prove(&known), Ok(oracle.proof(small, size)));
    }
}

#[test]
fn sizes_and_indexes_out_of_range_are_refused() {
    let index = |index, size| Err(MerkleError::Index { index, size });
    assert_eq!(Inclusion::new(0, 0), index(0, 0));
    assert_eq!(Inclusion::new(7, 7), index(7, 7));
    assert_eq!(Inclusion::new(u64::MAX, 7), index(u64::MAX, 7));
    assert!(Inclusion::new(MAX_SIZE - 1, MAX_SIZE).is_ok());
    let refused = Inclusion::new(0, MAX_SIZE + 1);
    assert_eq!(refused, Err(MerkleError::Size(MAX_SIZE + 1)));

    let order = |old, new| Err(MerkleError::Order { old, new });
    assert_eq!(Consistency::new(1, 0), order(1, 0));
    assert_eq!(Consistency::new(u64::MAX, 9), order(u64::MAX, 9));
    assert!(Consistency::new(MAX_SIZE, MAX_SIZE).is_ok());
    let refused = Consistency::new(0, u64::MAX);
    assert_eq!(refused, Err(MerkleError::Size(u64::MAX)));
}

#[test]
fn no_proof_in_the_largest_trees_is_longer_than_a_witness_takes() {
    let mut longest = 0;
    for size in [MAX_SIZE, MAX_SIZE - 1, MAX_SIZE - 2, MAX_SIZE / 2 + 1] {
        for small in [0, 1, 2, 3, size / 3, size / 2, size - 3, size - 2, size - 1] {
            let zero = Hash::from_bytes([0; 32]);
            let none = Inclusion::new(small, size).unwrap().root(zero, &[]);
            let Err(MerkleError::ProofLength { expected, .. }) = none else {
                panic!("{none:?}");
            };
            longest = longest.max(expected);
            let consistency = Consistency::new(small, size).unwrap();
            if let Err(MerkleError::ProofLength { expected, .. }) =
                consistency.verify(Hash::empty(), &[], zero)
            {
                longest = longest.max(expected);
            }
        }
    }
    assert_eq!(longest, MAX_PROOF_HASHES);
}

#[test]
fn the_roots_of_trees_that_need_no_proof_are_compared_all_the_same() {
    let (empty, other) = (Hash::empty(), Hash::leaf(b"other"));
    let from_nothing = Consistency::new(0, 5).unwrap();
    assert_eq!(from_nothing.verify(empty, &[], other), Ok(()));
    let refused = from_nothing.verify(other, &[], other);
    assert_eq!(refused, Err(MerkleError::OldRoot));
    let same = Consistency::new(5, 5).unwrap();
    assert_eq!(same.verify(other, &[], other), Ok(()));
    assert_eq!(same.verify(other, &[], empty), Err(MerkleError::Root));
    let nothing = Consistency::new(0, 0).unwrap();
    assert_eq!(nothing.verify(empty, &[], empty), Ok(()));
    assert_eq!(nothing.verify(empty, &[], other), Err(MerkleError::Root));
    let long = from_nothing.verify(empty, &[other], other);
    let (expected, found) = (0, 1);
    assert_eq!(long, Err(MerkleError::ProofLength { expected, found }));
}

/// One bit of one hash.
fn flipped(hash: Hash, bit: usize) -> Hash {
    let mut bytes = *hash.as_bytes();
    bytes[bit / 8 % 32] ^= 1 << (bit % 8);
    Hash::from_bytes(bytes)
}

proptest! {
    #[test]
    fn a_changed_inclusion_proof_is_refused(
        size in 1..700_u64, at: u64, bit in 0..256_usize, place: usize, change in 0..5_usize
    ) {
        let oracle = Oracle::new(size);
        let index = at % size;
        let inclusion = Inclusion::new(index, size).unwrap();
        let mut proof = oracle.path(index, size);
        let (mut leaf, mut root) = (oracle.leaf(index), oracle.root(size));
        let place = place.checked_rem(proof.len());
        let expected = match (change, place) {
            (0, _) => { leaf = flipped(leaf, bit); MerkleError::Root }
            (1, _) => { root = flipped(root, bit); MerkleError::Root }
            (2, Some(place)) => { proof[place] = flipped(proof[place], bit); MerkleError::Root }
            (3, Some(place)) => {
                let expected = proof.len();
                proof.remove(place);
                MerkleError::ProofLength { expected, found: expected - 1 }
            }
            _ => {
                let expected = proof.len();
                proof.insert(place.unwrap_or(0), leaf);
                MerkleError::ProofLength { expected, found: expected + 1 }
            }
        };
        prop_assert_eq!(inclusion.verify(leaf, &proof, root), Err(expected));
    }

    #[test]
    fn a_changed_consistency_proof_is_refused(
        new in 2..700_u64, at: u64, bit in 0..256_usize, place: usize, change in 0..5_usize
    ) {
        let oracle = Oracle::new(new);
        let old = 1 + at % (new - 1);
        let consistency = Consistency::new(old, new).unwrap();
        let mut proof = oracle.proof(old, new);
        let mut old_root = oracle.root(old);
        let mut new_root = oracle.root(new);
        let place = place % proof.len();
        match change {
            0 => old_root = flipped(old_root, bit),
            1 => new_root = flipped(new_root, bit),
            2 => proof[place] = flipped(proof[place], bit),
            3 => { proof.remove(place); }
            _ => proof.insert(place, old_root),
        }
        let refused = consistency.verify(old_root, &proof, new_root);
        match change {
            1 => prop_assert_eq!(refused, Err(MerkleError::Root)),
            0 | 2 => prop_assert!(matches!(refused, Err(MerkleError::Root | MerkleError::OldRoot))),
            _ => {
                let is_length = matches!(refused, Err(MerkleError::ProofLength { .. }));
                prop_assert!(is_length, "{:?}", refused);
            }
        }
    }

    #[test]
    fn a_proof_holds_at_no_other_place_of_its_tree(
        size in 2..300_u64, at: u64, other_at: u64
    ) {
        let oracle = Oracle::new(size);
        let (index, other) = (at % size, other_at % size);
        prop_assume!(index != other);
        let proof = oracle.path(index, size);
        let elsewhere = Inclusion::new(other, size).unwrap();
        let refused = elsewhere.verify(oracle.leaf(index), &proof, oracle.root(size));
        prop_assert!(refused.is_err());
    }
}
