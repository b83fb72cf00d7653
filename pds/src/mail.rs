//! Mail to members.
//!
//! A mail is a row of the database, written in the transaction of what it tells about, until the
//! mail server has taken it: a request never waits for a mail server, and one that is down loses
//! nothing. Without a mail server mails become files in a folder, for the operator to read and pass
//! on. Owns the texts, the way out and the retries; must not know the rules of accounts.

pub(crate) mod message;
mod transport;

use std::path::PathBuf;
use std::time::Duration;

use futures::StreamExt;
use lettre::message::Mailbox;
use tokio::sync::{Mutex, Notify};

use crate::app::App;
use crate::store::StoreError;
use crate::store::mail::QueuedMail;
pub use message::{CodeMail, MessageError, NewMail};
use transport::{SendError, newest};
pub(crate) use transport::{Transport, mail_server};

/// Mails that are sent at once.
const AT_ONCE: usize = 4;
/// Mails taken from the database at once.
const TAKEN: usize = 50;
/// How often the database is asked for mails whose next try has come.
const EVERY: Duration = Duration::from_secs(2);
/// The wait after the first failure, in milliseconds; it doubles with each further one.
const FIRST_WAIT_MS: i64 = 5_000;
const LONGEST_WAIT_MS: i64 = 15 * 60 * 1000;
/// How long a mail that was given up is shown to the operator, in milliseconds.
const SHOWN_MS: i64 = 7 * 24 * 60 * 60 * 1000;

/// Sends what the database has queued.
#[derive(Debug)]
pub struct Mailer {
    transport: Transport,
    from: Mailbox,
    /// Two senders at once would send a mail twice.
    sending: Mutex<()>,
    wake: Notify,
}

impl Mailer {
    /// A mailer that writes as `from`.
    #[must_use]
    pub(crate) fn new(transport: Transport, from: Mailbox) -> Self {
        Self {
            transport,
            from,
            sending: Mutex::new(()),
            wake: Notify::new(),
        }
    }

    /// Whether mail reaches its receivers, or only a folder of this machine.
    #[must_use]
    pub fn delivers(&self) -> bool {
        match self.transport {
            Transport::Smtp(_) => true,
            Transport::Folder(_) => false,
        }
    }

    /// The folder that mails are written to when no mail server is configured.
    #[must_use]
    pub fn folder(&self) -> Option<&PathBuf> {
        match &self.transport {
            Transport::Smtp(_) => None,
            Transport::Folder(folder) => Some(folder),
        }
    }

    /// The newest mails in the folder with a number below `before`, newest first, each with its
    /// number, at most `limit`; none with a mail server.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub async fn newest_in_folder(
        &self,
        before: Option<i64>,
        limit: usize,
    ) -> std::io::Result<Vec<(i64, String)>> {
        match self.folder() {
            Some(folder) => newest(folder, before, limit).await,
            None => Ok(Vec::new()),
        }
    }
}

/// Call it after a transaction that queued a mail: files are written before this returns, a mail
/// server is left to the sender.
pub async fn queued(pds: &App) {
    match pds.mailer.transport {
        Transport::Folder(_) => send_due(pds).await,
        Transport::Smtp(_) => pds.mailer.wake.notify_one(),
    }
}

/// Sends what is due until the server stops.
pub(crate) async fn run(pds: &App) {
    loop {
        send_due(pds).await;
        tokio::select! {
            () = pds.tasks.requested() => return,
            () = pds.mailer.wake.notified() => {}
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// Removes mails that were given up some days ago.
pub(crate) async fn forget_old(pds: &App) -> Result<(), StoreError> {
    pds.store.mail.forget_before(pds.now_ms() - SHOWN_MS).await
}

async fn send_due(pds: &App) {
    let _one_at_a_time = pds.mailer.sending.lock().await;
    loop {
        let due = match pds.store.mail.due(pds.now_ms(), TAKEN).await {
            Ok(due) => due,
            Err(error) => {
                tracing::warn!(%error, "queued mail could not be read");
                return;
            }
        };
        let last = due.len() < TAKEN;
        let mut sends = futures::stream::iter(due)
            .map(|mail| send(pds, mail))
            .buffer_unordered(AT_ONCE);
        while let Some(kept) = sends.next().await {
            if let Err(error) = kept {
                tracing::warn!(%error, "what became of a mail could not be stored");
                return;
            }
        }
        if last || pds.tasks.is_requested() {
            return;
        }
    }
}

async fn send(pds: &App, queued: QueuedMail) -> Result<(), StoreError> {
    let QueuedMail {
        id, mail, tries, ..
    } = queued;
    let now_ms = pds.now_ms();
    if mail.give_up_at_ms <= now_ms {
        return give_up(pds, id, "its time was over", now_ms).await;
    }
    let wire = match message::wire(&mail, id, &pds.mailer.from) {
        Ok(wire) => wire,
        Err(error) => return give_up(pds, id, &error.to_string(), now_ms).await,
    };
    match pds.mailer.transport.send(&wire, id).await {
        Ok(()) => {
            metrics::counter!("rochdale_pds_mails_total", "outcome" => "sent").increment(1);
            pds.store.mail.sent(id).await
        }
        Err(SendError::Never(error)) => give_up(pds, id, &error, now_ms).await,
        Err(SendError::Later(error)) => {
            metrics::counter!("rochdale_pds_mails_total", "outcome" => "retried").increment(1);
            tracing::warn!(
                mail = id,
                tries,
                error,
                "a mail could not be sent, it is tried again"
            );
            let next_ms = pds.now_ms() + wait_ms(tries);
            pds.store.mail.failed(id, Some(next_ms), error).await
        }
    }
}

async fn give_up(pds: &App, id: i64, error: &str, now_ms: i64) -> Result<(), StoreError> {
    metrics::counter!("rochdale_pds_mails_total", "outcome" => "given up").increment(1);
    tracing::warn!(mail = id, now_ms, error, "a mail was given up");
    pds.store.mail.failed(id, None, error.to_owned()).await
}

fn wait_ms(tries: u32) -> i64 {
    let doubled = FIRST_WAIT_MS.saturating_mul(1_i64.checked_shl(tries).unwrap_or(i64::MAX));
    if doubled <= 0 {
        return LONGEST_WAIT_MS;
    }
    doubled.min(LONGEST_WAIT_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_a_quarter_of_an_hour() {
        assert_eq!(wait_ms(0), 5_000);
        assert_eq!(wait_ms(1), 10_000);
        assert_eq!(wait_ms(7), 640_000);
        for many in [8, 40, 62, 63, 64, u32::MAX] {
            assert_eq!(wait_ms(many), LONGEST_WAIT_MS, "{many}");
        }
    }
}
