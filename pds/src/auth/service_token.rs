//! Tokens by which another service or server calls us in an account's name.
//!
//! The issuer's key comes from its DID document; when the signature does not fit, the document is
//! fetched anew once, since the key may have changed. Each token is good once.

use rochdale_protocol::syntax::Did;
use rochdale_protocol::xrpc::names;
use rochdale_protocol::xrpc::service_auth::{self, Expected, ServiceAuthError, Unverified};
use rochdale_resolver::ResolveError;

use crate::app::App;

/// Why a service token was refused.
#[derive(Debug, thiserror::Error)]
pub enum ServiceTokenError {
    /// The token itself is not good.
    #[error(transparent)]
    Token(#[from] ServiceAuthError),
    /// The issuer is not the moderation service that this server trusts.
    #[error("the token's issuer is not the moderation service of this server")]
    Untrusted,
    /// The issuer's document cannot be had.
    #[error("the issuer's DID document cannot be resolved: {0}")]
    Unresolvable(#[source] ResolveError),
    /// The issuer's document names no signing key.
    #[error("the issuer's DID document has no key for this")]
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
            Self::Untrusted => names::UNTRUSTED_ISS,
            Self::NoKey | Self::Unresolvable(_) => names::BAD_JWT_ISS,
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
        self.check_service_claims(&unverified, method)?;
        self.check_service_signature(&unverified, "#atproto")
            .await?;
        Ok(unverified.issuer().clone())
    }

    /// Checks a token by which the moderation service `trusted` calls `method`, in its own name or
    /// in that of its labeler.
    ///
    /// # Errors
    /// The first rule that the token breaks.
    pub async fn check_moderation_token(
        &self,
        token: &str,
        method: &str,
        trusted: Option<&Did>,
    ) -> Result<Did, ServiceTokenError> {
        let unverified = service_auth::parse_of_any_issuer(token)?;
        self.check_service_claims(&unverified, method)?;
        let key = match unverified.service() {
            None => "#atproto",
            Some("atproto_labeler") => "#atproto_label",
            Some(_) => return Err(ServiceTokenError::Untrusted),
        };
        if trusted != Some(unverified.issuer()) {
            return Err(ServiceTokenError::Untrusted);
        }
        self.check_service_signature(&unverified, key).await?;
        Ok(unverified.issuer().clone())
    }

    fn check_service_claims(
        &self,
        unverified: &Unverified,
        method: &str,
    ) -> Result<(), ServiceTokenError> {
        let own = [self.did.as_str(), &format!("{}#atproto_pds", self.did)];
        unverified.check_claims(&Expected {
            audiences: &own,
            method: Some(method),
            method_required: true,
            now: self.now_ms() / 1000,
        })?;
        Ok(())
    }

    /// Checks the signature under the key of this name, and that the token was not used before.
    async fn check_service_signature(
        &self,
        unverified: &Unverified,
        key: &str,
    ) -> Result<(), ServiceTokenError> {
        let issuer = unverified.issuer();
        let document = self.resolver.did_document(issuer).await;
        let document = document.map_err(ServiceTokenError::Unresolvable)?;
        let known = document.key(key).ok_or(ServiceTokenError::NoKey)?;
        if unverified.verify(&known).is_err() {
            let document = self.resolver.refresh(issuer).await;
            let document = document.map_err(ServiceTokenError::Unresolvable)?;
            let newer = document.key(key).ok_or(ServiceTokenError::NoKey)?;
            unverified.verify(&newer)?;
        }
        let jti = unverified.claims().jti.as_ref();
        if jti.is_none_or(|jti| self.replays.first_use(issuer, jti)) {
            Ok(())
        } else {
            Err(ServiceTokenError::Replayed)
        }
    }
}
