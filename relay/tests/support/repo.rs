//! A repository that signs: what a PDS would send about it.

use rochdale_protocol::crypto::{Curve, SigningKey};
use rochdale_protocol::data::Cid;
use rochdale_protocol::data::cbor::Encoder;
use rochdale_protocol::repo::car::Writer;
use rochdale_protocol::repo::{Action, Commit, NoBlocks, RepoOp, Tree, UnsignedCommit};
use rochdale_protocol::sync::{AccountEvent, CommitEvent, IdentityEvent, SyncEvent};
use rochdale_protocol::syntax::{Datetime, Did, Tid};

/// What to do to one record. Each path is a whole `collection/rkey`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Write<'a> {
    /// Add a record with this text.
    Create(&'a str, &'a str),
    /// Replace a record.
    Update(&'a str, &'a str),
    /// Remove a record.
    Delete(&'a str),
}

/// A repository and its key.
#[derive(Debug, Clone)]
pub(crate) struct Repo {
    /// Whose.
    pub(crate) did: Did,
    /// What it signs with.
    pub(crate) key: SigningKey,
    /// All its records.
    pub(crate) tree: Tree,
    /// The last revision.
    pub(crate) rev: Option<Tid>,
    /// The time of the next revision, µs since 1970.
    pub(crate) now_us: u64,
}

impl Repo {
    /// An empty repository; `seed` tells it and its key apart from others.
    pub(crate) fn new(seed: u32, curve: Curve, now_us: u64) -> Self {
        let mut secret = [7; 32];
        secret[..4].copy_from_slice(&seed.to_be_bytes());
        let key = SigningKey::from_bytes(curve, &secret).expect("a key");
        Self {
            did: plc_did(seed),
            key,
            tree: Tree::empty(),
            rev: None,
            now_us,
        }
    }

    fn next_rev(&mut self) -> Tid {
        let rev = Tid::next(self.rev, self.now_us, 1);
        self.rev = Some(rev);
        rev
    }

    fn time(&self) -> Datetime {
        Datetime::from_unix_ms(i64::try_from(self.now_us / 1_000).expect("in range"))
    }

    fn sign(&mut self, rev: Tid) -> Commit {
        UnsignedCommit {
            did: self.did.clone(),
            rev,
            data: self.tree.root(),
        }
        .sign(&self.key)
    }

    /// One commit with these writes.
    pub(crate) fn commit(&mut self, writes: &[Write<'_>]) -> CommitEvent {
        let (before, since) = (self.tree.root(), self.rev);
        let (mut ops, mut records) = (Vec::new(), Vec::new());
        for write in writes {
            let (action, path, text) = match *write {
                Write::Create(path, text) => (Action::Create, path, Some(text)),
                Write::Update(path, text) => (Action::Update, path, Some(text)),
                Write::Delete(path) => (Action::Delete, path, None),
            };
            let new = text.map(record);
            let cid = new.as_ref().map(|(cid, _)| *cid);
            let key = path.as_bytes();
            let prev = match (action, cid) {
                (Action::Create, Some(cid)) => self.tree.insert(&NoBlocks, key, cid.into()),
                (Action::Update, Some(cid)) => self.tree.update(&NoBlocks, key, cid.into()),
                (_, _) => self.tree.remove(&NoBlocks, key),
            };
            let prev = prev.expect("tree").and_then(|link| link.as_cid());
            ops.push(RepoOp {
                action,
                path: path.parse().expect("path"),
                cid,
                prev,
            });
            records.extend(new);
        }
        let keys: Vec<String> = ops.iter().map(|op| op.path.to_string()).collect();
        let keys: Vec<&[u8]> = keys.iter().map(String::as_bytes).collect();
        let rev = self.next_rev();
        let commit = self.sign(rev);
        let mut car = Writer::new(&[commit.cid()]);
        car.block(&commit.cid(), &commit.encode());
        for (cid, block) in self.tree.proof(&NoBlocks, &keys).expect("proof") {
            car.block(&cid, &block);
        }
        for (cid, block) in &records {
            car.block(cid, block);
        }
        CommitEvent {
            repo: self.did.clone(),
            rev,
            since,
            commit: commit.cid(),
            prev_data: since.is_some().then_some(before),
            blocks: car.into_bytes().into(),
            ops,
            time: self.time(),
            too_big: false,
            rebase: false,
        }
    }

    /// The number-th small post.
    pub(crate) fn post(&mut self, number: u64) -> CommitEvent {
        let (path, text) = (
            format!("app.bsky.feed.post/{number:013}"),
            format!("post {number}"),
        );
        self.commit(&[Write::Create(&path, &text)])
    }

    /// A `#sync` with a new revision of the present records.
    pub(crate) fn sync(&mut self) -> SyncEvent {
        let rev = self.next_rev();
        let commit = self.sign(rev);
        let mut car = Writer::new(&[commit.cid()]);
        car.block(&commit.cid(), &commit.encode());
        SyncEvent {
            did: self.did.clone(),
            rev,
            blocks: car.into_bytes().into(),
            time: self.time(),
        }
    }

    /// An `#account`.
    pub(crate) fn account(&self, active: bool, status: Option<&str>) -> AccountEvent {
        AccountEvent {
            did: self.did.clone(),
            active,
            status: status.map(str::to_owned),
            time: self.time(),
        }
    }

    /// An `#identity`.
    pub(crate) fn identity(&self, handle: Option<&str>) -> IdentityEvent {
        let handle = handle.map(|handle| handle.parse().expect("a handle"));
        IdentityEvent {
            did: self.did.clone(),
            handle,
            time: self.time(),
        }
    }
}

/// A made-up did:plc.
pub(crate) fn plc_did(seed: u32) -> Did {
    let digits = b"abcdefghijklmnopqrstuvwxyz234567";
    let tail = (0..24)
        .map(|at| char::from(digits[(seed as usize >> (at % 6 * 5)) % 32]))
        .collect::<String>();
    format!("did:plc:{tail}").parse().expect("a DID")
}

fn record(text: &str) -> (Cid, Vec<u8>) {
    let mut out = Encoder::new();
    out.map(2)
        .text("text")
        .text(text)
        .text("$type")
        .text("app.bsky.feed.post");
    let block = out.into_bytes();
    (Cid::dag_cbor(&block), block)
}
