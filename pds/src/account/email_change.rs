//! The member's mail address and the second factor that rests on it.
//!
//! An address becomes the account's only when a code mailed to it came back; until then the one
//! before stays in force for everything, and sessions show the new one as not confirmed. So a
//! mistyped address locks nobody out, and the second factor always goes to an address that was
//! proven.

use std::sync::Arc;

use super::Account;
use super::code::EmailPurpose;
use super::email::{self, EmailError};
use super::mailed::{self, MailCodeError};
use crate::app::{App, Pds};
use crate::mail::{self, MessageError, NewMail};
use crate::store::StoreError;
use crate::store::account::{AccountChange, AccountKey, ChangeError, Set};

/// What a member wants to be different.
#[derive(Debug)]
pub struct EmailWish {
    /// The address; the present one leaves it as it is.
    pub address: String,
    /// A code mailed to the present address.
    pub token: Option<String>,
    /// Whether signing in should take a mailed code; `None` leaves it as it is.
    pub factor: Option<bool>,
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum EmailChangeError {
    /// No address that mail can be sent to.
    #[error(transparent)]
    Address(#[from] EmailError),
    /// Another account has it.
    #[error("Email already taken")]
    Taken,
    /// The present address is confirmed, so its owner must agree.
    #[error("confirmation token required: see requestEmailUpdate")]
    TokenRequired,
    /// A second factor needs an address that is known to work.
    #[error("confirm your email address before you turn on the second factor")]
    NotConfirmed,
    /// Nobody would get the codes.
    #[error("this server cannot send mail, so it offers no second factor by email")]
    NoMail,
    /// The address given is not the one to be confirmed.
    #[error("invalid email: it is neither the account's address nor the one it is to have")]
    OtherAddress,
    /// The mail could not be put into words.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// The store refused.
    #[error(transparent)]
    Change(#[from] ChangeError),
}

impl From<StoreError> for EmailChangeError {
    fn from(error: StoreError) -> Self {
        Self::Change(error.into())
    }
}

/// Mails the code that [`change`] asks for; answers whether it asks for one.
///
/// # Errors
/// [`MailCodeError`].
pub async fn request(pds: &App, account: &Account) -> Result<bool, MailCodeError> {
    let token_required = account.email_confirmed_at_ms.is_some();
    if token_required {
        mailed::send(pds, account, EmailPurpose::UpdateEmail).await?;
    }
    Ok(token_required)
}

/// Notes the wish for another address and mails a code there; turns the second factor on or off.
/// Runs to its end once started: call it as an owned task.
///
/// # Errors
/// The first rule broken; nothing changed then.
pub async fn change(
    pds: Pds,
    account: Arc<Account>,
    wish: EmailWish,
) -> Result<(), EmailChangeError> {
    let proven = account.email_confirmed_at_ms.is_some();
    let stays = is_address(account.email.as_deref(), &wish.address);
    let factor = wish.factor.filter(|wanted| *wanted != account.email_factor);
    if factor == Some(true) && !proven {
        return Err(EmailChangeError::NotConfirmed);
    }
    if factor == Some(true) && !pds.mailer.delivers() && !pds.dev {
        return Err(EmailChangeError::NoMail);
    }
    let mut change = AccountChange::of(account.id);
    if proven && (!stays || factor == Some(false)) {
        let token = wish.token.ok_or(EmailChangeError::TokenRequired)?;
        change = change.redeems(mailed::redeem(&pds, EmailPurpose::UpdateEmail, &token));
    }
    if !stays {
        let address = email::check(Some(&wish.address))?;
        check_free(&pds, &account, &address).await?;
        let purpose = EmailPurpose::ConfirmEmail;
        change.code = Some(mailed::new_code(&pds, &account, purpose, &address)?);
        change.clear_codes = true;
        change = change.set(Set::EmailPending(Some(address)));
    } else if account.email_pending.is_some() {
        change.clear_codes = true;
        change = change.set(Set::EmailPending(None));
    }
    if let Some(on) = factor {
        change = change.set(Set::EmailFactor(on));
    }
    if change.set.is_empty() {
        return Ok(());
    }
    apply(&pds, &account, change).await
}

/// Takes the code that was mailed to the wanted address, or to the present one when no other is
/// wanted. Runs to its end once started: call it as an owned task.
///
/// # Errors
/// When `address` or the code is another one, or someone else has proven the address meanwhile.
pub async fn confirm(
    pds: Pds,
    account: Arc<Account>,
    address: String,
    code: String,
) -> Result<(), EmailChangeError> {
    let pending = account.email_pending.as_deref();
    let known = is_address(pending, &address) || is_address(account.email.as_deref(), &address);
    // A client that has not asked since still knows the old address.
    let proven = pending.or(account.email.as_deref()).filter(|_| known);
    let proven = proven.ok_or(EmailChangeError::OtherAddress)?.to_owned();
    let purpose = EmailPurpose::ConfirmEmail;
    let redeem = mailed::redeem_from(&pds, purpose, &code, &proven);
    let mut change = AccountChange::of(account.id)
        .redeems(redeem)
        .set(Set::EmailProven(proven, pds.now_ms()));
    if account.email_pending.is_some() {
        change.clear_codes = true;
        change.mail = farewell(&pds, &account)?;
    }
    apply(&pds, &account, change).await
}

fn is_address(known: Option<&str>, given: &str) -> bool {
    known.is_some_and(|known| known.eq_ignore_ascii_case(given.trim()))
}

async fn check_free(pds: &App, account: &Account, address: &str) -> Result<(), EmailChangeError> {
    let key = AccountKey::Email(address.to_owned());
    match pds.store.accounts.find(key).await? {
        Some(other) if other.id != account.id => Err(EmailChangeError::Taken),
        Some(_) | None => Ok(()),
    }
}

/// Tells the old address, if it was the member's, that it counts no more.
fn farewell(pds: &App, account: &Account) -> Result<Option<NewMail>, MessageError> {
    let confirmed = account.email_confirmed_at_ms.is_some();
    let Some(old) = account.email.clone().filter(|_| confirmed) else {
        return Ok(None);
    };
    let text = format!(
        "Hello @{},\n\nyour account at {} has another email address now. This one is not used any \
         more.\n\nIf it was not you who changed it, ask the operator of the server for help.\n",
        account.handle_text(),
        pds.host
    );
    let subject = "Your email address was changed";
    let account = Some(account.id);
    NewMail::note(account, old, subject, text, &pds.host, pds.now_ms()).map(Some)
}

async fn apply(
    pds: &App,
    account: &Account,
    change: AccountChange,
) -> Result<(), EmailChangeError> {
    let mails = change.code.is_some() || change.mail.is_some();
    let done = pds.store.accounts.change(change).await;
    pds.accounts.changed(account);
    done?;
    if mails {
        mail::queued(pds).await;
    }
    Ok(())
}
