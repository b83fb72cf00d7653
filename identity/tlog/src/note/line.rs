//! Signature lines: `— <key name> base64(<key ID> || <signature>)`.

use std::fmt;

use super::{KeyId, KeyName, MAX_SIGNATURES, NoteError};
use crate::base64;

/// What a signature line starts with: an em dash and a space.
const DASH: &str = "— ";

/// A signature on a note, of whatever type. Only its key knows what the bytes mean.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Signature {
    name: KeyName,
    id: KeyId,
    bytes: Vec<u8>,
}

impl Signature {
    /// A signature that a key has made; a line carries at least one byte of it.
    pub(crate) fn new(name: KeyName, id: KeyId, bytes: Vec<u8>) -> Self {
        Self { name, id, bytes }
    }

    /// Reads 1 to [`MAX_SIGNATURES`] lines, each with its line feed: the end of a note, or what a
    /// witness answers (tlog-witness).
    pub fn parse_lines(lines: &str) -> Result<Vec<Self>, NoteError> {
        let mut signatures = Vec::new();
        for (index, line) in lines.split_inclusive('\n').enumerate() {
            if index == MAX_SIGNATURES {
                return Err(NoteError::TooManySignatures);
            }
            let refused = NoteError::SignatureLine(index + 1);
            signatures.push(Self::parse_line(line).ok_or(refused)?);
        }
        if signatures.is_empty() {
            return Err(NoteError::NoSignatures);
        }
        Ok(signatures)
    }

    fn parse_line(line: &str) -> Option<Self> {
        let line = line.strip_prefix(DASH)?.strip_suffix('\n')?;
        let (name, payload) = line.split_once(' ')?;
        let payload = base64::decode(payload)?;
        let (id, bytes) = payload.split_first_chunk::<4>()?;
        (!bytes.is_empty()).then_some(Self {
            name: name.parse().ok()?,
            id: KeyId::from_bytes(*id),
            bytes: bytes.to_vec(),
        })
    }

    /// The name of the key.
    #[must_use]
    pub const fn name(&self) -> &KeyName {
        &self.name
    }

    /// The ID of the key.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// What the key made, without its ID.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Name and ID, which together say which key it was.
    pub(super) fn key(&self) -> (&KeyName, KeyId) {
        (&self.name, self.id)
    }

    /// The length of its line, in bytes.
    pub(super) fn line_bytes(&self) -> usize {
        let payload = base64::encoded_bytes(4 + self.bytes.len());
        DASH.len() + self.name.as_str().len() + 1 + payload + 1
    }
}

impl fmt::Display for Signature {
    /// The line, with its line feed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let payload = [self.id.as_bytes(), self.bytes.as_slice()].concat();
        let payload = base64::encode(&payload);
        writeln!(f, "{DASH}{} {payload}", self.name)
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({}+{})", self.name, self.id)
    }
}
