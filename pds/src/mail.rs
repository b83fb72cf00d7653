//! Mail to members.
//!
//! Owns the texts and the outbox: a folder of `*.eml` files that a mail agent, or a person on a
//! test server, picks up. Must not know accounts or the database.

use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use rochdale_service::clock;

use crate::account::code::EmailPurpose;

/// A mail in plain text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Address of the receiver, already checked.
    pub to: String,
    /// Subject, one line.
    pub subject: String,
    /// Text, lines end with `\n`.
    pub body: String,
}

/// Why a mail could not be handed over.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// The outbox cannot be written.
    #[error("mail cannot be written to {}", path.display())]
    Outbox {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: std::io::Error,
    },
}

impl Message {
    /// The mail that carries a code.
    #[must_use]
    pub fn with_code(
        to: String,
        purpose: EmailPurpose,
        code: &str,
        handle: &str,
        host: &str,
    ) -> Self {
        let (subject, what) = match purpose {
            EmailPurpose::ConfirmEmail => ("Confirm your email", "confirm this email address"),
            EmailPurpose::UpdateEmail => ("Change your email", "change your email address"),
            EmailPurpose::ResetPassword => ("Reset your password", "choose a new password"),
            EmailPurpose::DeleteAccount => (
                "Delete your account",
                "delete your account with everything in it",
            ),
            EmailPurpose::PlcOperation => (
                "Change to your identity",
                "sign a change to your identity, such as moving to another server",
            ),
        };
        let body = format!(
            "Hello @{handle},\n\n\
             to {what} at {host}, enter this code where you asked for it:\n\n    {code}\n\n\
             It is good for 15 minutes and only once. If you did not ask for it, somebody else\n\
             did: do nothing, and do not give the code to anyone.\n"
        );
        Self {
            to,
            subject: subject.to_owned(),
            body,
        }
    }

    fn to_eml(&self, from_host: &str, id: &str, now: Timestamp) -> String {
        let date = jiff::fmt::rfc2822::to_string(&now.to_zoned(jiff::tz::TimeZone::UTC))
            .unwrap_or_default();
        let one_line = |text: &str| text.replace(['\r', '\n'], " ");
        let host = from_host.split(':').next().unwrap_or(from_host);
        format!(
            "From: noreply@{host}\r\nTo: {}\r\nSubject: {}\r\nDate: {date}\r\n\
             Message-ID: <{id}@{host}>\r\nMIME-Version: 1.0\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\
             Content-Transfer-Encoding: 8bit\r\n\r\n{}",
            one_line(&self.to),
            one_line(&self.subject),
            self.body.replace('\n', "\r\n"),
        )
    }
}

/// Hands mail over.
#[derive(Debug, Clone)]
pub struct Mailer {
    outbox: PathBuf,
    host: String,
}

impl Mailer {
    /// A mailer that writes to the folder `outbox` in the name of `host`.
    #[must_use]
    pub fn new(outbox: PathBuf, host: String) -> Self {
        Self { outbox, host }
    }

    /// Writes the mail to the outbox. It is there in full when this returns.
    ///
    /// # Errors
    /// [`MailError::Outbox`] when the folder cannot be written.
    pub async fn send(&self, message: Message, now_ms: i64) -> Result<(), MailError> {
        let id = HEXLOWER.encode(&clock::random::<8>());
        let now = Timestamp::from_millisecond(now_ms).unwrap_or(Timestamp::UNIX_EPOCH);
        let text = message.to_eml(&self.host, &id, now);
        // Names sort by time, so that a folder listing reads like a mailbox.
        let path = self.outbox.join(format!("{now_ms:015}-{id}.eml"));
        let partial = self.outbox.join(format!(".{id}.part"));
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |cause| MailError::Outbox { path, cause }
        };
        tokio::fs::create_dir_all(&self.outbox)
            .await
            .map_err(failed(&self.outbox))?;
        tokio::fs::write(&partial, text)
            .await
            .map_err(failed(&partial))?;
        tokio::fs::rename(&partial, &path)
            .await
            .map_err(failed(&path))
    }

    /// The newest mails in the outbox, newest first, at most `limit`.
    ///
    /// # Errors
    /// When the folder cannot be read; an absent one is empty.
    pub async fn newest(&self, limit: usize) -> std::io::Result<Vec<String>> {
        let mut names = Vec::new();
        let mut folder = match tokio::fs::read_dir(&self.outbox).await {
            Ok(folder) => folder,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(names),
            Err(error) => return Err(error),
        };
        while let Some(entry) = folder.next_entry().await? {
            if let Ok(name) = entry.file_name().into_string()
                && name.ends_with(".eml")
            {
                names.push(name);
            }
        }
        names.sort_unstable_by(|a, b| b.cmp(a));
        names.truncate(limit);
        let mut mails = Vec::with_capacity(names.len());
        for name in names {
            mails.push(tokio::fs::read_to_string(self.outbox.join(name)).await?);
        }
        Ok(mails)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Message {
        let to = "ada@coop.example".to_owned();
        Message::with_code(
            to,
            EmailPurpose::ResetPassword,
            "ABCDE-23456",
            "ada.test",
            "localhost:1",
        )
    }

    #[tokio::test]
    async fn a_mail_lands_whole_in_the_outbox_and_the_newest_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        let mailer = Mailer::new(folder.path().join("outbox"), "localhost:2583".to_owned());
        assert!(mailer.newest(10).await.unwrap().is_empty());
        mailer.send(message(), 1_800_000_000_000).await.unwrap();
        let second = Message {
            subject: "Second".to_owned(),
            ..message()
        };
        mailer.send(second, 1_800_000_000_001).await.unwrap();
        let mails = mailer.newest(10).await.unwrap();
        assert_eq!(mails.len(), 2);
        assert!(mails[0].contains("Subject: Second\r\n"));
        assert!(mails[1].contains("ABCDE-23456"));
        assert!(mails[1].contains("From: noreply@localhost\r\n"));
        assert!(mails[1].contains("Date: Fri, 15 Jan 2027 08:00:00"));
    }

    #[test]
    fn header_lines_cannot_be_smuggled_in() {
        let evil = Message {
            to: "a@b.c\r\nBcc: all@b.c".to_owned(),
            ..message()
        };
        let eml = evil.to_eml("host", "1", Timestamp::UNIX_EPOCH);
        assert!(!eml.contains("\nBcc:"));
    }
}
