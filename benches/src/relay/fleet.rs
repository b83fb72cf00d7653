//! The accounts of the fake host, and everything they will ever write.

use crate::Failure;
use crate::client::Client;
use crate::directory::random_key;
use bytes::Bytes;
use rochdale_protocol::crypto::{Curve, SigningKey};
use rochdale_protocol::data::{Cid, Link, cbor, json};
use rochdale_protocol::plc::{DidDocument, Operation, Service, UnsignedOperation};
use rochdale_protocol::repo::{Action, Commit, NoBlocks, RepoOp, Tree, UnsignedCommit, car};
use rochdale_protocol::sync::{CommitEvent, SyncEvent};
use rochdale_protocol::syntax::{Datetime, Did, RecordPath, Tid};
use std::collections::{BTreeMap, HashMap, HashSet};
use url::Url;

const COLLECTION: &str = "app.bsky.feed.post";

/// Prepared accounts and frames.
#[derive(Debug)]
pub(super) struct Fleet {
    /// The frames in the order they are sent, sequence numbers from 1.
    pub(super) frames: Vec<Bytes>,
    /// How many frames only make the accounts known.
    pub(super) warm_up: usize,
    pub(super) frame_bytes: usize,
    documents: HashMap<String, String>,
    operations: Vec<(String, String)>,
    first_rev_us: u64,
}

/// One account while its future is made.
struct Author {
    did: Did,
    key: SigningKey,
    tree: Tree,
    rev: Tid,
    data: Cid,
}

impl Fleet {
    /// Makes `accounts` accounts at `origin` with keys on `curve`, each with `records` records, and
    /// `commits` commits of one record each, in turns.
    pub(super) fn prepare(
        origin: &str,
        curve: Curve,
        accounts: usize,
        records: usize,
        commits: usize,
    ) -> Result<Self, Failure> {
        let total = accounts + commits;
        let mut fleet = Self {
            frames: Vec::with_capacity(total),
            warm_up: accounts,
            frame_bytes: 0,
            documents: HashMap::new(),
            operations: Vec::new(),
            // One revision a microsecond, the last one a second ago.
            first_rev_us: crate::clock::now_us() - total as u64 - 1_000_000,
        };
        let mut authors = Vec::with_capacity(accounts);
        for number in 0..accounts {
            let mut author = fleet.register_author(origin, curve, number, records)?;
            let rev = fleet.next_rev()?;
            fleet.push(
                author
                    .sync_event(rev)?
                    .template()
                    .with_seq(fleet.next_seq()),
            );
            authors.push(author);
        }
        for number in 0..commits {
            let rev = fleet.next_rev()?;
            let Some(author) = authors.get_mut(number % accounts) else {
                return Err("there is no account".into());
            };
            let event = author.writes(number, rev)?;
            fleet.push(event.template().with_seq(fleet.next_seq()));
        }
        Ok(fleet)
    }

    /// The document of a DID, when it is one of this fleet's.
    pub(super) fn document(&self, did: &str) -> Option<&str> {
        self.documents.get(did).map(String::as_str)
    }

    /// Which frame has this revision.
    pub(super) fn index_of(&self, rev: &str) -> Option<usize> {
        let rev: Tid = rev.parse().ok()?;
        let index = rev.micros().checked_sub(self.first_rev_us)?;
        usize::try_from(index)
            .ok()
            .filter(|&index| index < self.frames.len())
    }

    /// Registers every account at a real directory.
    pub(super) async fn register(&self, directory: &Url) -> Result<(), Failure> {
        let mut client = Client::new(directory)?;
        for (did, operation) in &self.operations {
            let answer = client
                .post(&format!("/{did}"), None, operation.clone())
                .await?;
            answer.success()?;
        }
        Ok(())
    }

    fn next_rev(&self) -> Result<Tid, Failure> {
        let micros = self.first_rev_us + self.frames.len() as u64;
        Ok(Tid::new(micros, 0).ok_or("the time is over")?)
    }

    fn next_seq(&self) -> u64 {
        self.frames.len() as u64 + 1
    }

    fn push(&mut self, frame: Bytes) {
        self.frame_bytes += frame.len();
        self.frames.push(frame);
    }

    fn register_author(
        &mut self,
        origin: &str,
        curve: Curve,
        number: usize,
        records: usize,
    ) -> Result<Author, Failure> {
        let key = random_key(curve)?;
        let name = key.public().to_did_key();
        let service = Service {
            kind: "AtprotoPersonalDataServer".to_owned(),
            endpoint: origin.to_owned(),
        };
        let operation = UnsignedOperation {
            rotation_keys: vec![name.clone()],
            verification_methods: BTreeMap::from([("atproto".to_owned(), name)]),
            also_known_as: vec![format!("at://member{number}.test")],
            services: BTreeMap::from([("atproto_pds".to_owned(), service)]),
            prev: None,
        };
        let operation = Operation::Plc(operation.sign(&key));
        let did = operation.founded_did();
        let data = operation.data(&did).ok_or("a genesis has data")?;
        self.documents
            .insert(did.to_string(), DidDocument::render(&data));
        self.operations.push((did.to_string(), operation.to_json()));
        Author::with_records(did, key, records)
    }
}

impl Author {
    /// Somebody who wrote `records` records in the first microseconds of 2024.
    fn with_records(did: Did, key: SigningKey, records: usize) -> Result<Self, Failure> {
        const THEN_US: u64 = 1_704_067_200_000_000;
        let mut entries = Vec::with_capacity(records);
        for number in 0..records as u64 {
            let tid = Tid::new(THEN_US + number, 0).ok_or("the time is over")?;
            let cid = Cid::dag_cbor(&number.to_be_bytes());
            entries.push((format!("{COLLECTION}/{tid}"), Link::Known(cid)));
        }
        let mut tree = Tree::from_sorted(entries)?;
        let data = tree.commit_nodes().root;
        let rev = Tid::new(THEN_US, 0).ok_or("the time is over")?;
        Ok(Self {
            did,
            key,
            tree,
            rev,
            data,
        })
    }

    fn commit(&mut self, rev: Tid, data: Cid) -> Commit {
        self.rev = rev;
        self.data = data;
        let unsigned = UnsignedCommit {
            did: self.did.clone(),
            rev,
            data,
        };
        unsigned.sign(&self.key)
    }

    /// Makes the repository known as it is.
    fn sync_event(&mut self, rev: Tid) -> Result<SyncEvent, Failure> {
        let commit = self.commit(rev, self.data);
        let mut blocks = car::Writer::new(&[commit.cid()]);
        blocks.block(&commit.cid(), &commit.encode());
        Ok(SyncEvent {
            did: self.did.clone(),
            rev,
            blocks: blocks.into_bytes().into(),
            time: now(),
        })
    }

    /// One new record.
    fn writes(&mut self, number: usize, rev: Tid) -> Result<CommitEvent, Failure> {
        let (since, prev_data) = (self.rev, self.data);
        let record = record(number)?;
        let cid = Cid::dag_cbor(&record);
        let path: RecordPath = format!("{COLLECTION}/{rev}").parse()?;
        let key = path.to_string();
        self.tree
            .insert(&NoBlocks, key.as_bytes(), Link::Known(cid))?;
        let delta = self.tree.commit_nodes();
        let proof = self.tree.proof(&NoBlocks, &[key.as_bytes()])?;
        let commit = self.commit(rev, delta.root);
        let mut blocks = car::Writer::new(&[commit.cid()]);
        blocks.block(&commit.cid(), &commit.encode());
        let mut written = HashSet::new();
        for (node, block) in delta.added.iter().chain(&proof) {
            if written.insert(*node) {
                blocks.block(node, block);
            }
        }
        blocks.block(&cid, &record);
        Ok(CommitEvent {
            repo: self.did.clone(),
            rev,
            since: Some(since),
            commit: commit.cid(),
            prev_data: Some(prev_data),
            blocks: blocks.into_bytes().into(),
            ops: vec![RepoOp {
                action: Action::Create,
                path,
                cid: Some(cid),
                prev: None,
            }],
            time: now(),
            too_big: false,
            rebase: false,
        })
    }
}

fn record(number: usize) -> Result<Vec<u8>, Failure> {
    let text = serde_json::json!({
        "$type": COLLECTION,
        "text": format!("Entry number {number} of a member who likes to keep a diary."),
        "createdAt": "2026-01-02T03:04:05.678Z",
    });
    Ok(cbor::encode(&json::parse(text.to_string().as_bytes())?))
}

fn now() -> Datetime {
    let now_ms = crate::clock::now_us() / 1_000;
    Datetime::from_unix_ms(i64::try_from(now_ms).unwrap_or(i64::MAX))
}
