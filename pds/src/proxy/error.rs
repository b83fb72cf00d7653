//! Why a call was not passed on, or what the service said against it.

use std::fmt;

use http::{HeaderMap, StatusCode};
use rochdale_protocol::xrpc::names;
use rochdale_resolver::ResolveError;
use rochdale_service::encoding::NegotiationError;
use rochdale_service::outbound::OutboundError;
use rochdale_service::xrpc::XrpcError;

use super::{HeaderFault, ServiceName};
use crate::api::error::{bad, invalid, resolve_error};
use crate::keys::KeyError;
use crate::store::StoreError;

/// Why a call was not answered.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The header is not `did#service`.
    #[error(transparent)]
    Header(#[from] HeaderFault),
    /// No header, and no default for this method.
    #[error("No service configured for {0}")]
    NoService(String),
    /// The path is no method name.
    #[error("{0:?} is not a valid method name")]
    NotAMethod(String),
    /// A method that is never passed on.
    #[error("Bad token method: {0} is not passed on to other services")]
    Protected(String),
    /// The session may not call it.
    #[error("Bad token method: {0} takes the main password or a privileged app password")]
    Privileged(String),
    /// The service's DID does not resolve.
    #[error("could not resolve proxy did: {0}")]
    Unresolvable(#[source] ResolveError),
    /// The document does not name the service.
    #[error("could not resolve proxy did service url: {0} has no such service")]
    NoSuchService(ServiceName),
    /// The document's address of the service is none.
    #[error("could not resolve proxy did service url: {0:?} is not one")]
    Endpoint(String),
    /// A feed is named by something else than the address of a record.
    #[error("feed {0:?} is not the AT-URI of a record")]
    NotAFeed(String),
    /// There is no such feed, or its record names no service.
    #[error("could not find the service of feed {0}")]
    UnknownFeed(String),
    /// The client takes no encoding that can be had here.
    #[error(transparent)]
    Encoding(#[from] NegotiationError),
    /// The service refused.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// The service answers with a redirect.
    #[error("the service redirects, which a call does not follow")]
    Redirected,
    /// The service's answer to a call of our own is not what it should be.
    #[error("the service answered {0} in a form that is not its lexicon's")]
    Answer(String),
    /// The service is too slow.
    #[error("the service did not answer in time")]
    Timeout,
    /// The service cannot be reached or broke off.
    #[error("the service could not be reached")]
    Unreachable(#[source] OutboundError),
    /// The service broke off in the middle of its answer, or answered too much.
    #[error("the service broke its answer off")]
    BrokeOff(#[source] axum::Error),
    /// The member's key cannot be opened.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The member's records cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a service said against a call. The client gets it as if it were ours.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// Its status.
    pub status: StatusCode,
    /// The error's name.
    pub name: String,
    /// The error's message.
    pub message: String,
    /// Those of its headers that a client may see.
    pub headers: HeaderMap,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status, self.name, self.message)
    }
}

impl From<Refusal> for XrpcError {
    fn from(refusal: Refusal) -> Self {
        let mut error = Self::new(refusal.status, refusal.name, refusal.message);
        for (name, value) in &refusal.headers {
            error = error.with_header(name.clone(), value.clone());
        }
        error
    }
}

impl From<OutboundError> for ProxyError {
    fn from(error: OutboundError) -> Self {
        match error {
            OutboundError::Timeout { .. } => Self::Timeout,
            OutboundError::Refused { .. }
            | OutboundError::NoSuchHost { .. }
            | OutboundError::PrivateAddress { .. }
            | OutboundError::Unreachable { .. }
            | OutboundError::TooLarge { .. }
            | OutboundError::Redirect { .. } => Self::Unreachable(error),
        }
    }
}

impl From<ProxyError> for XrpcError {
    fn from(error: ProxyError) -> Self {
        match error {
            ProxyError::Header(_)
            | ProxyError::NoService(_)
            | ProxyError::NotAMethod(_)
            | ProxyError::NoSuchService(_)
            | ProxyError::Endpoint(_)
            | ProxyError::NotAFeed(_)
            | ProxyError::Encoding(NegotiationError::Malformed(_)) => invalid(error),
            ProxyError::Encoding(NegotiationError::NoneAcceptable) => Self::new(
                StatusCode::NOT_ACCEPTABLE,
                names::NOT_ACCEPTABLE,
                error.to_string(),
            ),
            ProxyError::Protected(_) | ProxyError::Privileged(_) => {
                bad(names::INVALID_TOKEN, error)
            }
            ProxyError::UnknownFeed(_) => bad("UnknownFeed", error),
            ProxyError::Unresolvable(cause) if cause.is_transient() => resolve_error(cause),
            ProxyError::Unresolvable(_) => invalid(error),
            ProxyError::Refused(refusal) => (*refusal).into(),
            ProxyError::Timeout => Self::upstream_timeout(error.to_string()),
            ProxyError::Unreachable(_)
            | ProxyError::BrokeOff(_)
            | ProxyError::Redirected
            | ProxyError::Answer(_) => Self::upstream_failure(error.to_string()).with_cause(error),
            ProxyError::Key(error) => error.into(),
            ProxyError::Store(error) => error.into(),
        }
    }
}
