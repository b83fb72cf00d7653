//! Compact signatures and the explicit low-S rule.

use super::{CryptoError, Curve};
use std::fmt;

/// A compact ECDSA signature: big-endian `r` then `s`, 32 bytes each.
///
/// Only the length is checked here; ranges and the low-S rule need a curve and are checked on
/// verification.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signature([u8; 64]);

/// Half of the order of k256, rounded down: the largest `s` in low form.
const HALF_ORDER_K256: [u8; 32] = [
    0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, //
    0x5d, 0x57, 0x6e, 0x73, 0x57, 0xa4, 0x50, 0x1d, 0xdf, 0xe9, 0x2f, 0x46, 0x68, 0x1b, 0x20, 0xa0,
];

/// Half of the order of p256, rounded down.
const HALF_ORDER_P256: [u8; 32] = [
    0x7f, 0xff, 0xff, 0xff, 0x80, 0x00, 0x00, 0x00, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, //
    0xde, 0x73, 0x7d, 0x56, 0xd3, 0x8b, 0xcf, 0x42, 0x79, 0xdc, 0xe5, 0x61, 0x7e, 0x31, 0x92, 0xa8,
];

impl Signature {
    /// Takes a compact signature; [`CryptoError::SignatureLength`] unless it is 64 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CryptoError> {
        bytes
            .try_into()
            .map(Self)
            .map_err(|_| CryptoError::SignatureLength(bytes.len()))
    }

    /// The 64 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }

    /// Whether `s` is at most half of the curve's order.
    #[must_use]
    pub fn is_low_s(&self, curve: Curve) -> bool {
        let half = match curve {
            Curve::K256 => &HALF_ORDER_K256,
            Curve::P256 => &HALF_ORDER_P256,
        };
        self.0.last_chunk::<32>().is_some_and(|s| s <= half)
    }
}

impl From<[u8; 64]> for Signature {
    fn from(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({})", data_encoding::HEXLOWER.encode(&self.0))
    }
}
