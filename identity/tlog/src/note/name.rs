//! What keys are called: a name for people and a short ID that tells keys of one name apart.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use super::{MAX_KEY_NAME_BYTES, NoteError};

/// The name of a key, such as `example.org/log`: no spaces, no plus signs.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName(Arc<str>);

impl KeyName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyName {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let refused = |c: char| c.is_whitespace() || c == '+' || c < ' ';
        let has_length = (1..=MAX_KEY_NAME_BYTES).contains(&text.len());
        if has_length && !text.contains(refused) {
            Ok(Self(text.into()))
        } else {
            Err(NoteError::KeyName)
        }
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The ID of a key: four bytes that depend on its name, type and public key.
///
/// It is no hash to rely on: anyone can make a key with a given ID.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 4]);

impl KeyId {
    /// The ID as it stands in a signature.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 4]) -> Self {
        Self(bytes)
    }

    /// The four bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 4] {
        &self.0
    }

    /// The ID of a key of any type that the specifications assign, but ECDSA.
    pub(super) fn of(name: &KeyName, kind: u8, public: &[u8]) -> Self {
        let digest = Sha256::new_with_prefix(name.as_str())
            .chain_update([b'\n', kind])
            .chain_update(public)
            .finalize();
        let [a, b, c, d, ..] = <[u8; 32]>::from(digest);
        Self([a, b, c, d])
    }

    /// Strict: eight lower-case digits.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let bytes = HEXLOWER.decode(text.as_bytes()).ok()?;
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", HEXLOWER.encode_display(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
