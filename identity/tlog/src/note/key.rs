//! Keys that verify: name, ID and public key, written as one text (signed-note, "Verifier keys").

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use ed25519_dalek as ed25519;
use ml_dsa::MlDsa44;

use super::{KeyId, KeyName, NoteError};
use crate::{base64, cosignature};

/// What a key signs, and with which algorithm. The number is the type byte of signed-note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum KeyKind {
    /// Ed25519 over the text of a note: how a log signs.
    Ed25519 = 1,
    /// Ed25519 over a checkpoint and the time: how a witness cosigns (`cosignature/v1`).
    Cosigner = 4,
    /// ML-DSA-44 over a tree or a part of it, the time and both names (`subtree/v1`).
    MlDsaCosigner = 6,
}

impl KeyKind {
    /// The type byte.
    #[must_use]
    pub const fn byte(self) -> u8 {
        self as u8
    }

    pub(super) fn from_byte(byte: u8) -> Result<Self, NoteError> {
        let all = [Self::Ed25519, Self::Cosigner, Self::MlDsaCosigner];
        let found = all.into_iter().find(|kind| kind.byte() == byte);
        found.ok_or(NoteError::KeyType(byte))
    }
}

/// A public key with its name. Its text is the *vkey* of the specifications.
///
/// The key is parsed once. Keys that would verify signatures by anybody are refused.
#[derive(Clone)]
pub struct VerifierKey {
    name: KeyName,
    id: KeyId,
    public: Public,
}

#[derive(Clone)]
enum Public {
    Ed25519(ed25519::VerifyingKey),
    Cosigner(ed25519::VerifyingKey),
    // Shared: parsed, it is 20 KiB.
    MlDsa(Arc<MlDsaPublic>),
}

struct MlDsaPublic {
    key: ml_dsa::VerifyingKey<MlDsa44>,
    encoded: ml_dsa::EncodedVerifyingKey<MlDsa44>,
}

impl VerifierKey {
    /// A key of raw bytes: 32 for Ed25519, 1312 for ML-DSA-44.
    pub fn new(name: KeyName, kind: KeyKind, public: &[u8]) -> Result<Self, NoteError> {
        let id = KeyId::of(&name, kind.byte(), public);
        let parsed = match kind {
            KeyKind::Ed25519 => parse_ed25519(public).map(Public::Ed25519),
            KeyKind::Cosigner => parse_ed25519(public).map(Public::Cosigner),
            KeyKind::MlDsaCosigner => parse_ml_dsa(public),
        };
        let public = parsed.ok_or(NoteError::PublicKey(kind.byte()))?;
        Ok(Self { name, id, public })
    }

    /// The name.
    #[must_use]
    pub const fn name(&self) -> &KeyName {
        &self.name
    }

    /// The ID.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// What it signs.
    #[must_use]
    pub const fn kind(&self) -> KeyKind {
        match self.public {
            Public::Ed25519(_) => KeyKind::Ed25519,
            Public::Cosigner(_) => KeyKind::Cosigner,
            Public::MlDsa(_) => KeyKind::MlDsaCosigner,
        }
    }

    /// The raw public key, which may stand behind several names and kinds.
    #[must_use]
    pub fn public_bytes(&self) -> &[u8] {
        match &self.public {
            Public::Ed25519(key) | Public::Cosigner(key) => key.as_bytes(),
            Public::MlDsa(key) => &key.encoded,
        }
    }

    /// Verifies a signature of this key over a note's text; gives the time it names in Unix
    /// seconds, if it names one. `None` if it does not hold.
    pub(super) fn verify(&self, text: &str, signature: &[u8]) -> Option<Option<u64>> {
        match &self.public {
            Public::Ed25519(key) => verify_ed25519(key, text.as_bytes(), signature).then_some(None),
            Public::Cosigner(key) => {
                let (time_s, signature) = cosignature::split(signature)?;
                let message = cosignature::v1_message(text, time_s)?;
                verify_ed25519(key, message.as_bytes(), signature).then_some(Some(time_s))
            }
            Public::MlDsa(key) => {
                let (time_s, signature) = cosignature::split(signature)?;
                let message = cosignature::subtree_message(&self.name, text, time_s)?;
                let signature = ml_dsa::Signature::<MlDsa44>::try_from(signature).ok()?;
                let holds = key.key.verify_with_context(&message, &[], &signature);
                holds.then_some(Some(time_s))
            }
        }
    }
}

fn parse_ed25519(bytes: &[u8]) -> Option<ed25519::VerifyingKey> {
    let key = ed25519::VerifyingKey::from_bytes(bytes.try_into().ok()?).ok()?;
    // A key of small order verifies one signature over every message.
    (!key.is_weak()).then_some(key)
}

fn parse_ml_dsa(bytes: &[u8]) -> Option<Public> {
    let encoded = ml_dsa::EncodedVerifyingKey::<MlDsa44>::try_from(bytes).ok()?;
    let key = ml_dsa::VerifyingKey::decode(&encoded);
    Some(Public::MlDsa(Arc::new(MlDsaPublic { key, encoded })))
}

fn verify_ed25519(key: &ed25519::VerifyingKey, message: &[u8], signature: &[u8]) -> bool {
    ed25519::Signature::from_slice(signature)
        .and_then(|signature| key.verify_strict(message, &signature))
        .is_ok()
}

impl FromStr for VerifierKey {
    type Err = NoteError;

    /// Strict: the ID must be the one that name and key make.
    fn from_str(text: &str) -> Result<Self, NoteError> {
        let (name, rest) = text.split_once('+').ok_or(NoteError::VerifierKey)?;
        let (id, key) = rest.split_once('+').ok_or(NoteError::VerifierKey)?;
        let found = KeyId::parse(id).ok_or(NoteError::VerifierKey)?;
        let key = base64::decode(key).ok_or(NoteError::VerifierKey)?;
        let (kind, public) = key.split_first().ok_or(NoteError::VerifierKey)?;
        let key = Self::new(name.parse()?, KeyKind::from_byte(*kind)?, public)?;
        if key.id != found {
            let expected = key.id;
            return Err(NoteError::KeyId { expected, found });
        }
        Ok(key)
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[self.kind().byte()], self.public_bytes()].concat();
        let key = base64::encode(&key);
        write!(f, "{}+{}+{key}", self.name, self.id)
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PartialEq for VerifierKey {
    fn eq(&self, other: &Self) -> bool {
        // Name, kind and bytes make the ID.
        self.name == other.name
            && self.kind() == other.kind()
            && self.public_bytes() == other.public_bytes()
    }
}

impl Eq for VerifierKey {}
