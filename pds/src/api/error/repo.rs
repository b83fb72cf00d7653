//! Errors of repositories, records and blobs as they go out.

use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use rochdale_protocol::repo::MstError;
use rochdale_protocol::xrpc::names;
use rochdale_service::xrpc::XrpcError;

use super::{bad, invalid};
use crate::blob::{BackendError, BlobError};
use crate::lexicon::CheckError;
use crate::repo::{ImportError, RecordError, WriteError};
use crate::store::blob::admit::AdmitError;
use crate::store::repo::ApplyError;

impl From<RecordError> for XrpcError {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::NotAnObject
            | RecordError::TypeMismatch { .. }
            | RecordError::TypeNotText
            | RecordError::Data(_)
            | RecordError::TooLarge { .. } => invalid(error),
        }
    }
}

impl From<CheckError> for XrpcError {
    fn from(error: CheckError) -> Self {
        match error {
            CheckError::BlobType { .. } => bad(names::INVALID_MIME_TYPE, error),
            CheckError::BlobSize { .. } => bad(names::BLOB_TOO_LARGE, error),
            CheckError::Unknown { .. }
            | CheckError::Incomplete { .. }
            | CheckError::Key(_)
            | CheckError::Record { .. } => invalid(error),
        }
    }
}

impl From<ApplyError> for XrpcError {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::BlobNotFound { .. } => bad("BlobNotFound", error),
            ApplyError::BlobMime { .. } => bad("InvalidMimeType", error),
            ApplyError::BlobSize { .. } => bad("InvalidSize", error),
            ApplyError::Inactive => XrpcError::new(
                StatusCode::UNAUTHORIZED,
                names::ACCOUNT_DEACTIVATED,
                "Account is deactivated",
            ),
            ApplyError::NoRepo => bad("RepoNotFound", error),
            ApplyError::KeyChanged => XrpcError::busy().with_cause(error),
            // Turns are one per process: only another process on the same database does this.
            ApplyError::HeadMoved { .. } => XrpcError::internal(error),
            ApplyError::Store(error) => error.into(),
        }
    }
}

impl From<WriteError> for XrpcError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::CommitSwap { .. } | WriteError::RecordSwap { .. } => {
                bad("InvalidSwap", error)
            }
            WriteError::RecordExists { .. } => bad("RecordAlreadyExists", error),
            WriteError::RecordMissing { .. } => bad("RecordNotFound", error),
            WriteError::DuplicatePath { .. }
            | WriteError::TooManyWrites { .. }
            | WriteError::ImportUnfinished
            | WriteError::TooLarge { .. } => invalid(error),
            WriteError::Refused(error) => error.into(),
            WriteError::Busy => XrpcError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                names::NOT_ENOUGH_RESOURCES,
                error.to_string(),
            ),
            WriteError::FutureRevision { .. } => XrpcError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                names::NOT_ENOUGH_RESOURCES,
                error.to_string(),
            ),
            WriteError::NoRepo => bad("RepoNotFound", error),
            WriteError::Tree(error) => tree(error),
            WriteError::Key(error) => error.into(),
            WriteError::Store(error) => error.into(),
            WriteError::Closed | WriteError::Interrupted => XrpcError::internal(error),
        }
    }
}

/// A key that the tree does not take is the caller's fault, anything else is ours.
fn tree(error: MstError) -> XrpcError {
    match error {
        MstError::InvalidKey(_) | MstError::TooDeep(_) | MstError::NodeFull(_) => invalid(error),
        other => XrpcError::internal(other),
    }
}

impl From<ImportError> for XrpcError {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::TooLarge { limit_bytes } => XrpcError::payload_too_large(limit_bytes),
            ImportError::Car(_)
            | ImportError::Roots
            | ImportError::Commit(_)
            | ImportError::OtherAccount { .. }
            | ImportError::Missing { .. }
            | ImportError::Path { .. }
            | ImportError::Record { .. }
            | ImportError::Tree(_) => invalid(error),
            ImportError::Body(message) => XrpcError::invalid_request(message),
            ImportError::Write(error) => error.into(),
            ImportError::Disk(cause) => disk(cause),
        }
    }
}

impl From<AdmitError> for XrpcError {
    fn from(error: AdmitError) -> Self {
        match error {
            AdmitError::TakenDown => invalid(error),
            AdmitError::TooMany { .. } | AdmitError::TooMuch { .. } => {
                bad("BlobQuotaExceeded", error)
            }
            AdmitError::Store(error) => error.into(),
        }
    }
}

impl From<BackendError> for XrpcError {
    fn from(error: BackendError) -> Self {
        let text = error.to_string();
        match error {
            BackendError::Disk(cause) => disk(cause),
            BackendError::Timeout(cause) => Self::upstream_timeout(text).with_cause(cause),
            BackendError::Unreachable(cause) => {
                let status = StatusCode::SERVICE_UNAVAILABLE;
                Self::new(status, names::NOT_ENOUGH_RESOURCES, text)
                    .with_header(RETRY_AFTER, HeaderValue::from_static("10"))
                    .with_cause(cause)
            }
            BackendError::Refused(cause) => Self::upstream_failure(text).with_cause(cause),
        }
    }
}

impl From<BlobError> for XrpcError {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::TooLarge { limit_bytes } => XrpcError::payload_too_large(limit_bytes),
            BlobError::Length { .. } | BlobError::Body(_) => invalid(error),
            BlobError::Admit(error) => error.into(),
            BlobError::Backend(error) => error.into(),
            BlobError::Store(error) => error.into(),
            BlobError::Disk(cause) => disk(cause),
        }
    }
}

fn disk(cause: std::io::Error) -> XrpcError {
    if cause.kind() == std::io::ErrorKind::StorageFull {
        return XrpcError::disk_full().with_cause(cause);
    }
    XrpcError::internal(cause)
}
