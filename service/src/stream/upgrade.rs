//! The opening handshake of a web socket (RFC 6455 section 4.2).

use axum::extract::FromRequestParts;
use http::header::{CONNECTION, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use hyper::upgrade::OnUpgrade;
use rochdale_protocol::xrpc::names;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::xrpc::XrpcError;

/// A request that asks to become a web socket. An extractor; 426 or 400 for other requests.
pub struct Upgrade {
    pub(super) upgraded: OnUpgrade,
    pub(super) accept: HeaderValue,
}

impl std::fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upgrade").finish_non_exhaustive()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Upgrade {
    type Rejection = XrpcError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, XrpcError> {
        let headers = &parts.headers;
        if !has(headers, &UPGRADE, "websocket") || !has(headers, &CONNECTION, "upgrade") {
            let message = "this method is a web socket";
            return Err(XrpcError::new(
                StatusCode::UPGRADE_REQUIRED,
                names::INVALID_REQUEST,
                message,
            )
            .with_header(UPGRADE, HeaderValue::from_static("websocket")));
        }
        let version = headers.get(SEC_WEBSOCKET_VERSION);
        if version.is_none_or(|version| version.as_bytes() != b"13") {
            return Err(
                XrpcError::invalid_request("Sec-WebSocket-Version must be 13")
                    .with_header(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13")),
            );
        }
        let key = headers.get(SEC_WEBSOCKET_KEY);
        let accept = key.map(|key| HeaderValue::try_from(derive_accept_key(key.as_bytes())));
        let (Some(Ok(accept)), Some(upgraded)) = (accept, parts.extensions.remove::<OnUpgrade>())
        else {
            return Err(XrpcError::invalid_request(
                "the web socket handshake is incomplete",
            ));
        };
        Ok(Self { upgraded, accept })
    }
}

fn has(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| {
            value
                .split(',')
                .any(|part| part.trim().eq_ignore_ascii_case(token))
        })
}
