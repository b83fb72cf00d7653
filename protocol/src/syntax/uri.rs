//! Generic URIs, as the `uri` string format of Lexicon takes them: a scheme and visible ASCII.

use std::sync::Arc;

use super::text::text_identifier;

/// A URI. Only its outer shape is checked.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uri(Arc<str>);

text_identifier!(Uri, "a URI");

impl Uri {
    fn check(text: &str) -> Result<Arc<str>, &'static str> {
        if text.len() > super::MAX_URI_BYTES {
            return Err("it is longer than 8192 bytes");
        }
        let (scheme, rest) = text
            .split_once(':')
            .ok_or("it needs a scheme and a colon")?;
        if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Err("the scheme must start with a letter");
        }
        if scheme.len() > 81 {
            return Err("the scheme is longer than 81 bytes");
        }
        if !scheme
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
        {
            return Err("the scheme may hold only letters, digits and `+-.`");
        }
        if rest.is_empty() {
            return Err("nothing follows the scheme");
        }
        if !rest.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("it may hold only visible ASCII characters, no spaces");
        }
        Ok(text.into())
    }
}
