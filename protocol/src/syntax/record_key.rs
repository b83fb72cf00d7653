//! Record keys, as the atproto "Record Key" specification gives them.

use std::sync::Arc;

use super::text::text_identifier;

/// The key of a record within its collection. Case-sensitive.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey(Arc<str>);

text_identifier!(RecordKey, "a record key");

impl RecordKey {
    fn check(text: &str) -> Result<Arc<str>, &'static str> {
        if text.is_empty() {
            return Err("it is empty");
        }
        if text.len() > super::MAX_RECORD_KEY_BYTES {
            return Err("it is longer than 512 bytes");
        }
        if matches!(text, "." | "..") {
            return Err("`.` and `..` are not allowed");
        }
        let allowed =
            |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'~' | b'.' | b':' | b'-');
        if !text.bytes().all(allowed) {
            return Err("it may hold only letters, digits and `_~.:-`");
        }
        Ok(text.into())
    }
}

impl From<super::Tid> for RecordKey {
    fn from(tid: super::Tid) -> Self {
        Self(tid.text().as_str().into())
    }
}
