//! Taking the fields of a map one by one, until none is left.

use rochdale_protocol::data::{Map, Value, cbor};

use super::LeafError;

/// The fields of a map that were not taken yet.
pub(super) struct Fields(Map);

impl Fields {
    /// The fields of bytes that are one map in strict DAG-CBOR.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, LeafError> {
        Self::of(cbor::decode(bytes)?)
    }

    /// The fields of a value that is a map.
    pub(super) fn of(value: Value) -> Result<Self, LeafError> {
        match value {
            Value::Map(map) => Ok(Self(map)),
            _ => Err(LeafError::NotAMap),
        }
    }

    fn take(&mut self, field: &'static str) -> Result<Value, LeafError> {
        self.0.remove(field).ok_or(LeafError::Missing(field))
    }

    pub(super) fn text(&mut self, field: &'static str) -> Result<String, LeafError> {
        match self.take(field)? {
            Value::Text(text) => Ok(text),
            _ => Err(refused(field, "text")),
        }
    }

    pub(super) fn bytes(&mut self, field: &'static str) -> Result<Vec<u8>, LeafError> {
        match self.take(field)? {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(refused(field, "bytes")),
        }
    }

    /// Bytes of one length.
    pub(super) fn array<const N: usize>(
        &mut self,
        field: &'static str,
        expected: &'static str,
    ) -> Result<[u8; N], LeafError> {
        let bytes = self.bytes(field)?;
        bytes.try_into().map_err(|_| refused(field, expected))
    }

    pub(super) fn integer(&mut self, field: &'static str) -> Result<i64, LeafError> {
        match self.take(field)? {
            Value::Integer(integer) => Ok(integer),
            _ => Err(refused(field, "an integer")),
        }
    }

    /// An integer that may be missing.
    pub(super) fn optional_integer(
        &mut self,
        field: &'static str,
    ) -> Result<Option<i64>, LeafError> {
        if self.0.contains_key(field) {
            self.integer(field).map(Some)
        } else {
            Ok(None)
        }
    }

    pub(super) fn list(&mut self, field: &'static str) -> Result<Vec<Value>, LeafError> {
        match self.take(field)? {
            Value::Array(elements) => Ok(elements),
            _ => Err(refused(field, "an array")),
        }
    }

    /// Text that is read as something else.
    pub(super) fn parsed<T: std::str::FromStr>(
        &mut self,
        field: &'static str,
        expected: &'static str,
    ) -> Result<T, LeafError> {
        let text = self.text(field)?;
        text.parse().map_err(|_| refused(field, expected))
    }

    /// Errors if a field is left.
    pub(super) fn finish(self) -> Result<(), LeafError> {
        match self.0.keys().next() {
            Some(field) => Err(LeafError::Unexpected(quoted(field))),
            None => Ok(()),
        }
    }
}

pub(super) fn refused(field: &'static str, expected: &'static str) -> LeafError {
    LeafError::Field { field, expected }
}

/// A text for an error message, which must not carry a stranger's megabyte.
pub(super) fn quoted(text: &str) -> String {
    text.chars().take(80).collect()
}
