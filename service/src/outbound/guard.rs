//! Names to addresses, without those that are not public. The HTTP library connects to exactly the
//! addresses handed to it, so a name that resolves differently a moment later gains nothing.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use futures::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::{OutboundError, refusal};

/// Why a name gives no address to connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum LookupError {
    /// It has none.
    #[error("no such host")]
    NoSuchHost,
    /// It has private ones only.
    #[error("no public address")]
    PrivateAddress,
}

impl LookupError {
    /// What it means for a request to `host`.
    pub(super) fn at(self, host: String) -> OutboundError {
        match self {
            Self::NoSuchHost => OutboundError::NoSuchHost { host },
            Self::PrivateAddress => OutboundError::PrivateAddress { host },
        }
    }
}

/// Finds the addresses of a name; the port is passed through.
type Lookup = dyn Fn(String, u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync;

/// A resolver behind the address rules.
#[derive(Clone)]
pub(super) struct GuardedDns {
    lookup: Arc<Lookup>,
    dev: bool,
}

impl std::fmt::Debug for GuardedDns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GuardedDns")
            .field("dev", &self.dev)
            .finish_non_exhaustive()
    }
}

impl GuardedDns {
    /// Behind the rules: the system's resolver.
    pub(super) fn system(dev: bool) -> Self {
        Self::new(dev, |host, port| {
            Box::pin(async move {
                let found = tokio::net::lookup_host((host, port)).await;
                found.map(Iterator::collect)
            })
        })
    }

    /// Behind the rules: `lookup`.
    pub(super) fn new(
        dev: bool,
        lookup: impl Fn(String, u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self {
            lookup: Arc::new(lookup),
            dev,
        }
    }

    /// The addresses of `host` that may be connected to.
    pub(super) async fn lookup(
        &self,
        host: &str,
        port: u16,
    ) -> Result<Vec<SocketAddr>, LookupError> {
        let found = (self.lookup)(host.to_owned(), port).await;
        let found = found.map_err(|_cause| LookupError::NoSuchHost)?;
        if found.is_empty() {
            return Err(LookupError::NoSuchHost);
        }
        let allowed: Vec<SocketAddr> = found
            .into_iter()
            .filter(|at| self.allows(host, at))
            .collect();
        if allowed.is_empty() {
            Err(LookupError::PrivateAddress)
        } else {
            Ok(allowed)
        }
    }

    /// In development `localhost` is reached, and only where it is loopback indeed.
    fn allows(&self, host: &str, at: &SocketAddr) -> bool {
        let local_name = host == "localhost" || host.ends_with(".localhost");
        let local = self.dev && local_name && at.ip().is_loopback();
        local || refusal(at.ip()).is_none()
    }
}

impl Resolve for GuardedDns {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let allowed = guard.lookup(name.as_str(), 0).await?;
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}
