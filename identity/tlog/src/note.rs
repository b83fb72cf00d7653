//! Signed notes (C2SP signed-note): a text with signature lines under it, and the keys to them.
//!
//! [`Note::parse`] checks the form only. A text means nothing until [`Note::verify`] has found the
//! signature of a known key on it.

mod key;
mod line;
mod name;
mod signer;
mod verify;

#[cfg(test)]
mod tests;

use std::fmt;

pub use key::{KeyKind, VerifierKey};
pub use line::Signature;
pub use name::{KeyId, KeyName};
pub use signer::{NoteSigner, SecretText};
pub(crate) use signer::{parse_secret, write_secret};
pub use verify::{Verified, Verifiers};

/// Longest note that is read, in bytes: a checkpoint with [`MAX_SIGNATURES`] post-quantum ones.
pub const MAX_NOTE_BYTES: usize = 512 * 1024;

/// Most signatures of a note; the specification asks for at least 16.
pub const MAX_SIGNATURES: usize = 100;

/// Longest key name, in bytes: what a post-quantum cosignature can name (tlog-cosignature).
pub const MAX_KEY_NAME_BYTES: usize = 255;

/// What is wrong with a note, a signature or a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Over the limit.
    #[error("the note has {0} bytes, over the limit of {MAX_NOTE_BYTES}")]
    TooLong(usize),
    /// Not text.
    #[error("the note is not UTF-8")]
    Utf8,
    /// A control character that is not a line feed.
    #[error("the note has a control character at byte {0}; only line feeds are allowed")]
    Control(usize),
    /// A text that does not end its last line.
    #[error("the text of a note ends with a line feed")]
    Unterminated,
    /// No empty line, or nothing after the last one.
    #[error("no signatures: they follow the last empty line of a note")]
    NoSignatures,
    /// A line after the last empty one that is not a signature.
    #[error("signature line {0} is not \"— <key name> <base64>\" with a line feed at its end")]
    SignatureLine(usize),
    /// More signatures than are read.
    #[error("the note has more than {MAX_SIGNATURES} signatures")]
    TooManySignatures,
    /// A key name that a signature line could not carry.
    #[error(
        "a key name is 1 to {MAX_KEY_NAME_BYTES} bytes without spaces, control characters and \
         plus signs, such as example.org/log"
    )]
    KeyName,
    /// Not the text of a verifier key.
    #[error("a verifier key is written <name>+<8 hex digits>+<base64>")]
    VerifierKey,
    /// Not the text of a signer key. What was given is not repeated: it may be a secret.
    #[error("a signer key is written PRIVATE+KEY+<name>+<8 hex digits>+<base64>")]
    SignerKey,
    /// The key has a type that is not supported, or not for this use.
    #[error("a key of type {0:#04x} cannot be used here")]
    KeyType(u8),
    /// The key's bytes are no public key of its type, or one that verifies anything.
    #[error("the bytes of the key are not a usable public key of type {0:#04x}")]
    PublicKey(u8),
    /// The ID in the key's text is not the one that its name and bytes make.
    #[error("the key ID is {found}, but name and key make {expected}")]
    KeyId {
        /// What name and key make.
        expected: KeyId,
        /// What is written.
        found: KeyId,
    },
    /// Two different keys that one signature line could mean.
    #[error("two keys are called {0}+{1}")]
    AmbiguousKey(KeyName, KeyId),
    /// A known key's signature that does not hold: the note is not to be trusted at all.
    #[error("the signature of {0}+{1} does not verify")]
    BadSignature(KeyName, KeyId),
    /// No key that is known has signed.
    #[error("none of the known keys has signed")]
    UnknownSigners,
    /// A time that a cosignature cannot carry.
    #[error("a cosignature cannot carry the time {0}: it is over 2^63 - 1")]
    Timestamp(u64),
}

/// A text and its signatures. The text ends with a line feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

impl Note {
    /// A note that nobody has signed yet.
    pub fn unsigned(text: impl Into<String>) -> Result<Self, NoteError> {
        let text = text.into();
        check_characters(&text)?;
        if !text.ends_with('\n') {
            return Err(NoteError::Unterminated);
        }
        Ok(Self {
            text,
            signatures: Vec::new(),
        })
    }

    /// Reads a note with 1 to [`MAX_SIGNATURES`] signatures. Which of them hold is for
    /// [`Self::verify`].
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > MAX_NOTE_BYTES {
            return Err(NoteError::TooLong(bytes.len()));
        }
        let note = std::str::from_utf8(bytes).map_err(|_| NoteError::Utf8)?;
        check_characters(note)?;
        // The last empty line: the text may have others.
        let (text, lines) = note.rsplit_once("\n\n").ok_or(NoteError::NoSignatures)?;
        Ok(Self {
            text: format!("{text}\n"),
            signatures: Signature::parse_lines(lines)?,
        })
    }

    /// The text, up to and with its last line feed: what the signatures are over.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signatures in the order of their lines.
    #[must_use]
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Adds a signature, in place of those that the same key has made before.
    ///
    /// [`NoteError::TooManySignatures`] or [`NoteError::TooLong`] if nobody could read the note.
    pub fn add(&mut self, signature: Signature) -> Result<(), NoteError> {
        let mut signatures = self.signatures.clone();
        signatures.retain(|known| known.key() != signature.key());
        signatures.push(signature);
        if signatures.len() > MAX_SIGNATURES {
            return Err(NoteError::TooManySignatures);
        }
        let lines: usize = signatures.iter().map(Signature::line_bytes).sum();
        let bytes = self.text.len() + 1 + lines;
        if bytes > MAX_NOTE_BYTES {
            return Err(NoteError::TooLong(bytes));
        }
        self.signatures = signatures;
        Ok(())
    }

    /// Verifies every signature of a known key, and ignores those of others.
    ///
    /// [`NoteError::BadSignature`] if one does not hold, which spoils the note whatever else is on
    /// it; [`NoteError::UnknownSigners`] if no key is known. Else at least one signature.
    pub fn verify<'a>(&self, known: &'a Verifiers) -> Result<Vec<Verified<'a>>, NoteError> {
        verify::verify(self, known)
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures
            .iter()
            .try_for_each(|line| write!(f, "{line}"))
    }
}

/// Line feeds are the only control characters of a note.
fn check_characters(text: &str) -> Result<(), NoteError> {
    let is_control = |byte: u8| byte < b' ' && byte != b'\n';
    match text.bytes().position(is_control) {
        Some(place) => Err(NoteError::Control(place)),
        None => Ok(()),
    }
}
