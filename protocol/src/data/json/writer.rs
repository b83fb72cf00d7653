//! The writer, and the same form through serde.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use super::scan::plain_prefix;
use crate::data::cbor::{CborError, Decoder, Kind};
use crate::data::{Link, Value};

/// The JSON form of a value, without white space, keys in canonical order.
pub fn to_string(value: &Value) -> String {
    let mut out = Vec::with_capacity(256);
    write(value, &mut out);
    // Only whole strings and ASCII were written.
    String::from_utf8(out).unwrap_or_default()
}

/// Appends the JSON form of a value.
pub fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        // Writing to a `Vec` cannot fail.
        Value::Integer(integer) => write!(out, "{integer}").unwrap_or_default(),
        Value::Text(text) => write_text(text, out),
        Value::Bytes(bytes) => write_bytes(bytes, out),
        Value::Link(link) => write_link(link, out),
        Value::Array(elements) => {
            out.push(b'[');
            for (index, element) in elements.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(element, out);
            }
            out.push(b']');
        }
        Value::Map(map) => {
            out.push(b'{');
            for (index, (key, value)) in map.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_text(key, out);
                out.push(b':');
                write(value, out);
            }
            out.push(b'}');
        }
    }
}

/// Appends the JSON form of strict DAG-CBOR, without building a value in between.
///
/// After an error `out` holds a part of the text.
pub fn write_cbor(cbor: &[u8], out: &mut Vec<u8>) -> Result<(), CborError> {
    let mut decoder = Decoder::new(cbor);
    transcode(&mut decoder, 0, out)?;
    decoder.finish()
}

/// Writes one value inside of `depth` containers. The recursion ends at the limit of depth.
fn transcode(decoder: &mut Decoder<'_>, depth: usize, out: &mut Vec<u8>) -> Result<(), CborError> {
    match decoder.kind()? {
        Kind::Null => {
            decoder.null()?;
            out.extend_from_slice(b"null");
        }
        Kind::Bool => {
            let word: &[u8] = if decoder.bool()? { b"true" } else { b"false" };
            out.extend_from_slice(word);
        }
        // Writing to a `Vec` cannot fail.
        Kind::Integer => write!(out, "{}", decoder.int()?).unwrap_or_default(),
        Kind::Text => write_text(decoder.text()?, out),
        Kind::Bytes => write_bytes(decoder.bytes()?, out),
        Kind::Link => write_link(&decoder.link()?, out),
        Kind::Array => {
            decoder.check_depth(depth)?;
            out.push(b'[');
            for index in 0..decoder.array()? {
                if index > 0 {
                    out.push(b',');
                }
                transcode(decoder, depth + 1, out)?;
            }
            out.push(b']');
        }
        Kind::Map => {
            decoder.check_depth(depth)?;
            let mut separator = b'{';
            let mut keys = decoder.map()?;
            if keys.remaining() == 0 {
                out.push(b'{');
            }
            while let Some(key) = keys.next(decoder)? {
                out.push(separator);
                separator = b',';
                write_text(key, out);
                out.push(b':');
                transcode(decoder, depth + 1, out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"$bytes\":\"");
    out.extend_from_slice(STANDARD_NO_PAD.encode(bytes).as_bytes());
    out.extend_from_slice(b"\"}");
}

fn write_link(link: &Link, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"$link\":\"");
    match link {
        Link::Known(cid) => out.extend_from_slice(&cid.text()),
        Link::Foreign(_) => write!(out, "{link}").unwrap_or_default(),
    }
    out.extend_from_slice(b"\"}");
}

/// Writes a string with its quotes; escapes no more than JSON demands.
fn write_text(text: &str, out: &mut Vec<u8>) {
    const HEX: [u8; 16] = *b"0123456789abcdef";
    out.push(b'"');
    let mut rest = text.as_bytes();
    loop {
        let (plain, special) = rest.split_at(plain_prefix(rest));
        out.extend_from_slice(plain);
        let Some((byte, after)) = special.split_first() else {
            break;
        };
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            0x08 => out.extend_from_slice(b"\\b"),
            0x09 => out.extend_from_slice(b"\\t"),
            0x0a => out.extend_from_slice(b"\\n"),
            0x0c => out.extend_from_slice(b"\\f"),
            0x0d => out.extend_from_slice(b"\\r"),
            _ => {
                let digit = HEX
                    .get(usize::from(byte & 0xf))
                    .copied()
                    .unwrap_or_default();
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', b'0' + (byte >> 4), digit]);
            }
        }
        rest = after;
    }
    out.push(b'"');
}

impl Serialize for Value {
    /// The same form as [`write()`] gives.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Integer(integer) => serializer.serialize_i64(*integer),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Bytes(bytes) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("$bytes", &STANDARD_NO_PAD.encode(bytes))?;
                map.end()
            }
            Self::Link(link) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("$link", link)?;
                map.end()
            }
            Self::Array(elements) => {
                let mut array = serializer.serialize_seq(Some(elements.len()))?;
                for element in elements {
                    array.serialize_element(element)?;
                }
                array.end()
            }
            Self::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries.iter() {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}
