//! The DID in an address. Clients write it raw or percent-encoded.

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use http::request::Parts;

use super::error::ApiError;
use crate::directory::DidKey;

/// The first segment of the address, decoded. Not necessarily a DID.
#[derive(Debug)]
pub(super) struct DidInPath(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for DidInPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let segment: Result<Path<String>, PathRejection> =
            Path::from_request_parts(parts, state).await;
        segment
            .map(|Path(text)| Self(text))
            .map_err(|_| ApiError::Address)
    }
}

impl DidInPath {
    /// What is no did:plc is not registered.
    pub(super) fn key(&self) -> Result<DidKey, ApiError> {
        DidKey::parse(&self.0).ok_or_else(|| self.not_registered())
    }

    pub(super) fn not_registered(&self) -> ApiError {
        ApiError::NotRegistered(self.0.chars().take(100).collect())
    }
}
