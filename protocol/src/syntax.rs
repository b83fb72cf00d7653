//! Identifier syntax: DIDs, handles, NSIDs, record keys, TIDs, AT-URIs, datetimes, languages, URIs.
//!
//! Owns the grammar of every identifier, as the public atproto specifications ("DID", "Handle",
//! "NSID", "Record Key", "TID", "AT URI", "Lexicon: string formats") give it. Each type is a proof
//! that its text is valid. Nothing here resolves anything or applies a server's own policy.

mod at_uri;
mod cid_format;
mod datetime;
mod did;
mod handle;
mod language;
mod nsid;
mod record_key;
mod record_path;
pub(crate) mod text;
mod tid;
mod uri;

#[cfg(test)]
mod tests;

pub use at_uri::{AtIdentifier, AtUri};
pub use cid_format::cid_format;
pub use datetime::Datetime;
pub use did::Did;
pub use handle::{Handle, disallowed_tld};
pub use language::Language;
pub use nsid::Nsid;
pub use record_key::RecordKey;
pub use record_path::RecordPath;
pub(crate) use text::deserialize_from_text;
pub use tid::{Tid, TidText};
pub use uri::Uri;

/// Longest DID, in bytes.
pub const MAX_DID_BYTES: usize = 2048;
/// Longest handle, in bytes.
pub const MAX_HANDLE_BYTES: usize = 253;
/// Longest NSID, in bytes.
pub const MAX_NSID_BYTES: usize = 317;
/// Longest record key, in bytes.
pub const MAX_RECORD_KEY_BYTES: usize = 512;
/// Longest repository path (`collection/rkey`), in bytes.
pub const MAX_RECORD_PATH_BYTES: usize = 1024;
/// Longest AT-URI and longest generic URI, in bytes.
pub const MAX_URI_BYTES: usize = 8192;
/// Longest datetime, in bytes.
pub const MAX_DATETIME_BYTES: usize = 64;
/// Longest language tag, in bytes.
pub const MAX_LANGUAGE_BYTES: usize = 128;

/// Longest part of a refused text that an error message repeats, in characters.
const MAX_QUOTED_CHARS: usize = 80;

/// A text that does not follow the grammar of the identifier it was given as.
///
/// `value` is the refused text, shortened if it is long; `reason` says which rule it breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(
    missing_docs,
    reason = "the same two fields everywhere, described above"
)]
pub enum SyntaxError {
    /// Not a DID.
    #[error("`{value}` is not a valid DID: {reason}")]
    Did { value: String, reason: &'static str },
    /// Not a handle.
    #[error("`{value}` is not a valid handle: {reason}")]
    Handle { value: String, reason: &'static str },
    /// Neither a DID nor a handle.
    #[error("`{value}` is neither a valid DID nor a valid handle: {reason}")]
    AtIdentifier { value: String, reason: &'static str },
    /// Not an NSID.
    #[error("`{value}` is not a valid NSID: {reason}")]
    Nsid { value: String, reason: &'static str },
    /// Not a record key.
    #[error("`{value}` is not a valid record key: {reason}")]
    RecordKey { value: String, reason: &'static str },
    /// Not a repository path.
    #[error("`{value}` is not a valid record path: {reason}")]
    RecordPath { value: String, reason: &'static str },
    /// Not an AT-URI.
    #[error("`{value}` is not a valid AT-URI: {reason}")]
    AtUri { value: String, reason: &'static str },
    /// Not a TID.
    #[error("`{value}` is not a valid TID: {reason}")]
    Tid { value: String, reason: &'static str },
    /// Not a datetime.
    #[error("`{value}` is not a valid datetime: {reason}")]
    Datetime { value: String, reason: &'static str },
    /// Not a language tag.
    #[error("`{value}` is not a valid language tag: {reason}")]
    Language { value: String, reason: &'static str },
    /// Not a URI.
    #[error("`{value}` is not a valid URI: {reason}")]
    Uri { value: String, reason: &'static str },
}

impl SyntaxError {
    /// The rule that the text breaks.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Did { reason, .. }
            | Self::Handle { reason, .. }
            | Self::AtIdentifier { reason, .. }
            | Self::Nsid { reason, .. }
            | Self::RecordKey { reason, .. }
            | Self::RecordPath { reason, .. }
            | Self::AtUri { reason, .. }
            | Self::Tid { reason, .. }
            | Self::Datetime { reason, .. }
            | Self::Language { reason, .. }
            | Self::Uri { reason, .. } => reason,
        }
    }
}

/// The refused text as an error repeats it: never longer than a line.
fn quoted(value: &str) -> String {
    match value.char_indices().nth(MAX_QUOTED_CHARS) {
        Some((end, _)) => format!("{}…", value.get(..end).unwrap_or_default()),
        None => value.to_owned(),
    }
}
