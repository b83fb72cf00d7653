//! Accounts and the newest state of their repositories.

use std::collections::HashMap;
use std::sync::Arc;

use rochdale_protocol::data::{Cid, Codec};
use rochdale_protocol::syntax::{Did, Tid};
use rochdale_service::sqlite::Transaction;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Store, StoreError, corrupt, from_sql, identity, to_sql};
use crate::hosts::HostId;
use crate::verify::{Account, AccountId, Change, Known, RepoState, Upstream};

const COLUMNS: &str =
    "account.id, account.host, account.active, account.status, account.throttled, rev, head, data";

/// One line of `listRepos`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountListing {
    /// The account's DID.
    pub did: Did,
    /// Its status by its host and its quota, and its number for paging.
    pub account: Account,
    /// The newest commit.
    pub repo: RepoState,
    /// Whether it is taken down here.
    pub taken_down: bool,
}

/// State that follows from a stretch of the log: the last word on each account.
#[derive(Debug, Default)]
pub struct StateBatch {
    changes: HashMap<AccountId, (Change, Option<u64>)>,
    announced: Vec<Did>,
    applied_seq: Option<u64>,
    reserve: Option<u64>,
}

impl StateBatch {
    /// Adds a change; `seq` is the event that shows it, if one does.
    pub fn change(&mut self, change: Change, seq: Option<u64>) {
        if let Some(seq) = seq {
            self.applied(seq);
        }
        let deleted_seq = if change.account.upstream.is_deleted() {
            seq
        } else {
            None
        };
        match self.changes.entry(change.account.id) {
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert((change, deleted_seq));
            }
            std::collections::hash_map::Entry::Occupied(mut entry) => {
                let (old, old_seq) = entry.get_mut();
                *old = Change {
                    account_changed: old.account_changed || change.account_changed,
                    repo_changed: old.repo_changed || change.repo_changed,
                    identity_changed: old.identity_changed || change.identity_changed,
                    ..change
                };
                *old_seq = deleted_seq.or(*old_seq);
            }
        }
    }

    /// The state now follows the log up to `seq`.
    pub fn applied(&mut self, seq: u64) {
        self.applied_seq = Some(self.applied_seq.map_or(seq, |applied| applied.max(seq)));
    }

    /// Subscribers have been told of the takedown of `did`.
    pub fn announced(&mut self, did: Did) {
        self.announced.push(did);
    }

    /// Numbers up to `seq` may be given out once this is stored.
    pub fn reserve(&mut self, seq: u64) {
        self.reserve = Some(self.reserve.map_or(seq, |reserved| reserved.max(seq)));
    }

    fn write(&self, tx: &Connection, now_ms: u64) -> rusqlite::Result<()> {
        for (change, deleted_seq) in self.changes.values() {
            if change.account_changed {
                write_account(tx, change, *deleted_seq, now_ms)?;
            }
            if let Some(repo) = change.repo.as_ref().filter(|_| change.repo_changed) {
                let sql = "INSERT INTO account_repo (account, rev, head, data) VALUES (?1, ?2, ?3, ?4)
                           ON CONFLICT (account) DO UPDATE SET rev = excluded.rev, head = excluded.head, data = excluded.data";
                let values = params![
                    change.account.id.0,
                    to_sql(repo.rev.to_u64()),
                    repo.commit.digest(),
                    repo.data.digest()
                ];
                tx.prepare_cached(sql)?.execute(values)?;
            }
            if change.identity_changed {
                identity::write(tx, change.account.id, change.identity.as_ref())?;
            }
        }
        for did in &self.announced {
            tx.prepare_cached("UPDATE takedown SET announced = 1 WHERE did = ?1")?
                .execute([did.as_str()])?;
        }
        if let Some(seq) = self.applied_seq {
            tx.prepare_cached("UPDATE progress SET applied_seq = ?1")?
                .execute([to_sql(seq)])?;
        }
        if let Some(seq) = self.reserve {
            tx.prepare_cached("UPDATE progress SET reserved_seq = max(reserved_seq, ?1)")?
                .execute([to_sql(seq)])?;
        }
        Ok(())
    }
}

fn write_account(
    tx: &Connection,
    change: &Change,
    deleted_seq: Option<u64>,
    now_ms: u64,
) -> rusqlite::Result<()> {
    let Account {
        id,
        host,
        ref upstream,
        throttled,
    } = change.account;
    let sql = "INSERT INTO account (id, did, host, active, status, throttled, deleted_seq, created_at_ms)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
               ON CONFLICT (id) DO UPDATE SET host = excluded.host, active = excluded.active, status = excluded.status,
                   throttled = excluded.throttled, deleted_seq = coalesce(excluded.deleted_seq, deleted_seq)";
    let values = params![
        id.0,
        change.did.as_str(),
        host.0,
        upstream.active,
        upstream.status,
        throttled,
        deleted_seq.map(to_sql),
        to_sql(now_ms)
    ];
    tx.prepare_cached(sql)?.execute(values).map(drop)
}

/// A row as SQLite gives it, before it is believed.
struct Stored {
    account: Account,
    repo: Option<(i64, [u8; 32], [u8; 32])>,
}

impl Stored {
    fn of(row: &Row<'_>, from: usize) -> rusqlite::Result<Self> {
        let account = Account {
            id: AccountId(row.get(from)?),
            host: HostId(row.get(from + 1)?),
            upstream: Upstream {
                active: row.get(from + 2)?,
                status: row.get(from + 3)?,
            },
            throttled: row.get(from + 4)?,
        };
        let rev: Option<i64> = row.get(from + 5)?;
        let repo = match rev {
            Some(rev) => Some((rev, row.get(from + 6)?, row.get(from + 7)?)),
            None => None,
        };
        Ok(Self { account, repo })
    }

    fn repo(&self) -> Option<RepoState> {
        self.repo.map(|(rev, head, data)| RepoState {
            rev: Tid::from_u64(from_sql(rev)),
            commit: Cid::from_digest(Codec::DagCbor, head),
            data: Cid::from_digest(Codec::DagCbor, data),
        })
    }
}

impl Store {
    /// What is known of an account. Reads on the caller's thread, for a few microseconds.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn account(&self, did: &Did) -> Result<Known, StoreError> {
        let did = did.as_str();
        let (stored, takedown) = self.db.read_point(|db| {
            let sql = format!("SELECT {COLUMNS} FROM account LEFT JOIN account_repo ON account_repo.account = account.id WHERE did = ?1");
            let stored = db.prepare_cached(&sql)?.query_row([did], |row| Stored::of(row, 0)).optional()?;
            let taken = db.prepare_cached("SELECT announced FROM takedown WHERE did = ?1")?;
            let takedown = { taken }.query_row([did], |row| row.get::<_, bool>(0)).optional()?;
            Ok::<_, rusqlite::Error>((stored, takedown))
        })?;
        let repo = stored.as_ref().and_then(Stored::repo);
        Ok(Known {
            account: stored.map(|stored| stored.account),
            repo,
            taken_down: takedown.is_some(),
        })
    }

    /// Accounts whose repository is known and that are not deleted, in the order of their numbers, above `after`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn accounts(
        &self,
        after: i64,
        limit: usize,
    ) -> Result<Vec<AccountListing>, StoreError> {
        let rows = self.db.read(move |db: &Connection| {
            let sql = format!(
                "SELECT did, EXISTS (SELECT 1 FROM takedown WHERE takedown.did = account.did), {COLUMNS}
                 FROM account JOIN account_repo ON account_repo.account = account.id
                 WHERE account.id > ?1 AND status IS NOT 'deleted' ORDER BY account.id LIMIT ?2"
            );
            let mut statement = db.prepare_cached(&sql)?;
            let rows = statement.query_map(params![after, to_sql(limit as u64)], |row| {
                Ok((row.get::<_, String>(0)?, row.get(1)?, Stored::of(row, 2)?))
            })?;
            rows.collect::<rusqlite::Result<Vec<(String, bool, Stored)>>>()
        });
        let mut listings = Vec::with_capacity(limit.min(1_000));
        for (did, taken_down, stored) in rows.await? {
            let did = did.parse().map_err(|_| corrupt("DID", did))?;
            if let Some(repo) = stored.repo() {
                listings.push(AccountListing {
                    did,
                    account: stored.account,
                    repo,
                    taken_down,
                });
            }
        }
        Ok(listings)
    }

    /// The oldest throttled accounts of a host, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn throttled_accounts(
        &self,
        host: HostId,
        limit: u64,
    ) -> Result<Vec<Did>, StoreError> {
        let rows = self.db.read(move |db: &Connection| {
            let mut statement = db.prepare_cached(
                "SELECT did FROM account WHERE host = ?1 AND throttled AND status IS NOT 'deleted' ORDER BY id LIMIT ?2",
            )?;
            let rows = statement.query_map(params![host.0, to_sql(limit)], |row| row.get::<_, String>(0))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        });
        rows.await?
            .into_iter()
            .map(|did| did.parse().map_err(|_| corrupt("DID", did)))
            .collect()
    }

    /// Deleted accounts with the event that said so, from `oldest_seq` on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn deleted_since(&self, oldest_seq: u64) -> Result<Vec<(String, u64)>, StoreError> {
        let rows = self.db.write(move |tx: &Transaction| {
            let mut statement =
                tx.prepare("SELECT did, deleted_seq FROM account WHERE deleted_seq >= ?1")?;
            let rows = statement.query_map([to_sql(oldest_seq)], |row| {
                Ok((row.get(0)?, from_sql(row.get(1)?)))
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        });
        Ok(rows.await?)
    }

    /// The highest account number in use.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn last_account(&self) -> Result<i64, StoreError> {
        let last = self.db.write(|tx: &Transaction| {
            tx.query_row("SELECT coalesce(max(id), 0) FROM account", [], |row| {
                row.get(0)
            })
        });
        Ok(last.await?)
    }

    /// Stores a batch. Durable on return.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is stored, and it may be tried again.
    pub async fn apply(&self, batch: &Arc<StateBatch>, now_ms: u64) -> Result<(), StoreError> {
        let own = Arc::clone(batch);
        Ok(self
            .db
            .write(move |tx: &Transaction| own.write(tx, now_ms))
            .await?)
    }
}
