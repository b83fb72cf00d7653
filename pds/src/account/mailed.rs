//! Codes sent by mail: made, kept as a digest, and presented again within 15 minutes.

use super::Account;
use super::code::{EMAIL_CODE_MS, EmailPurpose, email_code, email_code_digest};
use crate::app::App;
use crate::mail::{MailError, Message};
use crate::store::StoreError;
use crate::store::account::Redeem;

/// Why no code was mailed.
#[derive(Debug, thiserror::Error)]
pub enum MailCodeError {
    /// The account has no address.
    #[error("account does not have an email address")]
    NoAddress,
    /// The mail could not be handed over.
    #[error(transparent)]
    Mail(#[from] MailError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes a code for `purpose` and mails it to the account's present address.
///
/// # Errors
/// [`MailCodeError`].
pub async fn send(
    pds: &App,
    account: &Account,
    purpose: EmailPurpose,
) -> Result<(), MailCodeError> {
    let address = account.email.clone().ok_or(MailCodeError::NoAddress)?;
    let code = email_code();
    let digest = email_code_digest(purpose, &code);
    pds.store
        .accounts
        .put_code(account.id, purpose, digest, pds.now_ms())
        .await?;
    let message = Message::with_code(address, purpose, &code, account.handle_text(), &pds.host);
    Ok(pds.mailer.send(message, pds.now_ms()).await?)
}

/// The precondition that `code` is live for `purpose` at this moment.
#[must_use]
pub fn redeem(pds: &App, purpose: EmailPurpose, code: &str) -> Redeem {
    Redeem {
        purpose,
        digest: email_code_digest(purpose, code),
        not_before_ms: pds.now_ms() - EMAIL_CODE_MS,
    }
}
