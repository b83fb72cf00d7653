//! Against an oracle that recomputes everything from all leaves, and at the limits.

mod oracle;
mod proofs;

use std::collections::BTreeMap;

use self::oracle::Oracle;
use super::{Hash, HashSource, MAX_SIZE, MerkleError, Node, Peaks, Subtree};

/// Answers only for the nodes it was given.
struct Known(BTreeMap<Node, Hash>);

impl HashSource for Known {
    type Error = Node;

    fn hash(&self, node: Node) -> Result<Hash, Node> {
        self.0.get(&node).copied().ok_or(node)
    }
}

#[test]
fn hashes_are_those_of_rfc_6962() {
    let empty = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    assert_eq!(Hash::empty().to_string(), empty);
    // SHA-256 of one zero byte, and of a one byte and 64 zero bytes.
    let leaf = "bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=";
    assert_eq!(Hash::leaf(b"").to_string(), leaf);
    let zero = Hash::from_bytes([0; 32]);
    let node = "rgeY0Oyu0rd47d6/GPBxpWHFNljAXnbO3swnyvvbxXc=";
    assert_eq!(Hash::node(zero, zero).to_string(), node);
}

#[test]
fn a_hash_has_one_text_and_every_other_is_refused() {
    let text = Hash::empty().to_string();
    assert_eq!(text.parse(), Ok(Hash::empty()));
    let short = text.trim_end_matches('=');
    let unpadded_bits = text.replace("FU=", "FV=");
    let url_alphabet = text.replace('+', "-").replace('/', "_");
    let others = [
        "",
        short,
        &format!("{text}\n"),
        &format!("{short} "),
        &format!(" {short}"),
        &unpadded_bits,
        &url_alphabet,
        &"A".repeat(44),
        // 32 bytes in two texts.
        &format!("QQE={}", "A".repeat(40)),
        &format!("{}é=", "A".repeat(41)),
    ];
    for other in others {
        assert_eq!(other.parse::<Hash>(), Err(MerkleError::HashText), "{other}");
    }
}

#[test]
fn peaks_grow_to_the_root_of_every_size() {
    let oracle = Oracle::new(600);
    let mut peaks = Peaks::new();
    for size in 0..600 {
        let expected = oracle.root(size);
        assert_eq!(peaks.size(), size);
        assert_eq!(peaks.root(), expected, "{size}");
        let tree = Subtree::whole(size).unwrap();
        assert_eq!(tree.hash(&oracle), Ok(expected), "{size}");
        assert_eq!(Peaks::load(tree, &oracle), Ok(peaks.clone()), "{size}");
        let stored = Peaks::from_hashes(size, peaks.hashes().to_vec());
        assert_eq!(stored, Ok(peaks.clone()));
        peaks.append(oracle.leaf(size)).unwrap();
    }
}

#[test]
fn peaks_of_another_number_than_the_size_has_are_refused() {
    for (size, found) in [(0, 1), (1, 0), (5, 1), (5, 3), (MAX_SIZE, 62)] {
        let hashes = vec![Hash::empty(); found];
        let refused = Err(MerkleError::Peaks { size, found });
        assert_eq!(Peaks::from_hashes(size, hashes), refused);
    }
}

#[test]
fn the_largest_tree_is_full_and_a_larger_one_is_refused() {
    let zero = Hash::from_bytes([0; 32]);
    let mut almost = Peaks::from_hashes(MAX_SIZE - 1, vec![zero; 62]).unwrap();
    almost.append(zero).unwrap();
    assert_eq!((almost.size(), almost.hashes().len()), (MAX_SIZE, 1));
    let full = almost.clone();
    assert_eq!(almost.append(zero), Err(MerkleError::Size(MAX_SIZE + 1)));
    assert_eq!(almost, full);
    for size in [MAX_SIZE + 1, u64::MAX] {
        assert_eq!(Subtree::whole(size), Err(MerkleError::Size(size)));
        let peaks = Peaks::from_hashes(size, Vec::new());
        assert_eq!(peaks, Err(MerkleError::Size(size)));
    }
}

#[test]
fn nodes_exist_within_the_largest_tree_only() {
    assert!(Node::new(62, 0).is_some());
    assert!(Node::new(0, MAX_SIZE - 1).is_some());
    assert!(Node::new(61, 1).is_some());
    for (level, index) in [
        (62, 1),
        (63, 0),
        (64, 0),
        (255, 0),
        (0, MAX_SIZE),
        (0, u64::MAX),
        (8, 1 << 54),
    ] {
        assert_eq!(Node::new(level, index), None, "{level} {index}");
    }
}
