//! The reader: recursive, its depth bounded.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::scan::plain_prefix;
use super::{JsonError, JsonFault, number};
use crate::data::path::{prepend_index, prepend_key};
use crate::data::{MAX_CONTAINER_LENGTH, MAX_DEPTH, Map, Value};

/// Standard base64, padded or not, as others write it: bits past the end may be set.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Reads a text that holds exactly one value.
pub(super) fn document(input: &[u8]) -> Result<Value, JsonError> {
    let mut parser = Parser { input, position: 0 };
    let value = parser.value(0)?;
    parser.whitespace();
    match parser.peek() {
        None => Ok(value),
        Some(_) => Err(parser.error(JsonFault::TrailingText)),
    }
}

struct Parser<'a> {
    input: &'a [u8],
    position: usize,
}

impl<'a> Parser<'a> {
    /// Reads a value inside of `depth` containers.
    fn value(&mut self, depth: usize) -> Result<Value, JsonError> {
        self.whitespace();
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => Ok(Value::Text(self.string()?.into_owned())),
            Some(b'-' | b'0'..=b'9') => {
                let (integer, length) =
                    number::read(self.rest()).map_err(|fault| self.error(fault))?;
                self.position += length;
                Ok(Value::Integer(integer))
            }
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            Some(_) => Err(self.error(JsonFault::Expected("a value"))),
            None => Err(self.error(JsonFault::Truncated)),
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value, JsonError> {
        if depth >= MAX_DEPTH {
            return Err(self.error(JsonFault::Depth));
        }
        let mut elements = Vec::new();
        self.position += 1;
        if self.take(b']') {
            return Ok(Value::Array(elements));
        }
        loop {
            if elements.len() == MAX_CONTAINER_LENGTH {
                return Err(self.error(JsonFault::ContainerLength));
            }
            let index = elements.len();
            elements.push(self.value(depth + 1).map_err(|mut error| {
                prepend_index(&mut error.path, index);
                error
            })?);
            if !self.take(b',') {
                self.expect(b']', "`,` or `]`")?;
                return Ok(Value::Array(elements));
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, JsonError> {
        // One more than the limit, for the object that a link or bytes are in JSON.
        if depth > MAX_DEPTH {
            return Err(self.error(JsonFault::Depth));
        }
        let mut entries = Vec::new();
        self.position += 1;
        if !self.take(b'}') {
            loop {
                if entries.len() == MAX_CONTAINER_LENGTH {
                    return Err(self.error(JsonFault::ContainerLength));
                }
                entries.push(self.entry(depth)?);
                if !self.take(b',') {
                    self.expect(b'}', "`,` or `}`")?;
                    break;
                }
            }
        }
        let map = Map::from_entries(entries).map_err(|key| {
            let mut error = self.error(JsonFault::DuplicateKey);
            prepend_key(&mut error.path, &key);
            error
        })?;
        match special(&map).map_err(|fault| self.error(fault))? {
            Some(value) => Ok(value),
            None if depth >= MAX_DEPTH => Err(self.error(JsonFault::Depth)),
            None => Ok(Value::Map(map)),
        }
    }

    fn entry(&mut self, depth: usize) -> Result<(String, Value), JsonError> {
        self.whitespace();
        match self.peek() {
            Some(b'"') => {}
            Some(_) => return Err(self.error(JsonFault::Expected("a string as key"))),
            None => return Err(self.error(JsonFault::Truncated)),
        }
        let key = self.string()?.into_owned();
        self.expect(b':', "`:`")?;
        match self.value(depth + 1) {
            Ok(value) => Ok((key, value)),
            Err(mut error) => {
                prepend_key(&mut error.path, &key);
                Err(error)
            }
        }
    }

    /// Reads a string; the opening quote is next. Borrows unless there are escapes.
    fn string(&mut self) -> Result<Cow<'a, str>, JsonError> {
        self.position += 1;
        let mut text = Cow::Borrowed("");
        loop {
            let rest = self.rest();
            let (chunk, after) = rest.split_at(plain_prefix(rest));
            let chunk = std::str::from_utf8(chunk).map_err(|_| self.error(JsonFault::Utf8))?;
            // Adding to an empty text borrows.
            text += chunk;
            self.position += chunk.len();
            match after.first() {
                Some(b'"') => {
                    self.position += 1;
                    return Ok(text);
                }
                Some(b'\\') => text.to_mut().push(self.escape()?),
                Some(_) => return Err(self.error(JsonFault::ControlCharacter)),
                None => return Err(self.error(JsonFault::Truncated)),
            }
        }
    }

    /// Reads an escape; the backslash is next.
    fn escape(&mut self) -> Result<char, JsonError> {
        let code = self.input.get(self.position + 1);
        let code = code.ok_or_else(|| self.error(JsonFault::Truncated))?;
        let character = match code {
            b'"' | b'\\' | b'/' => char::from(*code),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode_escape(),
            _ => return Err(self.error(JsonFault::Escape)),
        };
        self.position += 2;
        Ok(character)
    }

    /// Reads `\uXXXX`, or two of them that make a surrogate pair.
    fn unicode_escape(&mut self) -> Result<char, JsonError> {
        let high = self.code_unit()?;
        if !(0xd800..0xe000).contains(&high) {
            return char::from_u32(high).ok_or_else(|| self.error(JsonFault::Surrogate));
        }
        if high >= 0xdc00 || !self.rest().starts_with(b"\\u") {
            return Err(self.error(JsonFault::Surrogate));
        }
        let low = self.code_unit()?;
        if !(0xdc00..0xe000).contains(&low) {
            return Err(self.error(JsonFault::Surrogate));
        }
        let code_point = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
        char::from_u32(code_point).ok_or_else(|| self.error(JsonFault::Surrogate))
    }

    /// Reads `\u` and four hexadecimal digits.
    fn code_unit(&mut self) -> Result<u32, JsonError> {
        let digits = self.input.get(self.position + 2..self.position + 6);
        let digits = digits.ok_or_else(|| self.error(JsonFault::Truncated))?;
        let mut unit = 0;
        for digit in digits {
            let digit = char::from(*digit).to_digit(16);
            unit = unit << 4 | digit.ok_or_else(|| self.error(JsonFault::Escape))?;
        }
        self.position += 6;
        Ok(unit)
    }

    fn word(&mut self, word: &'static str, value: Value) -> Result<Value, JsonError> {
        if !self.rest().starts_with(word.as_bytes()) {
            return Err(self.error(JsonFault::Expected("true, false or null")));
        }
        self.position += word.len();
        Ok(value)
    }

    fn whitespace(&mut self) {
        let blank = |b: &&u8| matches!(b, b' ' | b'\t' | b'\n' | b'\r');
        self.position += self.rest().iter().take_while(blank).count();
    }

    /// Takes a byte if it is next after white space.
    fn take(&mut self, wanted: u8) -> bool {
        self.whitespace();
        let found = self.peek() == Some(wanted);
        self.position += usize::from(found);
        found
    }

    fn expect(&mut self, wanted: u8, name: &'static str) -> Result<(), JsonError> {
        if self.take(wanted) {
            return Ok(());
        }
        Err(self.error(match self.peek() {
            Some(_) => JsonFault::Expected(name),
            None => JsonFault::Truncated,
        }))
    }

    fn peek(&self) -> Option<u8> {
        self.input.get(self.position).copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.input.get(self.position..).unwrap_or_default()
    }

    #[cold]
    fn error(&self, fault: JsonFault) -> JsonError {
        JsonError {
            path: String::new(),
            offset: self.position,
            fault,
        }
    }
}

/// The link or the bytes that an object stands for.
fn special(map: &Map) -> Result<Option<Value>, JsonFault> {
    if let Some(link) = map.get("$link") {
        let text = link
            .as_text()
            .filter(|_| map.len() == 1)
            .ok_or(JsonFault::LinkShape)?;
        return text
            .parse()
            .map(|link| Some(Value::Link(link)))
            .map_err(JsonFault::Link);
    }
    if let Some(bytes) = map.get("$bytes") {
        let text = bytes
            .as_text()
            .filter(|_| map.len() == 1)
            .ok_or(JsonFault::BytesShape)?;
        let bytes = BASE64.decode(text).map_err(|_| JsonFault::Base64)?;
        return Ok(Some(Value::Bytes(bytes)));
    }
    Ok(None)
}
