//! Public keys: validated once, kept in parsed form, written as `did:key` or multikey.

use super::{CryptoError, Curve, Signature};
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use sha2::{Digest, Sha256};
use std::{fmt, hash, str::FromStr};

/// A public key that is known to be a point of its curve.
///
/// It keeps the parsed point, so that verifying many signatures parses the key once.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(Parsed);

#[derive(Clone, PartialEq, Eq)]
enum Parsed {
    K256(secp256k1::PublicKey),
    P256 {
        point: p256::ecdsa::VerifyingKey,
        /// The form that the fast verifier takes.
        uncompressed: [u8; 65],
    },
}

const DID_KEY_PREFIX: &str = "did:key:";

/// No key string of either curve is longer; bounds the quadratic base58 decoder.
const MULTIBASE_LIMIT_BYTES: usize = 128;

impl PublicKey {
    /// Parses `did:key:z…` (compressed k256 or p256 point).
    pub fn from_did_key(text: &str) -> Result<Self, CryptoError> {
        let key = text
            .strip_prefix(DID_KEY_PREFIX)
            .ok_or_else(|| CryptoError::NotDidKey(shorten(text)))?;
        Self::from_multibase(key)
    }

    /// The `did:key:` form.
    #[must_use]
    pub fn to_did_key(&self) -> String {
        format!("{DID_KEY_PREFIX}{}", self.to_multibase())
    }

    /// Parses a multikey string: `z`, base58btc of multicodec and compressed point.
    pub fn from_multibase(text: &str) -> Result<Self, CryptoError> {
        let bytes = decode_multibase(text)?;
        let (codec, point) = bytes
            .split_first_chunk::<2>()
            .ok_or(CryptoError::UnknownKeyType)?;
        let curve = [Curve::K256, Curve::P256]
            .into_iter()
            .find(|curve| curve.multicodec() == *codec)
            .ok_or(CryptoError::UnknownKeyType)?;
        match point.len() {
            33 => Self::from_sec1(curve, point),
            other => Err(CryptoError::KeyLength(other)),
        }
    }

    /// Parses the value of a legacy verification method (`EcdsaSecp256k1VerificationKey2019`,
    /// `EcdsaSecp256r1VerificationKey2019`): base58btc of a bare point, compressed or not.
    pub fn from_legacy_multibase(curve: Curve, text: &str) -> Result<Self, CryptoError> {
        Self::from_sec1(curve, &decode_multibase(text)?)
    }

    /// Parses a SEC1 point of 33 (compressed) or 65 (uncompressed) bytes.
    pub fn from_sec1(curve: Curve, bytes: &[u8]) -> Result<Self, CryptoError> {
        if !matches!(
            (bytes.len(), bytes.first()),
            (33, Some(2 | 3)) | (65, Some(4))
        ) {
            return Err(match bytes.len() {
                33 | 65 => CryptoError::NotAPoint(curve),
                other => CryptoError::KeyLength(other),
            });
        }
        match curve {
            Curve::K256 => secp256k1::PublicKey::from_slice(bytes)
                .map(|point| Self(Parsed::K256(point)))
                .map_err(|_| CryptoError::NotAPoint(curve)),
            Curve::P256 => {
                let point = p256::ecdsa::VerifyingKey::from_sec1_bytes(bytes)
                    .map_err(|_| CryptoError::NotAPoint(curve))?;
                Self::from_p256(point)
            }
        }
    }

    pub(super) fn from_k256(point: secp256k1::PublicKey) -> Self {
        Self(Parsed::K256(point))
    }

    pub(super) fn from_p256(point: p256::ecdsa::VerifyingKey) -> Result<Self, CryptoError> {
        let uncompressed = point
            .to_sec1_point(false)
            .as_bytes()
            .try_into()
            .map_err(|_| CryptoError::NotAPoint(Curve::P256))?;
        Ok(Self(Parsed::P256 {
            point,
            uncompressed,
        }))
    }

    /// The multikey form: `z`, base58btc of multicodec and compressed point.
    #[must_use]
    pub fn to_multibase(&self) -> String {
        let mut bytes = [0_u8; 35];
        let (codec, point) = bytes.split_at_mut(2);
        codec.copy_from_slice(&self.curve().multicodec());
        point.copy_from_slice(&self.to_compressed());
        format!("z{}", bs58::encode(bytes).into_string())
    }

    /// The compressed SEC1 point.
    #[must_use]
    pub fn to_compressed(&self) -> [u8; 33] {
        match &self.0 {
            Parsed::K256(point) => point.serialize(),
            Parsed::P256 { uncompressed, .. } => {
                let mut bytes = [0; 33];
                let [_, coordinates @ ..] = uncompressed;
                let (x, y) = coordinates.split_at(32);
                let (tag, rest) = bytes.split_at_mut(1);
                tag.copy_from_slice(&[2 | (y.last().copied().unwrap_or(0) & 1)]);
                rest.copy_from_slice(x);
                bytes
            }
        }
    }

    /// The curve of this key.
    #[must_use]
    pub const fn curve(&self) -> Curve {
        match self.0 {
            Parsed::K256(_) => Curve::K256,
            Parsed::P256 { .. } => Curve::P256,
        }
    }

    /// Verifies a signature over `SHA-256(message)`. Refuses high-S signatures.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), CryptoError> {
        if !signature.is_low_s(self.curve()) {
            return Err(CryptoError::HighS);
        }
        self.verify_malleable(message, signature)
    }

    /// Verifies a signature over a SHA-256 digest that was computed elsewhere. Refuses high-S.
    ///
    /// On p256 this is several times slower than [`Self::verify`].
    pub fn verify_digest(
        &self,
        digest: [u8; 32],
        signature: &Signature,
    ) -> Result<(), CryptoError> {
        if !signature.is_low_s(self.curve()) {
            return Err(CryptoError::HighS);
        }
        match &self.0 {
            Parsed::K256(point) => verify_k256(point, digest, signature),
            Parsed::P256 { point, .. } => p256::ecdsa::Signature::from_slice(signature.as_bytes())
                .and_then(|signature| point.verify_prehash(&digest, &signature))
                .map_err(|_| CryptoError::BadSignature),
        }
    }

    /// As [`Self::verify`] but takes high-S signatures too. Only for service-auth tokens, where
    /// other implementations allow them; nothing is addressed by the bytes of a token.
    pub fn verify_malleable(
        &self,
        message: &[u8],
        signature: &Signature,
    ) -> Result<(), CryptoError> {
        match &self.0 {
            Parsed::K256(point) => verify_k256(point, Sha256::digest(message).into(), signature),
            Parsed::P256 { uncompressed, .. } => ring::signature::UnparsedPublicKey::new(
                &ring::signature::ECDSA_P256_SHA256_FIXED,
                uncompressed,
            )
            .verify(message, signature.as_bytes())
            .map_err(|_| CryptoError::BadSignature),
        }
    }
}

fn verify_k256(
    point: &secp256k1::PublicKey,
    digest: [u8; 32],
    signature: &Signature,
) -> Result<(), CryptoError> {
    let mut parsed = secp256k1::ecdsa::Signature::from_compact(signature.as_bytes())
        .map_err(|_| CryptoError::BadSignature)?;
    // The library refuses high-S by itself; who calls this has decided about that already.
    parsed.normalize_s();
    secp256k1::ecdsa::verify(&parsed, secp256k1::Message::from_digest(digest), point)
        .map_err(|_| CryptoError::BadSignature)
}

pub(super) fn curve_of_did_key(text: &str) -> Option<Curve> {
    let bytes = decode_multibase(text.strip_prefix(DID_KEY_PREFIX)?).ok()?;
    split_multicodec(&bytes).ok().map(|(curve, _)| curve)
}

fn split_multicodec(bytes: &[u8]) -> Result<(Curve, &[u8]), CryptoError> {
    let (codec, point) = bytes
        .split_first_chunk::<2>()
        .ok_or(CryptoError::UnknownKeyType)?;
    let curve = [Curve::K256, Curve::P256]
        .into_iter()
        .find(|curve| curve.multicodec() == *codec)
        .ok_or(CryptoError::UnknownKeyType)?;
    match point.len() {
        33 => Ok((curve, point)),
        other => Err(CryptoError::KeyLength(other)),
    }
}

fn decode_multibase(text: &str) -> Result<Vec<u8>, CryptoError> {
    let refused = || CryptoError::Multibase(shorten(text));
    if text.len() > MULTIBASE_LIMIT_BYTES {
        return Err(refused());
    }
    let digits = text.strip_prefix('z').ok_or_else(refused)?;
    bs58::decode(digits).into_vec().map_err(|_| refused())
}

/// Error messages must not carry a stranger's megabyte.
fn shorten(text: &str) -> String {
    text.chars().take(100).collect()
}

impl hash::Hash for PublicKey {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.curve().hash(state);
        self.to_compressed().hash(state);
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_did_key())
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_did_key())
    }
}

impl FromStr for PublicKey {
    type Err = CryptoError;

    /// Parses the `did:key:` form.
    fn from_str(text: &str) -> Result<Self, CryptoError> {
        Self::from_did_key(text)
    }
}
