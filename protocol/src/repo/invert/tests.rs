mod oracle;

use proptest::prelude::*;

use super::*;
use crate::repo::mst::{self, empty_root};
use crate::repo::{BlockSource, NoBlocks, SourceError};

fn value(number: u64) -> Cid {
    Cid::dag_cbor(&number.to_be_bytes())
}

fn path(number: u32) -> String {
    format!("com.example.record/{number:05}")
}

/// Applies writes (`None` deletes) to a tree and answers the operations they come to.
fn apply(tree: &mut Tree, writes: &[(u32, Option<u64>)]) -> Vec<RepoOp> {
    let mut ops: Vec<RepoOp> = Vec::new();
    for (number, new) in writes {
        let key = path(*number);
        if ops.iter().any(|op| op.path.to_string() == key) {
            continue;
        }
        let cid = new.map(value);
        let prev = tree
            .get(&NoBlocks, key.as_bytes())
            .unwrap()
            .and_then(|link| link.as_cid());
        let action = match (prev, cid) {
            (None, None) => continue,
            (None, Some(cid)) => {
                tree.insert(&NoBlocks, key.as_bytes(), cid.into()).unwrap();
                Action::Create
            }
            (Some(_), Some(cid)) => {
                tree.update(&NoBlocks, key.as_bytes(), cid.into()).unwrap();
                Action::Update
            }
            (Some(_), None) => {
                tree.remove(&NoBlocks, key.as_bytes()).unwrap();
                Action::Delete
            }
        };
        ops.push(RepoOp {
            action,
            path: key.parse().unwrap(),
            cid,
            prev,
        });
    }
    ops
}

fn proof(tree: &mut Tree, ops: &[RepoOp]) -> BlockMap {
    let keys: Vec<String> = ops.iter().map(|op| op.path.to_string()).collect();
    let keys: Vec<&[u8]> = keys.iter().map(|key| key.as_bytes()).collect();
    tree.proof(&NoBlocks, &keys).unwrap().into_iter().collect()
}

fn tree_of(numbers: impl IntoIterator<Item = u32>) -> Tree {
    let leaves = numbers
        .into_iter()
        .map(|number| (path(number), value(number.into()).into()));
    Tree::from_sorted(leaves).unwrap()
}

/// Both ways of undoing agree.
fn undo_both(blocks: &BlockMap, data: Cid, ops: &[RepoOp]) -> Result<Cid, InvertError> {
    let found = invert(blocks, data, ops);
    let second = oracle::invert(blocks, data, ops);
    assert_eq!(
        found.as_ref().ok(),
        second.as_ref().ok(),
        "{found:?} {second:?}"
    );
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_batch_can_be_undone_from_its_covering_proof(
        present in prop::collection::btree_set(0..300_u32, 0..200),
        writes in prop::collection::vec((0..300_u32, prop::option::of(1000..2000_u64)), 1..12),
    ) {
        let mut tree = tree_of(present);
        let before = tree.root();
        let ops = apply(&mut tree, &writes);
        let after = tree.root();
        let blocks = proof(&mut tree, &ops);
        prop_assert_eq!(undo_both(&blocks, after, &ops).unwrap(), before);
        // Every node of the proof that changed is needed; leaving an operation out never passes.
        for left_out in 0..ops.len() {
            let mut fewer = ops.clone();
            fewer.remove(left_out);
            prop_assert_ne!(undo_both(&blocks, after, &fewer).ok(), Some(before));
        }
    }

    #[test]
    fn a_proof_with_a_hole_never_leads_to_a_wrong_root(
        present in prop::collection::btree_set(0..300_u32, 100..200),
        writes in prop::collection::vec((0..300_u32, prop::option::of(1000..2000_u64)), 1..4),
        hole in any::<prop::sample::Index>(),
    ) {
        let mut tree = tree_of(present);
        let before = tree.root();
        let ops = apply(&mut tree, &writes);
        prop_assume!(!ops.is_empty());
        let after = tree.root();
        let mut blocks = proof(&mut tree, &ops);
        let mut cids: Vec<Cid> = blocks.keys().copied().collect();
        cids.sort();
        blocks.remove(hole.get(&cids));
        if let Ok(found) = undo_both(&blocks, after, &ops) {
            prop_assert_eq!(found, before);
        }
    }

    #[test]
    fn corrupt_nodes_are_refused_without_a_panic(
        present in prop::collection::btree_set(0..300_u32, 20..60),
        writes in prop::collection::vec((0..300_u32, prop::option::of(1000..2000_u64)), 1..4),
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut tree = tree_of(present);
        let ops = apply(&mut tree, &writes);
        prop_assume!(!ops.is_empty());
        let after = tree.root();
        let mut blocks = proof(&mut tree, &ops);
        let mut cids: Vec<Cid> = blocks.keys().copied().collect();
        cids.sort();
        let cid = *which.get(&cids);
        let mut block = blocks[&cid].to_vec();
        for (place, byte) in changes {
            let place = place.index(block.len());
            block[place] = byte;
        }
        blocks.insert(cid, block.into());
        let _ = invert(&blocks, after, &ops);
    }
}

#[test]
fn the_commit_proof_fixtures_hold() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/fixtures/interop/firehose/commit-proof-fixtures.json"
    );
    let cases: Vec<serde_json::Value> =
        serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!(cases.len(), 6);
    for case in cases {
        let name = case["comment"].as_str().unwrap();
        let strings = |field: &str| -> Vec<String> {
            let list = case[field].as_array().unwrap();
            list.iter()
                .map(|item| item.as_str().unwrap().to_owned())
                .collect()
        };
        let cid = |field: &str| -> Cid { case[field].as_str().unwrap().parse().unwrap() };
        let leaf = Link::Known(cid("leafValue"));
        let mut tree = Tree::empty();
        for key in strings("keys") {
            assert_eq!(
                tree.insert(&NoBlocks, key.as_bytes(), leaf.clone())
                    .unwrap(),
                None
            );
        }
        assert_eq!(tree.root(), cid("rootBeforeCommit"), "{name}");
        let (adds, dels) = (strings("adds"), strings("dels"));
        for key in &adds {
            assert_eq!(
                tree.insert(&NoBlocks, key.as_bytes(), leaf.clone())
                    .unwrap(),
                None
            );
        }
        for key in &dels {
            assert_eq!(
                tree.remove(&NoBlocks, key.as_bytes()).unwrap().as_ref(),
                Some(&leaf)
            );
        }
        assert_eq!(tree.root(), cid("rootAfterCommit"), "{name}");
        let keys: Vec<&[u8]> = adds.iter().chain(&dels).map(|key| key.as_bytes()).collect();
        let blocks: BlockMap = tree.proof(&NoBlocks, &keys).unwrap().into_iter().collect();
        let mut listed: Vec<Cid> = strings("blocksInProof")
            .iter()
            .map(|cid| cid.parse().unwrap())
            .collect();
        let mut given: Vec<Cid> = blocks.keys().copied().collect();
        listed.sort();
        given.sort();
        assert_eq!(given, listed, "{name}");

        // The fixtures' keys are not record paths, so the undoing is done by hand, in its order.
        let mut partial = load_partial(&blocks, tree.root()).unwrap();
        let (mut adds, mut dels) = (adds, dels);
        adds.sort();
        dels.sort();
        for key in &dels {
            let put =
                partial.edit_partial(|edit, root| edit.insert(root, key.as_bytes(), leaf.clone()));
            assert_eq!(put.unwrap(), None, "{name}");
        }
        for key in &adds {
            let taken = partial.edit_partial(|edit, root| edit.remove(root, key.as_bytes()));
            assert_eq!(taken.unwrap().as_ref(), Some(&leaf), "{name}");
        }
        assert_eq!(partial.root(), cid("rootBeforeCommit"), "{name}");
    }
}

#[test]
fn an_operation_that_does_not_fit_is_refused() {
    let mut tree = tree_of(0..50);
    let ops = apply(&mut tree, &[(7, Some(1)), (8, None), (99, Some(2))]);
    let (after, blocks) = (tree.root(), proof(&mut tree, &ops));
    let change = |change: &dyn Fn(&mut Vec<RepoOp>)| {
        let mut ops = ops.clone();
        change(&mut ops);
        invert(&blocks, after, &ops).unwrap_err()
    };
    let mismatch = |error| matches!(error, InvertError::Mismatch { .. });
    assert!(mismatch(change(&|ops| ops[0].cid = Some(value(5)))));
    assert!(mismatch(change(&|ops| ops[2].cid = Some(value(5)))));
    assert!(matches!(
        change(&|ops| ops[1].path = ops[0].path.clone()),
        InvertError::DuplicatePath(_)
    ));
    assert!(matches!(
        change(&|ops| ops[1].prev = None),
        InvertError::MissingField { .. }
    ));
    assert!(matches!(
        change(&|ops| ops[0].cid = None),
        InvertError::MissingField { .. }
    ));
    // A delete of a key that is still there.
    let still = |ops: &mut Vec<RepoOp>| {
        ops[1].path = path(9).parse().unwrap();
    };
    assert!(mismatch(change(&still)));
}

#[test]
fn an_empty_commit_needs_no_blocks() {
    let root = tree_of(0..50).root();
    assert_eq!(invert(&BlockMap::new(), root, &[]).unwrap(), root);
    let error = invert(
        &BlockMap::new(),
        empty_root(),
        &apply(&mut tree_of(0..1), &[(0, None)]),
    );
    assert!(error.is_ok(), "the empty tree is known without its block");
}

/// A source that counts how often it is asked.
struct Counting(BlockMap, std::cell::Cell<usize>);

impl BlockSource for Counting {
    fn block(&self, cid: &Cid) -> Result<Option<bytes::Bytes>, SourceError> {
        self.1.set(self.1.get() + 1);
        self.0.block(cid)
    }
}

/// A key of exactly this depth, later in order for a later `turn`.
fn mined(depth: u8, turn: u32) -> Vec<u8> {
    (0..u32::MAX)
        .map(|number| format!("com.example.record/{turn:03}{number}").into_bytes())
        .find(|key| mst::key_depth(key) == depth)
        .unwrap()
}

fn node(key: &[u8], child: Option<Cid>) -> Vec<u8> {
    let mut out = crate::data::cbor::Encoder::new();
    out.map(2)
        .text("e")
        .array(1)
        .map(4)
        .text("k")
        .bytes(key)
        .text("p")
        .int(0);
    out.text("t")
        .cid_or_null(child.as_ref())
        .text("v")
        .cid(&value(0));
    out.text("l").cid_or_null(child.as_ref());
    out.into_bytes()
}

#[test]
fn a_tree_that_shares_subtrees_is_refused_at_once() {
    let mut blocks = BlockMap::new();
    let mut child = None;
    for depth in 0..8 {
        let block = node(&mined(depth, u32::from(depth)), child);
        let cid = Cid::dag_cbor(&block);
        blocks.insert(cid, block.into());
        child = Some(cid);
    }
    let root = child.unwrap();
    let ops = apply(&mut tree_of(0..1), &[(5, Some(1))]);
    assert!(matches!(
        invert(&blocks, root, &ops),
        Err(InvertError::Tree(MstError::Misplaced { .. }))
    ));
    let source = Counting(blocks, 0.into());
    let tree = Tree::load(root);
    assert!(tree.walk(&source, b"").any(|leaf| leaf.is_err()));
    assert!(source.1.get() <= 2 * source.0.len());
}
