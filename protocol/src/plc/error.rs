//! Why an operation was refused. The messages are those of the reference directory where it has one.

use crate::crypto::CryptoError;

/// Why an operation was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlcError {
    /// The JSON or CBOR is not an operation of a known type with exactly its fields.
    #[error("Not a valid operation: {0}")]
    NotAnOperation(String),
    /// The operation is of a known type but cannot stand where it was put.
    #[error("Improperly formatted operation, {0}")]
    Improper(&'static str),
    /// The operation exceeds a limit.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// The genesis operation belongs to another DID, which is given.
    #[error("Hash of genesis operation does not match DID identifier: {0}")]
    GenesisHash(String),
    /// `prev` is null, unknown, nullified or a tombstone, or the times run backwards.
    #[error("Operations not correctly ordered")]
    Misordered,
    /// No key that is entitled to sign here has signed.
    #[error("Invalid signature on op: {operation}")]
    InvalidSignature {
        /// The operation as JSON.
        operation: String,
        /// What is wrong with the signature.
        fault: SignatureFault,
    },
    /// The operation would nullify another after its recovery window.
    #[error(
        "Recovery operation occurred outside of the allowed 72 hr recovery window. Time lapsed: {0}"
    )]
    LateRecovery(i64),
}

/// What is wrong with a signature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureFault {
    /// Not base64url without padding, whitespace and stray bits.
    #[error("the signature is not canonical unpadded base64url")]
    Encoding,
    /// A DER signature, which is refused whatever its length.
    #[error("the signature is DER, expected 64 compact bytes")]
    Der,
    /// Wrong length or high S.
    #[error(transparent)]
    Form(CryptoError),
    /// None of the keys that are entitled to sign verifies it.
    #[error("no entitled rotation key verifies the signature")]
    NoKey,
}

/// Which limit an operation exceeds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each message says it")]
pub enum LimitError {
    #[error("Operation too large ({0} bytes maximum in cbor encoding)")]
    TooLarge(usize),
    #[error("Operations of the legacy type \"create\" are not accepted")]
    LegacyType,
    #[error("Too many rotationKey entries (max {0})")]
    TooManyRotationKeys(usize),
    #[error("Too few rotationKey entries (min 1)")]
    NoRotationKey,
    #[error("Duplicate rotationKey entry: {0}")]
    DuplicateRotationKey(String),
    #[error("Invalid rotationKey: {0}")]
    RotationKey(String),
    #[error("Too many verificationMethod entries (max {0})")]
    TooManyVerificationMethods(usize),
    #[error("Verification Method id too long (max {max}): {id}")]
    VerificationMethodId { max: usize, id: String },
    #[error("Verification Method key too long (max {max}): {id}")]
    VerificationMethodKeyLength { max: usize, id: String },
    #[error("Invalid verificationMethod key: {0}")]
    VerificationMethodKey(String),
    #[error("Too many alsoKnownAs entries (max {0})")]
    TooManyAlsoKnownAs(usize),
    #[error("alsoKnownAs entry too long (max {max}): {entry}")]
    AlsoKnownAsLength { max: usize, entry: String },
    #[error("Duplicate alsoKnownAs entry: {0}")]
    DuplicateAlsoKnownAs(String),
    #[error("Too many service entries (max {0})")]
    TooManyServices(usize),
    #[error("Service id too long (max {max}): {id}")]
    ServiceId { max: usize, id: String },
    #[error("Service type too long (max {max}): {id}")]
    ServiceType { max: usize, id: String },
    #[error("Service endpoint too long (max {max}): {id}")]
    ServiceEndpoint { max: usize, id: String },
}
