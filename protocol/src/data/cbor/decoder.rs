//! Reading strict DAG-CBOR piece by piece, without copying.

use std::cmp::Ordering;
use std::fmt;

use super::{CborError, CborFault, compare_keys};
use crate::data::{Cid, Link, MAX_CONTAINER_LENGTH, MAX_DEPTH, MAX_KEY_BYTES};

/// What a value is, told from its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Null.
    Null,
    /// True or false.
    Bool,
    /// An integer.
    Integer,
    /// Bytes.
    Bytes,
    /// Text.
    Text,
    /// An array.
    Array,
    /// A map.
    Map,
    /// A link.
    Link,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "null",
            Self::Bool => "a boolean",
            Self::Integer => "an integer",
            Self::Bytes => "bytes",
            Self::Text => "text",
            Self::Array => "an array",
            Self::Map => "a map",
            Self::Link => "a link",
        })
    }
}

/// A pull parser over bytes: the caller asks for the value it expects, and gets it or an error.
///
/// Text and bytes are slices of the input. Everything read is checked to be strict DAG-CBOR; what
/// is never read is not, so call [`Decoder::finish`] at the end. After an error the place in the
/// input is unspecified.
#[derive(Clone, Debug)]
pub struct Decoder<'a> {
    input: &'a [u8],
    position: usize,
}

impl<'a> Decoder<'a> {
    /// A decoder at the start of the input.
    pub fn new(input: &'a [u8]) -> Self {
        Self { input, position: 0 }
    }

    /// How many bytes have been read.
    pub fn position(&self) -> usize {
        self.position
    }

    /// The bytes not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.input.get(self.position..).unwrap_or_default()
    }

    /// Errors if bytes are left.
    pub fn finish(&self) -> Result<(), CborError> {
        match self.rest() {
            [] => Ok(()),
            _ => Err(self.error(self.position, CborFault::TrailingBytes)),
        }
    }

    /// What the next value is, without reading it.
    pub fn kind(&self) -> Result<Kind, CborError> {
        let first = self.peek()?;
        let fault = match first >> 5 {
            0 | 1 => return Ok(Kind::Integer),
            2 => return Ok(Kind::Bytes),
            3 => return Ok(Kind::Text),
            4 => return Ok(Kind::Array),
            5 => return Ok(Kind::Map),
            6 if first == 0xd8 => return Ok(Kind::Link),
            6 => CborFault::Tag,
            _ => match first {
                0xf4 | 0xf5 => return Ok(Kind::Bool),
                0xf6 => return Ok(Kind::Null),
                0xf9..=0xfb => CborFault::Float,
                0xff => CborFault::Indefinite,
                0xfc..=0xfe => CborFault::Reserved,
                _ => CborFault::Simple,
            },
        };
        Err(self.error(self.position, fault))
    }

    /// Reads an array's header; as many values follow.
    pub fn array(&mut self) -> Result<usize, CborError> {
        self.container(0x80, Kind::Array, 1)
    }

    /// Reads a map's header. Its keys are read with the answer, which checks their order.
    pub fn map(&mut self) -> Result<MapKeys<'a>, CborError> {
        let remaining = self.container(0xa0, Kind::Map, 2)?;
        Ok(MapKeys {
            remaining,
            previous: None,
        })
    }

    /// Reads text.
    pub fn text(&mut self) -> Result<&'a str, CborError> {
        let start = self.position;
        let bytes = self.string(0x60, Kind::Text)?;
        std::str::from_utf8(bytes).map_err(|_| self.error(start, CborFault::Utf8))
    }

    /// Reads bytes.
    pub fn bytes(&mut self) -> Result<&'a [u8], CborError> {
        self.string(0x40, Kind::Bytes)
    }

    /// Reads an integer.
    pub fn int(&mut self) -> Result<i64, CborError> {
        let start = self.position;
        let first = self.peek()?;
        if first >= 0x40 {
            return Err(self.unexpected(Kind::Integer));
        }
        let argument = self.argument()?;
        let integer =
            i64::try_from(argument).map_err(|_| self.error(start, CborFault::IntegerRange))?;
        Ok(if first < 0x20 { integer } else { !integer })
    }

    /// Reads true or false.
    pub fn bool(&mut self) -> Result<bool, CborError> {
        match self.peek()? {
            first @ (0xf4 | 0xf5) => {
                self.position += 1;
                Ok(first == 0xf5)
            }
            _ => Err(self.unexpected(Kind::Bool)),
        }
    }

    /// Reads null.
    pub fn null(&mut self) -> Result<(), CborError> {
        if self.take_null()? {
            Ok(())
        } else {
            Err(self.unexpected(Kind::Null))
        }
    }

    /// Reads null if it is next, and says whether it was.
    pub fn take_null(&mut self) -> Result<bool, CborError> {
        let is_null = self.peek()? == 0xf6;
        self.position += usize::from(is_null);
        Ok(is_null)
    }

    /// Reads a link.
    pub fn link(&mut self) -> Result<Link, CborError> {
        let start = self.position;
        let bytes = self.link_bytes()?;
        Link::from_bytes(bytes).map_err(|error| self.error(start, CborFault::Link(error)))
    }

    /// Reads a link to a CID of the form atproto writes.
    pub fn cid(&mut self) -> Result<Cid, CborError> {
        let start = self.position;
        let bytes = self.link_bytes()?;
        Cid::from_bytes(bytes).map_err(|error| self.error(start, CborFault::Link(error)))
    }

    /// Reads a link as [`Decoder::cid`] does, or null.
    pub fn cid_or_null(&mut self) -> Result<Option<Cid>, CborError> {
        if self.take_null()? {
            Ok(None)
        } else {
            self.cid().map(Some)
        }
    }

    /// Reads a link as [`Decoder::link`] does, or null.
    pub fn link_or_null(&mut self) -> Result<Option<Link>, CborError> {
        if self.take_null()? {
            Ok(None)
        } else {
            self.link().map(Some)
        }
    }

    /// Reads a value of any kind, checks it whole, and gives its bytes.
    pub fn skip(&mut self) -> Result<&'a [u8], CborError> {
        let start = self.position;
        self.skip_at(0)?;
        Ok(self.input.get(start..self.position).unwrap_or_default())
    }

    /// Skips one value inside of `depth` containers. The recursion ends at [`MAX_DEPTH`].
    fn skip_at(&mut self, depth: usize) -> Result<(), CborError> {
        match self.kind()? {
            Kind::Null | Kind::Bool => self.position += 1,
            Kind::Integer => {
                self.int()?;
            }
            Kind::Text => {
                self.text()?;
            }
            Kind::Bytes => {
                self.bytes()?;
            }
            Kind::Link => {
                self.link()?;
            }
            Kind::Array => {
                self.check_depth(depth)?;
                for _ in 0..self.array()? {
                    self.skip_at(depth + 1)?;
                }
            }
            Kind::Map => {
                self.check_depth(depth)?;
                let mut keys = self.map()?;
                while keys.next(self)?.is_some() {
                    self.skip_at(depth + 1)?;
                }
            }
        }
        Ok(())
    }

    /// Errors if a container inside of `depth` others is one too many.
    pub(in crate::data) fn check_depth(&self, depth: usize) -> Result<(), CborError> {
        if depth < MAX_DEPTH {
            Ok(())
        } else {
            Err(self.error(self.position, CborFault::Depth))
        }
    }

    /// The bytes of a CID in a link: tag 42, a byte string, a zero byte first.
    fn link_bytes(&mut self) -> Result<&'a [u8], CborError> {
        let start = self.position;
        match self.rest() {
            [0xd8, 42, ..] => self.position += 2,
            [0xd8, 0..24, ..] => return Err(self.error(start, CborFault::NotShortest)),
            [0xd8] => return Err(self.error(start, CborFault::Truncated)),
            [0xd8, ..] => return Err(self.error(start, CborFault::Tag)),
            _ => return Err(self.unexpected(Kind::Link)),
        }
        if self.peek()? >> 5 != 2 {
            return Err(self.error(start, CborFault::LinkShape));
        }
        match self.bytes()? {
            [0, cid @ ..] => Ok(cid),
            _ => Err(self.error(start, CborFault::LinkShape)),
        }
    }

    /// A byte string or a text of the major type in the top bits of `major`.
    fn string(&mut self, major: u8, kind: Kind) -> Result<&'a [u8], CborError> {
        let start = self.position;
        if self.peek()? & 0xe0 != major {
            return Err(self.unexpected(kind));
        }
        let length = self.argument()?;
        let bytes = usize::try_from(length)
            .ok()
            .and_then(|length| self.rest().get(..length));
        let bytes = bytes.ok_or_else(|| self.error(start, CborFault::Truncated))?;
        self.position += bytes.len();
        Ok(bytes)
    }

    /// A container's length: not over the limit, nor more than the rest of the input can hold.
    fn container(&mut self, major: u8, kind: Kind, item_bytes: usize) -> Result<usize, CborError> {
        let start = self.position;
        if self.peek()? & 0xe0 != major {
            return Err(self.unexpected(kind));
        }
        let length = self.argument()?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > MAX_CONTAINER_LENGTH {
            return Err(self.error(start, CborFault::ContainerLength));
        }
        if length * item_bytes > self.rest().len() {
            return Err(self.error(start, CborFault::Truncated));
        }
        Ok(length)
    }

    /// Reads the initial byte and the argument that belongs to it.
    fn argument(&mut self) -> Result<u64, CborError> {
        let rest = self.rest();
        let (argument, least, size) = match rest {
            [] => return Err(self.error(self.position, CborFault::Truncated)),
            [first, ..] if first & 0x1f < 24 => {
                self.position += 1;
                return Ok(u64::from(first & 0x1f));
            }
            [first, a, ..] if first & 0x1f == 24 => (u64::from(*a), 24, 2),
            [first, a, b, ..] if first & 0x1f == 25 => {
                (u64::from(u16::from_be_bytes([*a, *b])), 1 << 8, 3)
            }
            [first, a, b, c, d, ..] if first & 0x1f == 26 => {
                (u64::from(u32::from_be_bytes([*a, *b, *c, *d])), 1 << 16, 5)
            }
            [first, a, b, c, d, e, f, g, h, ..] if first & 0x1f == 27 => (
                u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]),
                1 << 32,
                9,
            ),
            [first, ..] => {
                let fault = match first & 0x1f {
                    24..=27 => CborFault::Truncated,
                    28..=30 => CborFault::Reserved,
                    _ => CborFault::Indefinite,
                };
                return Err(self.error(self.position, fault));
            }
        };
        if argument < least {
            return Err(self.error(self.position, CborFault::NotShortest));
        }
        self.position += size;
        Ok(argument)
    }

    fn peek(&self) -> Result<u8, CborError> {
        let first = self.input.get(self.position);
        first
            .copied()
            .ok_or_else(|| self.error(self.position, CborFault::Truncated))
    }

    #[cold]
    fn error(&self, offset: usize, fault: CborFault) -> CborError {
        CborError { offset, fault }
    }

    /// The error for a value of another kind than `expected` at this place.
    #[cold]
    fn unexpected(&self, expected: Kind) -> CborError {
        match self.kind() {
            Ok(found) => self.error(self.position, CborFault::Unexpected { expected, found }),
            Err(error) => error,
        }
    }
}

/// Reads the keys of a map and checks that they are in canonical order, each once.
///
/// After each key the caller reads or skips its value with the decoder.
#[derive(Clone, Debug)]
pub struct MapKeys<'a> {
    remaining: usize,
    previous: Option<&'a str>,
}

impl<'a> MapKeys<'a> {
    /// How many keys have not been read.
    pub fn remaining(&self) -> usize {
        self.remaining
    }

    /// Reads the next key; none after the last.
    pub fn next(&mut self, decoder: &mut Decoder<'a>) -> Result<Option<&'a str>, CborError> {
        if self.remaining == 0 {
            return Ok(None);
        }
        let start = decoder.position;
        if decoder.peek()? >> 5 != 3 {
            return Err(decoder.error(start, CborFault::KeyType));
        }
        let key = decoder.text()?;
        if key.len() > MAX_KEY_BYTES {
            return Err(decoder.error(start, CborFault::KeyLength));
        }
        if let Some(previous) = self.previous {
            match compare_keys(previous.as_bytes(), key.as_bytes()) {
                Ordering::Less => {}
                Ordering::Equal => return Err(decoder.error(start, CborFault::DuplicateKey)),
                Ordering::Greater => return Err(decoder.error(start, CborFault::KeyOrder)),
            }
        }
        self.previous = Some(key);
        self.remaining -= 1;
        Ok(Some(key))
    }
}
