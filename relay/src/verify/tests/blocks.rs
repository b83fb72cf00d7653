//! What hosts put into the blocks of a commit, honestly and otherwise.

use std::time::{Duration, Instant};

use rochdale_protocol::data::Cid;
use rochdale_protocol::data::cbor::Encoder;
use rochdale_protocol::repo::car::{self, Writer};
use rochdale_protocol::repo::mst::key_depth;
use rochdale_protocol::repo::{Action, BlockMap, NoBlocks, RepoOp, Tree, UnsignedCommit};
use rochdale_protocol::sync::{CommitEvent, check_commit};
use rochdale_protocol::syntax::{Datetime, Tid};

use super::*;
use crate::repo::Write;

const PATH: &str = "app.bsky.feed.post/a";

fn blocks_of(event: &CommitEvent) -> BlockMap {
    car::read(&event.blocks, 1 << 21)
        .expect("a CAR file")
        .blocks
}

/// `event` with these blocks after its commit.
fn with_blocks<'a>(
    event: &CommitEvent,
    blocks: impl IntoIterator<Item = (&'a Cid, &'a [u8])>,
) -> CommitEvent {
    let own = blocks_of(event);
    let mut out = Writer::new(&[event.commit]);
    out.block(&event.commit, &own[&event.commit]);
    for (cid, block) in blocks {
        out.block(cid, block);
    }
    CommitEvent {
        blocks: out.into_bytes().into(),
        ..event.clone()
    }
}

/// The first commit of `ada` on any tree: signed well, whatever it points at.
fn commit_on(ada: &Repo, data: Cid, blocks: &[(Cid, Vec<u8>)], ops: Vec<RepoOp>) -> CommitEvent {
    let rev = Tid::next(None, ada.now_us, 1);
    let commit = UnsignedCommit {
        did: ada.did.clone(),
        rev,
        data,
    }
    .sign(&ada.key);
    let mut out = Writer::new(&[commit.cid()]);
    out.block(&commit.cid(), &commit.encode());
    for (cid, block) in blocks {
        out.block(cid, block);
    }
    CommitEvent {
        repo: ada.did.clone(),
        rev,
        since: None,
        commit: commit.cid(),
        prev_data: None,
        blocks: out.into_bytes().into(),
        ops,
        time: Datetime::from_unix_ms(0),
        too_big: false,
        rebase: false,
    }
}

/// A record of exactly this many bytes, with a type that nobody knows.
fn record(bytes: usize) -> (Cid, Vec<u8>) {
    let build = |filler: usize| {
        let mut out = Encoder::new();
        out.map(2).text("f").bytes(&vec![0; filler]);
        out.text("$type").text("org.example.nobody.knows");
        out.into_bytes()
    };
    let block = build(bytes - (build(70_000).len() - 70_000));
    assert_eq!(block.len(), bytes);
    (Cid::dag_cbor(&block), block)
}

fn create(path: &str, cid: Cid) -> RepoOp {
    RepoOp {
        action: Action::Create,
        path: path.parse().expect("a path"),
        cid: Some(cid),
        prev: None,
    }
}

/// The first commit of `ada`, creating records at these paths; `blocks` hold what they say.
fn first_commit(ada: &Repo, leaves: &[(String, Cid)], records: &[(Cid, Vec<u8>)]) -> CommitEvent {
    let mut tree = Tree::empty();
    for (path, cid) in leaves {
        tree.insert(&NoBlocks, path.as_bytes(), (*cid).into())
            .expect("inserted");
    }
    let root = tree.root();
    let keys: Vec<&[u8]> = leaves.iter().map(|(path, _)| path.as_bytes()).collect();
    let proof = tree.proof(&NoBlocks, &keys).expect("proof").into_iter();
    let mut blocks: Vec<(Cid, Vec<u8>)> = proof.map(|(cid, block)| (cid, block.to_vec())).collect();
    blocks.extend_from_slice(records);
    let ops = leaves.iter().map(|(path, cid)| create(path, *cid));
    commit_on(ada, root, &blocks, ops.collect())
}

// Checklist 20, 21, 22.
#[tokio::test]
async fn blocks_come_in_any_order_with_extras_but_never_under_a_false_name() {
    let mut ada = repo(1);
    let mut world = World::of(&ada).await;
    let event = ada.commit(&[Write::Create(PATH, "1")]);
    let blocks = blocks_of(&event);
    let all: Vec<(&Cid, &[u8])> = blocks
        .iter()
        .map(|(cid, block)| (cid, &block[..]))
        .collect();

    let mut forged = blocks.clone();
    let record = event.ops[0].cid.expect("a record");
    let mut block = forged[&record].to_vec();
    *block.last_mut().expect("bytes") ^= 1;
    forged.insert(record, block.into());
    let forged = with_blocks(&event, forged.iter().map(|(cid, block)| (cid, &block[..])));
    let refused = world.home_sends(forged).await.expect_err("a false name");
    assert_eq!(refused, DropReason::Invalid);

    let (extra, twice) = (Cid::dag_cbor(&[0xa0]), all[0]);
    let mut more: Vec<(&Cid, &[u8])> = all.clone();
    more.push((&extra, &[0xa0]));
    more.push(twice);
    more.push(twice);
    world
        .home_sends(with_blocks(&event, more))
        .await
        .expect("extras pass");

    for turn in 0..4_usize {
        let event = ada.commit(&[
            Write::Update(PATH, &format!("{turn}")),
            Write::Create(&format!("app.bsky.feed.post/b{turn}"), "2"),
        ]);
        let blocks = blocks_of(&event);
        let mut order: Vec<(&Cid, &[u8])> = blocks
            .iter()
            .map(|(cid, block)| (cid, &block[..]))
            .collect();
        order.sort_by_key(|(cid, _)| **cid);
        let middle = turn % order.len();
        order.rotate_left(middle);
        world
            .home_sends(with_blocks(&event, order))
            .await
            .expect("any order passes");
    }
}

// Checklist 23 at the level of the relay (the fixtures themselves are tested with the protocol): many batches of operations
// on a growing tree, each of which must lead back to where the last one ended.
#[tokio::test]
async fn every_batch_of_operations_leads_back_to_the_one_before() {
    let mut ada = repo(1);
    let mut world = World::of(&ada).await;
    let mut present: Vec<String> = Vec::new();
    let mut dice = 1_u64;
    let mut roll = |sides: usize| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (dice >> 33) as usize % sides.max(1)
    };
    for turn in 0..400 {
        let count = roll(4).min(present.len());
        let removed: Vec<String> = (0..count)
            .map(|_| present.swap_remove(roll(present.len())))
            .collect();
        let added: Vec<String> = (0..=roll(5))
            .map(|number| {
                format!(
                    "com.example.record{}/{}-{turn}-{number}",
                    roll(3),
                    roll(999)
                )
            })
            .collect();
        let text = format!("{turn}");
        let mut writes: Vec<Write<'_>> = removed.iter().map(|path| Write::Delete(path)).collect();
        if let Some(path) = present.first() {
            writes.push(Write::Update(path, &text));
        }
        writes.extend(added.iter().map(|path| Write::Create(path, &text)));
        let draft = world.home_sends(ada.commit(&writes)).await;
        assert_eq!(draft.map(|draft| draft.flags), Ok(0), "turn {turn}");
        present.extend(added);
    }
}

/// Bytes of a node with these entries: prefix length, rest of the key, value, subtree.
fn node(left: Option<Cid>, entries: &[(i64, &[u8], Cid, Option<Cid>)]) -> (Cid, Vec<u8>) {
    let mut out = Encoder::new();
    out.map(2).text("e").array(entries.len());
    for (prefix, rest, value, right) in entries {
        out.map(4).text("k").bytes(rest).text("p").int(*prefix);
        out.text("t")
            .cid_or_null(right.as_ref())
            .text("v")
            .cid(value);
    }
    out.text("l").cid_or_null(left.as_ref());
    let block = out.into_bytes();
    (Cid::dag_cbor(&block), block)
}

/// A path of this depth in the tree; later in order for a later `turn`.
fn path_at(depth: u8, turn: u32) -> String {
    (0..u32::MAX)
        .map(|number| format!("app.bsky.feed.post/{turn:03}{number}"))
        .find(|path| key_depth(path.as_bytes()) == depth)
        .expect("a path")
}

// Checklist 31, 33: trees that no honest host writes.
#[tokio::test]
async fn malformed_trees_are_refused() {
    let ada = repo(1);
    let mut world = World::of(&ada).await;
    let (value, block) = record(100_000);
    let (a, b, high) = (path_at(0, 1), path_at(0, 2), path_at(1, 3));
    let shared = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    let prefix = i64::try_from(shared).expect("short");
    let (first, second) = (a.as_bytes(), b.as_bytes());
    let sound = [
        (0, first, value, None),
        (prefix, &second[shared..], value, None),
    ];
    let whole = i64::try_from(first.len()).expect("short");
    let tail = |key: &'static [u8]| key;
    let cases = [
        (
            "prefix beyond the previous key",
            vec![sound[0], (999, second, value, None)],
        ),
        ("negative prefix", vec![sound[0], (-1, second, value, None)]),
        ("prefix at the first key", vec![(1, first, value, None)]),
        (
            "keys out of order",
            vec![
                (0, second, value, None),
                (prefix, &first[shared..], value, None),
            ],
        ),
        (
            "the same key twice",
            vec![sound[0], (whole, tail(b""), value, None)],
        ),
        (
            "prefix that is not the longest",
            vec![sound[0], (prefix - 1, &second[shared - 1..], value, None)],
        ),
        (
            "two heights in one node",
            vec![(0, first, value, None), (0, high.as_bytes(), value, None)],
        ),
        (
            "key that is no path",
            vec![(0, tail(b"no path"), value, None)],
        ),
    ];
    for (name, entries) in cases {
        let (root, bytes) = node(None, &entries);
        let blocks = [(root, bytes), (value, block.clone())];
        let event = commit_on(
            &ada,
            root,
            &blocks,
            vec![create(&a, value), create(&b, value)],
        );
        let fault = check_commit(&event, NOW_US).expect_err(name);
        assert_eq!(fault.reason(), "inversion", "{name}: {fault}");
        let refused = world.home_sends(event).await.expect_err(name);
        assert_eq!(refused, DropReason::Invalid, "{name}");
    }
    // The same by an honest hand passes, so it is the tree that was refused.
    let (root, bytes) = node(None, &sound);
    let ops = vec![create(&a, value), create(&b, value)];
    let event = commit_on(&ada, root, &[(root, bytes), (value, block)], ops);
    world.home_sends(event).await.expect("passes");
}

// Checklist 32: nodes that share their subtrees unfold without end for whoever follows each link.
#[tokio::test]
async fn tree_that_shares_its_subtrees_costs_next_to_nothing() {
    let ada = repo(1);
    let mut world = World::of(&ada).await;
    let (value, block) = record(100_000);
    let mut blocks = vec![(value, block)];
    let mut below = None;
    for depth in 0..8 {
        let path = path_at(depth, u32::from(depth));
        let (cid, bytes) = node(below, &[(0, path.as_bytes(), value, below)]);
        blocks.push((cid, bytes));
        below = Some(cid);
    }
    let event = commit_on(
        &ada,
        below.expect("a root"),
        &blocks,
        vec![create(&path_at(0, 999), value)],
    );
    let started = Instant::now();
    let refused = world.home_sends(event).await.expect_err("refused");
    assert_eq!(refused, DropReason::Invalid);
    assert!(
        started.elapsed() < Duration::from_millis(100),
        "{:?}",
        started.elapsed()
    );
}

// Checklist 34: one above each limit is refused, the limit itself is not.
#[tokio::test]
async fn limits_are_exact() {
    let ada = repo(1);
    let with_ops = |count: usize| {
        // One block serves all of them.
        let (cid, block) = record(100_000);
        let leaf = |number| (format!("app.bsky.feed.post/{number:05}"), cid);
        let leaves: Vec<_> = (0..count).map(leaf).collect();
        first_commit(&ada, &leaves, &[(cid, block)])
    };
    let with_record = |bytes: usize| {
        let (cid, block) = record(bytes);
        first_commit(&ada, &[(PATH.to_owned(), cid)], &[(cid, block)])
    };
    let with_bytes = |bytes: usize| {
        let event = with_record(999_999);
        let (cid, block) = record(bytes - event.blocks.len() - 36 - 3);
        let own = blocks_of(&event);
        let mut all: Vec<(&Cid, &[u8])> = own
            .iter()
            .filter(|(cid, _)| **cid != event.commit)
            .map(|(cid, block)| (cid, &block[..]))
            .collect();
        all.push((&cid, &block));
        let event = with_blocks(&event, all);
        assert_eq!(event.blocks.len(), bytes);
        event
    };
    let pairs = [
        (with_ops(200), with_ops(201)),
        (with_bytes(2_000_000), with_bytes(2_000_001)),
        (with_record(1_000_000), with_record(1_000_001)),
    ];
    for (number, (within, above)) in pairs.into_iter().enumerate() {
        let mut world = World::of(&ada).await;
        let refused = world.home_sends(above).await.expect_err("above the limit");
        assert_eq!(refused, DropReason::Invalid, "pair {number}");
        let passed = world.home_sends(within).await;
        assert!(passed.is_ok(), "pair {number}: {passed:?}");
    }
}

// Checklist 35: what a record says is between those who write it and those who read it.
#[tokio::test]
async fn records_of_unknown_or_wrong_types_pass() {
    let (mut leaves, mut records) = (Vec::new(), Vec::new());
    let mut add = |path: &str, build: &dyn Fn(&mut Encoder)| {
        let mut out = Encoder::new();
        build(&mut out);
        let block = out.into_bytes();
        let cid = Cid::dag_cbor(&block);
        leaves.push((path.to_owned(), cid));
        records.push((cid, block));
    };
    add("app.bsky.feed.post/a", &|out| {
        out.map(2).text("text").int(7);
        out.text("$type").text("app.bsky.feed.post");
    });
    add("app.bsky.feed.post/b", &|out| {
        out.map(1).text("$type").text("org.example.other");
    });
    add("app.bsky.feed.post/c", &|out| {
        out.map(0);
    });
    add("org.example.nobody.knows/self", &|out| {
        out.map(1).text("$type").int(5);
    });
    let ada = repo(1);
    let mut world = World::of(&ada).await;
    world
        .home_sends(first_commit(&ada, &leaves, &records))
        .await
        .expect("passes");
}
