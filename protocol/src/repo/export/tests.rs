use std::collections::HashMap;

use super::*;
use crate::repo::mst::Builder;
use crate::repo::{BlockMap, NoBlocks};

fn leaves(count: usize) -> Vec<(String, Link)> {
    (0..count)
        .map(|i| {
            (
                format!("com.example.record/{i:06}"),
                Cid::dag_cbor(&[i as u8]).into(),
            )
        })
        .collect()
}

fn stored(count: usize) -> (Cid, BlockMap) {
    let mut builder = Builder::streaming();
    let mut blocks = BlockMap::new();
    for (key, value) in leaves(count) {
        builder.push(key.as_bytes(), value).unwrap();
        blocks.extend(builder.take_closed());
    }
    let (root, rest) = builder.finish();
    blocks.extend(rest);
    (root, blocks)
}

/// The order by the definition: a node, then its slots and records in turn.
fn expected(cid: Cid, blocks: &BlockMap, out: &mut Vec<Step>) {
    use crate::data::cbor;
    let node = cbor::decode(&blocks[&cid]).unwrap();
    out.push(Step::Node(cid));
    if let Some(left) = node.get("l").and_then(|left| left.as_link()) {
        expected(left.as_cid().unwrap(), blocks, out);
    }
    let mut key = Vec::new();
    for entry in node.get("e").unwrap().as_array().unwrap() {
        key.truncate(entry.get("p").unwrap().as_integer().unwrap() as usize);
        key.extend_from_slice(entry.get("k").unwrap().as_bytes().unwrap());
        let cid = entry.get("v").unwrap().as_link().unwrap().clone();
        out.push(Step::Record {
            key: key.clone().into(),
            cid,
        });
        if let Some(right) = entry.get("t").and_then(|right| right.as_link()) {
            expected(right.as_cid().unwrap(), blocks, out);
        }
    }
}

#[test]
fn an_export_is_depth_first_with_records_between_subtrees() {
    for count in [0, 1, 2, 50, 700] {
        let (root, blocks) = stored(count);
        let mut order = Vec::new();
        expected(root, &blocks, &mut order);
        let mut exporter = Exporter::new(root);
        let mut steps = Vec::new();
        while let Some(step) = exporter.next_step() {
            if let Step::Node(cid) = &step {
                assert_eq!(exporter.nodes_ahead(1), [*cid]);
                assert_eq!(exporter.next_step(), Some(step.clone()));
                exporter.provide(*cid, &blocks[cid]).unwrap();
            }
            steps.push(step);
        }
        assert_eq!(steps, order, "{count} records");
        assert_eq!(exporter.next_step(), None);
    }
}

#[test]
fn a_tree_in_memory_is_exported_without_asking() {
    let (root, blocks) = stored(200);
    let mut order = Vec::new();
    expected(root, &blocks, &mut order);
    let mut tree = Tree::from_sorted(leaves(200)).unwrap();
    assert_eq!(tree.root(), root);
    let mut exporter = Exporter::of_tree(&tree);
    let mut written = HashMap::new();
    let mut steps = Vec::new();
    while let Some(step) = exporter.next_step() {
        steps.push(match step {
            Step::LoadedNode(cid, block) => {
                written.insert(cid, block);
                Step::Node(cid)
            }
            step => step,
        });
    }
    assert_eq!(steps, order);
    assert_eq!(written, blocks);
    assert!(
        tree.get(&NoBlocks, b"com.example.record/000007")
            .unwrap()
            .is_some()
    );
}

#[test]
fn a_node_that_does_not_belong_is_refused() {
    let (root, blocks) = stored(200);
    let mut exporter = Exporter::new(root);
    exporter.provide(root, &blocks[&root]).unwrap();
    let wanted = exporter.nodes_ahead(9);
    // The block of another child lies outside of the bounds.
    assert!(exporter.provide(wanted[0], &blocks[&wanted[1]]).is_err());
}

#[test]
fn a_skipped_node_takes_everything_below_it_along() {
    let (root, blocks) = stored(300);
    let mut exporter = Exporter::new(root);
    exporter.provide(root, &blocks[&root]).unwrap();
    let children = exporter.nodes_ahead(usize::MAX);
    let mut asked = Vec::new();
    let mut records = 0;
    while let Some(step) = exporter.next_step() {
        match step {
            Step::Node(cid) => {
                asked.push(cid);
                exporter.skip();
            }
            Step::Record { .. } => records += 1,
            Step::LoadedNode(..) => panic!("nothing is in memory"),
        }
    }
    assert_eq!(asked, children);
    assert!(asked.len() - 1 <= records && records < 10);
    exporter.skip();
    assert_eq!(exporter.next_step(), None);
}
