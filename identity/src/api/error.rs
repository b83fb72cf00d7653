//! The one place where failures become answers: `{"message": …}` with a status.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use rochdale_protocol::plc::PlcError;
use rochdale_service::xrpc::Failure;
use serde::Serialize;
use std::sync::Arc;

use crate::directory::Refusal;
use crate::store::StoreError;

/// Why a request has no good answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    #[error("DID not registered: {0}")]
    NotRegistered(String),
    #[error("DID not available: {did}")]
    NotAvailable { did: String, status: StatusCode },
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("The address is not valid percent-encoded UTF-8")]
    Address,
    #[error("The body could not be read")]
    Body,
    #[error("The body is larger than {0} bytes")]
    BodyTooLarge(usize),
    #[error("Invalid count parameter")]
    Count,
    #[error("Invalid after parameter")]
    After,
    #[error("Invalid cursor parameter")]
    Cursor,
    #[error("This address is a web socket")]
    UpgradeRequired,
    #[error("Too many subscribers")]
    TooManySubscribers,
    #[error("Too many operations from this address within {0} seconds")]
    TooManySubmissions(u32),
    #[error("No such page")]
    NoSuchPage,
    #[error("This address does not take that method")]
    WrongMethod,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ApiError {
    fn status(&self) -> StatusCode {
        match self {
            Self::NotRegistered(_) | Self::NoSuchPage => StatusCode::NOT_FOUND,
            Self::NotAvailable { status, .. } => *status,
            Self::Refused(refusal) => refusal_status(refusal),
            Self::Address | Self::Body | Self::Count | Self::After | Self::Cursor => {
                StatusCode::BAD_REQUEST
            }
            Self::UpgradeRequired => StatusCode::UPGRADE_REQUIRED,
            Self::TooManySubscribers | Self::TooManySubmissions(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::BodyTooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::Store(error) => store_status(error),
        }
    }
}

fn refusal_status(refusal: &Refusal) -> StatusCode {
    match refusal {
        Refusal::Conflict => StatusCode::CONFLICT,
        Refusal::Store(error) => store_status(error),
        Refusal::NotPlc(_) | Refusal::TooMany(_) => StatusCode::BAD_REQUEST,
        Refusal::Invalid(error) => match error {
            PlcError::NotAnOperation(_)
            | PlcError::Improper(_)
            | PlcError::Limit(_)
            | PlcError::GenesisHash(_)
            | PlcError::Misordered
            | PlcError::InvalidSignature { .. }
            | PlcError::LateRecovery(_) => StatusCode::BAD_REQUEST,
        },
    }
}

fn store_status(error: &StoreError) -> StatusCode {
    match error {
        StoreError::Busy(_) | StoreError::DiskFull => StatusCode::SERVICE_UNAVAILABLE,
        StoreError::Database(_) | StoreError::Storage(_) | StoreError::Corrupt(_) => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    message: &'a str,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        let message = match status {
            StatusCode::INTERNAL_SERVER_ERROR => "Internal Server Error".to_owned(),
            _ => self.to_string(),
        };
        let mut response = (status, axum::Json(Body { message: &message })).into_response();
        let json = HeaderValue::from_static("application/json; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        if status == StatusCode::UPGRADE_REQUIRED {
            response
                .headers_mut()
                .insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        }
        if let Self::TooManySubmissions(seconds) = self {
            let wait = HeaderValue::from(seconds);
            response.headers_mut().insert(header::RETRY_AFTER, wait);
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if status.is_server_error() {
            // The server logs this once, with the request's id.
            response.extensions_mut().insert(Failure {
                cause: Arc::new(self),
            });
        }
        response
    }
}
