//! A did:plc in as few bytes as it has.

use data_encoding::{BASE32_NOPAD, Encoding};
use rochdale_protocol::syntax::Did;
use std::fmt;

/// The 24 base32 digits of a did:plc as the 15 bytes they stand for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct DidKey([u8; 15]);

/// Lower-case base32 as did:plc writes it, by way of the upper-case alphabet.
const ENCODING: Encoding = BASE32_NOPAD;

impl DidKey {
    /// `None` unless the text is a did:plc of the exact shape the method allows.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("did:plc:")?;
        if digits.len() != 24
            || !digits
                .bytes()
                .all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7'))
        {
            return None;
        }
        let bytes = ENCODING
            .decode(digits.to_ascii_uppercase().as_bytes())
            .ok()?;
        Self::from_bytes(&bytes)
    }

    /// `None` unless there are 15 bytes.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 15] {
        &self.0
    }

    /// Appends the DID as text.
    pub(crate) fn append_to(&self, out: &mut String) {
        out.push_str("did:plc:");
        let start = out.len();
        ENCODING.encode_append(&self.0, out);
        if let Some(digits) = out.get_mut(start..) {
            digits.make_ascii_lowercase();
        }
    }

    /// The DID.
    pub(crate) fn to_did(self) -> Did {
        #[expect(
            clippy::expect_used,
            reason = "24 base32 digits always make a valid did:plc"
        )]
        self.to_string().parse().expect("valid did:plc")
    }
}

impl fmt::Display for DidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(32);
        self.append_to(&mut text);
        f.write_str(&text)
    }
}

impl fmt::Debug for DidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_did_plc_survives_as_fifteen_bytes_and_nothing_else_becomes_one() {
        let text = "did:plc:yk4dd2qkboz2yv6tpubpc6co";
        let key = DidKey::parse(text).unwrap();
        assert_eq!(key.to_string(), text);
        assert_eq!(key.to_did().as_str(), text);
        assert_eq!(DidKey::from_bytes(key.as_bytes()), Some(key));
        for bad in [
            "did:plc:yk4dd2qkboz2yv6tpubpc6c",
            "did:plc:yk4dd2qkboz2yv6tpubpc6coo",
            "did:plc:YK4DD2QKBOZ2YV6TPUBPC6CO",
            "did:plc:yk4dd2qkboz2yv6tpubpc6c1",
            "did:web:yk4dd2qkboz2yv6tpubpc6co",
            "",
        ] {
            assert_eq!(DidKey::parse(bad), None, "{bad}");
        }
    }
}
