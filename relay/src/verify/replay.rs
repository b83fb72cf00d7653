//! Catching up after a stop that was not clean: the state that follows from the end of the log.
//!
//! The log is the truth; whatever the state has not seen of it is read again, so that nothing accepted is accepted twice.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rochdale_protocol::sync::{
    AccountEvent, Event, Frame, check_commit_leniently, check_sync, decode_frame,
};
use rochdale_protocol::syntax::Did;

use super::account::{Account, AccountId, Change, Known, RepoState, Upstream};
use crate::hosts::HostId;
use crate::log::{Log, LogError, Record, flags};
use crate::store::{StateBatch, Store, StoreError};

const CHUNK_BYTES: usize = 8 << 20;

/// Why the state could not catch up.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The state cannot be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Brings the state up to the end of the log; answers how many events that took.
///
/// # Errors
/// [`ReplayError`].
pub async fn replay(log: &Arc<Log>, store: &Store, now_ms: u64) -> Result<usize, ReplayError> {
    let mut after = store.progress().await?.applied_seq;
    let hosts: HashSet<HostId> = store
        .hosts()
        .await?
        .into_iter()
        .map(|host| host.id)
        .collect();
    let mut next_account = store.last_account().await? + 1;
    let mut count = 0;
    loop {
        let records = read(log, after).await?;
        let Some(last) = records.last() else { break };
        after = last.seq;
        count += records.len();
        let mut state = Replay {
            store,
            hosts: &hosts,
            next_account: &mut next_account,
            known: HashMap::new(),
        };
        let mut batch = StateBatch::default();
        for record in &records {
            if let Some(change) = state.follow(record)? {
                batch.change(change, Some(record.seq));
            }
        }
        batch.applied(after);
        store.apply(&Arc::new(batch), now_ms).await?;
    }
    Ok(count)
}

async fn read(log: &Arc<Log>, after: u64) -> Result<Vec<Record>, LogError> {
    let log = Arc::clone(log);
    let read = tokio::task::spawn_blocking(move || log.read_all(after, CHUNK_BYTES)).await;
    // A panic while reading is a bug of this program: pass it on.
    read.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

struct Replay<'a> {
    store: &'a Store,
    hosts: &'a HashSet<HostId>,
    next_account: &'a mut i64,
    known: HashMap<Did, Known>,
}

impl Replay<'_> {
    fn follow(&mut self, record: &Record) -> Result<Option<Change>, StoreError> {
        let Ok(Frame::Message { event, .. }) = decode_frame(&record.frame) else {
            return Ok(None);
        };
        let did = event.did().clone();
        let mut known = match self.known.remove(&did) {
            Some(known) => known,
            None => self.store.account(&did)?,
        };
        let host = HostId(record.host);
        if known.account.is_none() && self.hosts.contains(&host) {
            let id = AccountId(*self.next_account);
            *self.next_account += 1;
            known.account = Some(Account {
                id,
                host,
                upstream: Upstream::ACTIVE,
                throttled: false,
            });
        }
        let Some(account) = known.account.as_mut() else {
            return Ok(None);
        };
        if self.hosts.contains(&host) {
            account.host = host;
        }
        if let Some(repo) = repo_of(&event) {
            known.repo = Some(repo);
        }
        if let Event::Account(said) = &event
            && record.flags & (flags::TAKEN_DOWN | flags::RESTORED) == 0
        {
            follow_status(account, said);
        }
        let change = Change {
            did: did.clone(),
            account: account.clone(),
            repo: known.repo,
            identity: None,
            account_changed: true,
            repo_changed: true,
            identity_changed: false,
        };
        self.known.insert(did, known);
        Ok(Some(change))
    }
}

fn follow_status(account: &mut Account, said: &AccountEvent) {
    let throttled = !said.active && said.status.as_deref() == Some("throttled");
    if account.throttled && throttled {
        return;
    }
    account.throttled = false;
    account.upstream = Upstream {
        active: said.active,
        status: said.status.clone(),
    };
}

/// The state of the repository after an event that was accepted.
fn repo_of(event: &Event) -> Option<RepoState> {
    match event {
        Event::Commit(event) => {
            let checked = check_commit_leniently(event, u64::MAX).ok()?;
            Some(RepoState {
                rev: event.rev,
                commit: event.commit,
                data: checked.data,
            })
        }
        Event::Sync(event) => {
            let checked = check_sync(event, u64::MAX).ok()?;
            Some(RepoState {
                rev: event.rev,
                commit: checked.commit_cid,
                data: checked.data,
            })
        }
        Event::Identity(_) | Event::Account(_) => None,
    }
}
