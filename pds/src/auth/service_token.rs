//! Tokens by which another service or server calls us in an account's name.
//!
//! The issuer's key comes from its DID document; when the signature does not fit, the document is
//! fetched anew once, since the key may have changed. Each token is good once.

use rochdale_protocol::syntax::Did;
use rochdale_protocol::xrpc::names;
use rochdale_protocol::xrpc::service_auth::{self, Expected, ServiceAuthError};
use rochdale_resolver::ResolveError;

use crate::app::App;

/// Why a service token was refused.
#[derive(Debug, thiserror::Error)]
pub enum ServiceTokenError {
    /// The token itself is not good.
    #[error(transparent)]
    Token(#[from] ServiceAuthError),
    /// The issuer is not a DID.
    #[error("token issuer is not a DID")]
    Issuer,
    /// The issuer's document cannot be had.
    #[error("the issuer's DID document cannot be resolved: {0}")]
    Unresolvable(#[source] ResolveError),
    /// The issuer's document names no signing key.
    #[error("the issuer's DID document has no #atproto key")]
    NoKey,
    /// The token was used before.
    #[error("the token was used before: every call takes a new one")]
    Replayed,
}

impl ServiceTokenError {
    /// The error name on the wire; the status is always 401.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Token(error) => error.name(),
            Self::Issuer | Self::NoKey | Self::Unresolvable(_) => names::BAD_JWT_ISS,
            Self::Replayed => names::BAD_JWT,
        }
    }
}

impl App {
    /// Checks a service token for `method` and answers its issuer.
    ///
    /// # Errors
    /// The first rule that the token breaks.
    pub async fn check_service_token(
        &self,
        token: &str,
        method: &str,
    ) -> Result<Did, ServiceTokenError> {
        let unverified = service_auth::parse(token)?;
        let own = [self.did.as_str(), &format!("{}#atproto_pds", self.did)];
        unverified.check_claims(&Expected {
            audiences: &own,
            method: Some(method),
            method_required: true,
            now: self.now_ms() / 1000,
        })?;
        let claims = unverified.claims();
        let issuer: Did = claims
            .iss
            .parse()
            .map_err(|_syntax| ServiceTokenError::Issuer)?;
        let document = self
            .resolver
            .did_document(&issuer)
            .await
            .map_err(ServiceTokenError::Unresolvable)?;
        let key = document.signing_key().ok_or(ServiceTokenError::NoKey)?;
        if unverified.verify(key).is_err() {
            let document = self
                .resolver
                .refresh(&issuer)
                .await
                .map_err(ServiceTokenError::Unresolvable)?;
            let newer = document.signing_key().ok_or(ServiceTokenError::NoKey)?;
            unverified.verify(newer)?;
        }
        let fresh = claims
            .jti
            .as_ref()
            .is_none_or(|jti| self.replays.first_use(&issuer, jti));
        if fresh {
            Ok(issuer)
        } else {
            Err(ServiceTokenError::Replayed)
        }
    }
}
