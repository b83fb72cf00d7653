//! Secret keys. Deterministic signatures (RFC 6979), always in low-S form.

use super::{CryptoError, Curve, PublicKey, Signature};
use p256::ecdsa::signature::hazmat::PrehashSigner;
use sha2::{Digest, Sha256};
use std::fmt;
use zeroize::{Zeroize, Zeroizing};

/// A secret key with its public key. `Debug` shows the public half only; memory is wiped on drop.
#[derive(Clone)]
pub struct SigningKey {
    secret: Secret,
    public: PublicKey,
}

#[derive(Clone)]
enum Secret {
    K256(WipedK256),
    // Boxed: the parsed p256 key is several times the size of the other, and wipes itself.
    P256(Box<p256::ecdsa::SigningKey>),
}

#[derive(Clone)]
struct WipedK256(secp256k1::SecretKey);

impl Drop for WipedK256 {
    fn drop(&mut self) {
        self.0.non_secure_erase();
    }
}

impl SigningKey {
    /// Takes 32 bytes as the secret scalar, big-endian. The caller draws them from a secure source;
    /// [`CryptoError::SecretOutOfRange`] for zero and for values not below the order.
    pub fn from_bytes(curve: Curve, bytes: &[u8; 32]) -> Result<Self, CryptoError> {
        let refused = || CryptoError::SecretOutOfRange(curve);
        match curve {
            Curve::K256 => {
                let mut copy = *bytes;
                let secret = secp256k1::SecretKey::from_secret_bytes(copy).map_err(|_| refused());
                copy.zeroize();
                let secret = WipedK256(secret?);
                let public = PublicKey::from_k256(secret.0.public_key());
                Ok(Self {
                    secret: Secret::K256(secret),
                    public,
                })
            }
            Curve::P256 => {
                let secret = p256::ecdsa::SigningKey::from_slice(bytes).map_err(|_| refused())?;
                let public = PublicKey::from_p256(*secret.verifying_key())?;
                Ok(Self {
                    secret: Secret::P256(Box::new(secret)),
                    public,
                })
            }
        }
    }

    /// The curve of this key.
    #[must_use]
    pub const fn curve(&self) -> Curve {
        self.public.curve()
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs `SHA-256(message)`; the result is deterministic and low-S.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Signature {
        self.sign_digest(Sha256::digest(message).into())
    }

    /// Signs a SHA-256 digest that was computed elsewhere; deterministic and low-S.
    #[must_use]
    pub fn sign_digest(&self, digest: [u8; 32]) -> Signature {
        match &self.secret {
            Secret::K256(secret) => {
                secp256k1::ecdsa::sign(secp256k1::Message::from_digest(digest), &secret.0)
                    .serialize_compact()
                    .into()
            }
            Secret::P256(secret) => {
                #[expect(
                    clippy::expect_used,
                    reason = "a 32-byte digest is never refused by the signer"
                )]
                let signature: p256::ecdsa::Signature =
                    secret.sign_prehash(&digest).expect("32-byte digest");
                let bytes: [u8; 64] = signature.normalize_s().to_bytes().into();
                bytes.into()
            }
        }
    }

    /// The secret scalar, big-endian, for storage under encryption.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        match &self.secret {
            Secret::K256(secret) => Zeroizing::new(secret.0.to_secret_bytes()),
            Secret::P256(secret) => Zeroizing::new(secret.to_bytes().into()),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}
