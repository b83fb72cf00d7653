//! Who runs this server: operators by name and password, and the moderation service by its key.
//!
//! Owns the credentials of `com.atproto.admin.*`. Wrong passwords cost their address more and more
//! tries until it has none left for a while. Must not decide what a method does: handlers say which
//! of the two they accept by the extractor they name.

use axum::extract::{FromRef, FromRequestParts};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::request::Parts;
use rochdale_protocol::syntax::Did;
use rochdale_service::xrpc::{Budget, Charges, ClientIp, XrpcError};
use subtle::ConstantTimeEq;

use super::extract::{AuthError, bearer, credentials};
use crate::app::{App, Pds};

/// Wrong passwords of one address.
const REFUSED: Budget = Budget {
    name: "operator-refused",
    points: 30,
    seconds: 300,
};

/// An operator, by Basic credentials.
#[derive(Debug, Clone)]
pub struct Admin {
    /// Who: `admin`, or one of the configured names.
    pub name: String,
}

/// An operator, or the configured moderation service by a service token for this method.
#[derive(Debug, Clone)]
pub enum Moderator {
    /// An operator, by name.
    Operator(String),
    /// The moderation service.
    Service(Did),
}

impl Moderator {
    /// Under which name it stands in the audit log.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Operator(name) => name,
            Self::Service(did) => did.as_str(),
        }
    }
}

/// The operator whom Basic credentials name. A password may contain colons.
fn by_password(pds: &App, encoded: &str) -> Option<Admin> {
    let decoded = STANDARD.decode(encoded).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let (name, password) = decoded.split_at_checked(colon)?;
    let password = password.strip_prefix(b":")?;
    let operator = pds
        .config
        .operators
        .iter()
        .find(|operator| operator.name.as_bytes() == name)?;
    let is_right: bool = password.ct_eq(operator.password.expose().as_bytes()).into();
    is_right.then(|| Admin {
        name: operator.name.clone(),
    })
}

/// The operator who asks; a wrong password costs its address a try.
pub(super) async fn admin(parts: &mut Parts, pds: &App) -> Result<Admin, XrpcError> {
    let Ok(charges) = Charges::from_request_parts(parts, &()).await;
    let key = ClientIp::of(&parts.extensions, &parts.headers).key();
    charges.spare(&REFUSED, key)?;
    let found = match credentials(parts) {
        Ok(Some((scheme, encoded))) if scheme.eq_ignore_ascii_case("basic") => {
            by_password(pds, encoded)
        }
        Ok(Some(_) | None) | Err(_) => None,
    };
    match found {
        Some(admin) => Ok(admin),
        None => {
            charges.take(&REFUSED, key, 1)?;
            Err(AuthError::NotAdmin.into())
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Admin
where
    Pds: FromRef<S>,
{
    type Rejection = XrpcError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, XrpcError> {
        admin(parts, &Pds::from_ref(state)).await
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Moderator
where
    Pds: FromRef<S>,
{
    type Rejection = XrpcError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, XrpcError> {
        let pds = Pds::from_ref(state);
        let Ok(token) = bearer(parts) else {
            return admin(parts, &pds)
                .await
                .map(|admin| Self::Operator(admin.name));
        };
        let method = parts.uri.path().strip_prefix("/xrpc/").unwrap_or_default();
        let trusted = pds.config.moderation_service.as_ref();
        let issuer = pds
            .check_moderation_token(token, method, trusted.map(|service| &service.did))
            .await
            .map_err(AuthError::from)?;
        Ok(Self::Service(issuer))
    }
}
