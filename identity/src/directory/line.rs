//! The JSON forms in which single operations go out.

use rochdale_protocol::plc::append_json;
use rochdale_protocol::syntax::Datetime;

use crate::store::{Row, StoreError};

/// Appends an operation.
pub(crate) fn push_operation(out: &mut String, bytes: &[u8]) -> Result<(), StoreError> {
    append_json(bytes, out).map_err(|_| StoreError::Corrupt("stored bytes are no operation"))
}

/// Appends an operation as the audit log and the export by time have it.
pub(crate) fn push_audit(out: &mut String, row: &Row<'_>) -> Result<(), StoreError> {
    out.push_str(r#"{"did":""#);
    row.did.append_to(out);
    out.push_str(r#"","operation":"#);
    push_operation(out, row.bytes)?;
    out.push_str(r#","cid":""#);
    push_cid(out, row);
    out.push_str(if row.nullified {
        r#"","nullified":true"#
    } else {
        r#"","nullified":false"#
    });
    out.push_str(r#","createdAt":""#);
    push_time(out, row.created_at_ms);
    out.push_str(r#""}"#);
    Ok(())
}

/// Appends an operation as the export by number and the export stream have it.
pub(crate) fn push_sequenced(out: &mut String, row: &Row<'_>) -> Result<(), StoreError> {
    out.push_str(r#"{"did":""#);
    row.did.append_to(out);
    out.push_str(r#"","cid":""#);
    push_cid(out, row);
    out.push_str(r#"","seq":"#);
    out.push_str(&row.seq.to_string());
    out.push_str(r#","createdAt":""#);
    push_time(out, row.created_at_ms);
    out.push_str(r#"","operation":"#);
    push_operation(out, row.bytes)?;
    out.push_str(r#","type":"sequenced_op"}"#);
    Ok(())
}

fn push_cid(out: &mut String, row: &Row<'_>) {
    out.push_str(&row.cid.to_string());
}

fn push_time(out: &mut String, unix_ms: i64) {
    out.push_str(Datetime::from_unix_ms(unix_ms).as_str());
}
