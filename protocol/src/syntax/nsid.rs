//! Namespaced identifiers of schemas, as the atproto "NSID" specification gives them.

use std::sync::Arc;

use super::handle::check_label;
use super::text::text_identifier;

/// An NSID: a domain authority in reverse order, kept in lower case, and a name, kept as it is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nsid(Arc<str>);

text_identifier!(Nsid, "an NSID");

impl Nsid {
    /// Everything before the name: `com.example` in `com.example.fooBar`.
    pub fn authority(&self) -> &str {
        self.0.rsplit_once('.').unwrap_or_default().0
    }

    /// The last segment: `fooBar` in `com.example.fooBar`.
    pub fn name(&self) -> &str {
        self.0.rsplit_once('.').unwrap_or_default().1
    }

    fn check(text: &str) -> Result<Arc<str>, &'static str> {
        if text.len() > super::MAX_NSID_BYTES {
            return Err("it is longer than 317 bytes");
        }
        let (authority, name) = text
            .rsplit_once('.')
            .ok_or("it needs at least three segments")?;
        let mut segments = 0_u32;
        for segment in authority.split('.') {
            check_label(segment.as_bytes())?;
            segments += 1;
        }
        if segments < 2 {
            return Err("it needs at least three segments");
        }
        if !authority.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Err("the first segment must start with a letter");
        }
        if name.is_empty() || name.len() > 63 {
            return Err("the name must be 1 to 63 bytes long");
        }
        if !name.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err("the name may hold only letters and digits");
        }
        if name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err("the name may not start with a digit");
        }
        if authority.bytes().any(|b| b.is_ascii_uppercase()) {
            return Ok(format!("{}.{name}", authority.to_ascii_lowercase()).into());
        }
        Ok(text.into())
    }
}
