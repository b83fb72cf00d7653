//! Keys and signatures of the atproto cryptography spec: ECDSA over k256 and p256 with SHA-256,
//! 64-byte compact low-S signatures, `did:key` and multikey strings.
//!
//! Keys are built from bytes the caller drew: this module has no randomness of its own, and it
//! never compares signature bytes to decide validity.

mod public_key;
mod signature;
mod signing_key;
#[cfg(test)]
mod tests;

use std::fmt;

pub use public_key::PublicKey;
pub use signature::Signature;
pub use signing_key::SigningKey;

/// The two blessed elliptic curves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Curve {
    /// secp256k1, the default for new keys.
    K256,
    /// NIST P-256, also called secp256r1.
    P256,
}

impl Curve {
    /// The JOSE `alg` value of signatures on this curve.
    #[must_use]
    pub const fn jwt_algorithm(self) -> &'static str {
        match self {
            Self::K256 => "ES256K",
            Self::P256 => "ES256",
        }
    }

    /// The curve that a `did:key` names by its multicodec. Cheap: whether the point is on the curve
    /// is not checked, [`PublicKey::from_did_key`] does that.
    #[must_use]
    pub fn of_did_key(text: &str) -> Option<Self> {
        public_key::curve_of_did_key(text)
    }

    /// The two bytes of the multicodec varint that precede a compressed point.
    const fn multicodec(self) -> [u8; 2] {
        match self {
            Self::K256 => [0xe7, 0x01],
            Self::P256 => [0x80, 0x24],
        }
    }
}

impl fmt::Display for Curve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::K256 => "k256",
            Self::P256 => "p256",
        })
    }
}

/// Why a key or a signature was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CryptoError {
    /// The string does not start with `did:key:`.
    #[error("key {0:?} does not start with \"did:key:\"")]
    NotDidKey(String),
    /// The string is not `z` followed by base58btc.
    #[error("key {0:?} is not multibase base58btc (\"z\" and base58 digits)")]
    Multibase(String),
    /// The bytes carry the multicodec of neither k256 nor p256.
    #[error("key type is neither k256 (e7 01) nor p256 (80 24)")]
    UnknownKeyType,
    /// The bytes have the wrong length for a public key of this form.
    #[error("public key has {0} bytes, expected 33 (compressed) or, for legacy types, 65")]
    KeyLength(usize),
    /// The bytes are no point of the curve.
    #[error("public key is not a point of {0}")]
    NotAPoint(Curve),
    /// The secret is zero or not below the order of the curve.
    #[error("secret key is not a valid scalar of {0}; draw another 32 random bytes")]
    SecretOutOfRange(Curve),
    /// A compact signature is exactly 64 bytes; DER signatures are refused.
    #[error("signature has {0} bytes, expected 64 (compact r and s, not DER)")]
    SignatureLength(usize),
    /// `s` lies in the upper half of the order, so the signature is malleable.
    #[error("signature is not in low-S form")]
    HighS,
    /// The signature does not belong to this message and key.
    #[error("signature does not verify under this key")]
    BadSignature,
}
