//! Invite codes on disk.

use futures::future::BoxFuture;
use rochdale_service::sqlite::Database;
use rusqlite::{Connection, OptionalExtension, params};

use super::StoreError;
use super::access::Access;

/// One invite code and who used it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InviteCode {
    /// The code.
    pub code: String,
    /// How often it may be used in all.
    pub uses_allowed: u32,
    /// Whether it was disabled.
    pub disabled: bool,
    /// DID of the member who may hand it out, or `admin`.
    pub for_account: String,
    /// Who made it.
    pub created_by: String,
    /// When, Unix ms.
    pub created_at_ms: i64,
    /// DID and time (Unix ms) of each use, oldest first.
    pub uses: Vec<(String, i64)>,
}

/// The order of a list of codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InviteOrder {
    /// Newest first.
    Recent,
    /// Most used first.
    Usage,
}

/// Why an account's codes were not added. Nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum AddOwnError {
    /// Another request has just made some.
    #[error("invite codes of this account were made by another request just now: ask again")]
    Raced,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<rusqlite::Error> for AddOwnError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Invite codes on disk.
pub trait InviteStore: Send + Sync {
    /// Adds codes, all or none.
    fn add(&self, codes: Vec<InviteCode>) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Adds codes of one account, if it has `expected` codes at present.
    fn add_own(
        &self,
        did: String,
        expected: usize,
        codes: Vec<InviteCode>,
    ) -> BoxFuture<'_, Result<(), AddOwnError>>;

    /// Whether the code exists, is enabled, has a use left, and its owner is not taken down.
    fn is_available(&self, code: String) -> BoxFuture<'_, Result<bool, StoreError>>;

    /// The code, in whatever state.
    fn find(&self, code: String) -> BoxFuture<'_, Result<Option<InviteCode>, StoreError>>;

    /// The codes of one account, newest first.
    fn of_account(&self, did: String) -> BoxFuture<'_, Result<Vec<InviteCode>, StoreError>>;

    /// Up to `limit` codes in this order after the first `skip`.
    fn list(
        &self,
        order: InviteOrder,
        skip: usize,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<InviteCode>, StoreError>>;

    /// Disables these codes and all codes of these accounts. Absent ones are fine.
    fn disable(
        &self,
        codes: Vec<String>,
        accounts: Vec<String>,
    ) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// [`InviteStore`] over SQLite.
pub(super) struct SqliteInvites {
    database: Access,
}

impl SqliteInvites {
    pub(super) fn new(database: Database) -> Self {
        Self {
            database: Access::new(database),
        }
    }
}

impl InviteStore for SqliteInvites {
    fn add(&self, codes: Vec<InviteCode>) -> BoxFuture<'_, Result<(), StoreError>> {
        self.database.write(move |db| insert(db, &codes))
    }

    fn add_own(
        &self,
        did: String,
        expected: usize,
        codes: Vec<InviteCode>,
    ) -> BoxFuture<'_, Result<(), AddOwnError>> {
        self.database.apply(move |db| {
            let present: i64 = db
                .prepare_cached("SELECT count(*) FROM invite_code WHERE for_account = ?1")?
                .query_row([did], |row| row.get(0))?;
            if usize::try_from(present) != Ok(expected) {
                return Err(AddOwnError::Raced);
            }
            Ok(insert(db, &codes)?)
        })
    }

    fn is_available(&self, code: String) -> BoxFuture<'_, Result<bool, StoreError>> {
        self.database.read(move |db| is_available(db, &code))
    }

    fn find(&self, code: String) -> BoxFuture<'_, Result<Option<InviteCode>, StoreError>> {
        self.database.read(move |db| {
            let found = db
                .prepare_cached(&format!("{SELECT} WHERE code = ?1"))?
                .query_row([code], from_row)
                .optional()?;
            Ok(with_uses(db, found.into_iter().collect())?.pop())
        })
    }

    fn of_account(&self, did: String) -> BoxFuture<'_, Result<Vec<InviteCode>, StoreError>> {
        self.database.read(move |db| {
            let sql = format!("{SELECT} WHERE for_account = ?1 ORDER BY created_at_ms DESC, code");
            with_uses(
                db,
                db.prepare_cached(&sql)?
                    .query_map([did], from_row)?
                    .collect::<Result<_, _>>()?,
            )
        })
    }

    fn list(
        &self,
        order: InviteOrder,
        skip: usize,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<InviteCode>, StoreError>> {
        self.database.read(move |db| {
            let order = match order {
                InviteOrder::Recent => "created_at_ms DESC, code",
                InviteOrder::Usage => {
                    "(SELECT count(*) FROM invite_use AS u WHERE u.code = invite_code.code) DESC, code"
                }
            };
            let sql = format!("{SELECT} ORDER BY {order} LIMIT ?1 OFFSET ?2");
            let (limit, skip) = (
                i64::try_from(limit).unwrap_or(i64::MAX),
                i64::try_from(skip).unwrap_or(i64::MAX),
            );
            let codes = db.prepare_cached(&sql)?.query_map([limit, skip], from_row)?.collect::<Result<_, _>>()?;
            with_uses(db, codes)
        })
    }

    fn disable(
        &self,
        codes: Vec<String>,
        accounts: Vec<String>,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        self.database.write(move |db| {
            for code in &codes {
                db.prepare_cached("UPDATE invite_code SET disabled = 1 WHERE code = ?1")?
                    .execute([code])?;
            }
            for account in &accounts {
                db.prepare_cached("UPDATE invite_code SET disabled = 1 WHERE for_account = ?1")?
                    .execute([account])?;
            }
            Ok(())
        })
    }
}

fn insert(db: &Connection, codes: &[InviteCode]) -> rusqlite::Result<()> {
    let mut insert = db.prepare_cached(
        "INSERT INTO invite_code
             (code, for_account, created_by, uses_allowed, disabled, created_at_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for code in codes {
        insert.execute(params![
            code.code,
            code.for_account,
            code.created_by,
            code.uses_allowed,
            code.disabled,
            code.created_at_ms
        ])?;
    }
    Ok(())
}

const SELECT: &str = "SELECT code, uses_allowed, disabled, for_account, created_by, created_at_ms \
    FROM invite_code";

fn from_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<InviteCode> {
    Ok(InviteCode {
        code: row.get(0)?,
        uses_allowed: row.get(1)?,
        disabled: row.get(2)?,
        for_account: row.get(3)?,
        created_by: row.get(4)?,
        created_at_ms: row.get(5)?,
        uses: Vec::new(),
    })
}

fn with_uses(db: &Connection, mut codes: Vec<InviteCode>) -> rusqlite::Result<Vec<InviteCode>> {
    let mut uses = db.prepare_cached(
        "SELECT used_by, used_at_ms FROM invite_use WHERE code = ?1 ORDER BY used_at_ms, used_by",
    )?;
    for code in &mut codes {
        code.uses = uses
            .query_map([&code.code], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
    }
    Ok(codes)
}

fn is_available(db: &Connection, code: &str) -> rusqlite::Result<bool> {
    let left: Option<i64> = db
        .prepare_cached(
            "SELECT uses_allowed - (SELECT count(*) FROM invite_use AS u WHERE u.code = c.code)
             FROM invite_code AS c
             WHERE c.code = ?1 AND c.disabled = 0
               AND NOT EXISTS (SELECT 1 FROM account AS a
                               WHERE a.did = c.for_account AND a.takedown_ref IS NOT NULL)",
        )?
        .query_row([code], |row| row.get(0))
        .optional()?;
    Ok(left.is_some_and(|left| left > 0))
}

/// Uses the code up by one for `did`; `false` when it cannot be used any more.
pub(super) fn spend(db: &Connection, code: &str, did: &str, now_ms: i64) -> rusqlite::Result<bool> {
    if !is_available(db, code)? {
        return Ok(false);
    }
    db.prepare_cached("INSERT INTO invite_use (code, used_by, used_at_ms) VALUES (?1, ?2, ?3)")?
        .execute(params![code, did, now_ms])?;
    Ok(true)
}
