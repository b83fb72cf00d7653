//! Canonical bytes straight to JSON, for serving many stored operations.

use super::encoding::push_json_string;
use super::error::PlcError;
use crate::data::cbor::{CborError, Decoder, Kind};

/// Nesting of an operation: the operation, `services`, one service.
const DEPTH: usize = 4;

/// Appends the JSON of an operation given as canonical DAG-CBOR, as
/// [`Operation::to_json`](super::Operation::to_json) writes it, without building the operation.
///
/// Meant for bytes that were checked when they were stored: that they form an operation is not
/// checked again. On an error `out` may hold part of the JSON.
pub fn append_json(bytes: &[u8], out: &mut String) -> Result<(), PlcError> {
    let mut decoder = Decoder::new(bytes);
    value(&mut decoder, out, DEPTH)?;
    decoder.finish().map_err(refuse)
}

fn value(decoder: &mut Decoder<'_>, out: &mut String, depth: usize) -> Result<(), PlcError> {
    let deeper = || {
        depth
            .checked_sub(1)
            .ok_or_else(|| PlcError::NotAnOperation("it is nested too deeply".into()))
    };
    match decoder.kind().map_err(refuse)? {
        Kind::Text => push_json_string(out, decoder.text().map_err(refuse)?),
        Kind::Null => {
            decoder.null().map_err(refuse)?;
            out.push_str("null");
        }
        Kind::Array => {
            let depth = deeper()?;
            out.push('[');
            for index in 0..decoder.array().map_err(refuse)? {
                if index > 0 {
                    out.push(',');
                }
                value(decoder, out, depth)?;
            }
            out.push(']');
        }
        Kind::Map => {
            let depth = deeper()?;
            let mut keys = decoder.map().map_err(refuse)?;
            let mut separator = '{';
            if keys.remaining() == 0 {
                out.push('{');
            }
            while let Some(key) = keys.next(decoder).map_err(refuse)? {
                out.push(separator);
                separator = ',';
                push_json_string(out, key);
                out.push(':');
                value(decoder, out, depth)?;
            }
            out.push('}');
        }
        Kind::Bool | Kind::Integer | Kind::Bytes | Kind::Link => {
            return Err(PlcError::NotAnOperation("it holds more than texts".into()));
        }
    }
    Ok(())
}

fn refuse(error: CborError) -> PlcError {
    PlcError::NotAnOperation(error.to_string())
}
