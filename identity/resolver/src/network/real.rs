//! The real network: the guarded HTTP client, and a DNS resolver of our own.

use super::{Get, Network, NetworkError, Reply};
use futures::{FutureExt as _, future::BoxFuture};
use hickory_resolver::{
    TokioResolver,
    config::{NameServerConfig, ResolverConfig},
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::rr::{RData, RecordType},
};
use rochdale_service::outbound::{Limits, Outbound, OutboundError};
use std::{net::SocketAddr, time::Duration};
use tokio::sync::Semaphore;

/// Fetches and look-ups in flight at a time; the others wait.
const IN_FLIGHT: usize = 256;
const HTTP_TIMEOUT_MS: u64 = 5_000;
const DNS_TIMEOUT: Duration = Duration::from_secs(2);
/// TXT records of one name that are looked at.
const RECORDS: usize = 32;

/// The real network.
#[derive(Debug)]
pub(crate) struct RealNetwork {
    outbound: Outbound,
    dns: Dns,
    in_flight: Semaphore,
}

impl RealNetwork {
    pub(crate) fn new(outbound: Outbound, nameservers: &[SocketAddr]) -> Self {
        Self {
            outbound,
            dns: Dns::new(nameservers),
            in_flight: Semaphore::new(IN_FLIGHT),
        }
    }
}

impl Network for RealNetwork {
    fn get<'a>(&'a self, get: Get<'a>) -> BoxFuture<'a, Result<Reply, NetworkError>> {
        async move {
            // The semaphore is never closed; without a permit the fetch would merely go uncounted.
            let _permit = self.in_flight.acquire().await.ok();
            let limits = Limits {
                max_bytes: get.max_bytes,
                timeout_ms: HTTP_TIMEOUT_MS,
                redirects: get.redirects,
                accept: get.accept,
                host: get.host,
                trusted: get.trusted,
            };
            let fetched = self.outbound.get(&get.url, limits).await?;
            Ok(Reply {
                status: fetched.status,
                body: fetched.body,
            })
        }
        .boxed()
    }

    fn txt<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<String>, NetworkError>> {
        async move {
            let _permit = self.in_flight.acquire().await.ok();
            self.dns.txt(name).await
        }
        .boxed()
    }
}

/// DNS, or the reason why there is none.
struct Dns(Result<TokioResolver, String>);

impl std::fmt::Debug for Dns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Dns")
    }
}

impl Dns {
    fn new(nameservers: &[SocketAddr]) -> Self {
        let builder = if nameservers.is_empty() {
            TokioResolver::builder_tokio()
        } else {
            let servers = nameservers.iter().map(name_server).collect();
            let config = ResolverConfig::from_parts(None, Vec::new(), servers);
            Ok(TokioResolver::builder_with_config(
                config,
                TokioRuntimeProvider::default(),
            ))
        };
        let resolver = builder.and_then(|mut builder| {
            let options = builder.options_mut();
            options.timeout = DNS_TIMEOUT;
            options.attempts = 2;
            // Answers are cached by handle already.
            options.cache_size = 0;
            builder.build()
        });
        Self(resolver.map_err(|error| {
            tracing::warn!(%error, "no DNS: handles resolve by HTTPS only");
            error.to_string()
        }))
    }

    async fn txt(&self, name: &str) -> Result<Vec<String>, NetworkError> {
        let resolver = self
            .0
            .as_ref()
            .map_err(|error| NetworkError::Transport(error.clone()))?;
        // The dot at the end keeps search domains of the machine out of it.
        let lookup = resolver
            .lookup(format!("{name}."), RecordType::TXT)
            .await
            .map_err(fault)?;
        let texts = lookup
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::TXT(text) => String::from_utf8(text.txt_data.concat()).ok(),
                _ => None,
            });
        Ok(texts.take(RECORDS).collect())
    }
}

fn fault(error: NetError) -> NetworkError {
    if error.is_no_records_found() {
        return NetworkError::NoSuchName;
    }
    NetworkError::Transport(error.to_string())
}

fn name_server(address: &SocketAddr) -> NameServerConfig {
    let mut server = NameServerConfig::udp_and_tcp(address.ip());
    for connection in &mut server.connections {
        connection.port = address.port();
    }
    server
}

impl From<OutboundError> for NetworkError {
    fn from(error: OutboundError) -> Self {
        match error {
            OutboundError::NoSuchHost { .. } => Self::NoSuchName,
            OutboundError::Refused { .. }
            | OutboundError::PrivateAddress { .. }
            | OutboundError::TooLarge { .. }
            | OutboundError::Redirect { .. } => Self::Refused(error.to_string()),
            OutboundError::Timeout { .. } | OutboundError::Unreachable { .. } => {
                Self::Transport(error.to_string())
            }
        }
    }
}
