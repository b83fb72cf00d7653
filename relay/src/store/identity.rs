//! Identities of accounts, as last found.

use std::sync::Arc;

use rochdale_protocol::crypto::PublicKey;
use rusqlite::{Connection, OptionalExtension, params};

use super::{Store, StoreError, from_sql, to_sql};
use crate::hosts::HostName;
use crate::verify::{AccountId, FetchedIdentity, Identity};

type Row = (Option<String>, Option<String>, Option<String>, i64);

impl Store {
    /// What was last found of an account's identity. Reads on the caller's thread, for a few microseconds.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn identity(&self, account: AccountId) -> Result<Option<FetchedIdentity>, StoreError> {
        let row: Option<Row> = self.db.read_point(|db| {
            let sql =
                "SELECT key, host, handle, fetched_at_ms FROM account_identity WHERE account = ?1";
            db.prepare_cached(sql)?
                .query_row([account.0], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
                })
                .optional()
        })?;
        Ok(row.and_then(read))
    }
}

/// What cannot be read any more counts as not stored: it is looked up.
fn read((key, host, handle, fetched_ms): Row) -> Option<FetchedIdentity> {
    let key = key.map(|key| PublicKey::from_did_key(&key)).transpose();
    let handle = handle.map(|handle| handle.parse()).transpose();
    let identity = Identity {
        key: key.ok()?,
        host: host.as_deref().map(HostName::from_stored),
        handle: handle.ok()?,
    };
    Some(FetchedIdentity {
        identity: Arc::new(identity),
        fetched_ms: from_sql(fetched_ms),
    })
}

/// Stores what was found, or forgets what was.
pub(super) fn write(
    tx: &Connection,
    account: AccountId,
    found: Option<&FetchedIdentity>,
) -> rusqlite::Result<()> {
    let Some(FetchedIdentity {
        identity,
        fetched_ms,
    }) = found
    else {
        let sql = "DELETE FROM account_identity WHERE account = ?1";
        return tx.prepare_cached(sql)?.execute([account.0]).map(drop);
    };
    let sql = "INSERT INTO account_identity (account, key, host, handle, fetched_at_ms) VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT (account) DO UPDATE SET key = excluded.key, host = excluded.host, handle = excluded.handle,
                   fetched_at_ms = excluded.fetched_at_ms";
    let values = params![
        account.0,
        identity.key.as_ref().map(PublicKey::to_did_key),
        identity.host.as_ref().map(HostName::as_str),
        identity.handle.as_ref().map(|handle| handle.as_str()),
        to_sql(*fetched_ms)
    ];
    tx.prepare_cached(sql)?.execute(values).map(drop)
}
