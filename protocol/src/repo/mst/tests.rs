mod shape;

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::repo::{BlockMap, NoBlocks};

fn interop(path: &str) -> String {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/interop/");
    std::fs::read_to_string(format!("{root}{path}")).unwrap()
}

fn value(number: u64) -> Link {
    Link::Known(Cid::dag_cbor(&number.to_be_bytes()))
}

fn key(number: u64) -> String {
    format!("com.example.record/{number:08}")
}

/// The root by the definition alone: the keys of the greatest depth part the rest.
fn naive_root(leaves: &[(Vec<u8>, Link)]) -> Cid {
    fn encode(leaves: &[(Vec<u8>, Link)], height: i32) -> Option<Cid> {
        if leaves.is_empty() {
            return None;
        }
        Some(naive_node(leaves, height))
    }
    fn naive_node(leaves: &[(Vec<u8>, Link)], height: i32) -> Cid {
        let mut gaps: Vec<&[(Vec<u8>, Link)]> = Vec::new();
        let mut here = Vec::new();
        let mut start = 0;
        for (i, leaf) in leaves.iter().enumerate() {
            if i32::from(key_depth(&leaf.0)) == height {
                gaps.push(&leaves[start..i]);
                here.push(leaf);
                start = i + 1;
            }
        }
        gaps.push(&leaves[start..]);
        let link = |gap: &[(Vec<u8>, Link)]| {
            encode(gap, height - 1).map_or(crate::data::Value::Null, |cid| {
                crate::data::Value::Link(cid.into())
            })
        };
        let mut entries = Vec::new();
        let mut previous: &[u8] = &[];
        for ((key, value), gap) in here.iter().map(|leaf| (&leaf.0, &leaf.1)).zip(&gaps[1..]) {
            let shared = common_prefix(previous, key);
            let entry = crate::data::Map::from_iter([
                ("p".to_owned(), crate::data::Value::Integer(shared as i64)),
                (
                    "k".to_owned(),
                    crate::data::Value::Bytes(key[shared..].to_vec()),
                ),
                ("v".to_owned(), crate::data::Value::Link(value.clone())),
                ("t".to_owned(), link(gap)),
            ]);
            entries.push(crate::data::Value::Map(entry));
            previous = key;
        }
        let node = crate::data::Map::from_iter([
            ("e".to_owned(), crate::data::Value::Array(entries)),
            ("l".to_owned(), link(gaps[0])),
        ]);
        Cid::dag_cbor(&crate::data::cbor::encode(&crate::data::Value::Map(node)))
    }
    let height = leaves
        .iter()
        .map(|leaf| i32::from(key_depth(&leaf.0)))
        .max()
        .unwrap_or(0);
    naive_node(leaves, height)
}

fn sorted(map: &BTreeMap<Vec<u8>, Link>) -> Vec<(Vec<u8>, Link)> {
    map.iter()
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

#[test]
fn key_depths_match_the_fixtures() {
    let cases: Vec<serde_json::Value> =
        serde_json::from_str(&interop("mst/key_heights.json")).unwrap();
    assert_eq!(cases.len(), 9);
    for case in cases {
        let key = case["key"].as_str().unwrap();
        assert_eq!(
            u64::from(key_depth(key.as_bytes())),
            case["height"].as_u64().unwrap(),
            "{key}"
        );
    }
}

#[test]
fn common_prefixes_match_the_fixtures() {
    let cases: Vec<serde_json::Value> =
        serde_json::from_str(&interop("mst/common_prefix.json")).unwrap();
    assert_eq!(cases.len(), 13);
    for case in cases {
        let (left, right) = (
            case["left"].as_str().unwrap(),
            case["right"].as_str().unwrap(),
        );
        let shared = common_prefix(left.as_bytes(), right.as_bytes());
        assert_eq!(
            shared as u64,
            case["len"].as_u64().unwrap(),
            "{left} {right}"
        );
    }
}

#[test]
fn example_keys_have_the_depth_they_are_named_for() {
    let text = interop("mst/example_keys.txt");
    let keys: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(keys.len(), 156);
    for key in keys {
        let named = key.as_bytes()[1] - b'0';
        assert_eq!(key_depth(key.as_bytes()), named, "{key}");
    }
}

#[test]
fn the_empty_tree_has_the_known_root() {
    let mut tree = Tree::empty();
    assert_eq!(tree.root(), empty_root());
    assert_eq!(
        empty_root().to_string(),
        "bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm"
    );
    let delta = tree.commit_nodes();
    assert_eq!(&*delta.added[0].1, b"\xa2\x61e\x80\x61l\xf6");
    assert!(tree.commit_nodes().added.is_empty());
}

#[test]
fn any_order_of_edits_gives_the_root_of_the_definition() {
    let mut rng = StdRng::seed_from_u64(1);
    for round in 0..60 {
        let mut oracle = BTreeMap::new();
        let mut tree = Tree::empty();
        for step in 0..200 {
            let key = key(rng.random_range(0..80)).into_bytes();
            let new = value(rng.random_range(0..1000));
            let before = oracle.get(&key).cloned();
            match rng.random_range(0..3) {
                0 => {
                    assert_eq!(tree.insert(&NoBlocks, &key, new.clone()).unwrap(), before);
                    oracle.entry(key).or_insert(new);
                }
                1 => {
                    assert_eq!(tree.update(&NoBlocks, &key, new.clone()).unwrap(), before);
                    oracle.entry(key).and_modify(|value| *value = new);
                }
                _ => {
                    assert_eq!(tree.remove(&NoBlocks, &key).unwrap(), before);
                    oracle.remove(&key);
                }
            }
            if step % 10 == 0 {
                assert_eq!(
                    tree.root(),
                    naive_root(&sorted(&oracle)),
                    "round {round} step {step}"
                );
            }
        }
        let mut built = Tree::from_sorted(sorted(&oracle)).unwrap();
        assert_eq!(built.root(), naive_root(&sorted(&oracle)));
        let walked: Vec<_> = tree.walk(&NoBlocks, b"").map(Result::unwrap).collect();
        let leaves: Vec<_> = sorted(&oracle)
            .into_iter()
            .map(|(k, v)| (k.into(), v))
            .collect();
        assert_eq!(walked, leaves);
    }
}

#[test]
fn a_lazily_loaded_tree_with_its_deltas_equals_the_tree_in_memory() {
    let mut rng = StdRng::seed_from_u64(2);
    for _ in 0..20 {
        let mut store = BlockMap::new();
        let mut memory = Tree::empty();
        let delta = memory.commit_nodes();
        store.extend(delta.added);
        let mut root = delta.root;
        for _ in 0..60 {
            let mut lazy = Tree::load(root);
            for _ in 0..rng.random_range(1..8) {
                let key = key(rng.random_range(0..120)).into_bytes();
                if rng.random_range(0..5) < 3 {
                    let new = value(rng.random_range(0..1000));
                    let inserted = lazy.insert(&store, &key, new.clone()).unwrap();
                    assert_eq!(inserted, memory.insert(&NoBlocks, &key, new).unwrap());
                } else {
                    let removed = lazy.remove(&store, &key).unwrap();
                    assert_eq!(removed, memory.remove(&NoBlocks, &key).unwrap());
                }
            }
            let delta = lazy.commit_nodes();
            for cid in &delta.removed {
                assert!(
                    store.remove(cid).is_some(),
                    "removed a node that was not stored"
                );
            }
            for (cid, block) in delta.added {
                assert!(cid.matches(&block));
                assert!(
                    store.insert(cid, block).is_none(),
                    "added a node that was stored"
                );
            }
            root = delta.root;
            assert_eq!(root, memory.root());
            // The store holds the tree and nothing else.
            let mut whole = Tree::load(root);
            let reached: usize = count_nodes(&mut whole, &store);
            assert_eq!(reached, store.len());
            assert!(lazy.loaded_bytes() > 0);
            lazy.unload_clean();
            assert_eq!(lazy.loaded_bytes(), 0);
        }
    }
}

fn count_nodes(tree: &mut Tree, store: &BlockMap) -> usize {
    let keys: Vec<_> = tree.walk(store, b"").map(|leaf| leaf.unwrap().0).collect();
    let keys: Vec<&[u8]> = keys.iter().map(|key| &**key).collect();
    let blocks = tree.proof(store, &keys).unwrap();
    for (cid, block) in &blocks {
        assert!(cid.matches(block));
        assert_eq!(store.get(cid), Some(block));
    }
    blocks.len()
}

#[test]
fn a_diff_is_the_difference_of_the_leaves() {
    let mut rng = StdRng::seed_from_u64(3);
    for size in [0, 1, 5, 60, 400] {
        let mut before = BTreeMap::new();
        for _ in 0..size {
            before.insert(
                key(rng.random_range(0..600)).into_bytes(),
                value(rng.random_range(0..9)),
            );
        }
        let mut after = before.clone();
        for _ in 0..rng.random_range(0..20) {
            let key = key(rng.random_range(0..600)).into_bytes();
            if rng.random() {
                after.insert(key, value(rng.random_range(0..9)));
            } else {
                after.remove(&key);
            }
        }
        let mut blocks = BlockMap::new();
        let mut store = |map: &BTreeMap<Vec<u8>, Link>| {
            let mut builder = Builder::streaming();
            for (key, value) in map {
                builder.push(key, value.clone()).unwrap();
            }
            let (root, closed) = builder.finish();
            blocks.extend(closed);
            Tree::load(root)
        };
        let (old, new) = (store(&before), store(&after));
        let changes: Vec<Change> = old.diff(&blocks, &new).map(Result::unwrap).collect();
        let mut keys: Vec<_> = before.keys().chain(after.keys()).cloned().collect();
        keys.sort();
        keys.dedup();
        let expected: Vec<Change> = keys
            .into_iter()
            .map(|key| Change {
                before: before.get(&key).cloned(),
                after: after.get(&key).cloned(),
                key: key.into(),
            })
            .filter(|change| change.before != change.after)
            .collect();
        assert_eq!(changes, expected);
        assert_eq!(
            old.diff(&NoBlocks, &old).count(),
            0,
            "equal trees are not even read"
        );
    }
}

#[test]
fn a_walk_starts_at_the_first_key_not_less() {
    let leaves: Vec<_> = (0..300).map(|i| (key(i * 2), value(i))).collect();
    let tree = Tree::from_sorted(leaves.clone()).unwrap();
    for from in 0..602 {
        let from = key(from);
        let walked = tree
            .walk(&NoBlocks, from.as_bytes())
            .map(|leaf| leaf.unwrap().0);
        let expected = leaves.iter().filter(|leaf| leaf.0 >= from);
        assert!(
            walked.eq(expected.map(|leaf| leaf.0.as_bytes().into())),
            "{from}"
        );
    }
}

#[test]
fn a_clone_is_edited_without_touching_the_original() {
    let mut tree = Tree::from_sorted((0..300).map(|i| (key(i), value(i)))).unwrap();
    tree.commit_nodes();
    let before = tree.root();
    let mut attempt = tree.clone();
    attempt.remove(&NoBlocks, key(7).as_bytes()).unwrap();
    attempt
        .insert(&NoBlocks, b"com.example.record/new", value(1))
        .unwrap();
    assert_ne!(attempt.root(), before);
    assert_eq!(tree.root(), before);
    assert_eq!(
        tree.get(&NoBlocks, key(7).as_bytes()).unwrap(),
        Some(value(7))
    );
    assert!(tree.commit_nodes().added.is_empty());
}

#[test]
fn a_failed_edit_falls_back_to_the_last_committed_root() {
    let mut tree = Tree::from_sorted((0..300).map(|i| (key(i), value(i)))).unwrap();
    let mut store: BlockMap = tree.commit_nodes().added.into_iter().collect();
    let root = tree.root();
    let nodes: Vec<Cid> = store.keys().copied().filter(|cid| *cid != root).collect();
    let mut failures = 0;
    for hole in &nodes {
        let mut lazy = Tree::load(root);
        assert!(lazy.remove(&store, key(3).as_bytes()).unwrap().is_some());
        let block = store.remove(hole).unwrap();
        let failed = (0..300).any(|i| lazy.remove(&store, key(i).as_bytes()).is_err());
        store.insert(*hole, block);
        // What the first removal has loaded is not asked for again.
        if !failed {
            continue;
        }
        failures += 1;
        assert_eq!(lazy.root(), root);
        assert_eq!(lazy.walk(&store, b"").count(), 300);
        let delta = lazy.commit_nodes();
        assert!(delta.added.is_empty() && delta.removed.is_empty());
    }
    assert!(failures > nodes.len() / 2, "{failures}");
}

#[test]
fn keys_that_are_no_paths_are_refused() {
    let mut tree = Tree::empty();
    let long = format!("a/{}", "b".repeat(1023));
    for bad in ["", "a", "/a", "a/", "a/b/c", "a/b c", "a/é", "a\0/b", &long] {
        let error = tree
            .insert(&NoBlocks, bad.as_bytes(), value(1))
            .unwrap_err();
        assert!(matches!(error, MstError::InvalidKey(_)), "{bad}");
        assert_eq!(tree.remove(&NoBlocks, bad.as_bytes()).unwrap(), None);
    }
    let longest = format!("a/{}", "b".repeat(1022));
    assert_eq!(
        tree.insert(&NoBlocks, longest.as_bytes(), value(1))
            .unwrap(),
        None
    );
    let unsorted = [("a/b", value(1)), ("a/a", value(1))];
    assert!(matches!(
        Tree::from_sorted(unsorted),
        Err(MstError::KeyOrder(_))
    ));
    let twice = [("a/b", value(1)), ("a/b", value(1))];
    assert!(matches!(
        Tree::from_sorted(twice),
        Err(MstError::KeyOrder(_))
    ));
}

#[test]
fn a_node_takes_no_more_entries_than_its_limit() {
    let flat = (0..).map(key).filter(|key| key_depth(key.as_bytes()) == 0);
    let keys: Vec<String> = flat.take(MAX_ENTRIES + 1).collect();
    let mut tree =
        Tree::from_sorted(keys[..MAX_ENTRIES].iter().map(|key| (key, value(1)))).unwrap();
    let error = tree
        .insert(&NoBlocks, keys[MAX_ENTRIES].as_bytes(), value(1))
        .unwrap_err();
    assert!(matches!(error, MstError::NodeFull(_)));
    let all = keys.iter().map(|key| (key, value(1)));
    assert!(matches!(Tree::from_sorted(all), Err(MstError::NodeFull(_))));
}

#[test]
fn a_node_takes_no_more_bytes_than_can_be_read_back() {
    let long = "x".repeat(900);
    let flat = (0..).map(|i| format!("com.example.record/{i:06}{long}"));
    let flat = flat.filter(|key| key_depth(key.as_bytes()) == 0);
    let keys: Vec<String> = flat.take(1500).collect();
    let (mut tree, mut builder) = (Tree::empty(), Builder::streaming());
    let mut full = None;
    for (i, key) in keys.iter().enumerate() {
        let inserted = tree.insert(&NoBlocks, key.as_bytes(), value(1));
        let built = builder.push(key.as_bytes(), value(1));
        assert_eq!(inserted.is_ok(), built.is_ok(), "both ways have one limit");
        if inserted.is_err() {
            assert!(matches!(inserted, Err(MstError::NodeFull(_))));
            full = Some(i);
            break;
        }
    }
    let full = full.unwrap();
    assert!(full > 900);
    let (root, closed) = builder.finish();
    let store: BlockMap = closed.into_iter().collect();
    let mut fitting = Tree::load(root);
    assert!(store[&root].len() <= MAX_NODE_BYTES);
    assert!(fitting.get(&store, keys[0].as_bytes()).unwrap().is_some());
    assert!(
        fitting
            .remove(&store, keys[7].as_bytes())
            .unwrap()
            .is_some()
    );
    assert!(
        fitting
            .insert(&store, keys[full].as_bytes(), value(1))
            .unwrap()
            .is_none()
    );
}

/// The memory of all loaded nodes, counted anew.
fn counted_bytes(tree: &Subtree) -> usize {
    let Subtree::Loaded(node) = tree else {
        return 0;
    };
    let slots = (0..=node.entries.len()).filter_map(|slot| node.slot(slot));
    node.bytes() + slots.map(counted_bytes).sum::<usize>()
}

#[test]
fn the_memory_estimate_follows_every_edit() {
    let mut rng = StdRng::seed_from_u64(4);
    let mut tree = Tree::from_sorted((0..500).map(|i| (key(i * 2), value(i)))).unwrap();
    assert_eq!(tree.loaded_bytes(), counted_bytes(&tree.root));
    let mut store: BlockMap = tree.commit_nodes().added.into_iter().collect();
    tree.unload_clean();
    for _ in 0..2000 {
        let key = key(rng.random_range(0..1000));
        if rng.random() {
            tree.insert(&store, key.as_bytes(), value(1)).unwrap();
        } else {
            tree.remove(&store, key.as_bytes()).unwrap();
        }
        tree.proof(&store, &[key.as_bytes()]).unwrap();
        assert_eq!(tree.loaded_bytes(), counted_bytes(&tree.root));
        store.extend(tree.commit_nodes().added);
    }
}
