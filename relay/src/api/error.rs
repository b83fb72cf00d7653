//! From what went wrong to what is said about it: status and name of every refusal.

use http::StatusCode;
use rochdale_protocol::xrpc::names;
use rochdale_service::xrpc::XrpcError;

use crate::app::DecisionError;
use crate::hosts::{CrawlError, HostNameError};
use crate::store::StoreError;
use crate::verify::Stopping;

impl From<StoreError> for XrpcError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy | StoreError::Closed => Self::busy().with_cause(error),
            StoreError::DiskFull => Self::disk_full().with_cause(error),
            StoreError::Corrupt { .. } | StoreError::Failed(_) => Self::internal(error),
        }
    }
}

impl From<Stopping> for XrpcError {
    fn from(error: Stopping) -> Self {
        Self::busy().with_cause(error)
    }
}

impl From<DecisionError> for XrpcError {
    fn from(error: DecisionError) -> Self {
        match error {
            DecisionError::Store(error) => error.into(),
            DecisionError::Stopping(error) => error.into(),
        }
    }
}

impl From<HostNameError> for XrpcError {
    fn from(error: HostNameError) -> Self {
        Self::invalid_request(error.to_string())
    }
}

impl From<CrawlError> for XrpcError {
    fn from(error: CrawlError) -> Self {
        let message = error.to_string();
        match error {
            CrawlError::Closed => Self::forbidden(message),
            CrawlError::Name(error) => error.into(),
            CrawlError::Banned(_) => Self::named(names::HOST_BANNED, message),
            CrawlError::NotFound { .. } => Self::named(names::HOST_NOT_FOUND, message),
            CrawlError::TooManyNew => Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                names::RATE_LIMIT_EXCEEDED,
                message,
            ),
            CrawlError::Store(error) => error.into(),
        }
    }
}
