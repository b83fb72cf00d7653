//! Whether an operation may follow a chain, and what it nullifies.

use super::error::PlcError;
use super::operation::Operation;
use crate::data::Cid;
use crate::syntax::Did;
use std::ops::Range;

/// How long after an operation a stronger key may still nullify it, milliseconds, inclusive.
pub const RECOVERY_WINDOW_MS: i64 = 72 * 60 * 60 * 1000;

/// One operation of a chain that was accepted before.
#[derive(Clone, Debug)]
pub struct ChainEntry {
    /// CID of the operation.
    pub cid: Cid,
    /// The operation.
    pub operation: Operation,
    /// When the directory accepted it, Unix milliseconds.
    pub created_at_ms: i64,
    /// Index, among the rotation keys of the operation it follows (its own for a genesis), of the
    /// first key that verifies its signature.
    pub signer_key: usize,
}

/// How an accepted operation joins the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Which entries of the chain it nullifies; empty for an ordinary operation.
    pub nullifies: Range<usize>,
    /// See [`ChainEntry::signer_key`].
    pub signer_key: usize,
    /// The latest time at which it may be accepted; only nullifying operations have one.
    pub deadline_ms: Option<i64>,
}

/// Judges `operation` as the next of `did` at `now_ms`.
///
/// `chain` holds the entries that are not nullified, in order. It may start late, at the operation
/// that `prev` names, but an empty chain means that the DID has no operation at all. Limits are not
/// checked here.
pub fn validate_next(
    did: &Did,
    chain: &[ChainEntry],
    operation: &Operation,
    now_ms: i64,
) -> Result<Accepted, PlcError> {
    let Some(head) = chain.last() else {
        return validate_genesis(did, operation);
    };
    let prev = operation.prev().ok_or(PlcError::Misordered)?;
    let position = chain
        .iter()
        .position(|entry| entry.cid == *prev)
        .ok_or(PlcError::Misordered)?;
    let (_, from_parent) = chain.split_at(position);
    let Some((parent, nullified)) = from_parent.split_first() else {
        return Err(PlcError::Misordered);
    };
    if parent.operation.is_tombstone() {
        return Err(PlcError::Misordered);
    }
    let keys = parent.operation.rotation_keys();
    let Some(oldest) = nullified.first() else {
        let signer_key = operation.verify(&keys)?;
        return Ok(Accepted {
            nullifies: chain.len()..chain.len(),
            signer_key,
            deadline_ms: None,
        });
    };
    // Only keys stronger than the one that signed the oldest of the nullified may undo it.
    let stronger = keys.get(..oldest.signer_key).unwrap_or_default();
    let signer_key = operation.verify(stronger)?;
    if now_ms <= head.created_at_ms {
        return Err(PlcError::Misordered);
    }
    let elapsed_ms = now_ms.saturating_sub(oldest.created_at_ms);
    if elapsed_ms > RECOVERY_WINDOW_MS {
        return Err(PlcError::LateRecovery(elapsed_ms));
    }
    let deadline_ms = Some(oldest.created_at_ms.saturating_add(RECOVERY_WINDOW_MS));
    Ok(Accepted {
        nullifies: position + 1..chain.len(),
        signer_key,
        deadline_ms,
    })
}

fn validate_genesis(did: &Did, operation: &Operation) -> Result<Accepted, PlcError> {
    if operation.is_tombstone() {
        return Err(PlcError::Misordered);
    }
    if operation.prev().is_some() {
        return Err(PlcError::Improper("expected null prev on create"));
    }
    let founded = operation.founded_did();
    if founded != *did {
        return Err(PlcError::GenesisHash(founded.to_string()));
    }
    let signer_key = operation.verify(&operation.rotation_keys())?;
    Ok(Accepted {
        nullifies: 0..0,
        signer_key,
        deadline_ms: None,
    })
}
