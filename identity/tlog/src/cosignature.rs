//! Cosignatures: that somebody has seen a checkpoint and nothing that contradicts it (C2SP
//! tlog-cosignature).
//!
//! Two kinds, told apart by the key: `cosignature/v1` with Ed25519 over the checkpoint's text, and
//! `subtree/v1` with ML-DSA-44 over names, size and root. Both carry the time in Unix seconds. A
//! cosigner that makes two statements (witness and mirror, say) needs a key for each.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::Signer as _;
use ml_dsa::{Keypair as _, MlDsa44};
use zeroize::Zeroizing;

use crate::checkpoint::Checkpoint;
use crate::note::{
    KeyKind, KeyName, NoteError, SecretText, Signature, VerifierKey, parse_secret, write_secret,
};

#[cfg(test)]
mod tests;

/// Latest time of a cosignature, in Unix seconds.
pub const MAX_TIME_S: u64 = i64::MAX as u64;

/// A key that cosigns checkpoints, of either kind. `Debug` shows the public half; memory is wiped
/// on drop.
pub struct Cosigner {
    secret: Secret,
    public: VerifierKey,
}

enum Secret {
    Ed25519(Box<ed25519_dalek::SigningKey>),
    MlDsa(Box<ml_dsa::SigningKey<MlDsa44>>),
}

impl Cosigner {
    /// Takes 32 bytes as the secret; the caller draws them from a secure source.
    ///
    /// [`NoteError::KeyType`] for [`KeyKind::Ed25519`], which names no time.
    pub fn from_seed(name: KeyName, kind: KeyKind, seed: &[u8; 32]) -> Result<Self, NoteError> {
        let (secret, public) = match kind {
            KeyKind::Ed25519 => return Err(NoteError::KeyType(kind.byte())),
            KeyKind::Cosigner => {
                let secret = ed25519_dalek::SigningKey::from_bytes(seed);
                let public = VerifierKey::new(name, kind, secret.verifying_key().as_bytes())?;
                (Secret::Ed25519(Box::new(secret)), public)
            }
            KeyKind::MlDsaCosigner => {
                let seed = Zeroizing::new(ml_dsa::Seed::from(*seed));
                let secret = Box::new(ml_dsa::SigningKey::<MlDsa44>::from_seed(&seed));
                let public = secret.verifying_key().encode();
                (
                    Secret::MlDsa(secret),
                    VerifierKey::new(name, kind, &public)?,
                )
            }
        };
        Ok(Self { secret, public })
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> &VerifierKey {
        &self.public
    }

    /// Cosigns a checkpoint at a time in Unix seconds; deterministic.
    ///
    /// Says that at this time no larger tree of the log was seen, and that this one is consistent
    /// with all that were. Whether that is true is for the caller, who has also stored it.
    /// [`NoteError::Timestamp`] for a time over [`MAX_TIME_S`].
    pub fn cosign(&self, checkpoint: &Checkpoint, time_s: u64) -> Result<Signature, NoteError> {
        if time_s > MAX_TIME_S {
            return Err(NoteError::Timestamp(time_s));
        }
        let mut bytes = time_s.to_be_bytes().to_vec();
        match &self.secret {
            Secret::Ed25519(secret) => {
                let message = write_v1(&checkpoint.to_string(), time_s);
                bytes.extend(secret.sign(message.as_bytes()).to_bytes());
            }
            Secret::MlDsa(secret) => {
                let message = write_subtree(self.public.name(), checkpoint, time_s);
                bytes.extend(secret.sign(&message).encode());
            }
        }
        let (name, id) = (self.public.name().clone(), self.public.id());
        Ok(Signature::new(name, id, bytes))
    }

    /// `PRIVATE+KEY+<name>+<ID>+base64(<type> || <seed>)`, for storage under encryption.
    #[must_use]
    pub fn to_secret_text(&self) -> SecretText {
        match &self.secret {
            Secret::Ed25519(secret) => write_secret(&self.public, secret.as_bytes()),
            Secret::MlDsa(secret) => {
                let seed = Zeroizing::new(<[u8; 32]>::from(*secret.as_seed()));
                write_secret(&self.public, &seed)
            }
        }
    }
}

impl FromStr for Cosigner {
    type Err = NoteError;

    /// Reads [`Self::to_secret_text`].
    fn from_str(text: &str) -> Result<Self, NoteError> {
        let secret = parse_secret(text)?;
        let cosigner = Self::from_seed(secret.name.clone(), secret.kind, &secret.seed)?;
        secret.check(&cosigner.public)?;
        Ok(cosigner)
    }
}

impl fmt::Debug for Cosigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cosigner")
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

/// The time and the signature proper of a cosignature.
pub(crate) fn split(cosignature: &[u8]) -> Option<(u64, &[u8])> {
    let (time, signature) = cosignature.split_first_chunk::<8>()?;
    let time_s = u64::from_be_bytes(*time);
    (time_s <= MAX_TIME_S).then_some((time_s, signature))
}

/// What `cosignature/v1` signs; `None` if the text is no checkpoint.
pub(crate) fn v1_message(text: &str, time_s: u64) -> Option<String> {
    Checkpoint::parse(text).ok()?;
    Some(write_v1(text, time_s))
}

fn write_v1(text: &str, time_s: u64) -> String {
    format!("cosignature/v1\ntime {time_s}\n{text}")
}

/// What `subtree/v1` signs; `None` if the text is no checkpoint.
pub(crate) fn subtree_message(cosigner: &KeyName, text: &str, time_s: u64) -> Option<Vec<u8>> {
    let checkpoint = Checkpoint::parse(text).ok()?;
    Some(write_subtree(cosigner, &checkpoint, time_s))
}

/// The structure `cosigned_message`, for a whole tree.
fn write_subtree(cosigner: &KeyName, checkpoint: &Checkpoint, time_s: u64) -> Vec<u8> {
    let mut message = b"subtree/v1\n\0".to_vec();
    push_short(&mut message, cosigner.as_str());
    message.extend(time_s.to_be_bytes());
    push_short(&mut message, checkpoint.origin().as_str());
    let start = 0_u64;
    message.extend(start.to_be_bytes());
    message.extend(checkpoint.size().to_be_bytes());
    message.extend(checkpoint.root().as_bytes());
    message
}

/// A text after its length in one byte. Key names and origins have at most 255 bytes.
fn push_short(message: &mut Vec<u8>, text: &str) {
    message.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
    message.extend(text.as_bytes());
}
