//! Calls that another service answers: checked, signed in the member's name, passed on.
//!
//! Owns the choice of the service, what may be passed on, and the token. Must not read bodies: they
//! stream both ways as they are. Follows the XRPC specification, "Service Proxying".

mod forward;
mod rules;
mod target;

use axum::body::Body;
use axum::extract::{FromRequestParts, Request, State};
use axum::response::Response;
use http::request::Parts;
use http::{Method, StatusCode};
use rochdale_protocol::crypto::SigningKey;
use rochdale_protocol::syntax::{Did, Nsid};
use rochdale_protocol::xrpc::names;
use rochdale_protocol::xrpc::service_auth::{self, Claims};
use rochdale_resolver::ResolveError;
use rochdale_service::clock;
use rochdale_service::outbound::OutboundError;
use rochdale_service::xrpc::XrpcError;

pub use rules::{is_privileged, is_protected};
pub use target::{HeaderFault, ServiceName};

use crate::api::error::{bad, invalid, resolve_error};
use crate::app::{App, Pds};
use crate::auth::extract::AuthError;
use crate::auth::token::Scope;
use crate::auth::{AnyMember, Member};

/// Largest body that is passed on, in bytes.
pub const BODY_BYTES_MAX: u64 = 100 * 1024 * 1024;
/// How long the token of one call is good for, in seconds.
const TOKEN_SECONDS: i64 = 60;
/// Appeals are the one thing that a taken-down account may have passed on.
const APPEAL: &str = "com.atproto.moderation.createReport";
const HEADER: &str = "atproto-proxy";

/// Why a call was not passed on.
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
    /// The verb is none that XRPC uses.
    #[error("XRPC requests only supports GET and POST")]
    Verb,
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
    /// The service is too slow.
    #[error("the service did not answer in time")]
    Timeout,
    /// The service cannot be reached or broke off.
    #[error("the service could not be reached")]
    Unreachable(#[source] OutboundError),
}

impl From<ProxyError> for XrpcError {
    fn from(error: ProxyError) -> Self {
        match error {
            ProxyError::Header(_)
            | ProxyError::NoService(_)
            | ProxyError::NotAMethod(_)
            | ProxyError::Verb
            | ProxyError::NoSuchService(_) => invalid(error),
            ProxyError::Protected(_) | ProxyError::Privileged(_) => {
                bad(names::INVALID_TOKEN, error)
            }
            ProxyError::Unresolvable(cause) if cause.is_transient() => resolve_error(cause),
            ProxyError::Unresolvable(_) => invalid(error),
            ProxyError::Timeout => XrpcError::new(
                StatusCode::GATEWAY_TIMEOUT,
                names::UPSTREAM_TIMEOUT,
                error.to_string(),
            ),
            ProxyError::Unreachable(_) => XrpcError::new(
                StatusCode::BAD_GATEWAY,
                names::UPSTREAM_FAILURE,
                error.to_string(),
            )
            .with_cause(error),
        }
    }
}

/// The service that the caller named in the `atproto-proxy` header.
#[derive(Debug, Clone)]
pub struct Elsewhere {
    named: Option<ServiceName>,
    parts: Parts,
}

impl FromRequestParts<Pds> for Elsewhere {
    type Rejection = XrpcError;

    async fn from_request_parts(parts: &mut Parts, _pds: &Pds) -> Result<Self, XrpcError> {
        Ok(Self {
            named: named_service(parts)?,
            parts: without_extensions(parts),
        })
    }
}

impl Elsewhere {
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
}

fn without_extensions(parts: &Parts) -> Parts {
    let mut copy = parts.clone();
    copy.extensions = http::Extensions::new();
    copy
}

fn named_service(parts: &Parts) -> Result<Option<ServiceName>, ProxyError> {
    let Some(header) = parts.headers.get(HEADER) else {
        return Ok(None);
    };
    let text = header.to_str().map_err(|_not_ascii| HeaderFault::NotText)?;
    Ok(Some(text.parse()?))
}

/// A service token: the member `issuer` calls `aud`, for `lxm` alone if it is given.
#[must_use]
pub fn mint(
    key: &SigningKey,
    issuer: &Did,
    aud: &str,
    lxm: Option<&str>,
    now_s: i64,
    exp_s: i64,
) -> String {
    let claims = Claims {
        iat: Some(now_s),
        iss: issuer.to_string(),
        aud: aud.to_owned(),
        exp: exp_s,
        lxm: lxm.map(str::to_owned),
        jti: Some(data_encoding::HEXLOWER.encode(&clock::random::<16>())),
    };
    service_auth::mint(key, &claims)
}

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
    let named = named_service(&parts)?;
    let target = match named {
        Some(named) => named,
        None => target::default_for(&pds, nsid.as_str())
            .ok_or_else(|| ProxyError::NoService(nsid.to_string()))?,
    };
    forward(&pds, &caller, target, nsid.as_str(), parts, body).await
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
    forward(pds, caller, target, nsid, parts, Body::empty()).await
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
    forward(pds, caller, target, nsid, parts, Body::from(json)).await
}

async fn forward(
    pds: &App,
    caller: &Member,
    target: ServiceName,
    nsid: &str,
    parts: Parts,
    body: Body,
) -> Result<Response, XrpcError> {
    if ![Method::GET, Method::HEAD, Method::POST].contains(&parts.method) {
        return Err(ProxyError::Verb.into());
    }
    if is_protected(nsid) {
        return Err(ProxyError::Protected(nsid.to_owned()).into());
    }
    if is_privileged(nsid) && !caller.is_privileged() {
        return Err(ProxyError::Privileged(nsid.to_owned()).into());
    }
    let origin = target::origin(pds, &target).await?;
    let now_s = pds.now_ms() / 1000;
    let key = pds.keys.signing_key(&caller.account)?;
    let aud = target.did.as_str();
    let token = mint(
        &key,
        caller.did(),
        aud,
        Some(nsid),
        now_s,
        now_s + TOKEN_SECONDS,
    );
    forward::send(pds, &origin, parts, body, &token).await
}
