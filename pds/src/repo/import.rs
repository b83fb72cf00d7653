//! Taking a whole repository in from another server.
//!
//! Owns what an imported repository must be, and the steps by which a large one replaces what is
//! there without holding the writer or the memory. The file goes to disk, only its index stays
//! in memory. Then, under the turn: everything is checked; a note says that an import is under
//! way; records change in small values; the tree is built from them; one last value makes the
//! new head, signed with our key, and takes the note away. After a crash in between the records
//! that arrived are made a valid repository before anything else happens to it, and importing
//! again completes it.
//! Follows the atproto account migration guide and the repository specification.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;

use futures::{Stream, StreamExt};
use rochdale_protocol::data::Cid;
use rochdale_protocol::repo::mst::Change;
use rochdale_protocol::repo::{
    Action, BlockSource, Commit, CommitError, MstError, SourceError, Tree, car,
};
use rochdale_protocol::syntax::{Did, RecordPath, Tid};
use rochdale_service::car_file::{CarFile, CarFileError, CarFileWriter};
use rochdale_service::clock::random;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::batch::{NewRecord, RecordError, RecordTraits};
use super::plan::Source;
use super::seal::sign;
use super::shelf::Shelf;
use super::slots::{Open, Slot, Turn};
use super::write::Ready;
use super::{CommitMeta, Inner, Repos, WriteError, rev};
use crate::account::{Account, AccountId};
use crate::sequencer::EventDraft;
use crate::store::repo::{AccountRule, ApplyError, BlobRule, Head, RecordChange, RepoWrite};
use crate::store::{StoreError, node, read_error, repo as store, write_error};

/// Records changed by one value.
const CHANGES_PER_VALUE: usize = 100;
/// Bytes of records changed by one value.
const BYTES_PER_VALUE: usize = 512 << 10;
/// Blocks of all imports under way, whose index is in memory: about 16 bytes each.
pub(super) const BLOCKS_UNDER_WAY: usize = 6_000_000;
/// Blocks by which an import's part of that grows.
const BLOCKS_PER_PERMIT: u32 = 8_192;

/// Why a repository was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Over the configured limit.
    #[error("the repository is larger than {limit_bytes} bytes, or of too many blocks")]
    TooLarge {
        /// The limit.
        limit_bytes: u64,
    },
    /// Not a CAR file.
    #[error(transparent)]
    Car(#[from] car::CarError),
    /// Not exactly one root, or its block is missing.
    #[error("the CAR file must have exactly one root, the commit, and hold its block")]
    Roots,
    /// The root is not a commit.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The repository is somebody else's.
    #[error("the repository is that of {given}, the account is {wanted}")]
    OtherAccount {
        /// Whose it is.
        given: Did,
        /// Whose it must be.
        wanted: Did,
    },
    /// A record's block is not in the file.
    #[error("the block of record {path} is missing")]
    Missing {
        /// Which record.
        path: RecordPath,
    },
    /// A key is no record path, or its value no DAG-CBOR block.
    #[error("{key:?} is not the path of a record")]
    Path {
        /// The key.
        key: String,
    },
    /// A record is not one.
    #[error("record {path}: {cause}")]
    Record {
        /// Which.
        path: RecordPath,
        /// What is wrong.
        #[source]
        cause: RecordError,
    },
    /// The tree is malformed or incomplete.
    #[error(transparent)]
    Tree(MstError),
    /// The client's body broke off.
    #[error("the upload broke off: {0}")]
    Body(String),
    /// The repository could not be changed.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The disk failed.
    #[error("the import could not be kept on disk")]
    Disk(#[from] io::Error),
}

impl From<StoreError> for ImportError {
    fn from(error: StoreError) -> Self {
        Self::Write(error.into())
    }
}

impl ImportError {
    fn of_file(error: CarFileError, limit_bytes: u64) -> Self {
        match error {
            CarFileError::Car(car::CarError::TooLong(_)) | CarFileError::TooManyBlocks => {
                Self::TooLarge { limit_bytes }
            }
            CarFileError::Car(error) => Self::Car(error),
            CarFileError::Roots => Self::Roots,
            CarFileError::Disk(error) => Self::Disk(error),
        }
    }
}

impl From<MstError> for ImportError {
    fn from(error: MstError) -> Self {
        match error {
            MstError::Source(_) => Self::Write(WriteError::Tree(error)),
            other => Self::Tree(other),
        }
    }
}

impl Repos {
    /// Makes the repository in `body`, a CAR file, the repository of `account`: what is not in
    /// it goes, and it gets a commit of ours. Announced only when the account is active.
    ///
    /// # Errors
    /// What is wrong with the file; nothing was changed then.
    pub async fn import<E: std::fmt::Display>(
        &self,
        account: &Arc<Account>,
        limit_bytes: u64,
        mut body: impl Stream<Item = Result<bytes::Bytes, E>> + Unpin,
    ) -> Result<CommitMeta, ImportError> {
        let inner = &self.inner;
        let file = scratch(inner.database.path().parent())?;
        let mut writer = CarFileWriter::new(file, limit_bytes);
        let mut room = Room::new(&inner.import_blocks);
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|error| ImportError::Body(error.to_string()))?;
            let fed = writer.feed(&piece);
            fed.map_err(|error| ImportError::of_file(error, limit_bytes))?;
            room.grow(writer.blocks())?;
        }
        let file = writer
            .finish()
            .map_err(|error| ImportError::of_file(error, limit_bytes))?;
        let staged = Arc::new(file);
        let (inner, account) = (Arc::clone(&self.inner), Arc::clone(account));
        let (answer, answered) = tokio::sync::oneshot::channel();
        self.inner.tasks.spawn("repo-import", async move {
            // Nobody may be waiting any more: the import is completed all the same.
            let _gone = answer.send(inner.import(account, staged).await);
            drop(room);
        });
        answered.await.map_err(|_| WriteError::Interrupted)?
    }

    /// Accounts whose import was interrupted, right after the start.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn interrupted_imports(&self) -> Result<Vec<AccountId>, StoreError> {
        let found = self.inner.database.read(store::importing).await;
        found.map_err(read_error)
    }

    /// Makes a valid repository of what an interrupted import of `account` left, if there was one.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn finish_import(&self, account: &Arc<Account>) -> Result<(), WriteError> {
        let (inner, account) = (Arc::clone(&self.inner), Arc::clone(account));
        self.owned("repo-heal", async move {
            let slot = inner.slots.get(account.id);
            let mut turn = slot.turn().await?;
            inner.heal(&account, &slot, &mut turn).await
        })
        .await
    }
}

impl Inner {
    async fn import(
        self: Arc<Self>,
        account: Arc<Account>,
        staged: Arc<CarFile>,
    ) -> Result<CommitMeta, ImportError> {
        let commit = commit(&staged, &account.did)?;
        let now_us = self.clock.now_us();
        let slot = self.slots.get(account.id);
        let mut turn = slot.turn().await?;
        self.heal(&account, &slot, &mut turn).await?;
        let head = self.open(&slot, &mut turn).await?.head.clone();
        // A revision from a clock that was wrong is passed over: relays took none of that time, and
        // would take nothing after it.
        let rev = rev::anew(head.rev, now_us).max(rev::anew(commit.rev, now_us));
        let work = Arc::new(Import {
            inner: Arc::clone(&self),
            account,
            slot: Arc::clone(&slot),
            staged,
            head,
            commit,
            rev,
        });
        let checking = Arc::clone(&work);
        tokio::task::spawn_blocking(move || checking.each_change(|_| Ok(true)))
            .await
            .map_err(io::Error::other)??;
        // From here on the records are on their way: what is in memory fits no more.
        self.slots.drop_tree(&slot, &mut turn);
        let account = work.account.id;
        self.database
            .write(move |tx| store::begin_import(tx, account))
            .await
            .map_err(write_error::<StoreError>)?;
        work.stage().await?;
        Ok(self.complete(&work.account, &slot, &mut turn, rev).await?)
    }

    /// Makes a valid repository of the records an interrupted import left.
    pub(super) async fn heal(
        &self,
        account: &Account,
        slot: &Arc<Slot>,
        turn: &mut Turn,
    ) -> Result<(), WriteError> {
        if turn.open.is_some() || !self.is_importing(slot)? {
            return Ok(());
        }
        tracing::warn!(account = account.id.0, "completing an interrupted import");
        let head = self.stored_head(account.id)?;
        let rev = rev::anew(head.rev, self.clock.now_us());
        self.complete(account, slot, turn, rev).await.map(|_| ())
    }

    /// Whether records are on their way.
    pub(super) fn is_importing(&self, slot: &Slot) -> Result<bool, WriteError> {
        Ok(self
            .database
            .read_point(|conn| store::is_importing(conn, slot.account))
            .map_err(read_error::<StoreError>)?)
    }

    /// Builds the tree of the records that are there and makes it the head.
    pub(super) async fn complete(
        &self,
        account: &Account,
        slot: &Arc<Slot>,
        turn: &mut Turn,
        rev: Tid,
    ) -> Result<CommitMeta, WriteError> {
        let before = self.stored_head(account.id)?;
        slot.nodes.lock().reset();
        self.clear_nodes(slot).await?;
        let root = self.build(slot, rev).await?;
        let key = self.keys.signing_key(account)?;
        let head = sign(&account.did, rev, root, &key);
        let now_us = self.clock.now_us();
        let event = account
            .is_active()
            .then(|| EventDraft::sync(account.id, &account.did, &head.block, rev, now_us));
        let write = RepoWrite {
            account: account.id,
            expects: before.cid,
            head: head.clone(),
            changes: Vec::new(),
            blob_rule: BlobRule::MayFollow,
            account_rule: AccountRule::Any,
            signing_key: Some(account.signing_key.clone()),
            event,
        };
        let id = account.id;
        let ready = Ready {
            write,
            delta: None,
            next: Open {
                tree: Tree::load(root),
                head,
            },
            announced: None,
        };
        let first = move |tx: &rusqlite::Connection| {
            node::mark_complete(tx, id, rev, &root)?;
            store::end_import(tx, id)?;
            Ok(Vec::new())
        };
        self.apply(slot, turn, ready, first).await
    }
}

/// An empty file in `folder` without a name: it is gone with the process.
fn scratch(folder: Option<&Path>) -> io::Result<File> {
    let name = format!("import-{}", data_encoding::HEXLOWER.encode(&random::<8>()));
    let path = folder.unwrap_or(Path::new(".")).join(name);
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

/// The commit of a file, if it is one of `did`.
fn commit(file: &CarFile, did: &Did) -> Result<Commit, ImportError> {
    let block = file.read(&file.root())?.ok_or(ImportError::Roots)?;
    let commit = Commit::decode(&block)?;
    if commit.did == *did {
        return Ok(commit);
    }
    Err(ImportError::OtherAccount {
        given: commit.did,
        wanted: did.clone(),
    })
}

/// The memory of one import's index, out of what all may take.
struct Room {
    of: Arc<Semaphore>,
    taken: Vec<OwnedSemaphorePermit>,
}

impl Room {
    fn new(of: &Arc<Semaphore>) -> Self {
        Self {
            of: Arc::clone(of),
            taken: Vec::new(),
        }
    }

    fn grow(&mut self, blocks: usize) -> Result<(), WriteError> {
        while blocks > self.taken.len() * BLOCKS_PER_PERMIT as usize {
            let more = Arc::clone(&self.of).try_acquire_many_owned(BLOCKS_PER_PERMIT);
            self.taken.push(more.map_err(|_full| WriteError::Busy)?);
        }
        Ok(())
    }
}

/// One import under way.
struct Import {
    inner: Arc<Inner>,
    account: Arc<Account>,
    slot: Arc<Slot>,
    staged: Arc<CarFile>,
    head: Head,
    commit: Commit,
    rev: Tid,
}

/// The file first, then what is here.
struct Both<'a> {
    staged: &'a CarFile,
    shelf: Shelf<'a>,
}

impl BlockSource for Both<'_> {
    fn block(&self, cid: &Cid) -> Result<Option<bytes::Bytes>, SourceError> {
        match self.staged.block(cid)? {
            Some(block) => Ok(Some(block)),
            None => self.shelf.block(cid),
        }
    }
}

impl Import {
    fn shelf(&self) -> Shelf<'_> {
        Shelf {
            database: &self.inner.database,
            slot: &self.slot,
        }
    }

    /// Calls `each` with every record that differs, checked, until it answers false.
    fn each_change(
        &self,
        mut each: impl FnMut(RecordChange) -> Result<bool, ImportError>,
    ) -> Result<(), ImportError> {
        let source = Both {
            staged: &self.staged,
            shelf: self.shelf(),
        };
        let (before, after) = (Tree::load(self.head.data), Tree::load(self.commit.data));
        for difference in before.diff(&source, &after) {
            if !each(self.change(difference?)?)? {
                break;
            }
        }
        Ok(())
    }

    fn change(&self, difference: Change) -> Result<RecordChange, ImportError> {
        let key = String::from_utf8_lossy(&difference.key).into_owned();
        let path: RecordPath = key
            .parse()
            .map_err(|_| ImportError::Path { key: key.clone() })?;
        let (action, new) = match (&difference.before, difference.after) {
            (None, Some(new)) => (Action::Create, Some(new)),
            (Some(_), Some(new)) => (Action::Update, Some(new)),
            (_, None) => (Action::Delete, None),
        };
        let record = match new {
            None => None,
            Some(link) => {
                let cid = link.as_cid().ok_or(ImportError::Path { key })?;
                let block = self.staged.block(&cid).map_err(MstError::from)?;
                let block = block.ok_or_else(|| ImportError::Missing { path: path.clone() })?;
                let record = NewRecord::from_block(&path.collection, cid, block);
                let path = path.clone();
                Some(record.map_err(|cause| ImportError::Record { path, cause })?)
            }
        };
        let old = match difference.before {
            None => RecordTraits::default(),
            Some(_) => {
                // Read again in the second pass, when parts have changed: then there is nothing.
                let block = self.shelf().record(&path)?.unwrap_or_default();
                RecordTraits::of(&path.collection, &block).unwrap_or_default()
            }
        };
        let subject = record.as_ref().and_then(|record| record.subject);
        Ok(RecordChange {
            action,
            blobs: record
                .as_ref()
                .map_or_else(Vec::new, |record| record.blobs.clone()),
            block: record.map(|record| (record.cid, record.bytes)),
            path,
            blobs_before: old.blobs.iter().map(|blob| blob.cid).collect(),
            subject,
            subject_before: old.subject,
        })
    }

    /// Changes the records, in small values.
    async fn stage(self: &Arc<Self>) -> Result<(), ImportError> {
        let (sender, mut values) = tokio::sync::mpsc::channel::<Vec<RecordChange>>(2);
        let reading = Arc::clone(self);
        let reader = tokio::task::spawn_blocking(move || {
            let (mut value, mut bytes) = (Vec::new(), 0);
            reading.each_change(|change| {
                bytes += change.block.as_ref().map_or(0, |(_, block)| block.len());
                value.push(change);
                if value.len() < CHANGES_PER_VALUE && bytes < BYTES_PER_VALUE {
                    return Ok(true);
                }
                bytes = 0;
                Ok(sender.blocking_send(std::mem::take(&mut value)).is_ok())
            })?;
            // The receiver is gone only when a value failed: it reports.
            let _sent = sender.blocking_send(value);
            Ok::<_, ImportError>(())
        });
        while let Some(changes) = values.recv().await {
            let write = RepoWrite {
                account: self.account.id,
                expects: self.head.cid,
                head: Head {
                    rev: self.rev,
                    ..self.head.clone()
                },
                changes,
                blob_rule: BlobRule::MayFollow,
                account_rule: AccountRule::Any,
                signing_key: None,
                event: None,
            };
            let now_ms = self.inner.clock.now_ms();
            self.inner
                .database
                .write_background(move |tx| store::stage(tx, &write, now_ms))
                .await
                .map_err(|error| WriteError::from(write_error::<ApplyError>(error)))?;
        }
        reader.await.map_err(io::Error::other)?
    }
}
