//! The `account` table as domain values.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{parsed, parsed_option};
use crate::account::{Account, AccountId};
use crate::keys::SealedKey;

const COLUMNS: &str = "id, did, handle, email, email_confirmed_at_ms, password_hash, signing_key, \
    created_at_ms, deactivated_at_ms, delete_after_ms, takedown_ref, invite_code, invites_disabled, \
    suspended_until_ms, email_pending, email_factor";

fn from_row(row: &Row<'_>) -> rusqlite::Result<Account> {
    Ok(Account {
        id: AccountId(row.get(0)?),
        did: parsed(row, 1)?,
        handle: parsed_option(row, 2)?,
        email: row.get(3)?,
        email_confirmed_at_ms: row.get(4)?,
        password_hash: row.get(5)?,
        signing_key: SealedKey::from_stored(row.get(6)?),
        created_at_ms: row.get(7)?,
        deactivated_at_ms: row.get(8)?,
        delete_after_ms: row.get(9)?,
        takedown_ref: row.get(10)?,
        invite_code: row.get(11)?,
        invites_disabled: row.get(12)?,
        suspended_until_ms: row.get(13)?,
        email_pending: row.get(14)?,
        email_factor: row.get(15)?,
    })
}

/// The account whose `column` (a constant of this module's callers) equals `key`.
pub(super) fn find(
    db: &Connection,
    column: &'static str,
    key: &dyn rusqlite::ToSql,
) -> rusqlite::Result<Option<Account>> {
    db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM account WHERE {column} = ?1"
    ))?
    .query_row([key], from_row)
    .optional()
}

/// Accounts whose deletion date has passed while they were still deactivated.
pub(super) fn abandoned(db: &Connection, now_ms: i64) -> rusqlite::Result<Vec<Account>> {
    db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM account
         WHERE delete_after_ms IS NOT NULL AND delete_after_ms <= ?1
           AND deactivated_at_ms IS NOT NULL
         LIMIT 100"
    ))?
    .query_map([now_ms], from_row)?
    .collect()
}

/// Accounts whose suspension ended.
pub(super) fn served(db: &Connection, now_ms: i64) -> rusqlite::Result<Vec<Account>> {
    db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM account WHERE suspended_until_ms <= ?1 LIMIT 100"
    ))?
    .query_map([now_ms], from_row)?
    .collect()
}

/// Whether [`abandoned`] holds for an account.
pub(super) fn is_abandoned(
    db: &Connection,
    account: AccountId,
    now_ms: i64,
) -> rusqlite::Result<bool> {
    db.prepare_cached(
        "SELECT 1 FROM account
         WHERE id = ?1 AND delete_after_ms <= ?2 AND deactivated_at_ms IS NOT NULL",
    )?
    .exists([account.0, now_ms])
}

/// Changes the deletion date of a deactivated account.
pub(super) fn set_delete_after(
    db: &Connection,
    account: AccountId,
    until_ms: i64,
) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE account SET delete_after_ms = ?2 WHERE id = ?1")?
        .execute([account.0, until_ms])?;
    Ok(())
}

/// A page of accounts in the order of creation, after row `after`.
pub(super) fn page(
    db: &Connection,
    after: AccountId,
    limit: usize,
    email: Option<&str>,
) -> rusqlite::Result<Vec<Account>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM account
         WHERE id > ?1 AND (?3 IS NULL OR email = ?3) ORDER BY id LIMIT ?2"
    ))?
    .query_map(params![after.0, limit, email], from_row)?
    .collect()
}

/// Writes a new row and returns its number.
pub(super) fn insert(db: &Connection, account: &Account) -> rusqlite::Result<AccountId> {
    db.prepare_cached(
        "INSERT INTO account (did, handle, email, email_confirmed_at_ms, password_hash,
             signing_key, created_at_ms, deactivated_at_ms, delete_after_ms, takedown_ref,
             invite_code, invites_disabled, suspended_until_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    )?
    .insert(params![
        account.did.as_str(),
        account.handle.as_ref().map(|handle| handle.as_str()),
        account.email,
        account.email_confirmed_at_ms,
        account.password_hash,
        account.signing_key.as_bytes(),
        account.created_at_ms,
        account.deactivated_at_ms,
        account.delete_after_ms,
        account.takedown_ref,
        account.invite_code,
        account.invites_disabled,
        account.suspended_until_ms,
    ])
    .map(AccountId)
}
