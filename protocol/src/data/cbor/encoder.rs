//! Writing canonical DAG-CBOR piece by piece.

use crate::data::{Cid, Link, Value};

/// Appends canonical DAG-CBOR to a buffer.
///
/// The caller states how many elements follow an `array` or `map`, and puts the keys of a map in
/// canonical order: shorter first, then by bytes.
#[derive(Clone, Debug, Default)]
pub struct Encoder {
    bytes: Vec<u8>,
}

impl Encoder {
    /// An empty encoder.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty encoder with room for this many bytes.
    pub fn with_capacity(capacity_bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(capacity_bytes),
        }
    }

    /// Appends to bytes that exist.
    pub fn append_to(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }

    /// The header of an array; its elements follow.
    pub fn array(&mut self, length: usize) -> &mut Self {
        self.header(4, length as u64)
    }

    /// The header of a map; its keys and values follow.
    pub fn map(&mut self, length: usize) -> &mut Self {
        self.header(5, length as u64)
    }

    /// Text, also as a map key.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.header(3, text.len() as u64).raw(text.as_bytes())
    }

    /// Bytes.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.header(2, bytes.len() as u64).raw(bytes)
    }

    /// An integer.
    pub fn int(&mut self, integer: i64) -> &mut Self {
        match u64::try_from(integer) {
            Ok(positive) => self.header(0, positive),
            // The argument of a negative integer n is -1 - n, which is its bitwise complement.
            Err(_) => self.header(1, !integer as u64),
        }
    }

    /// A link.
    pub fn link(&mut self, link: &Link) -> &mut Self {
        match link {
            Link::Known(cid) => self.cid(cid),
            Link::Foreign(bytes) => self
                .header(6, 42)
                .header(2, bytes.len() as u64 + 1)
                .raw(&[0])
                .raw(bytes),
        }
    }

    /// A link to a CID of the form atproto writes.
    pub fn cid(&mut self, cid: &Cid) -> &mut Self {
        self.raw(&[0xd8, 0x2a, 0x58, 0x25, 0x00])
            .raw(&cid.to_bytes())
    }

    /// A link, or null.
    pub fn cid_or_null(&mut self, cid: Option<&Cid>) -> &mut Self {
        match cid {
            Some(cid) => self.cid(cid),
            None => self.null(),
        }
    }

    /// Null.
    pub fn null(&mut self) -> &mut Self {
        self.raw(&[0xf6])
    }

    /// True or false.
    pub fn bool(&mut self, value: bool) -> &mut Self {
        self.raw(&[if value { 0xf5 } else { 0xf4 }])
    }

    /// A value with all that is in it.
    pub fn value(&mut self, value: &Value) -> &mut Self {
        match value {
            Value::Null => self.null(),
            Value::Bool(value) => self.bool(*value),
            Value::Integer(integer) => self.int(*integer),
            Value::Text(text) => self.text(text),
            Value::Bytes(bytes) => self.bytes(bytes),
            Value::Link(link) => self.link(link),
            Value::Array(elements) => {
                self.array(elements.len());
                for element in elements {
                    self.value(element);
                }
                self
            }
            Value::Map(map) => {
                self.map(map.len());
                for (key, value) in map.iter() {
                    self.text(key).value(value);
                }
                self
            }
        }
    }

    /// Bytes that are encoded already.
    pub fn raw(&mut self, encoded: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(encoded);
        self
    }

    /// How many bytes there are so far.
    pub fn position(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes so far.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The finished bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// A major type and its argument, in the shortest form.
    fn header(&mut self, major: u8, argument: u64) -> &mut Self {
        let major = major << 5;
        let bytes = argument.to_be_bytes();
        let [.., seventh, last] = bytes;
        match argument {
            0..24 => self.raw(&[major | last]),
            24..0x100 => self.raw(&[major | 24, last]),
            0x100..0x1_0000 => self.raw(&[major | 25, seventh, last]),
            0x1_0000..0x1_0000_0000 => self
                .raw(&[major | 26])
                .raw(bytes.last_chunk::<4>().map_or(&[], |b| b)),
            0x1_0000_0000.. => self.raw(&[major | 27]).raw(&bytes),
        }
    }
}
