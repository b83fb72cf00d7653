//! Handles: domain names of accounts, as the atproto "Handle" specification restricts them.
//! Syntax only, plus the list of top-level domains that the specification never lets resolve.

use std::sync::Arc;

use super::text::text_identifier;

/// A handle, kept in lower case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle(Arc<str>);

text_identifier!(Handle, "a handle");

/// Top-level domains that no handle may be registered or resolved under.
const DISALLOWED_TLDS: [&str; 8] = [
    "alt",
    "arpa",
    "example",
    "internal",
    "invalid",
    "local",
    "localhost",
    "onion",
];

impl Handle {
    /// What an API answers in place of a handle that could not be verified in both directions.
    pub const INVALID: &'static str = "handle.invalid";

    /// The placeholder [`Handle::INVALID`] as a handle.
    pub fn invalid() -> Self {
        Self(Self::INVALID.into())
    }

    /// Whether this is the placeholder for an unverified handle.
    pub fn is_invalid(&self) -> bool {
        &*self.0 == Self::INVALID
    }

    /// The last label.
    pub fn tld(&self) -> &str {
        self.0.rsplit('.').next().unwrap_or_default()
    }

    /// Whether the top-level domain may never be registered or resolved (`.test` is not among them:
    /// a development server may serve it).
    pub fn is_disallowed_tld(&self) -> bool {
        disallowed_tld(&self.0)
    }

    fn check(text: &str) -> Result<Arc<str>, &'static str> {
        check_hostname(text)?;
        if text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Ok(text.to_ascii_lowercase().into());
        }
        Ok(text.into())
    }
}

/// Whether the last label of a host name is one that atproto never registers or resolves.
pub fn disallowed_tld(host: &str) -> bool {
    let tld = host.rsplit('.').next().unwrap_or_default();
    DISALLOWED_TLDS
        .iter()
        .any(|banned| tld.eq_ignore_ascii_case(banned))
}

/// The grammar of a handle, which is also that of the host in a did:web.
pub(super) fn check_hostname(text: &str) -> Result<(), &'static str> {
    if text.len() > super::MAX_HANDLE_BYTES {
        return Err("it is longer than 253 bytes");
    }
    let mut labels = 0_u32;
    let mut tld_start = 0;
    for label in text.split('.') {
        check_label(label.as_bytes())?;
        labels += 1;
        tld_start = label.as_bytes().first().copied().unwrap_or_default();
    }
    if labels < 2 {
        return Err("it needs at least two labels");
    }
    if !tld_start.is_ascii_alphabetic() {
        return Err("the last label must start with a letter");
    }
    Ok(())
}

/// One label of a domain name.
pub(super) fn check_label(label: &[u8]) -> Result<(), &'static str> {
    let (Some(first), Some(last)) = (label.first(), label.last()) else {
        return Err("a label is empty");
    };
    if label.len() > 63 {
        return Err("a label is longer than 63 bytes");
    }
    if !label
        .iter()
        .all(|b| b.is_ascii_alphanumeric() || *b == b'-')
    {
        return Err("a label may hold only letters, digits and hyphens");
    }
    if *first == b'-' || *last == b'-' {
        return Err("a label may not start or end with a hyphen");
    }
    Ok(())
}
