//! A PDS's repositories on a real database in a folder of their own, for tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use rochdale_protocol::data::{Cid, json};
use rochdale_protocol::repo::{BlockMap, Commit, Tree, car};
use rochdale_protocol::sync::{CommitEvent, Event, Frame as Decoded, check_commit, decode_frame};
use rochdale_protocol::syntax::{Did, RecordPath, Tid};
use rochdale_service::clock::ManualClock;
use rochdale_service::shutdown::Shutdown;
use rochdale_service::sqlite::{Database, Options};
use rochdale_service::stream::Frame;
use tempfile::TempDir;

use super::*;
use crate::account::{Account, AccountId};
use crate::sequencer::EventDraft;
use crate::store::repo::Head;
use crate::store::{MIGRATIONS, event, repo as store, write_error};

/// The tests' present.
pub(crate) const NOW_US: u64 = 1_790_000_000_000_000;

/// Repositories, and everything they published.
pub(crate) struct Rig {
    pub(crate) repos: Repos,
    pub(crate) database: Database,
    pub(crate) keys: Arc<Keyring>,
    pub(crate) clock: ManualClock,
    pub(crate) tasks: Shutdown,
    pub(crate) published: Arc<Mutex<Vec<Frame>>>,
    pub(crate) folder: Arc<TempDir>,
}

impl Rig {
    pub(crate) async fn start() -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let rotation = Keyring::generate();
        Self::open(
            folder,
            Arc::new(Keyring::new(&[7; 32], rotation)),
            ManualClock::at_us(NOW_US),
        )
        .await
    }

    async fn open(folder: Arc<TempDir>, keys: Arc<Keyring>, clock: ManualClock) -> Self {
        let path = folder.path().join("pds.sqlite");
        let database = Database::open(path, MIGRATIONS, Options::default()).unwrap();
        let published: Arc<Mutex<Vec<Frame>>> = Arc::default();
        let (sink, tasks) = (Arc::clone(&published), Shutdown::new());
        let parts = Parts {
            database: database.clone(),
            keys: Arc::clone(&keys),
            clock: clock.shared(),
            tasks: tasks.clone(),
            publish: Arc::new(move |frames: &[Frame]| sink.lock().extend_from_slice(frames)),
        };
        let repos = Repos::new(parts, Limits::default());
        repos.recover().await.unwrap();
        Self {
            repos,
            database,
            keys,
            clock,
            tasks,
            published,
            folder,
        }
    }

    /// As after a crash: everything that was only in memory is lost.
    pub(crate) async fn crash(self) -> Self {
        let Self {
            repos,
            database,
            keys,
            clock,
            tasks,
            folder,
            ..
        } = self;
        tasks.request();
        database.close().await;
        drop((repos, database));
        Self::open(folder, keys, clock).await
    }

    /// An account with its empty repository.
    pub(crate) async fn member(&self, name: &str) -> Arc<Account> {
        let did: Did = format!("did:plc:{name:a<24}").parse().unwrap();
        let key = Keyring::generate();
        let sealed = self.keys.seal(&did, &key).unwrap();
        let now_us = self.clock.shared().now_us();
        let first = genesis(&did, &key, Tid::next(None, now_us, CLOCK_ID));
        let (row_did, row_key) = (did.clone(), sealed.as_bytes().to_vec());
        let sink = Arc::clone(&self.published);
        let id = self
            .database
            .write_then(
                move |tx| {
                    tx.execute(
                        "INSERT INTO account (did, password_hash, signing_key, created_at_ms)
                         VALUES (?1, '', ?2, ?3)",
                        rusqlite::params![row_did.as_str(), row_key, now_us as i64 / 1000],
                    )?;
                    let id = AccountId(tx.last_insert_rowid());
                    store::insert_initial(tx, id, &first)?;
                    let draft = EventDraft::commit(id, &first, &row_did, now_us);
                    Ok::<_, StoreError>((id, event::append(tx, &[draft])?))
                },
                move |(_, frames)| sink.lock().extend_from_slice(frames),
            )
            .await
            .map_err(write_error::<StoreError>)
            .unwrap()
            .0;
        Arc::new(Account {
            id,
            did,
            handle: None,
            email: None,
            email_confirmed_at_ms: None,
            email_pending: None,
            email_factor: false,
            password_hash: String::new(),
            signing_key: sealed,
            created_at_ms: 0,
            deactivated_at_ms: None,
            delete_after_ms: None,
            takedown_ref: None,
            suspended_until_ms: None,
            invite_code: None,
            invites_disabled: false,
        })
    }

    pub(crate) async fn write(
        &self,
        who: &Arc<Account>,
        write: Write,
    ) -> Result<Option<CommitMeta>, WriteError> {
        self.repos.write(who, Batch::one(write)).await
    }

    /// `count` notes in batches, and where they are.
    pub(crate) async fn notes(&self, who: &Arc<Account>, count: usize) -> Vec<RecordPath> {
        let mut paths = Vec::new();
        while paths.len() < count {
            let mut batch = Batch::default();
            for _ in 0..100.min(count - paths.len()) {
                let path = note_path(&self.repos.next_key().to_string());
                batch
                    .writes
                    .push(create(&path, &format!("note {}", paths.len())));
                paths.push(path);
            }
            self.repos.write(who, batch).await.unwrap();
        }
        paths
    }

    /// The records as the table has them.
    pub(crate) async fn table(&self, who: &Account) -> BTreeMap<String, Cid> {
        let id = who.id.0;
        self.database
            .read(move |conn| {
                let mut select = conn.prepare(
                    "SELECT c.nsid || '/' || r.rkey, r.cid FROM record AS r
                     JOIN collection AS c ON c.id = r.collection WHERE r.account = ?1",
                )?;
                let rows = select.query_map([id], |row| {
                    let digest: [u8; 32] = row.get(1)?;
                    let codec = rochdale_protocol::data::Codec::DagCbor;
                    Ok((row.get(0)?, Cid::from_digest(codec, digest)))
                })?;
                rows.collect::<Result<_, rusqlite::Error>>()
            })
            .await
            .unwrap()
    }

    /// An export, checked: hashes, signature, tree, every record there. Answers what it holds.
    pub(crate) async fn export(&self, who: &Arc<Account>) -> (Head, BTreeMap<String, Cid>) {
        let export = self.repos.export(who.id, None).await.unwrap();
        let head = export.head.clone();
        let file = collect(export).await.unwrap();
        (head.clone(), self.verified(who, &head, &file))
    }

    pub(crate) fn verified(
        &self,
        who: &Account,
        head: &Head,
        file: &Bytes,
    ) -> BTreeMap<String, Cid> {
        let car = car::read(file, 2_000_000).unwrap();
        assert_eq!(car.roots, [rochdale_protocol::data::Link::from(head.cid)]);
        let commit = Commit::decode(car.blocks.get(&head.cid).unwrap()).unwrap();
        assert_eq!((commit.rev, commit.data), (head.rev, head.data));
        let key = self.keys.signing_key(who).unwrap();
        commit.verify(key.public()).unwrap();
        let records = walk(&car.blocks, commit.data);
        for cid in records.values() {
            assert!(
                car.blocks.contains_key(cid),
                "record {cid} is in the export"
            );
        }
        records
    }

    /// The commit events of an account, each checked by inversion, in order and without a gap.
    pub(crate) fn checked_commits(&self, who: &Account) -> Vec<CommitEvent> {
        let frames = self.published.lock().clone();
        assert!(
            frames.is_sorted_by(|a, b| a.seq < b.seq),
            "published in order, once"
        );
        let key = self.keys.signing_key(who).unwrap();
        let mut before: Option<(Tid, Cid)> = None;
        let mut commits = Vec::new();
        for frame in frames {
            let Ok(Decoded::Message {
                event: Event::Commit(commit),
                seq,
            }) = decode_frame(&frame.bytes)
            else {
                continue;
            };
            if commit.repo != who.did {
                continue;
            }
            assert_eq!(seq, frame.seq);
            let checked = check_commit(&commit, self.clock.shared().now_us()).unwrap();
            checked.verify(key.public()).unwrap();
            assert_eq!(commit.since, before.map(|(rev, _)| rev));
            assert_eq!(commit.prev_data, before.map(|(_, data)| data));
            before = Some((commit.rev, checked.data));
            commits.push(commit);
        }
        commits
    }
}

pub(crate) async fn collect(mut export: Export) -> Result<Bytes, ExportError> {
    use futures::StreamExt;
    let mut file = Vec::new();
    while let Some(piece) = export.next().await {
        file.extend_from_slice(&piece?);
    }
    Ok(file.into())
}

pub(crate) fn walk(blocks: &BlockMap, root: Cid) -> BTreeMap<String, Cid> {
    Tree::load(root)
        .walk(blocks, b"")
        .map(|leaf| {
            let (key, value) = leaf.unwrap();
            (
                String::from_utf8(key.into()).unwrap(),
                value.as_cid().unwrap(),
            )
        })
        .collect()
}

pub(crate) fn note_path(rkey: &str) -> RecordPath {
    format!("com.example.note/{rkey}").parse().unwrap()
}

pub(crate) fn record(path: &RecordPath, json_text: &str) -> NewRecord {
    NewRecord::parse(
        &path.collection,
        &mut json::parse(json_text.as_bytes()).unwrap(),
    )
    .unwrap()
}

pub(crate) fn note(path: &RecordPath, text: &str) -> NewRecord {
    record(path, &format!(r#"{{"text":"{text}"}}"#))
}

pub(crate) fn create(path: &RecordPath, text: &str) -> Write {
    intent(path, Intent::Create(note(path, text)))
}

pub(crate) fn put(path: &RecordPath, text: &str) -> Write {
    intent(path, Intent::Put(note(path, text)))
}

pub(crate) fn intent(path: &RecordPath, intent: Intent) -> Write {
    Write {
        path: path.clone(),
        intent,
        swap_record: None,
    }
}
