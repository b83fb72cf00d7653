//! Content identifiers: the one form atproto writes, and foreign ones that are carried unchanged
//! (atproto "Data Model" specification, "Link and CID formats").

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use super::MAX_CID_BYTES;
use crate::syntax::deserialize_from_text;

mod base32;

/// Bytes of a CID of the blessed form.
const CID_BYTES: usize = 36;
/// Characters of its text: `b` and 58 base32 digits.
const CID_CHARS: usize = 59;

/// A text or bytes that are not a CID of the form asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CidError {
    /// A text in another encoding than the ones read here.
    #[error("a CID must be written in base32 and start with `b`")]
    Multibase,
    /// Not base32, or with bits set past the end.
    #[error("the CID is not valid lower-case base32")]
    Base32,
    /// Not base58.
    #[error("the CID is not valid base58")]
    Base58,
    /// Version, codec, hash and length do not fit together.
    #[error("the bytes are not a CID of version 1")]
    Structure,
    /// A CID, but not version 1 with SHA-256 and the codec dag-cbor or raw.
    #[error("the CID is not version 1 with SHA-256 and the codec dag-cbor or raw")]
    NotBlessed,
    /// Too many bytes.
    #[error("the CID is longer than 100 bytes")]
    TooLong,
}

/// What the bytes behind a CID are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Codec {
    /// Plain bytes: a blob.
    Raw,
    /// A DAG-CBOR value: a record, a node of the tree, a commit.
    DagCbor,
}

impl Codec {
    /// The multicodec number.
    pub fn code(self) -> u8 {
        match self {
            Self::Raw => 0x55,
            Self::DagCbor => 0x71,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        match code {
            0x55 => Some(Self::Raw),
            0x71 => Some(Self::DagCbor),
            _ => None,
        }
    }
}

/// A CID of the blessed form: version 1, dag-cbor or raw, SHA-256. Ordered as its bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cid {
    codec: Codec,
    digest: [u8; 32],
}

impl Cid {
    /// The CID of a DAG-CBOR block. Hashes the bytes.
    pub fn dag_cbor(bytes: &[u8]) -> Self {
        Self {
            codec: Codec::DagCbor,
            digest: Sha256::digest(bytes).into(),
        }
    }

    /// The CID of a blob. Hashes the bytes.
    pub fn raw(bytes: &[u8]) -> Self {
        Self {
            codec: Codec::Raw,
            digest: Sha256::digest(bytes).into(),
        }
    }

    /// The CID of a SHA-256 digest computed elsewhere.
    pub fn from_digest(codec: Codec, digest: [u8; 32]) -> Self {
        Self { codec, digest }
    }

    /// What the bytes behind it are.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// The SHA-256 digest.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// The binary form.
    pub fn to_bytes(&self) -> [u8; CID_BYTES] {
        let mut bytes = [0; CID_BYTES];
        let (prefix, digest) = bytes.split_at_mut(4);
        prefix.copy_from_slice(&[0x01, self.codec.code(), 0x12, 0x20]);
        digest.copy_from_slice(&self.digest);
        bytes
    }

    /// The reverse of [`Cid::to_bytes`]. Errors on every CID of another form.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CidError> {
        if let [0x01, code, 0x12, 0x20, digest @ ..] = bytes
            && let Some(codec) = Codec::from_code(*code)
            && let Ok(digest) = digest.try_into()
        {
            return Ok(Self { codec, digest });
        }
        check_structure(bytes)?;
        Err(CidError::NotBlessed)
    }

    /// Whether it is the CID of these bytes. Hashes them.
    pub fn matches(&self, block: &[u8]) -> bool {
        Sha256::digest(block).as_slice() == self.digest
    }

    /// The text, on the stack.
    pub(super) fn text(&self) -> [u8; CID_CHARS] {
        let mut text = [b'b'; CID_CHARS];
        if let Some(digits) = text.get_mut(1..) {
            base32::encode(&self.to_bytes(), digits);
        }
        text
    }
}

impl fmt::Display for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(std::str::from_utf8(&self.text()).unwrap_or_default())
    }
}

impl fmt::Debug for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Cid {
    type Err = CidError;

    fn from_str(text: &str) -> Result<Self, CidError> {
        match text.parse()? {
            Link::Known(cid) => Ok(cid),
            Link::Foreign(_) => Err(CidError::NotBlessed),
        }
    }
}

impl TryFrom<String> for Cid {
    type Error = CidError;

    fn try_from(text: String) -> Result<Self, CidError> {
        text.parse()
    }
}

impl serde::Serialize for Cid {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(std::str::from_utf8(&self.text()).unwrap_or_default())
    }
}

deserialize_from_text!(Cid, "a CID");

/// A link in the data model: a CID of any codec and hash.
///
/// Foreign ones are carried so that records of others keep their bytes; never make one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Link {
    /// A CID of the form atproto writes.
    Known(Cid),
    /// The bytes of any other CID of version 1, structurally valid.
    Foreign(Box<[u8]>),
}

impl Link {
    /// The link of a binary CID. Errors if the bytes are not a CID of version 1.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CidError> {
        match Cid::from_bytes(bytes) {
            Ok(cid) => Ok(Self::Known(cid)),
            Err(CidError::NotBlessed) => Ok(Self::Foreign(bytes.into())),
            Err(error) => Err(error),
        }
    }

    /// The CID, if it is of the form atproto writes.
    pub fn as_cid(&self) -> Option<Cid> {
        match self {
            Self::Known(cid) => Some(*cid),
            Self::Foreign(_) => None,
        }
    }

    /// The binary form.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Known(cid) => cid.to_bytes().to_vec(),
            Self::Foreign(bytes) => bytes.to_vec(),
        }
    }
}

impl From<Cid> for Link {
    fn from(cid: Cid) -> Self {
        Self::Known(cid)
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(cid) => fmt::Display::fmt(cid, f),
            Self::Foreign(bytes) => {
                let mut text = vec![b'b'; 1 + base32::encoded_len(bytes.len())];
                if let Some(digits) = text.get_mut(1..) {
                    base32::encode(bytes, digits);
                }
                f.pad(std::str::from_utf8(&text).unwrap_or_default())
            }
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Link {
    type Err = CidError;

    /// Reads base32 (`b…`) and base58 (`z…`).
    fn from_str(text: &str) -> Result<Self, CidError> {
        // Base58 takes quadratic time, and no text of a CID within the limit is longer than this.
        if text.len() > 2 * MAX_CID_BYTES {
            return Err(CidError::TooLong);
        }
        if let Some(digits) = text.strip_prefix('b') {
            let mut bytes = [0; MAX_CID_BYTES + 25];
            let length = base32::decode(digits.as_bytes(), &mut bytes).ok_or(CidError::Base32)?;
            return Self::from_bytes(bytes.get(..length).unwrap_or_default());
        }
        let digits = text.strip_prefix('z').ok_or(CidError::Multibase)?;
        let bytes = bs58::decode(digits)
            .into_vec()
            .map_err(|_| CidError::Base58)?;
        Self::from_bytes(&bytes)
    }
}

impl serde::Serialize for Link {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

deserialize_from_text!(Link, "a CID");

/// Whether bytes are version 1, a codec, a hash function and a digest of the length they say.
fn check_structure(bytes: &[u8]) -> Result<(), CidError> {
    if bytes.len() > MAX_CID_BYTES {
        return Err(CidError::TooLong);
    }
    let (version, rest) = varint(bytes).ok_or(CidError::Structure)?;
    let (_codec, rest) = varint(rest).ok_or(CidError::Structure)?;
    let (_hash, rest) = varint(rest).ok_or(CidError::Structure)?;
    let (length, digest) = varint(rest).ok_or(CidError::Structure)?;
    if version != 1 || length != digest.len() as u64 {
        return Err(CidError::Structure);
    }
    Ok(())
}

/// An unsigned varint in its shortest form, of at most 9 bytes, and what follows it.
pub(crate) fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    for (i, byte) in bytes.iter().take(9).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            let shortest = *byte != 0 || i == 0;
            return shortest.then(|| (number, bytes.get(i + 1..).unwrap_or_default()));
        }
    }
    None
}
