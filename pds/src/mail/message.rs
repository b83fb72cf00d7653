//! The texts of mails, in plain text and HTML, and a mail in the form that goes over the wire.
//!
//! Pure: knows no account rows, no clock and no network.

use askama::Template;
use lettre::message::{Mailbox, MultiPart};

use crate::account::AccountId;
use crate::account::code::{EMAIL_CODE_MS, EmailPurpose};

/// How long a mail without a code is tried, in milliseconds.
const NOTE_MS: i64 = 3 * 24 * 60 * 60 * 1000;

/// A mail that is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMail {
    /// Whose account it is about; it goes when the account goes.
    pub account: Option<AccountId>,
    /// What its code is for. A newer code for the same purpose replaces one not yet sent.
    pub purpose: Option<EmailPurpose>,
    /// Address of the receiver, already checked.
    pub to: String,
    /// Subject, one line.
    pub subject: String,
    /// Plain text, lines end with `\n`.
    pub text: String,
    /// The same as HTML.
    pub html: String,
    /// When it was made, Unix ms.
    pub created_at_ms: i64,
    /// After this it is of no use any more, Unix ms.
    pub give_up_at_ms: i64,
}

/// To whom a code goes, and what it must say.
#[derive(Debug, Clone, Copy)]
pub struct CodeMail<'a> {
    /// Whose code.
    pub account: AccountId,
    /// What it is for.
    pub purpose: EmailPurpose,
    /// Where it goes.
    pub to: &'a str,
    /// The code.
    pub code: &'a str,
    /// Handle of the account.
    pub handle: &'a str,
}

#[derive(Template)]
#[template(path = "mail/templates/code.txt")]
struct CodeText<'a> {
    handle: &'a str,
    host: &'a str,
    action: &'a str,
    code: &'a str,
    warning: &'a str,
}

#[derive(Template)]
#[template(path = "mail/templates/code.html")]
struct CodeHtml<'a> {
    subject: &'a str,
    handle: &'a str,
    host: &'a str,
    action: &'a str,
    code: &'a str,
    warning: &'a str,
}

#[derive(Template)]
#[template(path = "mail/templates/note.html")]
struct NoteHtml<'a> {
    subject: &'a str,
    host: &'a str,
    paragraphs: Vec<&'a str>,
}

/// Why a mail could not be put into words or onto the wire.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// A template failed.
    #[error("a mail template failed")]
    Template(#[from] askama::Error),
    /// An address is none.
    #[error("{address:?} is not a mail address that can be sent to")]
    Address {
        /// The address.
        address: String,
        /// What is wrong with it.
        #[source]
        cause: lettre::address::AddressError,
    },
    /// The parts do not make a mail.
    #[error("the mail could not be put together")]
    Build(#[from] lettre::error::Error),
}

const NOT_YOU: &str = "If you did not ask for it, somebody else did: do nothing, and do not give \
    the code to anyone.";
const PASSWORD_KNOWN: &str = "If you are not signing in, somebody else knows your password: do \
    not give the code to anyone, and choose a new password.";

impl NewMail {
    /// The mail that carries a code, in the name of `host`.
    ///
    /// # Errors
    /// [`MessageError::Template`].
    pub fn with_code(mail: &CodeMail<'_>, host: &str, now_ms: i64) -> Result<Self, MessageError> {
        let CodeMail { handle, code, .. } = *mail;
        let (subject, action) = words(mail.purpose);
        let warning = match mail.purpose {
            EmailPurpose::SignIn => PASSWORD_KNOWN,
            EmailPurpose::ConfirmEmail
            | EmailPurpose::UpdateEmail
            | EmailPurpose::ResetPassword
            | EmailPurpose::DeleteAccount
            | EmailPurpose::PlcOperation => NOT_YOU,
        };
        let text = CodeText {
            handle,
            host,
            action,
            code,
            warning,
        };
        let html = CodeHtml {
            subject,
            handle,
            host,
            action,
            code,
            warning,
        };
        Ok(Self {
            account: Some(mail.account),
            purpose: Some(mail.purpose),
            to: mail.to.to_owned(),
            subject: subject.to_owned(),
            text: text.render()?,
            html: html.render()?,
            created_at_ms: now_ms,
            give_up_at_ms: now_ms + EMAIL_CODE_MS,
        })
    }

    /// A mail of plain text: paragraphs are divided by empty lines.
    ///
    /// # Errors
    /// [`MessageError::Template`].
    pub fn note(
        account: Option<AccountId>,
        to: String,
        subject: &str,
        text: String,
        host: &str,
        now_ms: i64,
    ) -> Result<Self, MessageError> {
        let subject = subject.replace(['\r', '\n'], " ");
        let paragraphs = text.split("\n\n").collect();
        let html = NoteHtml {
            subject: &subject,
            host,
            paragraphs,
        };
        let html = html.render()?;
        Ok(Self {
            account,
            purpose: None,
            to,
            subject,
            text,
            html,
            created_at_ms: now_ms,
            give_up_at_ms: now_ms + NOTE_MS,
        })
    }
}

fn words(purpose: EmailPurpose) -> (&'static str, &'static str) {
    match purpose {
        EmailPurpose::ConfirmEmail => ("Confirm your email", "confirm this email address"),
        EmailPurpose::UpdateEmail => (
            "Change your email",
            "change your email address or how it protects your account",
        ),
        EmailPurpose::ResetPassword => ("Reset your password", "choose a new password"),
        EmailPurpose::DeleteAccount => (
            "Delete your account",
            "delete your account with everything in it",
        ),
        EmailPurpose::PlcOperation => (
            "Change to your identity",
            "sign a change to your identity, such as moving to another server",
        ),
        EmailPurpose::SignIn => ("Your sign-in code", "sign in"),
    }
}

/// A mail as it goes over the wire. `id` stays the same over all tries, so that a receiver who gets
/// it twice can tell.
pub(crate) fn wire(
    mail: &NewMail,
    id: i64,
    from: &Mailbox,
) -> Result<lettre::Message, MessageError> {
    let address = |cause| MessageError::Address {
        address: mail.to.clone(),
        cause,
    };
    let to: lettre::Address = mail.to.parse().map_err(address)?;
    let millis = u64::try_from(mail.created_at_ms).unwrap_or_default();
    let date = std::time::UNIX_EPOCH + std::time::Duration::from_millis(millis);
    let message_id = format!("<{}.{id}@{}>", mail.created_at_ms, from.email.domain());
    Ok(lettre::Message::builder()
        .from(from.clone())
        .to(Mailbox::from(to))
        .subject(&mail.subject)
        .date(date)
        .message_id(Some(message_id))
        .multipart(MultiPart::alternative_plain_html(
            mail.text.clone(),
            mail.html.clone(),
        ))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code_mail(purpose: EmailPurpose) -> NewMail {
        let mail = CodeMail {
            account: AccountId(7),
            purpose,
            to: "ada@coop.example",
            code: "ABCDE-23456",
            handle: "ada.test",
        };
        NewMail::with_code(&mail, "pds.coop.example", 1_800_000_000_000).unwrap()
    }

    fn sent(mail: &NewMail) -> String {
        let from = "The Co-op <noreply@coop.example>".parse().unwrap();
        String::from_utf8(wire(mail, 3, &from).unwrap().formatted()).unwrap()
    }

    #[test]
    fn a_code_stands_on_a_line_of_its_own_in_both_texts() {
        for purpose in [
            EmailPurpose::ConfirmEmail,
            EmailPurpose::UpdateEmail,
            EmailPurpose::ResetPassword,
            EmailPurpose::DeleteAccount,
            EmailPurpose::PlcOperation,
            EmailPurpose::SignIn,
        ] {
            let mail = sent(&code_mail(purpose));
            let lines = mail.lines().filter(|line| line.trim() == "ABCDE-23456");
            assert_eq!(lines.count(), 2, "{mail}");
            assert!(mail.contains("Content-Type: multipart/alternative"));
            assert!(mail.contains("From: \"The Co-op\" <noreply@coop.example>\r\n"));
            assert!(mail.contains("Message-ID: <1800000000000.3@coop.example>\r\n"));
            assert!(mail.contains("Date: Fri, 15 Jan 2027 08:00:00 +0000\r\n"));
        }
    }

    #[test]
    fn header_lines_and_markup_cannot_be_smuggled_in() {
        let text = "<script>alert(1)</script>".to_owned();
        let subject = "Hello\r\nBcc: all@x.org";
        let to = "ada@coop.example".to_owned();
        let note = NewMail::note(None, to, subject, text, "host", 0).unwrap();
        let mail = sent(&note);
        assert!(!mail.contains("\nBcc:"), "{mail}");
        assert!(note.html.contains("&#60;script&#62;"), "{}", note.html);
        let evil = NewMail {
            to: "a@b.c\r\nBcc: all@x.org".to_owned(),
            ..note
        };
        let from = "noreply@coop.example".parse().unwrap();
        assert!(matches!(
            wire(&evil, 1, &from),
            Err(MessageError::Address { .. })
        ));
    }
}
