//! How large an operation and its parts may be.

use super::error::LimitError;
use super::operation::{Operation, UnsignedOperation};
use crate::crypto::PublicKey;
use std::collections::HashSet;

/// Limits for one operation. Lengths of texts are UTF-16 code units, as in the reference directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Canonical bytes including the signature.
    pub operation_bytes: usize,
    /// Entries of `rotationKeys`.
    pub rotation_keys: usize,
    /// Whether `rotationKeys` may be empty or name a key twice, and whether the legacy type passes.
    pub lenient: bool,
}

const ENTRIES: usize = 10;
const ID_LENGTH: usize = 32;
const KEY_LENGTH: usize = 256;
const ALSO_KNOWN_AS_LENGTH: usize = 258;
const SERVICE_TYPE_LENGTH: usize = 256;
const SERVICE_ENDPOINT_LENGTH: usize = 512;

impl Limits {
    /// For new operations: what the specification and the reference directory both accept.
    #[must_use]
    pub const fn strict_submit() -> Self {
        Self {
            operation_bytes: 4000,
            rotation_keys: 5,
            lenient: false,
        }
    }

    /// For operations that another directory has accepted: what either of the two accepts.
    #[must_use]
    pub const fn lenient_ingest() -> Self {
        Self {
            operation_bytes: 7500,
            rotation_keys: 10,
            lenient: true,
        }
    }
}

/// Checks sizes, counts and the form of keys.
pub fn check_limits(operation: &Operation, limits: &Limits) -> Result<(), LimitError> {
    if operation.to_cbor().len() > limits.operation_bytes {
        return Err(LimitError::TooLarge(limits.operation_bytes));
    }
    match operation {
        Operation::Plc(operation) => check_content(&operation.content, limits),
        Operation::Tombstone(_) => Ok(()),
        Operation::LegacyCreate(_) if limits.lenient => Ok(()),
        Operation::LegacyCreate(_) => Err(LimitError::LegacyType),
    }
}

fn check_content(content: &UnsignedOperation, limits: &Limits) -> Result<(), LimitError> {
    check_also_known_as(&content.also_known_as)?;
    check_rotation_keys(&content.rotation_keys, limits)?;
    if content.services.len() > ENTRIES {
        return Err(LimitError::TooManyServices(ENTRIES));
    }
    for (id, service) in &content.services {
        let too_long = length(id) > ID_LENGTH;
        let id = id.clone();
        if too_long {
            return Err(LimitError::ServiceId { max: ID_LENGTH, id });
        }
        if length(&service.kind) > SERVICE_TYPE_LENGTH {
            return Err(LimitError::ServiceType {
                max: SERVICE_TYPE_LENGTH,
                id,
            });
        }
        if length(&service.endpoint) > SERVICE_ENDPOINT_LENGTH {
            return Err(LimitError::ServiceEndpoint {
                max: SERVICE_ENDPOINT_LENGTH,
                id,
            });
        }
    }
    if content.verification_methods.len() > ENTRIES {
        return Err(LimitError::TooManyVerificationMethods(ENTRIES));
    }
    for (id, key) in &content.verification_methods {
        if length(id) > ID_LENGTH {
            return Err(LimitError::VerificationMethodId {
                max: ID_LENGTH,
                id: id.clone(),
            });
        }
        if length(key) > KEY_LENGTH {
            let id = id.clone();
            return Err(LimitError::VerificationMethodKeyLength {
                max: KEY_LENGTH,
                id,
            });
        }
        if !is_did_key(key) {
            return Err(LimitError::VerificationMethodKey(key.clone()));
        }
    }
    Ok(())
}

fn check_also_known_as(entries: &[String]) -> Result<(), LimitError> {
    if entries.len() > ENTRIES {
        return Err(LimitError::TooManyAlsoKnownAs(ENTRIES));
    }
    let mut seen = HashSet::new();
    for entry in entries {
        if length(entry) > ALSO_KNOWN_AS_LENGTH {
            let entry = entry.clone();
            return Err(LimitError::AlsoKnownAsLength {
                max: ALSO_KNOWN_AS_LENGTH,
                entry,
            });
        }
        if !seen.insert(entry) {
            return Err(LimitError::DuplicateAlsoKnownAs(entry.clone()));
        }
    }
    Ok(())
}

fn check_rotation_keys(keys: &[String], limits: &Limits) -> Result<(), LimitError> {
    if keys.len() > limits.rotation_keys {
        return Err(LimitError::TooManyRotationKeys(limits.rotation_keys));
    }
    if keys.is_empty() && !limits.lenient {
        return Err(LimitError::NoRotationKey);
    }
    let mut seen = HashSet::new();
    for key in keys {
        if PublicKey::from_did_key(key).is_err() {
            return Err(LimitError::RotationKey(key.clone()));
        }
        if !seen.insert(key) && !limits.lenient {
            return Err(LimitError::DuplicateRotationKey(key.clone()));
        }
    }
    Ok(())
}

/// Any key type passes, as long as it is written as base58btc.
fn is_did_key(key: &str) -> bool {
    key.strip_prefix("did:key:z").is_some_and(|digits| {
        !digits.is_empty()
            && digits.bytes().all(|byte| {
                byte.is_ascii_alphanumeric() && !matches!(byte, b'0' | b'O' | b'I' | b'l')
            })
    })
}

fn length(text: &str) -> usize {
    text.encode_utf16().count()
}
