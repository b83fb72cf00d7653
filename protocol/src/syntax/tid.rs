//! Timestamp identifiers, as the atproto "TID" specification gives them. Reads no clock.

use std::fmt;
use std::str::FromStr;

use super::text::deserialize_from_text;
use super::{SyntaxError, quoted};

const ALPHABET: &[u8; 32] = b"234567abcdefghijklmnopqrstuvwxyz";
const DIGITS: usize = 13;
const MAX_MICROS: u64 = (1 << 53) - 1;
const CLOCK_ID_MASK: u64 = 0x3ff;

/// A TID: microseconds since the Unix epoch and a 10-bit clock id. Its order is that of its text.
///
/// The time in a TID of somebody else is a claim; never trust it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tid(u64);

impl Tid {
    /// A TID at `micros` (below 2^53) of the clock `clock_id` (below 1024).
    pub fn new(micros: u64, clock_id: u16) -> Option<Self> {
        let clock_id = u64::from(clock_id);
        (micros <= MAX_MICROS && clock_id <= CLOCK_ID_MASK).then_some(Self(micros << 10 | clock_id))
    }

    /// The next revision of a repository: at `now_us`, or one microsecond after `prev` if that is
    /// later. Strictly greater than `prev`, unless `prev` is the last TID there is.
    /// Only the low 10 bits of `clock_id` count.
    #[must_use]
    pub fn next(prev: Option<Self>, now_us: u64, clock_id: u16) -> Self {
        let clock_id = u64::from(clock_id) & CLOCK_ID_MASK;
        let now_us = now_us.min(MAX_MICROS);
        let Some(prev) = prev else {
            return Self(now_us << 10 | clock_id);
        };
        let micros = now_us.max(prev.micros() + 1);
        match micros.checked_mul(1 << 10) {
            Some(high) => Self(high | clock_id),
            None => Self(prev.0.saturating_add(1)),
        }
    }

    /// Microseconds since the Unix epoch.
    pub fn micros(self) -> u64 {
        self.0 >> 10
    }

    /// The clock id, below 1024.
    pub fn clock_id(self) -> u16 {
        (self.0 & CLOCK_ID_MASK) as u16
    }

    /// The 64-bit number, big-endian: bytes order as TIDs do.
    pub fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// The reverse of [`Tid::to_bytes`]. Every number is a TID.
    pub fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(u64::from_be_bytes(bytes))
    }

    /// The 64-bit number.
    pub fn to_u64(self) -> u64 {
        self.0
    }

    /// The reverse of [`Tid::to_u64`].
    pub fn from_u64(number: u64) -> Self {
        Self(number)
    }

    /// The 13 digits, on the stack.
    pub fn text(self) -> TidText {
        let mut text = [0; DIGITS];
        for (i, digit) in text.iter_mut().rev().enumerate() {
            let index = (self.0 >> (5 * i)) as usize % ALPHABET.len();
            *digit = ALPHABET.get(index).copied().unwrap_or_default();
        }
        TidText(text)
    }
}

/// The text of a TID, without an allocation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TidText([u8; DIGITS]);

impl TidText {
    /// The 13 digits.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl AsRef<str> for TidText {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Debug for TidText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Tid {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        let error = |reason| SyntaxError::Tid {
            value: quoted(text),
            reason,
        };
        if text.len() != DIGITS {
            return Err(error("it must be 13 digits long"));
        }
        let mut number = 0_u64;
        for (i, byte) in text.bytes().enumerate() {
            let digit = match byte {
                b'2'..=b'7' => byte - b'2',
                b'a'..=b'z' => byte - b'a' + 6,
                _ => return Err(error("it may hold only the digits 2-7 and a-z")),
            };
            if i == 0 && digit > 15 {
                return Err(error("the first digit must be one of 2-7 and a-j"));
            }
            number = number << 5 | u64::from(digit);
        }
        Ok(Self(number))
    }
}

impl TryFrom<String> for Tid {
    type Error = SyntaxError;

    fn try_from(text: String) -> Result<Self, SyntaxError> {
        text.parse()
    }
}

impl fmt::Display for Tid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text().as_str())
    }
}

impl fmt::Debug for Tid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text().as_str())
    }
}

impl serde::Serialize for Tid {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text().as_str())
    }
}

deserialize_from_text!(Tid, "a TID");
