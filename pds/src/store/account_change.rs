//! How a change of an account is written: preconditions first, then the new values.

use rusqlite::{Connection, OptionalExtension, params};
use subtle::ConstantTimeEq;

use super::account::{AccountChange, ChangeError, NewCode, Redeem, ReservedKey, Set};
use super::{StoreError, mail, session};
use crate::account::AccountId;
use crate::account::code::EmailPurpose;
use crate::keys::SealedKey;

/// Writes everything of `change` but its events.
pub(crate) fn apply(db: &Connection, change: &AccountChange) -> Result<(), ChangeError> {
    let id = change.account;
    let exists = db
        .prepare_cached("SELECT 1 FROM account WHERE id = ?1")?
        .exists([id.0])?;
    if !exists {
        return Err(ChangeError::Gone);
    }
    if let Some(hash) = &change.if_password {
        let same = db
            .prepare_cached("SELECT 1 FROM account WHERE id = ?1 AND password_hash = ?2")?
            .exists(params![id.0, hash])?;
        if !same {
            return Err(ChangeError::PasswordChanged);
        }
    }
    if let Some(code) = &change.redeem {
        redeem(db, id, code)?;
    }
    for set in &change.set {
        write(db, id, set)?;
    }
    if change.clear_codes {
        db.prepare_cached("DELETE FROM email_token WHERE account = ?1")?
            .execute([id.0])?;
    }
    if change.revoke_sessions {
        db.prepare_cached("DELETE FROM session WHERE account = ?1")?
            .execute([id.0])?;
    }
    if let Some(code) = &change.code {
        put_code(db, id, code)?;
    }
    if let Some(mail) = &change.mail {
        mail::insert(db, mail)?;
    }
    if let Some(session) = &change.session {
        session::insert(db, id, session)?;
    }
    Ok(())
}

fn write(db: &Connection, id: AccountId, set: &Set) -> Result<(), ChangeError> {
    let run = |sql: &str, values: &[&dyn rusqlite::ToSql]| -> rusqlite::Result<usize> {
        db.prepare_cached(sql)?.execute(values)
    };
    let done = match set {
        Set::Handle(handle) => run(
            "UPDATE account SET handle = ?2 WHERE id = ?1",
            &[&id.0, &handle.as_ref().map(|handle| handle.as_str())],
        ),
        Set::Email(email) => run(
            "UPDATE account SET email = ?2, email_confirmed_at_ms = NULL, email_pending = NULL,
                 email_factor = 0
             WHERE id = ?1",
            &[&id.0, email],
        ),
        Set::EmailPending(email) => run(
            "UPDATE account SET email_pending = ?2 WHERE id = ?1",
            &[&id.0, email],
        ),
        Set::EmailProven(email, at_ms) => run(
            "UPDATE account SET email = ?2, email_confirmed_at_ms = ?3, email_pending = NULL
             WHERE id = ?1",
            &[&id.0, email, at_ms],
        ),
        Set::EmailFactor(on) => run(
            "UPDATE account SET email_factor = ?2 WHERE id = ?1",
            &[&id.0, on],
        ),
        Set::PasswordHash(hash) => run(
            "UPDATE account SET password_hash = ?2 WHERE id = ?1",
            &[&id.0, hash],
        ),
        Set::Deactivated(state) => run(
            "UPDATE account SET deactivated_at_ms = ?2, delete_after_ms = ?3 WHERE id = ?1",
            &[
                &id.0,
                &state.map(|state| state.at_ms),
                &state.and_then(|state| state.delete_after_ms),
            ],
        ),
        Set::Takedown(takedown) => run(
            "UPDATE account SET takedown_ref = ?2, suspended_until_ms = ?3 WHERE id = ?1",
            &[
                &id.0,
                &takedown.as_ref().map(|takedown| &takedown.reference),
                &takedown.as_ref().and_then(|takedown| takedown.until_ms),
            ],
        ),
        Set::SigningKey(sealed) => run(
            "UPDATE account SET signing_key = ?2 WHERE id = ?1",
            &[&id.0, &sealed.as_bytes()],
        ),
        Set::InvitesDisabled(disabled) => run(
            "UPDATE account SET invites_disabled = ?2 WHERE id = ?1",
            &[&id.0, disabled],
        ),
    };
    match done {
        Ok(_rows) => Ok(()),
        Err(error) => Err(match super::taken_column(&error) {
            Some("account.handle") => ChangeError::HandleTaken,
            Some("account.email") => ChangeError::EmailTaken,
            Some(_) | None => error.into(),
        }),
    }
}

/// Uses up a mailed code, or says why it is none.
pub(super) fn redeem(db: &Connection, id: AccountId, code: &Redeem) -> Result<(), ChangeError> {
    let found: Option<(Vec<u8>, i64)> = db
        .prepare_cached(
            "SELECT digest, created_at_ms FROM email_token WHERE account = ?1 AND purpose = ?2",
        )?
        .query_row(params![id.0, code.purpose.name()], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    let Some((digest, created_at_ms)) = found else {
        return Err(ChangeError::CodeInvalid);
    };
    if !bool::from(digest.as_slice().ct_eq(&code.digest)) {
        return Err(ChangeError::CodeInvalid);
    }
    if created_at_ms < code.not_before_ms {
        return Err(ChangeError::CodeExpired);
    }
    db.prepare_cached("DELETE FROM email_token WHERE account = ?1 AND purpose = ?2")?
        .execute(params![id.0, code.purpose.name()])?;
    Ok(())
}

/// Deletes every row of the account in the tables of schema 0001.
pub(super) fn erase(db: &Connection, id: AccountId) -> Result<(), ChangeError> {
    for sql in [
        "DELETE FROM session WHERE account = ?1",
        "DELETE FROM app_password WHERE account = ?1",
        "DELETE FROM email_token WHERE account = ?1",
        "DELETE FROM preference WHERE account = ?1",
        "DELETE FROM mail WHERE account = ?1",
    ] {
        db.prepare_cached(sql)?.execute([id.0])?;
    }
    match db
        .prepare_cached("DELETE FROM account WHERE id = ?1")?
        .execute([id.0])?
    {
        0 => Err(ChangeError::Gone),
        _one => Ok(()),
    }
}

/// Keeps a code and queues its mail, unless one that was made after `unless_after_ms` is live.
pub(super) fn put_code_unless(
    db: &Connection,
    id: AccountId,
    code: &NewCode,
    unless_after_ms: i64,
) -> Result<bool, StoreError> {
    let recent = db
        .prepare_cached(
            "SELECT 1 FROM email_token WHERE account = ?1 AND purpose = ?2 AND created_at_ms > ?3",
        )?
        .exists(params![id.0, code.purpose.name(), unless_after_ms])?;
    if !recent {
        put_code(db, id, code)?;
    }
    Ok(!recent)
}

fn put_code(db: &Connection, id: AccountId, code: &NewCode) -> Result<(), StoreError> {
    db.prepare_cached(
        "INSERT INTO email_token (account, purpose, digest, created_at_ms) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (account, purpose)
         DO UPDATE SET digest = excluded.digest, created_at_ms = excluded.created_at_ms",
    )?
    .execute(params![
        id.0,
        code.purpose.name(),
        code.digest.as_slice(),
        code.made_at_ms
    ])?;
    mail::insert(db, &code.mail)?;
    Ok(())
}

pub(super) fn code_owner(
    db: &Connection,
    purpose: EmailPurpose,
    digest: [u8; 32],
) -> rusqlite::Result<Option<AccountId>> {
    db.prepare_cached("SELECT account FROM email_token WHERE digest = ?1 AND purpose = ?2")?
        .query_row(params![digest.as_slice(), purpose.name()], |row| {
            row.get(0).map(AccountId)
        })
        .optional()
}

pub(super) fn reserved_key(db: &Connection, did: &str) -> rusqlite::Result<Option<ReservedKey>> {
    db.prepare_cached("SELECT signing_key, public_key FROM reserved_key WHERE did = ?1")?
        .query_row([did], |row| {
            Ok(ReservedKey {
                sealed: SealedKey::from_stored(row.get(0)?),
                public: row.get(1)?,
            })
        })
        .optional()
}

pub(super) fn reserve_key(
    db: &Connection,
    did: &str,
    offered: &ReservedKey,
    now_ms: i64,
) -> Result<ReservedKey, StoreError> {
    db.prepare_cached(
        "INSERT INTO reserved_key (did, signing_key, public_key, created_at_ms)
         VALUES (?1, ?2, ?3, ?4) ON CONFLICT (did) DO NOTHING",
    )?
    .execute(params![
        did,
        offered.sealed.as_bytes(),
        offered.public,
        now_ms
    ])?;
    reserved_key(db, did)?.ok_or(StoreError::corrupt("reserved key"))
}

pub(super) fn clear_reserved_key(db: &Connection, did: &str) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM reserved_key WHERE did = ?1")?
        .execute([did])?;
    Ok(())
}
