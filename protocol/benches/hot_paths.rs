//! What one write and one verification cost, beside the signature they cannot do without.
//!
//! `cargo bench -p rochdale-protocol`. Prints microseconds per step and the ratio to the signature.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a measurement, not the product"
)]

use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use rochdale_protocol::crypto::{Curve, SigningKey};
use rochdale_protocol::data::Cid;
use rochdale_protocol::data::cbor::Encoder;
use rochdale_protocol::repo::car::Writer;
use rochdale_protocol::repo::{Action, BlockMap, BlockSource, RepoOp, Tree, UnsignedCommit};
use rochdale_protocol::sync::{CommitEvent, Frame, check_commit, decode_frame};
use rochdale_protocol::syntax::{Datetime, Did, Tid};

const RECORDS: usize = 10_000;
const ROUNDS: usize = 2_000;
const NOW_US: u64 = 1_700_000_000_000_000;

fn record(text: &str) -> Bytes {
    let mut out = Encoder::new();
    out.map(3).text("text").text(text);
    out.text("$type").text("app.bsky.feed.post");
    out.text("createdAt").text("2026-01-01T00:00:00.000Z");
    out.into_bytes().into()
}

/// A repository as a social app fills it: likes, posts, reposts, follows, in order of time.
fn repository() -> (Tree, BlockMap) {
    let collections = ["feed.like", "feed.post", "feed.repost", "graph.follow"];
    let mut leaves: Vec<(String, Cid)> = (0..RECORDS)
        .map(|i| {
            let tid = Tid::new(NOW_US - (RECORDS - i) as u64 * 60_000_000, 7).unwrap();
            let key = format!("app.bsky.{}/{tid}", collections[i % 4]);
            (key, Cid::dag_cbor(&record(&i.to_string())))
        })
        .collect();
    leaves.sort();
    let leaves = leaves.into_iter().map(|(key, cid)| (key, cid.into()));
    let mut tree = Tree::from_sorted(leaves).unwrap();
    let store = tree.commit_nodes().added.into_iter().collect();
    (tree, store)
}

/// The times of one step, in microseconds.
#[derive(Default)]
struct Times(Vec<f64>);

impl Times {
    /// The median: what the step costs when nothing else takes the processor.
    fn median(&mut self) -> f64 {
        self.0.sort_by(f64::total_cmp);
        self.0[self.0.len() / 2]
    }
}

/// The time since the last call.
struct Lap(Instant);

impl Lap {
    fn add(&mut self, times: &mut Times) {
        let now = Instant::now();
        times.0.push((now - self.0).as_secs_f64() * 1e6);
        self.0 = now;
    }
}

/// One write: the frame, and the tree to keep.
fn write<S: BlockSource>(
    (tree, store, key): (&Tree, &S, &SigningKey),
    (did, rev, since): (&Did, Tid, Tid),
    (times, lap): (&mut [Times; 4], &mut Lap),
) -> (Bytes, Tree, Vec<(Cid, Bytes)>) {
    let block = record("hello world, this is a post of an ordinary length, as posts are");
    let path = format!("app.bsky.feed.post/{rev}");
    let mut next = tree.clone();
    let prev_data = next.root();
    let cid = Cid::dag_cbor(&block);
    next.insert(store, path.as_bytes(), cid.into()).unwrap();
    lap.add(&mut times[0]);
    let proof = next.proof(store, &[path.as_bytes()]).unwrap();
    let delta = next.commit_nodes();
    lap.add(&mut times[1]);
    let commit = UnsignedCommit {
        did: did.clone(),
        rev,
        data: delta.root,
    }
    .sign(key);
    lap.add(&mut times[2]);
    let commit_block = commit.encode();
    let commit_cid = Cid::dag_cbor(&commit_block);
    let mut car = Writer::with_capacity(&[commit_cid], 8192);
    car.block(&commit_cid, &commit_block);
    for (cid, node) in &proof {
        car.block(cid, node);
    }
    car.block(&cid, &block);
    let event = CommitEvent {
        repo: did.clone(),
        rev,
        since: Some(since),
        commit: commit_cid,
        prev_data: Some(prev_data),
        blocks: car.into_bytes().into(),
        ops: vec![RepoOp {
            action: Action::Create,
            path: path.parse().unwrap(),
            cid: Some(cid),
            prev: None,
        }],
        time: Datetime::from_unix_ms((NOW_US / 1000) as i64),
        too_big: false,
        rebase: false,
    };
    let frame = event.template().with_seq(1 << 40);
    lap.add(&mut times[3]);
    (frame, next, delta.added)
}

fn main() {
    let key = SigningKey::from_bytes(Curve::K256, &[7; 32]).unwrap();
    let did: Did = "did:plc:44ybard66vv44zksje25o7dz".parse().unwrap();
    let (built, mut store) = repository();
    for name in ["warm", "cold"] {
        let mut tree = built.clone();
        let root = tree.root();
        tree = Tree::load(root);
        let mut rev = Tid::new(NOW_US, 7).unwrap();
        let mut times: [Times; 4] = Default::default();
        let mut frames = Vec::new();
        let mut changed = 0;
        for _ in 0..ROUNDS {
            let since = rev;
            rev = Tid::next(Some(since), NOW_US, 7);
            let mut lap = Lap(Instant::now());
            let about = (&did, rev, since);
            let (frame, next, added) = write((&tree, &store, &key), about, (&mut times, &mut lap));
            tree = next;
            changed += added.len();
            store.extend(added);
            frames.push(frame);
            if name == "cold" {
                tree.unload_clean();
            }
        }
        let bytes: usize = frames.iter().map(Bytes::len).sum();
        let [edit, prove, sign, frame] = times.map(|mut times| times.median());
        let own = edit + prove + frame;
        println!(
            "write ({name}): edit {edit:.1} + prove {prove:.1} + frame {frame:.1} = {own:.1} us \
             beside a signature of {sign:.1} us; {} nodes, {} bytes a frame, tree {} KiB",
            changed / ROUNDS,
            bytes / ROUNDS,
            tree.loaded_bytes() / 1024
        );
        verify(&frames, &key);
    }
}

fn verify(frames: &[Bytes], key: &SigningKey) {
    let mut times: [Times; 3] = Default::default();
    for frame in frames {
        let mut lap = Lap(Instant::now());
        let Frame::Message { event, .. } = decode_frame(frame).unwrap() else {
            return;
        };
        lap.add(&mut times[0]);
        let rochdale_protocol::sync::Event::Commit(event) = event else {
            return;
        };
        let checked = check_commit(&event, NOW_US).unwrap();
        lap.add(&mut times[1]);
        checked.verify(key.public()).unwrap();
        lap.add(&mut times[2]);
        black_box(&checked);
    }
    let [decode, check, signature] = times.map(|mut times| times.median());
    println!(
        "verify: decode {decode:.1} + check {check:.1} = {:.1} us beside a signature of \
         {signature:.1} us",
        decode + check
    );
}
