//! One commit, worked out: a batch applied to a copy of the tree.
//!
//! Owns the rules of single operations (what exists, what may be swapped, what counts as no
//! change). Pure but for the [`Source`] it reads through; nothing is kept when it fails. Must
//! not sign or store.
//! Follows the atproto repository and sync specifications.

use std::collections::HashSet;

use bytes::Bytes;
use rochdale_protocol::data::{Cid, Link};
use rochdale_protocol::repo::{Action, BlockSource, MstError, NodeDelta, RepoOp, Tree};
use rochdale_protocol::syntax::{Nsid, RecordKey, RecordPath};

use super::WriteError;
use super::batch::{Batch, Intent, NewRecord, OPERATIONS_MAX, RecordTraits, Write};
use crate::store::StoreError;
use crate::store::repo::{Head, RecordChange, Subject};

/// Older records of one subject that one create removes at most.
pub(super) const SAME_SUBJECT_MAX: usize = 10;

/// What planning reads besides tree nodes.
pub(super) trait Source: BlockSource {
    /// The present block of a record.
    fn record(&self, path: &RecordPath) -> Result<Option<Bytes>, StoreError>;
    /// Keys of the records of `collection` that point at `subject`.
    fn pointing_at(
        &self,
        collection: &Nsid,
        subject: &Subject,
    ) -> Result<Vec<RecordKey>, StoreError>;
}

/// What a batch comes down to.
#[derive(Debug)]
pub(super) struct Plan {
    /// The tree after it.
    pub(super) tree: Tree,
    /// Records that change.
    pub(super) changes: Vec<RecordChange>,
    /// The same for the event.
    pub(super) ops: Vec<RepoOp>,
    /// Nodes that came and went.
    pub(super) delta: NodeDelta,
    /// Node blocks of the event: what is new and what proves the operations.
    pub(super) proof: Vec<(Cid, Bytes)>,
    /// Record blocks that go.
    pub(super) replaced: Vec<(Cid, Bytes)>,
}

/// Applies `batch` to a copy of `tree`, the tree of `head`. `None` when nothing would change.
///
/// # Errors
/// The first operation that may not go through; a missing node as `WriteError::Tree`.
pub(super) fn plan(
    tree: &Tree,
    source: &impl Source,
    head: &Head,
    batch: &Batch,
) -> Result<Option<Plan>, WriteError> {
    if batch.swap_commit.is_some_and(|wanted| wanted != head.cid) {
        return Err(WriteError::CommitSwap { present: head.cid });
    }
    if batch.writes.len() > OPERATIONS_MAX {
        return Err(WriteError::TooManyWrites {
            writes: batch.writes.len(),
        });
    }
    let mut work = Work {
        tree: tree.clone(),
        source,
        seen: HashSet::new(),
        changes: Vec::with_capacity(batch.writes.len()),
        replaced: Vec::new(),
    };
    for write in &batch.writes {
        if batch.replace_same_subject {
            work.remove_same_subject(write)?;
        }
        work.apply(write)?;
    }
    work.finish()
}

struct Work<'s, S> {
    tree: Tree,
    source: &'s S,
    seen: HashSet<RecordPath>,
    changes: Vec<(RecordChange, Option<Cid>)>,
    replaced: Vec<(Cid, Bytes)>,
}

impl<S: Source> Work<'_, S> {
    fn apply(&mut self, write: &Write) -> Result<(), WriteError> {
        let path = &write.path;
        if !self.seen.insert(path.clone()) {
            return Err(WriteError::DuplicatePath { path: path.clone() });
        }
        let key = path.to_string().into_bytes();
        if let Some(wanted) = write.swap_record {
            let present = self.present(&key)?;
            if present != wanted {
                return Err(WriteError::RecordSwap {
                    path: path.clone(),
                    present,
                });
            }
        }
        match &write.intent {
            Intent::Create(record) => match self.insert(&key, record)? {
                None => self.changed(Action::Create, path, Some(record), None),
                Some(_) => Err(WriteError::RecordExists { path: path.clone() }),
            },
            Intent::Update(record) => match self.update(&key, record)? {
                Some(before) => self.updated(path, record, before),
                None => Err(WriteError::RecordMissing { path: path.clone() }),
            },
            Intent::Put(record) => match self.update(&key, record)? {
                Some(before) => self.updated(path, record, before),
                None => {
                    self.insert(&key, record)?;
                    self.changed(Action::Create, path, Some(record), None)
                }
            },
            Intent::Delete => match self.remove(&key)? {
                Some(before) => self.changed(Action::Delete, path, None, Some(before)),
                None => Err(WriteError::RecordMissing { path: path.clone() }),
            },
            Intent::Ensure => match self.remove(&key)? {
                Some(before) => self.changed(Action::Delete, path, None, Some(before)),
                None => Ok(()),
            },
        }
    }

    /// A put or update; the same content again is no change.
    fn updated(
        &mut self,
        path: &RecordPath,
        record: &NewRecord,
        before: Cid,
    ) -> Result<(), WriteError> {
        if before == record.cid {
            return Ok(());
        }
        self.changed(Action::Update, path, Some(record), Some(before))
    }

    fn remove_same_subject(&mut self, write: &Write) -> Result<(), WriteError> {
        let Intent::Create(NewRecord {
            subject: Some(subject),
            ..
        }) = &write.intent
        else {
            return Ok(());
        };
        let collection = &write.path.collection;
        for rkey in self.source.pointing_at(collection, subject)? {
            let path = RecordPath::new(collection.clone(), rkey);
            if path != write.path {
                self.apply(&Write {
                    path,
                    intent: Intent::Ensure,
                    swap_record: None,
                })?;
            }
        }
        Ok(())
    }

    fn changed(
        &mut self,
        action: Action,
        path: &RecordPath,
        record: Option<&NewRecord>,
        before: Option<Cid>,
    ) -> Result<(), WriteError> {
        let mut old = RecordTraits::default();
        if let Some(cid) = before {
            let block = self
                .source
                .record(path)?
                .ok_or(StoreError::corrupt("record"))?;
            old = RecordTraits::of(&path.collection, &block).unwrap_or_default();
            self.replaced.push((cid, block));
        }
        let change = RecordChange {
            action,
            path: path.clone(),
            block: record.map(|record| (record.cid, record.bytes.clone())),
            blobs: record.map_or_else(Vec::new, |record| record.blobs.clone()),
            blobs_before: old.blobs.iter().map(|blob| blob.cid).collect(),
            subject: record.and_then(|record| record.subject),
            subject_before: old.subject,
        };
        self.changes.push((change, before));
        Ok(())
    }

    fn finish(mut self) -> Result<Option<Plan>, WriteError> {
        if self.changes.is_empty() {
            return Ok(None);
        }
        let keys: Vec<String> = self
            .changes
            .iter()
            .map(|(c, _)| c.path.to_string())
            .collect();
        let keys: Vec<&[u8]> = keys.iter().map(String::as_bytes).collect();
        let mut proof = self.tree.proof(self.source, &keys)?;
        let delta = self.tree.commit_nodes();
        let proven: HashSet<Cid> = proof.iter().map(|(cid, _)| *cid).collect();
        proof.extend(
            delta
                .added
                .iter()
                .filter(|(cid, _)| !proven.contains(cid))
                .cloned(),
        );
        let ops = self.changes.iter().map(|(change, before)| RepoOp {
            action: change.action,
            path: change.path.clone(),
            cid: change.block.as_ref().map(|(cid, _)| *cid),
            prev: *before,
        });
        Ok(Some(Plan {
            ops: ops.collect(),
            tree: self.tree,
            changes: self.changes.into_iter().map(|(change, _)| change).collect(),
            delta,
            proof,
            replaced: self.replaced,
        }))
    }

    fn present(&mut self, key: &[u8]) -> Result<Option<Cid>, WriteError> {
        known(self.tree.get(self.source, key))
    }

    fn insert(&mut self, key: &[u8], record: &NewRecord) -> Result<Option<Cid>, WriteError> {
        known(self.tree.insert(self.source, key, Link::from(record.cid)))
    }

    fn update(&mut self, key: &[u8], record: &NewRecord) -> Result<Option<Cid>, WriteError> {
        known(self.tree.update(self.source, key, Link::from(record.cid)))
    }

    fn remove(&mut self, key: &[u8]) -> Result<Option<Cid>, WriteError> {
        known(self.tree.remove(self.source, key))
    }
}

/// Every leaf of ours is a blessed CID: imports of others are refused.
fn known(found: Result<Option<Link>, MstError>) -> Result<Option<Cid>, WriteError> {
    match found? {
        None => Ok(None),
        Some(link) => match link.as_cid() {
            Some(cid) => Ok(Some(cid)),
            None => Err(StoreError::corrupt("tree leaf").into()),
        },
    }
}
