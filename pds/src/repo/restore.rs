//! Records lost from the store, taken back from the events that brought them.
//!
//! Owns what is tried before a repository is closed: where the log's commits lead without a gap to
//! the head, the last operation on each path says what the record is, and its event holds the
//! block. Runs under the repository's turn. Must not touch anything that the events do not speak of.

use std::collections::HashMap;

use bytes::Bytes;
use rochdale_protocol::data::Cid;
use rochdale_protocol::repo::{Action, Commit, car};
use rochdale_protocol::sync::{CommitEvent, Event, Frame, decode_frame};
use rochdale_protocol::syntax::RecordPath;

use super::batch::{NewRecord, RecordTraits};
use super::slots::Slot;
use super::{Inner, WriteError};
use crate::account::AccountId;
use crate::store::event::StoredEvent;
use crate::store::repo::{AccountRule, ApplyError, BlobRule, Head, RecordChange, RepoWrite};
use crate::store::{StoreError, event, read_error, record, repo as store, write_error};

/// Largest block of an event.
const BLOCK_BYTES_MAX: usize = 2_000_000;

/// What the events say of one path.
#[derive(Debug, Clone, Copy)]
struct Told {
    /// The event that says it.
    seq: u64,
    /// The record, or that there is none.
    cid: Option<Cid>,
}

impl Inner {
    /// Puts back records of `slot`'s account that do not agree with its events up to `head`.
    /// Returns how many there were.
    pub(super) async fn restore_records(
        &self,
        slot: &Slot,
        head: &Head,
    ) -> Result<usize, WriteError> {
        let account = slot.account;
        let told = self.told_by_events(account, head).await?;
        let mut restored = 0;
        for (path, told) in told {
            let stored = self
                .database
                .read_point(|conn| record::get(conn, account, &path))
                .map_err(read_error::<StoreError>)?;
            if stored.as_ref().map(|record| record.cid) == told.cid {
                continue;
            }
            let before = stored.map(|record| record.value);
            let block = match told.cid {
                Some(cid) => match self.block_of_event(account, told.seq, &cid).await? {
                    Some(block) => Some((cid, block)),
                    None => continue,
                },
                None => None,
            };
            self.put_back(account, head, path, before, block).await?;
            restored += 1;
        }
        if restored > 0 {
            tracing::warn!(
                account = account.0,
                records = restored,
                "records came back from events"
            );
        }
        Ok(restored)
    }

    /// The last word on each path, of commits that lead to `head` without a gap.
    async fn told_by_events(
        &self,
        account: AccountId,
        head: &Head,
    ) -> Result<HashMap<RecordPath, Told>, WriteError> {
        let (mut told, mut tip, mut after) = (HashMap::new(), None, 0);
        loop {
            let (events, next) = self
                .database
                .read(move |conn| event::of_account(conn, account, after))
                .await
                .map_err(read_error::<StoreError>)?;
            for stored in events {
                let Some((commit, data)) = commit(&stored) else {
                    continue;
                };
                if tip.is_some() && commit.prev_data != tip {
                    told.clear();
                }
                tip = Some(data);
                for op in commit.ops {
                    let cid = (op.action != Action::Delete).then_some(op.cid).flatten();
                    let seq = stored.seq;
                    told.insert(op.path, Told { seq, cid });
                }
            }
            match next {
                Some(next) => after = next,
                None => break,
            }
        }
        if tip != Some(head.data) {
            told.clear();
        }
        Ok(told)
    }

    async fn block_of_event(
        &self,
        account: AccountId,
        seq: u64,
        cid: &Cid,
    ) -> Result<Option<Bytes>, WriteError> {
        let (events, _) = self
            .database
            .read(move |conn| event::of_account(conn, account, seq.saturating_sub(1)))
            .await
            .map_err(read_error::<StoreError>)?;
        let stored = events.into_iter().find(|event| event.seq == seq);
        let block = stored.and_then(|stored| {
            let (commit, _) = commit(&stored)?;
            let file = car::read(&commit.blocks, BLOCK_BYTES_MAX).ok()?;
            file.blocks.get(cid).cloned()
        });
        Ok(block)
    }

    async fn put_back(
        &self,
        account: AccountId,
        head: &Head,
        path: RecordPath,
        before: Option<Bytes>,
        block: Option<(Cid, Bytes)>,
    ) -> Result<(), WriteError> {
        let old = before
            .as_ref()
            .and_then(|block| RecordTraits::of(&path.collection, block))
            .unwrap_or_default();
        let record = match block {
            Some((cid, block)) => Some(
                NewRecord::from_block(&path.collection, cid, block)
                    .map_err(|_| StoreError::corrupt("event"))?,
            ),
            None => None,
        };
        let change = RecordChange {
            action: match (&before, &record) {
                (_, None) => Action::Delete,
                (None, Some(_)) => Action::Create,
                (Some(_), Some(_)) => Action::Update,
            },
            path,
            blobs: record
                .as_ref()
                .map_or_else(Vec::new, |record| record.blobs.clone()),
            blobs_before: old.blobs.iter().map(|blob| blob.cid).collect(),
            subject: record.as_ref().and_then(|record| record.subject),
            subject_before: old.subject,
            block: record.map(|record| (record.cid, record.bytes)),
        };
        let write = RepoWrite {
            account,
            expects: head.cid,
            head: head.clone(),
            changes: vec![change],
            blob_rule: BlobRule::MayFollow,
            account_rule: AccountRule::Any,
            signing_key: None,
            event: None,
        };
        let now_ms = self.clock.now_ms();
        let staged = self
            .database
            .write_background(move |tx| store::stage(tx, &write, now_ms));
        staged.await.map_err(write_error::<ApplyError>)?;
        Ok(())
    }
}

/// A commit event, and the root of its tree.
fn commit(stored: &StoredEvent) -> Option<(CommitEvent, Cid)> {
    let Ok(Frame::Message {
        event: Event::Commit(commit),
        ..
    }) = decode_frame(&stored.frame)
    else {
        return None;
    };
    let file = car::read(&commit.blocks, BLOCK_BYTES_MAX).ok()?;
    let root = Commit::decode(file.blocks.get(&commit.commit)?).ok()?;
    Some((commit, root.data))
}
