//! Who may call the operator's methods.

use axum::extract::FromRequestParts;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use rochdale_protocol::xrpc::names;
use rochdale_service::xrpc::XrpcError;

use crate::app::Shared;

/// Proof that the caller knows the admin password.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operator;

impl FromRequestParts<Shared> for Operator {
    type Rejection = XrpcError;

    async fn from_request_parts(parts: &mut Parts, relay: &Shared) -> Result<Self, XrpcError> {
        let password = parts
            .headers
            .get(AUTHORIZATION)
            .and_then(|value| password_of(value.to_str().ok()?));
        match (&relay.admin_password, password) {
            (Some(secret), Some(password)) if secret.matches(&password) => Ok(Self),
            (Some(_), _) => Err(refuse("the password of user \"admin\" is needed")),
            (None, _) => Err(refuse(
                "this relay has no admin password: set relay.admin_password",
            )),
        }
    }
}

fn refuse(message: &'static str) -> XrpcError {
    XrpcError::new(
        StatusCode::UNAUTHORIZED,
        names::AUTHENTICATION_REQUIRED,
        message,
    )
    .with_header(
        WWW_AUTHENTICATE,
        HeaderValue::from_static("Basic realm=\"relay admin\", charset=\"UTF-8\""),
    )
}

/// The password in the credentials of user `admin`.
fn password_of(header: &str) -> Option<Vec<u8>> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = STANDARD.decode(encoded.trim()).ok()?;
    decoded.strip_prefix(b"admin:").map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_user_admin_has_a_password_here() {
        let header = |text: &str| format!("Basic {}", STANDARD.encode(text));
        assert_eq!(
            password_of(&header("admin:secret")),
            Some(b"secret".to_vec())
        );
        assert_eq!(password_of(&header("admin:a:b")), Some(b"a:b".to_vec()));
        assert_eq!(password_of(&header("root:secret")), None);
        assert_eq!(password_of("Bearer abc"), None);
        assert_eq!(password_of("Basic ***"), None);
    }
}
