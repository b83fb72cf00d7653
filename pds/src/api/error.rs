//! What each domain error is called on the wire, and with which status.
//!
//! The only place that decides it, without a wildcard arm, so that a new variant cannot slip
//! through. Names are those that the lexicons declare or the general set of the XRPC specification.

mod repo;

use http::header::WWW_AUTHENTICATE;
use http::{HeaderValue, StatusCode};
use rochdale_protocol::xrpc::names;
use rochdale_resolver::{LexiconError, ResolveError};
use rochdale_service::xrpc::XrpcError;

use crate::account::email::EmailError;
use crate::account::email_change::EmailChangeError;
use crate::account::handle::HandleError;
use crate::account::handle_change::{ExternalHandleError, HandleChangeError};
use crate::account::key_change::KeyChangeError;
use crate::account::lifecycle::ActivateError;
use crate::account::mailed::MailCodeError;
use crate::account::session::{RenewError, SignInError};
use crate::account::sign_up::SignUpError;
use crate::app::TaskLost;
use crate::auth::extract::AuthError;
use crate::auth::password::PasswordError;
use crate::auth::token::TokenError;
use crate::identity::plc::PlcClientError;
use crate::keys::KeyError;
use crate::mail::MessageError;
use crate::store::StoreError;
use crate::store::account::{ChangeError, CreateError};
use crate::store::invite::AddOwnError;
use crate::store::session::AppPasswordError;

/// A refusal with status 400.
pub(crate) fn bad(name: &'static str, message: impl std::fmt::Display) -> XrpcError {
    XrpcError::new(StatusCode::BAD_REQUEST, name, message.to_string())
}

/// A refusal with status 400 and the general name.
pub(crate) fn invalid(message: impl std::fmt::Display) -> XrpcError {
    bad(names::INVALID_REQUEST, message)
}

fn status(status: StatusCode, name: &'static str, error: impl std::fmt::Display) -> XrpcError {
    XrpcError::new(status, name, error.to_string())
}

/// A name that does not resolve. Not a `From`: a handler may have a better answer.
pub(crate) fn resolve_error(error: ResolveError) -> XrpcError {
    match error {
        ResolveError::HandleNotFound { .. } => bad(names::HANDLE_NOT_FOUND, error),
        ResolveError::DidNotFound(_) => bad(names::DID_NOT_FOUND, error),
        ResolveError::DidDeactivated(_) => bad(names::DID_DEACTIVATED, error),
        ResolveError::UnsupportedMethod(_) | ResolveError::InvalidDocument { .. } => invalid(error),
        ResolveError::Unreachable { .. } => {
            status(StatusCode::BAD_GATEWAY, names::UPSTREAM_FAILURE, error)
        }
    }
}

/// A schema that is not found.
pub(crate) fn lexicon_error(error: LexiconError) -> XrpcError {
    match error {
        LexiconError::NotPublished { .. }
        | LexiconError::Invalid { .. }
        | LexiconError::NotARecord(_) => bad("LexiconNotFound", error),
        LexiconError::Unreachable { .. } => {
            status(StatusCode::BAD_GATEWAY, names::UPSTREAM_FAILURE, error)
        }
        LexiconError::Pending(_) | LexiconError::Busy(_) => status(
            StatusCode::SERVICE_UNAVAILABLE,
            names::NOT_ENOUGH_RESOURCES,
            error,
        ),
    }
}

impl From<StoreError> for XrpcError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy | StoreError::Closed => Self::busy(),
            StoreError::DiskFull => Self::disk_full().with_cause(error),
            StoreError::Database(_) | StoreError::Failed(_) | StoreError::Corrupt { .. } => {
                Self::internal(error)
            }
        }
    }
}

impl From<TaskLost> for XrpcError {
    fn from(error: TaskLost) -> Self {
        XrpcError::internal(error)
    }
}

impl From<KeyError> for XrpcError {
    fn from(error: KeyError) -> Self {
        XrpcError::internal(error)
    }
}

impl From<MessageError> for XrpcError {
    fn from(error: MessageError) -> Self {
        XrpcError::internal(error)
    }
}

impl From<TokenError> for XrpcError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Expired => bad(names::EXPIRED_TOKEN, error),
            TokenError::MissingTokenId => status(StatusCode::UNAUTHORIZED, "MissingTokenId", error),
            TokenError::Malformed
            | TokenError::BadSignature
            | TokenError::WrongType
            | TokenError::WrongAudience
            | TokenError::WrongScope => bad(names::INVALID_TOKEN, error),
        }
    }
}

impl From<AuthError> for XrpcError {
    fn from(error: AuthError) -> Self {
        let unauthorized = |name| status(StatusCode::UNAUTHORIZED, name, &error);
        let asks_for = |scheme| HeaderValue::from_static(scheme);
        match error {
            AuthError::Missing => {
                unauthorized(names::AUTH_MISSING).with_header(WWW_AUTHENTICATE, asks_for("Bearer"))
            }
            AuthError::NotAdmin => unauthorized(names::AUTHENTICATION_REQUIRED)
                .with_header(WWW_AUTHENTICATE, asks_for("Basic realm=\"admin\"")),
            AuthError::Scheme | AuthError::Scope => bad(names::INVALID_TOKEN, error),
            AuthError::AccountNotFound => {
                status(StatusCode::FORBIDDEN, names::ACCOUNT_NOT_FOUND, error)
            }
            AuthError::TakenDown => unauthorized(names::ACCOUNT_TAKEDOWN),
            AuthError::Deactivated => unauthorized(names::ACCOUNT_DEACTIVATED),
            AuthError::Service(ref refused) => unauthorized(refused.name()),
            AuthError::Token(error) => error.into(),
            AuthError::Store(error) => error.into(),
        }
    }
}

impl From<PasswordError> for XrpcError {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Busy => Self::busy(),
            PasswordError::Failed => Self::internal(error),
        }
    }
}

impl From<SignInError> for XrpcError {
    fn from(error: SignInError) -> Self {
        match error {
            SignInError::Invalid => status(
                StatusCode::UNAUTHORIZED,
                names::AUTHENTICATION_REQUIRED,
                error,
            ),
            SignInError::TakenDown => {
                status(StatusCode::UNAUTHORIZED, names::ACCOUNT_TAKEDOWN, error)
            }
            SignInError::FactorRequired => status(
                StatusCode::UNAUTHORIZED,
                names::AUTH_FACTOR_TOKEN_REQUIRED,
                error,
            ),
            SignInError::Change(error) => error.into(),
            SignInError::Mail(error) => error.into(),
            SignInError::Password(error) => error.into(),
            SignInError::Store(error) => error.into(),
        }
    }
}

impl From<RenewError> for XrpcError {
    fn from(error: RenewError) -> Self {
        match error {
            RenewError::Token(error) => error.into(),
            RenewError::Revoked => bad(names::EXPIRED_TOKEN, error),
            RenewError::TakenDown => {
                status(StatusCode::UNAUTHORIZED, names::ACCOUNT_TAKEDOWN, error)
            }
            RenewError::Store(error) => error.into(),
        }
    }
}

impl From<AppPasswordError> for XrpcError {
    fn from(error: AppPasswordError) -> Self {
        match error {
            AppPasswordError::NameTaken(_) | AppPasswordError::TooMany(_) => invalid(error),
            AppPasswordError::Store(error) => error.into(),
        }
    }
}

impl From<HandleError> for XrpcError {
    fn from(error: HandleError) -> Self {
        match error {
            HandleError::DisallowedTld
            | HandleError::TooShort
            | HandleError::TooLong
            | HandleError::DottedName => bad(names::INVALID_HANDLE, error),
            HandleError::Reserved => bad(names::HANDLE_NOT_AVAILABLE, error),
            HandleError::UnsupportedDomain => bad(names::UNSUPPORTED_DOMAIN, error),
        }
    }
}

impl From<ExternalHandleError> for XrpcError {
    fn from(error: ExternalHandleError) -> Self {
        match error {
            ExternalHandleError::PointsElsewhere { .. }
            | ExternalHandleError::Unresolvable { .. } => invalid(error),
        }
    }
}

impl From<EmailError> for XrpcError {
    fn from(error: EmailError) -> Self {
        match error {
            EmailError::Missing | EmailError::Unsupported => invalid(error),
        }
    }
}

impl From<EmailChangeError> for XrpcError {
    fn from(error: EmailChangeError) -> Self {
        match error {
            EmailChangeError::Address(error) => error.into(),
            EmailChangeError::TokenRequired => bad(names::TOKEN_REQUIRED, error),
            EmailChangeError::OtherAddress => bad(names::INVALID_EMAIL, error),
            EmailChangeError::Taken | EmailChangeError::NotConfirmed | EmailChangeError::NoMail => {
                invalid(error)
            }
            EmailChangeError::Message(error) => error.into(),
            EmailChangeError::Change(error) => error.into(),
        }
    }
}

impl From<PlcClientError> for XrpcError {
    fn from(error: PlcClientError) -> Self {
        match error {
            PlcClientError::Refused { .. }
            | PlcClientError::NotFound(_)
            | PlcClientError::Tombstoned(_) => invalid(error),
            PlcClientError::Unreachable { .. } | PlcClientError::Failed { .. } => {
                tracing::warn!(%error, "the DID directory failed");
                status(StatusCode::BAD_GATEWAY, names::UPSTREAM_FAILURE, error)
            }
        }
    }
}

impl From<CreateError> for XrpcError {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::HandleTaken | CreateError::EmailTaken => invalid(error),
            CreateError::DidTaken => bad("AlreadyExists", error),
            CreateError::InviteUnavailable => bad(names::INVALID_INVITE_CODE, error),
            CreateError::Store(error) => error.into(),
        }
    }
}

impl From<AddOwnError> for XrpcError {
    fn from(error: AddOwnError) -> Self {
        match error {
            AddOwnError::Raced => bad(names::DUPLICATE_CREATE, error),
            AddOwnError::Store(error) => error.into(),
        }
    }
}

impl From<SignUpError> for XrpcError {
    fn from(error: SignUpError) -> Self {
        match error {
            SignUpError::Handle(error) => error.into(),
            SignUpError::ExternalHandle(error) => error.into(),
            SignUpError::Email(error) => error.into(),
            SignUpError::BadPassword => bad(names::INVALID_PASSWORD, error),
            SignUpError::InviteMissing => bad(names::INVALID_INVITE_CODE, error),
            SignUpError::BadRecoveryKey => invalid(error),
            SignUpError::Password(error) => error.into(),
            SignUpError::Key(error) => error.into(),
            SignUpError::Directory(error) => error.into(),
            SignUpError::Create(error) => error.into(),
        }
    }
}

impl From<ChangeError> for XrpcError {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Gone => bad(names::ACCOUNT_NOT_FOUND, error),
            ChangeError::PasswordChanged => status(
                StatusCode::UNAUTHORIZED,
                names::AUTHENTICATION_REQUIRED,
                error,
            ),
            ChangeError::CodeInvalid => bad(names::INVALID_TOKEN, error),
            ChangeError::CodeExpired => bad(names::EXPIRED_TOKEN, error),
            ChangeError::HandleTaken | ChangeError::EmailTaken => invalid(error),
            ChangeError::Store(error) => error.into(),
        }
    }
}

impl From<HandleChangeError> for XrpcError {
    fn from(error: HandleChangeError) -> Self {
        match error {
            HandleChangeError::Rule(error) => error.into(),
            HandleChangeError::External(error) => error.into(),
            HandleChangeError::Taken | HandleChangeError::DocumentFirst(_) => invalid(error),
            HandleChangeError::Document(error) => resolve_error(error),
            HandleChangeError::Directory(error) => error.into(),
            HandleChangeError::Change(error) => error.into(),
        }
    }
}

impl From<ActivateError> for XrpcError {
    fn from(error: ActivateError) -> Self {
        match error {
            ActivateError::Unresolvable(error) => resolve_error(error),
            ActivateError::Document(error) => invalid(error),
            ActivateError::Key(error) => error.into(),
            ActivateError::Write(error) => error.into(),
        }
    }
}

impl From<KeyChangeError> for XrpcError {
    fn from(error: KeyChangeError) -> Self {
        match error {
            KeyChangeError::NotHeld { .. } | KeyChangeError::DocumentFirst => invalid(error),
            KeyChangeError::Document(error) => resolve_error(error),
            KeyChangeError::Directory(error) => error.into(),
            KeyChangeError::Key(error) => error.into(),
            KeyChangeError::Write(error) => error.into(),
            KeyChangeError::Store(error) => error.into(),
        }
    }
}

impl From<MailCodeError> for XrpcError {
    fn from(error: MailCodeError) -> Self {
        match error {
            MailCodeError::NoAddress => invalid(error),
            MailCodeError::Message(error) => error.into(),
            MailCodeError::Store(error) => error.into(),
        }
    }
}
