//! Codes sent by mail: made, kept as a digest, and presented again within 15 minutes.

use super::Account;
use super::code::{EMAIL_CODE_MS, EmailPurpose, email_code, email_code_digest};
use crate::app::App;
use crate::mail::{self, CodeMail, MessageError, NewMail};
use crate::store::StoreError;
use crate::store::account::{NewCode, Redeem};

/// Why no code was mailed.
#[derive(Debug, thiserror::Error)]
pub enum MailCodeError {
    /// The account has no address.
    #[error("account does not have an email address")]
    NoAddress,
    /// The mail could not be put into words.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The address that a code for `purpose` goes to: the one to be confirmed is the one that the member
/// wants, everything else is allowed from the present one only.
fn address(account: &Account, purpose: EmailPurpose) -> Option<&str> {
    let wanted = match purpose {
        EmailPurpose::ConfirmEmail => account.email_pending.as_deref(),
        EmailPurpose::UpdateEmail
        | EmailPurpose::ResetPassword
        | EmailPurpose::DeleteAccount
        | EmailPurpose::PlcOperation
        | EmailPurpose::SignIn => None,
    };
    wanted.or(account.email.as_deref())
}

/// A new code for `purpose` and the mail that brings it to `address`.
///
/// # Errors
/// [`MessageError`].
pub fn new_code(
    pds: &App,
    account: &Account,
    purpose: EmailPurpose,
    address: &str,
) -> Result<NewCode, MessageError> {
    let code = email_code();
    let mail = CodeMail {
        account: account.id,
        purpose,
        to: address,
        code: &code,
        handle: account.handle_text(),
    };
    Ok(NewCode {
        purpose,
        digest: digest(purpose, &code, address),
        made_at_ms: pds.now_ms(),
        mail: NewMail::with_code(&mail, &pds.host, pds.now_ms())?,
    })
}

/// Makes a code for `purpose` and mails it.
///
/// # Errors
/// [`MailCodeError`].
pub async fn send(
    pds: &App,
    account: &Account,
    purpose: EmailPurpose,
) -> Result<(), MailCodeError> {
    send_unless_after(pds, account, purpose, i64::MAX).await
}

/// As [`send`], but leaves it at the code that is live when that was made after `unless_after_ms`.
///
/// # Errors
/// [`MailCodeError`].
pub async fn send_unless_after(
    pds: &App,
    account: &Account,
    purpose: EmailPurpose,
    unless_after_ms: i64,
) -> Result<(), MailCodeError> {
    let address = address(account, purpose).ok_or(MailCodeError::NoAddress)?;
    let code = new_code(pds, account, purpose, address)?;
    let put = pds
        .store
        .accounts
        .put_code(account.id, code, unless_after_ms);
    if put.await? {
        mail::queued(pds).await;
    }
    Ok(())
}

/// The precondition that `code` is live for `purpose` at this moment.
#[must_use]
pub fn redeem(pds: &App, purpose: EmailPurpose, code: &str) -> Redeem {
    redeem_from(pds, purpose, code, "")
}

/// As [`redeem`], for a code that proves the address it was mailed to.
#[must_use]
pub fn redeem_from(pds: &App, purpose: EmailPurpose, code: &str, address: &str) -> Redeem {
    Redeem {
        purpose,
        digest: digest(purpose, code, address),
        not_before_ms: pds.now_ms() - EMAIL_CODE_MS,
    }
}

/// A code that confirms an address is bound to it: it proves no other.
fn digest(purpose: EmailPurpose, code: &str, address: &str) -> [u8; 32] {
    match purpose {
        EmailPurpose::ConfirmEmail => {
            let bound = format!("{} {}", code.trim(), address.to_ascii_uppercase());
            email_code_digest(purpose, &bound)
        }
        EmailPurpose::UpdateEmail
        | EmailPurpose::ResetPassword
        | EmailPurpose::DeleteAccount
        | EmailPurpose::PlcOperation
        | EmailPurpose::SignIn => email_code_digest(purpose, code),
    }
}
