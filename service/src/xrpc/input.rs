//! JSON in, JSON out.

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::body::RawBody;
use super::error::XrpcError;

/// The JSON input of a procedure.
#[derive(Debug, Clone, Copy)]
pub struct Input<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Input<T> {
    type Rejection = XrpcError;

    async fn from_request(request: Request, state: &S) -> Result<Self, XrpcError> {
        let body = RawBody::from_request(request, state).await?;
        let content_type = body.content_type.clone();
        if body.is_empty() {
            return Err(missing());
        }
        check_json(content_type.as_deref())?;
        let bytes = body.bytes().await?;
        if bytes.is_empty() {
            return Err(missing());
        }
        match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(Self(value)),
            Err(error) => Err(XrpcError::invalid_request(format!(
                "invalid request body: {error}"
            ))),
        }
    }
}

fn missing() -> XrpcError {
    XrpcError::invalid_request("a request body is expected but none was provided")
}

fn check_json(content_type: Option<&str>) -> Result<(), XrpcError> {
    let Some(content_type) = content_type else {
        return Err(XrpcError::invalid_request(
            "Content-Type is required: application/json",
        ));
    };
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let shown: String = essence.chars().take(100).collect();
    Err(XrpcError::invalid_request(format!(
        "wrong request encoding (Content-Type): {shown:?}, expected application/json"
    )))
}

/// The input of a procedure that takes none: a body with content is refused.
#[derive(Debug, Clone, Copy)]
pub struct NoInput;

impl<S: Send + Sync> FromRequest<S> for NoInput {
    type Rejection = XrpcError;

    async fn from_request(request: Request, state: &S) -> Result<Self, XrpcError> {
        let mut body = RawBody::from_request(request, state).await?;
        while let Some(piece) = body.chunk().await? {
            if !piece.is_empty() {
                return Err(XrpcError::invalid_request(
                    "a request body was provided when none was expected",
                ));
            }
        }
        Ok(Self)
    }
}

/// The JSON output of a method.
#[derive(Debug, Clone, Copy)]
pub struct Output<T>(pub T);

impl<T: Serialize> IntoResponse for Output<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(json) => {
                let mut response = Response::new(Body::from(json));
                let json = HeaderValue::from_static("application/json");
                response.headers_mut().insert(CONTENT_TYPE, json);
                response
            }
            Err(error) => XrpcError::internal(error).into_response(),
        }
    }
}
