use super::*;

fn block(n: u8) -> (Cid, Bytes) {
    let bytes = Bytes::from(vec![n; 40]);
    (Cid::dag_cbor(&bytes), bytes)
}

fn delta(added: &[u8], removed: &[u8]) -> NodeDelta {
    NodeDelta {
        root: block(added.first().copied().unwrap_or(0)).0,
        added: added.iter().map(|n| block(*n)).collect(),
        removed: removed.iter().map(|n| block(*n).0).collect(),
    }
}

fn rev(n: u64) -> Tid {
    Tid::from_u64(n)
}

/// The `node` table in miniature.
#[derive(Default)]
struct Table(HashMap<Cid, Tid>);

impl Table {
    fn store(&mut self, flush: &Flush) {
        for (cid, node) in &flush.added {
            self.0.insert(*cid, node.rev);
        }
        for cid in &flush.deleted {
            self.0.remove(cid);
        }
    }
}

const ACCOUNT: AccountId = AccountId(7);

#[test]
fn a_node_that_came_and_went_between_two_flushes_is_never_written() {
    let mut nodes = Nodes::default();
    nodes.absorb(delta(&[1], &[]), rev(1));
    nodes.absorb(delta(&[2], &[1]), rev(2));
    let flush = nodes.take_flush(ACCOUNT).unwrap();
    assert_eq!(flush.added.len(), 1);
    assert!(flush.deleted.is_empty());
    assert_eq!(flush.mark, Some((rev(2), block(2).0)));
    assert!(nodes.take_flush(ACCOUNT).is_none());
}

#[test]
fn a_stored_node_that_goes_comes_back_and_goes_again_leaves_the_table() {
    let (mut nodes, mut table) = (Nodes::default(), Table::default());
    nodes.absorb(delta(&[1], &[]), rev(1));
    table.store(&nodes.take_flush(ACCOUNT).unwrap());
    nodes.flushed();
    nodes.absorb(delta(&[2], &[1]), rev(2));
    nodes.absorb(delta(&[1], &[2]), rev(3));
    nodes.absorb(delta(&[3], &[1]), rev(4));
    table.store(&nodes.take_flush(ACCOUNT).unwrap());
    nodes.flushed();
    assert_eq!(table.0.keys().copied().collect::<Vec<_>>(), [block(3).0]);
    assert!(nodes.is_idle());
}

#[test]
fn a_node_that_comes_back_is_born_again_at_the_new_revision() {
    let (mut nodes, mut table) = (Nodes::default(), Table::default());
    nodes.absorb(delta(&[1], &[]), rev(1));
    table.store(&nodes.take_flush(ACCOUNT).unwrap());
    nodes.flushed();
    nodes.absorb(delta(&[2], &[1]), rev(2));
    nodes.absorb(delta(&[1], &[2]), rev(3));
    table.store(&nodes.take_flush(ACCOUNT).unwrap());
    assert_eq!(table.0.get(&block(1).0), Some(&rev(3)));
}

#[test]
fn edits_during_a_flush_are_not_lost_whether_it_succeeds_or_fails() {
    for fails in [false, true] {
        let (mut nodes, mut table) = (Nodes::default(), Table::default());
        nodes.absorb(delta(&[1], &[]), rev(1));
        table.store(&nodes.take_flush(ACCOUNT).unwrap());
        nodes.flushed();

        nodes.absorb(delta(&[2, 5], &[1]), rev(2));
        let flush = nodes.take_flush(ACCOUNT).unwrap();
        nodes.absorb(delta(&[3], &[2]), rev(3));
        assert!(
            nodes.get(&block(5).0).is_some(),
            "on its way, still readable"
        );
        if fails {
            nodes.flush_failed();
        } else {
            table.store(&flush);
            nodes.flushed();
        }
        table.store(&nodes.take_flush(ACCOUNT).unwrap());
        nodes.flushed();
        let mut left: Vec<Cid> = table.0.keys().copied().collect();
        left.sort();
        let mut wanted = vec![block(3).0, block(5).0];
        wanted.sort();
        assert_eq!(left, wanted, "fails = {fails}");
    }
}

#[test]
fn nothing_a_pinned_export_may_ask_for_is_lost_until_it_ends() {
    let (mut nodes, mut table) = (Nodes::default(), Table::default());
    nodes.absorb(delta(&[1], &[]), rev(1));
    table.store(&nodes.take_flush(ACCOUNT).unwrap());
    nodes.flushed();
    nodes.absorb(delta(&[2], &[]), rev(2));
    nodes.pin();
    nodes.keep_record(block(9).0, block(9).1);
    nodes.absorb(delta(&[3], &[1, 2]), rev(3));
    table.store(&nodes.take_flush(ACCOUNT).unwrap());
    nodes.flushed();
    assert!(table.0.contains_key(&block(1).0), "deletion waits");
    assert!(nodes.get(&block(2).0).is_some(), "never stored, so kept");
    assert!(nodes.kept_record(&block(9).0).is_some());

    nodes.unpin();
    assert!(nodes.kept_record(&block(9).0).is_none());
    table.store(&nodes.take_flush(ACCOUNT).expect("the deletion is due now"));
    nodes.flushed();
    assert_eq!(table.0.keys().copied().collect::<Vec<_>>(), [block(3).0]);
    assert!(nodes.is_idle());
}

#[test]
fn an_export_under_which_too_much_changes_is_marked_broken_and_memory_stays_bounded() {
    let mut nodes = Nodes::default();
    nodes.pin();
    let big = Bytes::from(vec![0; KEPT_BYTES / 2]);
    for n in 0..4_u8 {
        nodes.keep_record(block(n).0, big.clone());
    }
    assert!(nodes.is_broken());
    assert!(nodes.kept_records.len() <= 2);
    nodes.unpin();
    assert!(!nodes.is_broken());
}
