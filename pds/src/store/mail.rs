//! The `mail` table: what is still to be sent.

use futures::future::BoxFuture;
use rochdale_service::sqlite::Database;
use rusqlite::{Connection, Row, params};

use super::StoreError;
use super::access::Access;
use crate::account::AccountId;
use crate::mail::NewMail;

/// A mail that was not sent yet, or was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedMail {
    /// Its number; larger is newer.
    pub id: i64,
    /// The mail.
    pub mail: NewMail,
    /// How often it was tried.
    pub tries: u32,
    /// When it is tried next, Unix ms; `None` when it was given up.
    pub next_try_at_ms: Option<i64>,
    /// What went wrong the last time.
    pub last_error: Option<String>,
}

/// Mail on disk. Mails come in with the transaction of what they tell about; only one that tells
/// nothing of an account is added here.
pub trait MailStore: Send + Sync {
    /// Adds a mail.
    fn add(&self, mail: NewMail) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Up to `limit` mails whose next try is not after `now_ms`, in the order they fell due.
    fn due(&self, now_ms: i64, limit: usize) -> BoxFuture<'_, Result<Vec<QueuedMail>, StoreError>>;

    /// Up to `limit` mails with a number below `before`, newest first.
    fn newest(
        &self,
        before: Option<i64>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<QueuedMail>, StoreError>>;

    /// Forgets a mail that was sent.
    fn sent(&self, id: i64) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Counts a failure. Without a next try the mail is given up and its texts are forgotten.
    fn failed(
        &self,
        id: i64,
        next_try_at_ms: Option<i64>,
        error: String,
    ) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Forgets mails that were made before `before_ms` and given up.
    fn forget_before(&self, before_ms: i64) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// [`MailStore`] over SQLite.
pub(super) struct SqliteMail {
    database: Access,
}

impl SqliteMail {
    pub(super) fn new(database: Database) -> Self {
        Self {
            database: Access::new(database),
        }
    }
}

const COLUMNS: &str = "id, account, recipient, subject, text, html, created_at_ms, give_up_at_ms, \
    tries, next_try_at_ms, last_error";

fn from_row(row: &Row<'_>) -> rusqlite::Result<QueuedMail> {
    let mail = NewMail {
        account: row.get::<_, Option<i64>>(1)?.map(AccountId),
        purpose: None,
        to: row.get(2)?,
        subject: row.get(3)?,
        text: row.get(4)?,
        html: row.get(5)?,
        created_at_ms: row.get(6)?,
        give_up_at_ms: row.get(7)?,
    };
    Ok(QueuedMail {
        id: row.get(0)?,
        mail,
        tries: row.get(8)?,
        next_try_at_ms: row.get(9)?,
        last_error: row.get(10)?,
    })
}

impl MailStore for SqliteMail {
    fn add(&self, mail: NewMail) -> BoxFuture<'_, Result<(), StoreError>> {
        self.database.write(move |db| insert(db, &mail))
    }

    fn due(&self, now_ms: i64, limit: usize) -> BoxFuture<'_, Result<Vec<QueuedMail>, StoreError>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.database.read(move |db| {
            db.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM mail WHERE next_try_at_ms <= ?1
                 ORDER BY next_try_at_ms, id LIMIT ?2"
            ))?
            .query_map([now_ms, limit], from_row)?
            .collect()
        })
    }

    fn newest(
        &self,
        before: Option<i64>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<QueuedMail>, StoreError>> {
        let before = before.unwrap_or(i64::MAX);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.database.read(move |db| {
            let sql = format!("SELECT {COLUMNS} FROM mail WHERE id < ?1 ORDER BY id DESC LIMIT ?2");
            db.prepare_cached(&sql)?
                .query_map([before, limit], from_row)?
                .collect()
        })
    }

    fn sent(&self, id: i64) -> BoxFuture<'_, Result<(), StoreError>> {
        self.database.write(move |db| {
            db.prepare_cached("DELETE FROM mail WHERE id = ?1")?
                .execute([id])?;
            Ok(())
        })
    }

    fn failed(
        &self,
        id: i64,
        next_try_at_ms: Option<i64>,
        error: String,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        self.database.write(move |db| {
            db.prepare_cached(
                "UPDATE mail SET tries = tries + 1, next_try_at_ms = ?2, last_error = ?3,
                     text = iif(?2 IS NULL, '', text), html = iif(?2 IS NULL, '', html)
                 WHERE id = ?1",
            )?
            .execute(params![id, next_try_at_ms, error])?;
            Ok(())
        })
    }

    fn forget_before(&self, before_ms: i64) -> BoxFuture<'_, Result<(), StoreError>> {
        self.database.write(move |db| {
            db.prepare_cached(
                "DELETE FROM mail WHERE next_try_at_ms IS NULL AND created_at_ms < ?1",
            )?
            .execute([before_ms])?;
            Ok(())
        })
    }
}

/// Queues a mail, due at once. One for the same purpose that was not sent yet holds a code that is
/// good no more: it goes.
pub(super) fn insert(db: &Connection, mail: &NewMail) -> rusqlite::Result<()> {
    let account = mail.account.map(|account| account.0);
    let purpose = mail.purpose.map(|purpose| purpose.name());
    if purpose.is_some() {
        db.prepare_cached("DELETE FROM mail WHERE account = ?1 AND purpose = ?2")?
            .execute(params![account, purpose])?;
    }
    db.prepare_cached(
        "INSERT INTO mail (account, purpose, recipient, subject, text, html, created_at_ms,
             give_up_at_ms, next_try_at_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?7)",
    )?
    .execute(params![
        account,
        purpose,
        mail.to,
        mail.subject,
        mail.text,
        mail.html,
        mail.created_at_ms,
        mail.give_up_at_ms,
    ])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::account::AccountId;
    use crate::account::code::EmailPurpose;
    use crate::mail::{CodeMail, NewMail};
    use crate::store::account::tests::{Fixture, NOW_MS};

    fn mail(code: &str) -> NewMail {
        let mail = CodeMail {
            account: AccountId(1),
            purpose: EmailPurpose::ResetPassword,
            to: "ada@coop.example",
            code,
            handle: "ada.test",
        };
        NewMail::with_code(&mail, "host", NOW_MS).unwrap()
    }

    #[tokio::test]
    async fn a_mail_is_due_until_it_is_sent_put_off_or_given_up() {
        let store = Fixture::new().store;
        store.mail.add(mail("AAAAA-AAAAA")).await.unwrap();
        assert!(store.mail.due(NOW_MS - 1, 9).await.unwrap().is_empty());
        let due = store.mail.due(NOW_MS, 9).await.unwrap();
        let id = due[0].id;
        let put_off = store.mail.failed(id, Some(NOW_MS + 5), "down".to_owned());
        put_off.await.unwrap();
        assert!(store.mail.due(NOW_MS + 4, 9).await.unwrap().is_empty());
        let due = store.mail.due(NOW_MS + 5, 9).await.unwrap();
        assert_eq!((due.len(), due[0].tries), (1, 1));
        assert_eq!(due[0].last_error.as_deref(), Some("down"));
        store.mail.failed(id, None, "no".to_owned()).await.unwrap();
        assert!(store.mail.due(i64::MAX, 9).await.unwrap().is_empty());
        let shown = store.mail.newest(None, 9).await.unwrap();
        assert_eq!((shown[0].mail.text.as_str(), shown.len()), ("", 1));
        store.mail.forget_before(NOW_MS + 1).await.unwrap();
        assert!(store.mail.newest(None, 9).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_newer_code_takes_the_place_of_a_mail_that_did_not_go_yet() {
        let store = Fixture::new().store;
        for code in ["AAAAA-AAAAA", "BBBBB-BBBBB"] {
            store.mail.add(mail(code)).await.unwrap();
        }
        let due = store.mail.due(NOW_MS, 9).await.unwrap();
        assert_eq!(due.len(), 1);
        assert!(due[0].mail.text.contains("BBBBB-BBBBB"));
        store.mail.sent(due[0].id).await.unwrap();
        assert!(store.mail.newest(None, 9).await.unwrap().is_empty());
    }
}
