//! A tree under edits, commits, forgetting and failing loads, against a plain sorted map.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use bytes::Bytes;
use rochdale_protocol::data::{Cid, Link};
use rochdale_protocol::repo::invert::invert;
use rochdale_protocol::repo::{
    Action, BlockMap, BlockSource, MstError, RepoOp, SourceError, Tree, mst,
};

type Leaves = BTreeMap<&'static str, Cid>;

/// Keys of every depth up to 3, as many of each, so that small trees have several levels.
fn keys() -> &'static [String] {
    static KEYS: OnceLock<Vec<String>> = OnceLock::new();
    KEYS.get_or_init(|| {
        let of_depth = |depth| {
            let names = (0..).map(|number: u32| format!("com.example.r{}/{number}", number % 3));
            names
                .filter(move |key| mst::key_depth(key.as_bytes()) == depth)
                .take(16)
        };
        (0..4).flat_map(of_depth).collect()
    })
}

/// Stored blocks; loading fails once `loads` have been used up.
struct Store {
    blocks: BlockMap,
    loads: Cell<usize>,
}

impl BlockSource for Store {
    fn block(&self, cid: &Cid) -> Result<Option<Bytes>, SourceError> {
        match self.loads.get().checked_sub(1) {
            None => Err(SourceError::new("out of loads")),
            Some(rest) => {
                self.loads.set(rest);
                self.blocks.block(cid)
            }
        }
    }
}

struct State {
    tree: Tree,
    store: Store,
    leaves: Leaves,
    committed: Leaves,
    committed_root: Cid,
}

/// The input is one instruction per byte: what to do in the upper two bits, a key in the others.
pub fn mst_edits(bytes: &[u8]) {
    let mut tree = Tree::empty();
    let committed_root = tree.root();
    let mut state = State {
        tree,
        store: Store {
            blocks: BlockMap::new(),
            loads: Cell::new(usize::MAX),
        },
        leaves: Leaves::new(),
        committed: Leaves::new(),
        committed_root,
    };
    for (step, byte) in bytes.iter().take(400).enumerate() {
        let key = keys()[usize::from(byte & 0x3f)].as_str();
        let value = Cid::raw(&step.to_be_bytes());
        match byte >> 6 {
            0 => state.insert(key, value),
            1 => state.remove(key),
            2 => state.update(key, value),
            _ => state.control(byte & 0x3f),
        }
    }
    state.store.loads.set(usize::MAX);
    state.commit();
}

impl State {
    fn insert(&mut self, key: &'static str, value: Cid) {
        let result = self.tree.insert(&self.store, key.as_bytes(), value.into());
        if let Some(present) = self.settle(result) {
            assert_eq!(present, self.leaves.get(key).copied().map(Link::from));
            self.leaves.entry(key).or_insert(value);
        }
    }

    fn remove(&mut self, key: &'static str) {
        let result = self.tree.remove(&self.store, key.as_bytes());
        if let Some(removed) = self.settle(result) {
            assert_eq!(removed, self.leaves.remove(key).map(Link::from));
        }
    }

    fn update(&mut self, key: &'static str, value: Cid) {
        let result = self.tree.update(&self.store, key.as_bytes(), value.into());
        if let Some(old) = self.settle(result) {
            assert_eq!(old, self.leaves.get(key).copied().map(Link::from));
            self.leaves
                .entry(key)
                .and_modify(|present| *present = value);
        }
    }

    /// What an edit answered; after a failure the tree is back where it was committed last.
    fn settle(&mut self, result: Result<Option<Link>, MstError>) -> Option<Option<Link>> {
        match result {
            Ok(answer) => Some(answer),
            Err(error) => {
                assert!(matches!(error, MstError::Source(_)), "{error}");
                self.leaves = self.committed.clone();
                assert_eq!(self.tree.root(), self.committed_root);
                None
            }
        }
    }

    fn control(&mut self, what: u8) {
        match what {
            0..8 => self.store.loads.set(usize::from(what)),
            8..16 => self.store.loads.set(usize::MAX),
            16..24 => self.tree.unload_clean(),
            24..32 => {
                self.commit();
                self.tree = Tree::load(self.committed_root);
            }
            32..40 => {
                // What is tried on a clone does not touch the original.
                let mut clone = self.tree.clone();
                for key in keys().iter().step_by(5) {
                    let _ = clone.insert(&self.store, key.as_bytes(), Cid::raw(b"x").into());
                    let _ = clone.remove(&self.store, key.as_bytes());
                }
                clone.commit_nodes();
            }
            40..48 => self.compare(),
            _ => self.commit(),
        }
    }

    /// Every leaf, by looking up and by walking.
    fn compare(&mut self) {
        for key in keys() {
            if let Ok(found) = self.tree.get(&self.store, key.as_bytes()) {
                assert_eq!(
                    found,
                    self.leaves.get(key.as_str()).copied().map(Link::from)
                );
            }
        }
        let walked: Result<Vec<_>, _> = self.tree.walk(&self.store, b"").collect();
        if let Ok(walked) = walked {
            let expected = self
                .leaves
                .iter()
                .map(|(key, value)| (key.as_bytes(), value));
            let walked = walked.iter().map(|(key, value)| (&**key, value.as_cid()));
            assert!(walked.eq(expected.map(|(key, value)| (key, Some(*value)))));
        }
    }

    /// Commits, and checks the root, the nodes that came and went, and that the commit's proof
    /// leads back to the root before.
    fn commit(&mut self) {
        let delta = self.tree.commit_nodes();
        let fresh = self
            .leaves
            .iter()
            .map(|(key, value)| (key, Link::from(*value)));
        let fresh = Tree::from_sorted(fresh).unwrap().commit_nodes();
        assert_eq!(
            delta.root, fresh.root,
            "the tree is the one its leaves define"
        );
        for (cid, block) in delta.added {
            assert!(cid.matches(&block));
            self.store.blocks.insert(cid, block);
        }
        for cid in &delta.removed {
            let known = self.store.blocks.remove(cid).is_some();
            assert!(
                known || *cid == mst::empty_root(),
                "{cid} went but never came"
            );
        }
        let stored: BTreeSet<Cid> = self.store.blocks.keys().copied().collect();
        let expected: BTreeSet<Cid> = fresh.added.iter().map(|(cid, _)| *cid).collect();
        let strays: Vec<_> = stored.symmetric_difference(&expected).collect();
        assert!(
            strays.iter().all(|cid| **cid == mst::empty_root()),
            "{strays:?}"
        );
        self.invert(delta.root);
        self.committed = self.leaves.clone();
        self.committed_root = delta.root;
    }

    fn invert(&mut self, root: Cid) {
        let paths: BTreeSet<&str> = self
            .leaves
            .keys()
            .chain(self.committed.keys())
            .copied()
            .collect();
        let ops: Vec<RepoOp> = paths
            .iter()
            .filter_map(|path| {
                let (prev, cid) = (self.committed.get(path), self.leaves.get(path));
                let action = match (prev, cid) {
                    (None, Some(_)) => Action::Create,
                    (Some(_), None) => Action::Delete,
                    (prev, cid) if prev == cid => return None,
                    _ => Action::Update,
                };
                let path = path.parse().unwrap();
                Some(RepoOp {
                    action,
                    path,
                    cid: cid.copied(),
                    prev: prev.copied(),
                })
            })
            .collect();
        let keys: Vec<String> = ops.iter().map(|op| op.path.to_string()).collect();
        let keys: Vec<&[u8]> = keys.iter().map(|key| key.as_bytes()).collect();
        let Ok(proof) = self.tree.proof(&self.store, &keys) else {
            return;
        };
        let blocks: BlockMap = proof.into_iter().collect();
        assert_eq!(invert(&blocks, root, &ops).unwrap(), self.committed_root);
    }
}
