//! Codes that people copy by hand: app passwords, invite codes and mailed codes.
//!
//! Pure: the caller draws the random bytes.

use data_encoding::BASE32_NOPAD;
use rochdale_protocol::syntax::Did;
use rochdale_service::clock;
use sha2::{Digest, Sha256};

/// How long a mailed code may be used, in milliseconds.
pub const EMAIL_CODE_MS: i64 = 15 * 60 * 1000;

/// A new app password, `xxxx-xxxx-xxxx-xxxx`: 80 random bits.
#[must_use]
pub fn app_password() -> String {
    groups(&base32_lower(&clock::random::<10>()), 4)
}

/// The part of an invite code after the host name, `xxxxx-xxxxx`: 50 random bits.
#[must_use]
pub fn invite_suffix() -> String {
    ten_in_two_groups(&base32_lower(&clock::random::<7>()))
}

/// An invite code of the server called `host`: dots become dashes, then a random part.
#[must_use]
pub fn invite_code(host: &str) -> String {
    format!("{}-{}", host.replace(['.', ':'], "-"), invite_suffix())
}

/// A new mailed code, `XXXXX-XXXXX`: 50 random bits.
#[must_use]
pub fn email_code() -> String {
    ten_in_two_groups(&BASE32_NOPAD.encode(&clock::random::<7>()))
}

/// What the database keeps of a mailed code: case and surrounding space do not matter.
#[must_use]
pub fn email_code_digest(purpose: EmailPurpose, code: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(purpose.name());
    hash.update([0]);
    hash.update(code.trim().to_ascii_uppercase());
    hash.finalize().into()
}

/// What the database keeps of an app password. It is drawn from 80 random bits, so one fast hash
/// does; the DID keeps equal digests of two accounts apart.
#[must_use]
pub fn app_password_digest(did: &Did, password: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(did.as_str());
    hash.update([0]);
    hash.update(password.trim());
    hash.finalize().into()
}

/// Whether `password` has the shape of an app password.
#[must_use]
pub fn looks_like_app_password(password: &str) -> bool {
    let bytes = password.trim().as_bytes();
    bytes.len() == 19
        && bytes.iter().enumerate().all(|(at, byte)| {
            if at % 5 == 4 {
                *byte == b'-'
            } else {
                byte.is_ascii_lowercase() || byte.is_ascii_digit()
            }
        })
}

/// What a mailed code is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EmailPurpose {
    /// Proves that the address is the member's.
    ConfirmEmail,
    /// Allows another address.
    UpdateEmail,
    /// Allows a new password.
    ResetPassword,
    /// Allows deletion, together with the password.
    DeleteAccount,
    /// Allows one signed PLC operation.
    PlcOperation,
    /// The second factor of one sign-in.
    SignIn,
}

impl EmailPurpose {
    /// The name in the database.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ConfirmEmail => "confirm_email",
            Self::UpdateEmail => "update_email",
            Self::ResetPassword => "reset_password",
            Self::DeleteAccount => "delete_account",
            Self::PlcOperation => "plc_operation",
            Self::SignIn => "sign_in",
        }
    }
}

fn base32_lower(bytes: &[u8]) -> String {
    BASE32_NOPAD.encode(bytes).to_ascii_lowercase()
}

fn ten_in_two_groups(text: &str) -> String {
    groups(text.get(..10).unwrap_or(text), 5)
}

fn groups(text: &str, size: usize) -> String {
    let chars: Vec<char> = text.chars().collect();
    chars
        .chunks(size)
        .map(|group| group.iter().collect::<String>())
        .collect::<Vec<_>>()
        .join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_the_shapes_that_clients_know() {
        let password = app_password();
        assert!(looks_like_app_password(&password), "{password}");
        assert!(!looks_like_app_password("correct horse stap"));
        let code = email_code();
        assert_eq!(code.len(), 11);
        assert_eq!(code.as_bytes()[5], b'-');
        assert_eq!(code, code.to_ascii_uppercase());
        let invite = invite_code("pds.coop.example");
        assert!(invite.starts_with("pds-coop-example-"), "{invite}");
        assert_eq!(invite.len(), "pds-coop-example-".len() + 11);
        assert_ne!(app_password(), app_password());
    }

    #[test]
    fn a_mailed_code_matches_in_any_case_but_only_for_its_purpose() {
        let digest = |purpose, code| email_code_digest(purpose, code);
        let stored = digest(EmailPurpose::ResetPassword, "ABCDE-23456");
        assert_eq!(
            stored,
            digest(EmailPurpose::ResetPassword, " abcde-23456\n")
        );
        assert_ne!(stored, digest(EmailPurpose::DeleteAccount, "ABCDE-23456"));
    }

    #[test]
    fn equal_app_passwords_of_two_accounts_do_not_share_a_digest() {
        let ada = "did:plc:ewvi7nxzyoun6zhxrhs64oiz".parse().unwrap();
        let bob = "did:plc:44ybard66vv44zksje25o7dz".parse().unwrap();
        let password = "aaaa-bbbb-cccc-dddd";
        assert_ne!(
            app_password_digest(&ada, password),
            app_password_digest(&bob, password)
        );
    }
}
