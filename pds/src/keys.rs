//! Secret keys of the server: opening and sealing account signing keys, and the rotation key.
//!
//! Account keys lie in the database encrypted (ChaCha20-Poly1305, the DID as associated data) under
//! a key-encryption key that is a 0600 file outside of it. Must not write a key anywhere in the
//! clear, and never logs one.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use rochdale_protocol::crypto::{CryptoError, Curve, SigningKey};
use rochdale_protocol::syntax::Did;
use rochdale_service::clock;
use rochdale_service::config::{KeyFileError, read_or_create_key_file};

use crate::account::{Account, AccountId};

const NONCE_BYTES: usize = 12;
/// Opened keys kept in memory; the rest are decrypted again when needed (about 2 µs).
const OPENED_KEYS: u64 = 20_000;

/// Why a key could not be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The stored key was not sealed under the present key-encryption key, or was altered.
    #[error(
        "signing key of {0} does not open: is the key-encryption key the one it was sealed with?"
    )]
    DoesNotOpen(Did),
    /// What was sealed is no key.
    #[error("signing key of {did} is not valid")]
    Invalid {
        /// The account's DID.
        did: Did,
        /// What the key parser said.
        #[source]
        cause: CryptoError,
    },
    /// Encryption failed.
    #[error("a signing key could not be sealed")]
    NotSealed,
}

/// An account signing key as it lies in the database: nonce, ciphertext and tag.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedKey(Vec<u8>);

impl SealedKey {
    /// Takes the bytes of a database column.
    #[must_use]
    pub fn from_stored(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes for a database column.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SealedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealedKey(***)")
    }
}

/// The server's keys.
pub struct Keyring {
    sealing: ChaCha20Poly1305,
    rotation: Arc<SigningKey>,
    /// With what each was sealed as: an account may get another key.
    opened: moka::sync::Cache<AccountId, (SealedKey, Arc<SigningKey>)>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring")
            .field("rotation", &self.rotation.public().to_did_key())
            .finish_non_exhaustive()
    }
}

impl Keyring {
    /// Reads the key-encryption key and the rotation key from `folder`, making them on first start.
    ///
    /// # Errors
    /// A key file that others may read, that has the wrong length, or that cannot be written.
    pub fn open(folder: &Path) -> Result<Self, KeyFileError> {
        let sealing = read_or_create_key_file(&folder.join("pds-key-encryption.key"))?;
        let rotation_path = folder.join("pds-plc-rotation.key");
        let rotation = read_or_create_key_file(&rotation_path)?;
        let rotation = SigningKey::from_bytes(Curve::K256, &rotation).map_err(|_range| {
            KeyFileError::Malformed {
                path: rotation_path,
                expected: "a k256 secret key",
            }
        })?;
        Ok(Self::new(&sealing, rotation))
    }

    /// A keyring from keys that the caller holds.
    #[must_use]
    pub fn new(key_encryption_key: &[u8; 32], rotation: SigningKey) -> Self {
        Self {
            sealing: ChaCha20Poly1305::new(&Key::from(*key_encryption_key)),
            rotation: Arc::new(rotation),
            opened: moka::sync::Cache::new(OPENED_KEYS),
        }
    }

    /// The key that signs PLC operations for every account here.
    #[must_use]
    pub fn rotation(&self) -> &Arc<SigningKey> {
        &self.rotation
    }

    /// Draws a signing key and seals it for `did`'s row, once the DID is known.
    #[must_use]
    pub fn generate() -> SigningKey {
        loop {
            // A draw outside of the curve's order happens about once in 2^128.
            if let Ok(key) = SigningKey::from_bytes(Curve::K256, &clock::random::<32>()) {
                return key;
            }
        }
    }

    /// Encrypts `key` for the row of `did`.
    ///
    /// # Errors
    /// [`KeyError::NotSealed`] when the cipher refuses, which it does for no input of this length.
    pub fn seal(&self, did: &Did, key: &SigningKey) -> Result<SealedKey, KeyError> {
        let nonce = clock::random::<NONCE_BYTES>();
        let secret = key.to_bytes();
        let payload = Payload {
            msg: secret.as_ref(),
            aad: did.as_str().as_bytes(),
        };
        let sealed = self
            .sealing
            .encrypt(&Nonce::from(nonce), payload)
            .map_err(|_opaque| KeyError::NotSealed)?;
        Ok(SealedKey([nonce.as_slice(), &sealed].concat()))
    }

    /// The signing key of `account`, from the cache when it was opened before.
    ///
    /// # Errors
    /// A key that does not open under the present key-encryption key.
    pub fn signing_key(&self, account: &Account) -> Result<Arc<SigningKey>, KeyError> {
        if let Some((sealed, key)) = self.opened.get(&account.id)
            && sealed == account.signing_key
        {
            return Ok(key);
        }
        let key = Arc::new(self.unseal(&account.did, &account.signing_key)?);
        let opened = (account.signing_key.clone(), Arc::clone(&key));
        self.opened.insert(account.id, opened);
        Ok(key)
    }

    /// Opens a sealed key of `did` without keeping it.
    ///
    /// # Errors
    /// A key that does not open under the present key-encryption key.
    pub fn unseal(&self, did: &Did, sealed: &SealedKey) -> Result<SigningKey, KeyError> {
        let does_not_open = || KeyError::DoesNotOpen(did.clone());
        let (nonce, ciphertext) = sealed
            .0
            .split_first_chunk::<NONCE_BYTES>()
            .ok_or_else(does_not_open)?;
        let payload = Payload {
            msg: ciphertext,
            aad: did.as_str().as_bytes(),
        };
        let secret = zeroize::Zeroizing::new(
            self.sealing
                .decrypt(&Nonce::from(*nonce), payload)
                .map_err(|_opaque| does_not_open())?,
        );
        let secret: &[u8; 32] = secret
            .as_slice()
            .try_into()
            .map_err(|_length| does_not_open())?;
        SigningKey::from_bytes(Curve::K256, secret).map_err(|cause| KeyError::Invalid {
            did: did.clone(),
            cause,
        })
    }

    /// Forgets the opened key of a deleted account.
    pub fn forget(&self, account: AccountId) {
        self.opened.invalidate(&account);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyring(kek: u8) -> Keyring {
        Keyring::new(&[kek; 32], Keyring::generate())
    }

    fn did(text: &str) -> Did {
        text.parse().unwrap()
    }

    #[test]
    fn a_sealed_key_opens_again_and_never_shows_its_secret() {
        let ring = keyring(1);
        let key = Keyring::generate();
        let did = did("did:plc:ewvi7nxzyoun6zhxrhs64oiz");
        let sealed = ring.seal(&did, &key).unwrap();
        assert!(
            !sealed
                .as_bytes()
                .windows(32)
                .any(|part| part == key.to_bytes().as_ref())
        );
        let opened = ring.unseal(&did, &sealed).unwrap();
        assert_eq!(opened.public().to_did_key(), key.public().to_did_key());
    }

    #[test]
    fn a_key_moved_to_another_account_or_under_another_secret_does_not_open() {
        let ring = keyring(1);
        let did_a = did("did:plc:ewvi7nxzyoun6zhxrhs64oiz");
        let sealed = ring.seal(&did_a, &Keyring::generate()).unwrap();
        let other = ring.unseal(&did("did:plc:44ybard66vv44zksje25o7dz"), &sealed);
        assert!(matches!(other, Err(KeyError::DoesNotOpen(_))));
        assert!(matches!(
            keyring(2).unseal(&did_a, &sealed),
            Err(KeyError::DoesNotOpen(_))
        ));
        let cut = SealedKey::from_stored(sealed.as_bytes()[..8].to_vec());
        assert!(matches!(
            ring.unseal(&did_a, &cut),
            Err(KeyError::DoesNotOpen(_))
        ));
    }
}
