//! Decentralised identifiers, as the atproto "DID" specification restricts them.
//! Checks syntax only; whether a method is supported is the resolver's business.

use std::sync::Arc;

use super::handle::check_hostname;
use super::text::text_identifier;

/// A DID: `did:method:identifier`. Case-sensitive, never folded.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Did(Arc<str>);

text_identifier!(Did, "a DID");

impl Did {
    /// The method: `plc` in `did:plc:…`.
    pub fn method(&self) -> &str {
        self.parts().0
    }

    /// What follows the method and its colon.
    pub fn identifier(&self) -> &str {
        self.parts().1
    }

    /// Whether this is a did:plc of the exact shape the method allows: 24 base32 digits.
    pub fn is_plc(&self) -> bool {
        let (method, identifier) = self.parts();
        method == "plc"
            && identifier.len() == 24
            && identifier
                .bytes()
                .all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7'))
    }

    /// Whether this is a did:web of the shape atproto allows: a host name and no path.
    ///
    /// `localhost`, with or without a port, counts: only a development server may accept it.
    pub fn is_web(&self) -> bool {
        self.web_host().is_some()
    }

    /// The host (`example.com`, or `localhost:1234`) of a did:web that atproto allows.
    pub fn web_host(&self) -> Option<String> {
        let (method, identifier) = self.parts();
        if method != "web" {
            return None;
        }
        if identifier == "localhost" {
            return Some(identifier.to_owned());
        }
        if let Some(rest) = identifier.strip_prefix("localhost%3") {
            let port = rest.strip_prefix(['A', 'a'])?;
            let plain = port.bytes().all(|b| b.is_ascii_digit()) && !port.starts_with('0');
            let port: u16 = port.parse().ok().filter(|_| plain)?;
            return Some(format!("localhost:{port}"));
        }
        check_hostname(identifier).ok()?;
        Some(identifier.to_owned())
    }

    fn parts(&self) -> (&str, &str) {
        // The grammar guarantees the prefix and the second colon.
        self.0
            .get(4..)
            .and_then(|rest| rest.split_once(':'))
            .unwrap_or_default()
    }

    fn check(text: &str) -> Result<Arc<str>, &'static str> {
        if text.len() > super::MAX_DID_BYTES {
            return Err("it is longer than 2048 bytes");
        }
        let rest = text
            .strip_prefix("did:")
            .ok_or("it must start with `did:`")?;
        let (method, identifier) = rest
            .split_once(':')
            .ok_or("it needs a method and an identifier")?;
        if method.is_empty() || !method.bytes().all(|b| b.is_ascii_lowercase()) {
            return Err("the method must be one or more letters a-z");
        }
        if identifier.is_empty() {
            return Err("the identifier after the method is empty");
        }
        let allowed =
            |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'%' | b'-');
        if !identifier.bytes().all(allowed) {
            return Err("the identifier may hold only letters, digits and `._:%-`");
        }
        if identifier.ends_with([':', '%']) {
            return Err("it may not end with `:` or `%`");
        }
        Ok(text.into())
    }
}
