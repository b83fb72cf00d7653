//! The one error type of the edge: what goes out is apart from what is logged.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};
use rochdale_protocol::xrpc::{ErrorBody, names};

use crate::sqlite::{ReadError, WriteError};

type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// An answer `{"error": name, "message": text}` with a status. Its cause is logged and never sent.
pub struct XrpcError(Box<Inner>);

struct Inner {
    status: StatusCode,
    name: Cow<'static, str>,
    message: Cow<'static, str>,
    cause: Option<Cause>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// Left in an answer's extensions for the one line that is logged about it.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What went wrong.
    pub cause: Arc<dyn std::error::Error + Send + Sync>,
}

impl XrpcError {
    /// Any error. The message goes out: it must not tell anything of the inside.
    pub fn new(
        status: StatusCode,
        name: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        let (name, message) = (name.into(), message.into());
        Self(Box::new(Inner {
            status,
            name,
            message,
            cause: None,
            headers: Vec::new(),
        }))
    }

    /// 400 with a name that the method's lexicon declares.
    pub fn named(
        name: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(StatusCode::BAD_REQUEST, name, message)
    }

    /// 400 `InvalidRequest`.
    pub fn invalid_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::named(names::INVALID_REQUEST, message)
    }

    /// 401 `AuthenticationRequired`.
    pub fn auth_required(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            names::AUTHENTICATION_REQUIRED,
            message,
        )
        .with_header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    /// 403 `Forbidden`.
    pub fn forbidden(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::FORBIDDEN, names::FORBIDDEN, message)
    }

    /// 404 with the given name.
    pub fn not_found(
        name: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(StatusCode::NOT_FOUND, name, message)
    }

    /// 413 `PayloadTooLarge`.
    pub fn payload_too_large(limit_bytes: u64) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            names::PAYLOAD_TOO_LARGE,
            format!("the request body is larger than {limit_bytes} bytes"),
        )
    }

    /// 415 `UnsupportedMediaType`.
    pub fn unsupported_media_type(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            names::UNSUPPORTED_MEDIA_TYPE,
            message,
        )
    }

    /// 429 `RateLimitExceeded` with `Retry-After`.
    pub fn rate_limited(retry_after_seconds: u64) -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            names::RATE_LIMIT_EXCEEDED,
            "rate limit exceeded",
        )
        .with_header(RETRY_AFTER, HeaderValue::from(retry_after_seconds))
    }

    /// 500 `InternalServerError`: nothing of the cause goes out.
    pub fn internal(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            names::INTERNAL_SERVER_ERROR,
            "internal server error",
        )
        .with_cause(cause)
    }

    /// 501 `MethodNotImplemented`.
    pub fn not_implemented(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(
            StatusCode::NOT_IMPLEMENTED,
            names::METHOD_NOT_IMPLEMENTED,
            message,
        )
    }

    /// 502 `UpstreamFailure`.
    pub fn upstream_failure(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, names::UPSTREAM_FAILURE, message)
    }

    /// 503 `NotEnoughResources` with a short `Retry-After`.
    pub fn busy() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            names::NOT_ENOUGH_RESOURCES,
            "the server is busy, try again",
        )
        .with_header(RETRY_AFTER, HeaderValue::from_static("1"))
    }

    /// 503 `NotEnoughResources`: nothing was written, reads go on.
    pub fn disk_full() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            names::NOT_ENOUGH_RESOURCES,
            "the server has no space left on its disk; nothing was written",
        )
        .with_header(RETRY_AFTER, HeaderValue::from_static("60"))
    }

    /// 504 `UpstreamTimeout`.
    pub fn upstream_timeout(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(
            StatusCode::GATEWAY_TIMEOUT,
            names::UPSTREAM_TIMEOUT,
            message,
        )
    }

    /// Adds what is logged, once, by the server.
    #[must_use]
    pub fn with_cause(
        mut self,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.0.cause = Some(Arc::from(cause.into()));
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    /// The status that goes out.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The error's name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The message that goes out.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The body that goes out.
    pub fn body(&self) -> ErrorBody {
        ErrorBody::new(self.name(), self.message())
    }
}

impl fmt::Debug for XrpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("XrpcError")
            .field("status", &self.0.status)
            .field("name", &self.0.name)
            .field("message", &self.0.message)
            .field("cause", &self.0.cause)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for XrpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}: {}",
            self.0.status.as_u16(),
            self.0.name,
            self.0.message
        )
    }
}

impl std::error::Error for XrpcError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0
            .cause
            .as_ref()
            .map(|cause| &**cause as &(dyn std::error::Error + 'static))
    }
}

impl IntoResponse for XrpcError {
    fn into_response(self) -> Response {
        // Two strings always serialize.
        let json = serde_json::to_vec(&self.body()).unwrap_or_default();
        let mut response = Response::new(Body::from(json));
        *response.status_mut() = self.0.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in self.0.headers {
            headers.insert(name, value);
        }
        if let Some(cause) = self.0.cause {
            response.extensions_mut().insert(Failure { cause });
        }
        response
    }
}

/// The storage's own failures; the value's error says for itself what it means.
impl<E: Into<Self>> From<WriteError<E>> for XrpcError {
    fn from(error: WriteError<E>) -> Self {
        match error {
            WriteError::Value(error) => error.into(),
            WriteError::Busy | WriteError::Closed => Self::busy(),
            WriteError::DiskFull => {
                Self::disk_full().with_cause("no space left on the disk of the database")
            }
            WriteError::Panicked => Self::internal("a database write panicked"),
            WriteError::Storage(why) => Self::internal(why),
        }
    }
}

/// The storage's own failures; the read's error says for itself what it means.
impl<E: Into<Self>> From<ReadError<E>> for XrpcError {
    fn from(error: ReadError<E>) -> Self {
        match error {
            ReadError::Value(error) => error.into(),
            ReadError::Busy | ReadError::TooLong | ReadError::Closed => Self::busy(),
            ReadError::Panicked => Self::internal("a database read panicked"),
            ReadError::Storage(cause) => Self::internal(cause),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failure_inside_tells_nothing_outside_and_keeps_its_cause_for_the_log() {
        let response = XrpcError::internal("secret table missing").into_response();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let failure = response.extensions().get::<Failure>().unwrap();
        assert_eq!(failure.cause.to_string(), "secret table missing");
        let body = axum::body::to_bytes(response.into_body(), 1_000)
            .await
            .unwrap();
        assert_eq!(
            body,
            r#"{"error":"InternalServerError","message":"internal server error"}"#.as_bytes()
        );
    }

    #[test]
    fn busy_and_limited_answers_say_when_to_come_back() {
        for (error, status, seconds) in [
            (XrpcError::busy(), 503, "1"),
            (XrpcError::disk_full(), 503, "60"),
            (XrpcError::rate_limited(17), 429, "17"),
        ] {
            let response = error.into_response();
            assert_eq!(response.status().as_u16(), status);
            assert_eq!(response.headers()[RETRY_AFTER], seconds);
        }
    }
}
