//! Calls that another service answers: checked, signed in the member's name, passed on.
//!
//! Owns the choice of the service, what may be passed on, the token, and the member's own newest
//! records in what comes back. Bodies stream both ways as they are, but for the few answers that
//! [`read_after_write`] changes. Follows the XRPC specification, "Service Proxying".

mod call;
mod error;
pub mod feed;
mod forward;
pub mod read_after_write;
mod rules;
mod target;

use axum::body::Body;
use axum::extract::{FromRequestParts, Request, State};
use axum::response::Response;
use http::request::Parts;
use rochdale_protocol::syntax::Nsid;
use rochdale_service::xrpc::XrpcError;

pub use call::{Call, mint};
pub use error::{ProxyError, Refusal};
pub use rules::{is_privileged, is_protected};
pub use target::{HeaderFault, ServiceName, push_service};

use crate::app::{App, Pds};
use crate::auth::extract::AuthError;
use crate::auth::token::Scope;
use crate::auth::{AnyMember, Member};

/// Largest body that is passed on, in bytes.
pub const BODY_BYTES_MAX: u64 = 100 * 1024 * 1024;
/// Appeals are the one thing that a taken-down account may have passed on.
const APPEAL: &str = "com.atproto.moderation.createReport";
const HEADER: &str = "atproto-proxy";

/// Everything below `/xrpc/` that is not in the route table.
///
/// # Errors
/// [`ProxyError`], or the service's own refusal with its name and status.
pub async fn handle(
    State(pds): State<Pds>,
    AnyMember(caller): AnyMember,
    request: Request,
) -> Result<Response, XrpcError> {
    let (parts, body) = request.into_parts();
    let text = parts.uri.path().trim_start_matches("/xrpc/").to_owned();
    let nsid: Nsid = text
        .parse()
        .map_err(|_syntax| ProxyError::NotAMethod(text))?;
    if caller.scope == Scope::TakenDown && nsid.as_str() != APPEAL {
        return Err(AuthError::Scope.into());
    }
    let target = service_for(&pds, &parts, nsid.as_str())?;
    let call = Call::new(&pds, &caller, &target, nsid.as_str()).await?;
    Ok(call.send(parts, body).await?)
}

/// The service that answers `nsid`: the one that the caller names, or the default one.
///
/// # Errors
/// A header that is no service name, or no default.
pub fn service_for(pds: &App, parts: &Parts, nsid: &str) -> Result<ServiceName, ProxyError> {
    match named_service(parts)? {
        Some(named) => Ok(named),
        None => target::default_for(&pds.config, nsid)
            .ok_or_else(|| ProxyError::NoService(nsid.to_owned())),
    }
}

fn named_service(parts: &Parts) -> Result<Option<ServiceName>, ProxyError> {
    let Some(header) = parts.headers.get(HEADER) else {
        return Ok(None);
    };
    let text = header.to_str().map_err(|_not_ascii| HeaderFault::NotText)?;
    Ok(Some(text.parse()?))
}

/// The service that the caller named for a method that is answered here otherwise.
#[derive(Debug, Clone)]
pub struct Elsewhere {
    named: Option<ServiceName>,
    parts: Parts,
}

impl FromRequestParts<Pds> for Elsewhere {
    type Rejection = XrpcError;

    async fn from_request_parts(parts: &mut Parts, _pds: &Pds) -> Result<Self, XrpcError> {
        let mut copy = parts.clone();
        copy.extensions = http::Extensions::new();
        Ok(Self::of(copy)?)
    }
}

impl Elsewhere {
    /// What the head of a request says.
    ///
    /// # Errors
    /// A header that is no service name.
    pub fn of(parts: Parts) -> Result<Self, ProxyError> {
        let named = named_service(&parts)?;
        Ok(Self { named, parts })
    }

    /// The named service and the request, unless it is the AppView whose methods are answered here.
    #[must_use]
    pub fn target(self, pds: &App) -> Option<(ServiceName, Parts)> {
        let named = self.named?;
        let is_default = pds
            .config
            .app_view
            .as_ref()
            .is_some_and(|view| view.did == named.did);
        (!is_default && named.did != pds.did).then_some((named, self.parts))
    }

    /// The named service or the default one of `nsid`, and the request.
    #[must_use]
    pub fn or_default(self, pds: &App, nsid: &str) -> Option<(ServiceName, Parts)> {
        let default = || target::default_for(&pds.config, nsid);
        Some((self.named.or_else(default)?, self.parts))
    }

    /// The request for a service that is named in its body: a header then says nothing.
    #[must_use]
    pub fn to(self, service: ServiceName) -> (ServiceName, Parts) {
        (service, self.parts)
    }
}

/// Passes a query on that could be answered here.
///
/// # Errors
/// As [`handle`].
pub async fn forward_query(
    pds: &App,
    caller: &Member,
    (target, parts): (ServiceName, Parts),
    nsid: &str,
) -> Result<Response, XrpcError> {
    let call = Call::new(pds, caller, &target, nsid).await?;
    Ok(call.send(parts, Body::empty()).await?)
}

/// Passes a procedure on that could be answered here, with its JSON.
///
/// # Errors
/// As [`handle`].
pub async fn forward_json(
    pds: &App,
    caller: &Member,
    (target, mut parts): (ServiceName, Parts),
    nsid: &str,
    json: Vec<u8>,
) -> Result<Response, XrpcError> {
    // The body was decoded on its way in.
    parts.headers.remove(http::header::CONTENT_ENCODING);
    parts
        .headers
        .insert(http::header::CONTENT_LENGTH, json.len().into());
    let call = Call::new(pds, caller, &target, nsid).await?;
    Ok(call.send(parts, Body::from(json)).await?)
}

/// Passes a query on in nobody's name.
///
/// # Errors
/// As [`handle`].
pub async fn forward_unsigned(
    pds: &App,
    (target, parts): (ServiceName, Parts),
) -> Result<Response, XrpcError> {
    let call = Call::unsigned(pds, &target).await?;
    Ok(call.send(parts, Body::empty()).await?)
}
