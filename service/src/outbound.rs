//! The one client for requests to hosts that strangers can name.
//!
//! It reaches public addresses only (checked on what the name resolved to, so no second answer of a
//! DNS server gets around it), over https on the usual ports, within a size, a time and a number of
//! redirects, each of which is checked again. In development it also reaches loopback by plain http.
//! Addresses that the operator wrote into the configuration are `trusted` and exempt. No proxy from
//! the environment is used.

mod address;
mod guard;
mod proxy;
mod socket;

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{ACCEPT, HOST, LOCATION};
use url::Url;

pub use address::refusal;
pub use proxy::StreamLimits;
pub use socket::Socket;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Idle connections kept per host.
const IDLE_CONNECTIONS: usize = 16;

/// What this process may reach, and what it says it is.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Development: loopback and plain http are allowed.
    pub dev: bool,
    /// The `User-Agent` of every request.
    pub user_agent: String,
}

/// The limits of one request.
#[derive(Debug, Clone, Copy)]
pub struct Limits<'a> {
    /// Largest answer, in bytes.
    pub max_bytes: usize,
    /// How long the whole exchange may take, in milliseconds.
    pub timeout_ms: u64,
    /// How many redirects are followed.
    pub redirects: usize,
    /// The `Accept` header.
    pub accept: &'static str,
    /// Overrides the `Host` header.
    pub host: Option<&'a str>,
    /// The operator wrote the origin of this URL: it may be local and use plain http.
    pub trusted: bool,
}

impl Default for Limits<'_> {
    fn default() -> Self {
        Self {
            max_bytes: 512 << 10,
            timeout_ms: 5_000,
            redirects: 0,
            accept: "*/*",
            host: None,
            trusted: false,
        }
    }
}

/// An answer, whatever its status.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// HTTP status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Fetched {
    /// The `Content-Type` without parameters, or nothing.
    pub fn content_type(&self) -> &str {
        let value = self.headers.get(http::header::CONTENT_TYPE);
        let text = value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        text.split(';').next().unwrap_or_default().trim()
    }
}

/// Why a request was not made, or brought nothing.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OutboundError {
    /// Not a URL that may be asked.
    #[error("{url} is refused: {reason}")]
    Refused {
        /// The URL.
        url: String,
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// The name resolves to nothing.
    #[error("the name {host} does not resolve")]
    NoSuchHost {
        /// The name.
        host: String,
    },
    /// The name resolves only to addresses that are not public.
    #[error("{host} resolves to no public address")]
    PrivateAddress {
        /// The name.
        host: String,
    },
    /// The host is too slow.
    #[error("{host} did not answer within {limit_ms} ms")]
    Timeout {
        /// The host.
        host: String,
        /// The limit, in milliseconds.
        limit_ms: u64,
    },
    /// The connection failed or broke off.
    #[error("{host} could not be reached: {reason}")]
    Unreachable {
        /// The host.
        host: String,
        /// What the network said.
        reason: String,
    },
    /// The answer is larger than the limit.
    #[error("{host} answered with more than {limit_bytes} bytes")]
    TooLarge {
        /// The host.
        host: String,
        /// The limit, in bytes.
        limit_bytes: usize,
    },
    /// One redirect more than allowed.
    #[error("{host} redirects too often or to no address")]
    Redirect {
        /// The host that redirected last.
        host: String,
    },
}

/// The guarded client. Clones share connections.
#[derive(Debug, Clone)]
pub struct Outbound {
    guarded: reqwest::Client,
    trusted: reqwest::Client,
    dns: guard::GuardedDns,
    dev: bool,
    user_agent: String,
    tls: Arc<rustls::ClientConfig>,
}

impl Outbound {
    /// A client under `policy`.
    ///
    /// # Errors
    /// When the TLS library cannot be set up.
    pub fn new(policy: Policy) -> Result<Self, OutboundSetupError> {
        let dns = guard::GuardedDns::system(policy.dev);
        Self::with_dns(policy, dns)
    }

    fn with_dns(policy: Policy, dns: guard::GuardedDns) -> Result<Self, OutboundSetupError> {
        let tls = tls()?;
        let build = |https_only: bool| {
            reqwest::Client::builder()
                .tls_backend_preconfigured(tls.clone())
                .user_agent(&policy.user_agent)
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                // One slow answer must not hold up others on a shared connection.
                .http1_only()
                .https_only(https_only)
                .connect_timeout(CONNECT_TIMEOUT)
                .pool_max_idle_per_host(IDLE_CONNECTIONS)
                .tcp_nodelay(true)
        };
        Ok(Self {
            guarded: build(!policy.dev)
                .dns_resolver(dns.clone())
                .build()
                .map_err(setup)?,
            trusted: build(false).build().map_err(setup)?,
            dns,
            dev: policy.dev,
            user_agent: policy.user_agent,
            tls: Arc::new(tls),
        })
    }

    /// Fetches `url`.
    ///
    /// # Errors
    /// A URL or address that may not be reached, or a host that fails a limit.
    pub async fn get(&self, url: &str, limits: Limits<'_>) -> Result<Fetched, OutboundError> {
        let mut target = self.check_url(url, limits.trusted)?;
        let mut redirects = limits.redirects;
        let deadline = tokio::time::Instant::now() + Duration::from_millis(limits.timeout_ms);
        loop {
            let host = host_of(&target);
            let mut request = self.client(limits.trusted).get(target.clone());
            if let Some(name) = limits.host {
                request = request.header(HOST, name);
            }
            let exchange = exchange(
                request.header(ACCEPT, limits.accept),
                &host,
                limits.max_bytes,
            );
            let fetched = in_time(exchange, deadline, &host, limits.timeout_ms).await?;
            if !matches!(fetched.status, 301 | 302 | 303 | 307 | 308) || limits.redirects == 0 {
                return Ok(fetched);
            }
            let location = fetched
                .headers
                .get(LOCATION)
                .and_then(|value| value.to_str().ok());
            let next = location.and_then(|location| target.join(location).ok());
            let (Some(next), Some(left)) = (next, redirects.checked_sub(1)) else {
                return Err(OutboundError::Redirect { host });
            };
            // Where a redirect leads is a stranger's choice, whoever named the first address.
            let same_origin = next.origin() == target.origin();
            target = self.check_url(next.as_str(), limits.trusted && same_origin)?;
            redirects = left;
        }
    }

    /// Sends JSON to `url`. Redirects are not followed.
    ///
    /// # Errors
    /// As [`Outbound::get`].
    pub async fn post_json(
        &self,
        url: &str,
        body: Vec<u8>,
        limits: Limits<'_>,
    ) -> Result<Fetched, OutboundError> {
        self.post_json_as(url, body, None, limits).await
    }

    /// Sends JSON to `url` with a bearer token.
    ///
    /// # Errors
    /// As [`Outbound::get`].
    pub async fn post_json_as(
        &self,
        url: &str,
        body: Vec<u8>,
        token: Option<&str>,
        limits: Limits<'_>,
    ) -> Result<Fetched, OutboundError> {
        let target = self.check_url(url, limits.trusted)?;
        let host = host_of(&target);
        let mut request = self
            .client(limits.trusted)
            .post(target)
            .header(ACCEPT, limits.accept)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(body);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let deadline = tokio::time::Instant::now() + Duration::from_millis(limits.timeout_ms);
        let exchange = exchange(request, &host, limits.max_bytes);
        in_time(exchange, deadline, &host, limits.timeout_ms).await
    }

    fn client(&self, trusted: bool) -> &reqwest::Client {
        if trusted {
            &self.trusted
        } else {
            &self.guarded
        }
    }

    /// Checks everything about a URL that can be checked without the network.
    ///
    /// # Errors
    /// [`OutboundError::Refused`] with the rule that it breaks.
    pub fn check_url(&self, url: &str, trusted: bool) -> Result<Url, OutboundError> {
        let refused = |reason| OutboundError::Refused {
            url: url.chars().take(300).collect(),
            reason,
        };
        let parsed = Url::parse(url).map_err(|_syntax| refused("it is not a URL"))?;
        let plain = match parsed.scheme() {
            "https" | "wss" => false,
            "http" | "ws" => true,
            _ => return Err(refused("only https is asked")),
        };
        let Some(host) = parsed.host() else {
            return Err(refused("it names no host"));
        };
        if trusted {
            return Ok(parsed);
        }
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(refused("it carries a user name"));
        }
        let local = match host {
            url::Host::Ipv4(ip) => self.check_address(ip.into()).map_err(refused)?,
            url::Host::Ipv6(ip) => self.check_address(ip.into()).map_err(refused)?,
            url::Host::Domain(name) => {
                let local = name == "localhost" || name.ends_with(".localhost");
                if local && !self.dev {
                    return Err(refused("localhost is asked in development only"));
                }
                local
            }
        };
        if plain && !local {
            return Err(refused("only https is asked"));
        }
        if !local && !matches!(parsed.port_or_known_default(), Some(80 | 443)) {
            return Err(refused("only ports 80 and 443 are asked"));
        }
        Ok(parsed)
    }

    /// Whether an address literal is loopback (in development), or why it is refused.
    fn check_address(&self, ip: std::net::IpAddr) -> Result<bool, &'static str> {
        match refusal(ip) {
            None => Ok(false),
            Some(_) if self.dev && ip.is_loopback() => Ok(true),
            Some(reason) => Err(reason),
        }
    }
}

/// The TLS library could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up the outbound client: {0}")]
pub struct OutboundSetupError(String);

fn setup(cause: impl std::fmt::Display) -> OutboundSetupError {
    OutboundSetupError(cause.to_string())
}

fn tls() -> Result<rustls::ClientConfig, OutboundSetupError> {
    let roots = webpki_roots::TLS_SERVER_ROOTS
        .iter()
        .cloned()
        .collect::<rustls::RootCertStore>();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    let builder = builder
        .with_safe_default_protocol_versions()
        .map_err(setup)?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

pub(crate) fn host_of(url: &Url) -> String {
    url.host_str().unwrap_or_default().to_owned()
}

async fn in_time<T>(
    exchange: impl Future<Output = Result<T, OutboundError>>,
    deadline: tokio::time::Instant,
    host: &str,
    limit_ms: u64,
) -> Result<T, OutboundError> {
    match tokio::time::timeout_at(deadline, exchange).await {
        Ok(outcome) => outcome,
        Err(_elapsed) => Err(OutboundError::Timeout {
            host: host.to_owned(),
            limit_ms,
        }),
    }
}

async fn exchange(
    request: reqwest::RequestBuilder,
    host: &str,
    limit_bytes: usize,
) -> Result<Fetched, OutboundError> {
    let too_large = || OutboundError::TooLarge {
        host: host.to_owned(),
        limit_bytes,
    };
    let mut answer = request.send().await.map_err(|cause| fault(host, &cause))?;
    let declared = answer.content_length().unwrap_or_default();
    if usize::try_from(declared).map_or(true, |declared| declared > limit_bytes) {
        return Err(too_large());
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = answer.chunk().await.map_err(|cause| fault(host, &cause))? {
        if body.len() + chunk.len() > limit_bytes {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Fetched {
        status: answer.status().as_u16(),
        headers: std::mem::take(answer.headers_mut()),
        body: body.freeze(),
    })
}

/// What a failure of the HTTP library means, told by the causes that our own parts left in it.
pub(crate) fn fault(host: &str, error: &reqwest::Error) -> OutboundError {
    let host = host.to_owned();
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    let mut innermost = String::new();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<guard::LookupError>() {
            return error.at(host);
        }
        innermost = error.to_string();
        cause = error.source();
    }
    if error.is_timeout() {
        let limit_ms = u64::try_from(CONNECT_TIMEOUT.as_millis()).unwrap_or(u64::MAX);
        return OutboundError::Timeout { host, limit_ms };
    }
    OutboundError::Unreachable {
        host,
        reason: innermost,
    }
}

#[cfg(test)]
mod tests;
