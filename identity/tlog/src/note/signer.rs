//! Keys that sign, and how they are written down.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::Signer as _;
use zeroize::Zeroizing;

use super::{KeyId, KeyKind, KeyName, Note, NoteError, Signature, VerifierKey};
use crate::base64;

/// An Ed25519 key that signs notes as a log does. `Debug` shows the public half; memory is wiped
/// on drop.
#[derive(Clone)]
pub struct NoteSigner {
    secret: ed25519_dalek::SigningKey,
    public: VerifierKey,
}

impl NoteSigner {
    /// Takes 32 bytes as the secret; the caller draws them from a secure source.
    pub fn from_seed(name: KeyName, seed: &[u8; 32]) -> Result<Self, NoteError> {
        let secret = ed25519_dalek::SigningKey::from_bytes(seed);
        let public = secret.verifying_key();
        let public = VerifierKey::new(name, KeyKind::Ed25519, public.as_bytes())?;
        Ok(Self { secret, public })
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> &VerifierKey {
        &self.public
    }

    /// The signature over a note's text; deterministic.
    #[must_use]
    pub fn sign(&self, note: &Note) -> Signature {
        let signature = self.secret.sign(note.text().as_bytes());
        let (name, id) = (self.public.name().clone(), self.public.id());
        Signature::new(name, id, signature.to_bytes().to_vec())
    }

    /// `PRIVATE+KEY+<name>+<ID>+base64(<type> || <seed>)`, for storage under encryption.
    #[must_use]
    pub fn to_secret_text(&self) -> SecretText {
        write_secret(&self.public, self.secret.as_bytes())
    }
}

impl FromStr for NoteSigner {
    type Err = NoteError;

    /// Reads [`Self::to_secret_text`], which is what the Go tools for notes write.
    fn from_str(text: &str) -> Result<Self, NoteError> {
        let secret = parse_secret(text)?;
        match secret.kind {
            KeyKind::Ed25519 => {
                let signer = Self::from_seed(secret.name.clone(), &secret.seed)?;
                secret.check(&signer.public)?;
                Ok(signer)
            }
            other => Err(NoteError::KeyType(other.byte())),
        }
    }
}

impl fmt::Debug for NoteSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NoteSigner")
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

/// The text of a signer key, wiped on drop.
pub type SecretText = Zeroizing<String>;

/// A signer key's text, taken apart.
pub(crate) struct SecretKey {
    pub(crate) name: KeyName,
    id: KeyId,
    pub(crate) kind: KeyKind,
    pub(crate) seed: Zeroizing<[u8; 32]>,
}

impl SecretKey {
    /// The ID is that of the public half, so it shows a text that was damaged.
    pub(crate) fn check(&self, public: &VerifierKey) -> Result<(), NoteError> {
        if self.id == public.id() {
            return Ok(());
        }
        Err(NoteError::KeyId {
            expected: public.id(),
            found: self.id,
        })
    }
}

pub(crate) fn parse_secret(text: &str) -> Result<SecretKey, NoteError> {
    let refused = || NoteError::SignerKey;
    let rest = text.strip_prefix("PRIVATE+KEY+").ok_or_else(refused)?;
    let (name, rest) = rest.split_once('+').ok_or_else(refused)?;
    let (id, key) = rest.split_once('+').ok_or_else(refused)?;
    let key = Zeroizing::new(base64::decode(key).ok_or_else(refused)?);
    let (kind, seed) = key.split_first().ok_or_else(refused)?;
    Ok(SecretKey {
        name: name.parse()?,
        id: KeyId::parse(id).ok_or_else(refused)?,
        kind: KeyKind::from_byte(*kind)?,
        seed: Zeroizing::new(seed.try_into().map_err(|_| refused())?),
    })
}

pub(crate) fn write_secret(public: &VerifierKey, seed: &[u8; 32]) -> SecretText {
    let mut key = Zeroizing::new(vec![public.kind().byte()]);
    // Room first: a vector that grows would leave a copy behind.
    key.reserve_exact(seed.len());
    key.extend_from_slice(seed);
    let key = Zeroizing::new(base64::encode(&key));
    let (name, id) = (public.name(), public.id());
    Zeroizing::new(format!("PRIVATE+KEY+{name}+{id}+{}", *key))
}
