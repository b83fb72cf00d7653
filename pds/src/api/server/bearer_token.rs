//! The bearer token of a request, unchecked: for the methods that take a refresh token.

use axum::extract::FromRequestParts;
use http::request::Parts;
use rochdale_service::xrpc::XrpcError;

use crate::app::Pds;
use crate::auth::extract::bearer;

pub(super) struct BearerToken(pub(super) String);

impl FromRequestParts<Pds> for BearerToken {
    type Rejection = XrpcError;

    async fn from_request_parts(parts: &mut Parts, _pds: &Pds) -> Result<Self, XrpcError> {
        Ok(Self(bearer(parts)?.to_owned()))
    }
}
