//! Names to addresses, without those that are not public. The HTTP library connects to exactly the
//! addresses handed to it, so a name that resolves differently a moment later gains nothing.

use std::net::SocketAddr;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::refusal;

/// Every address of a name is private.
#[derive(Debug, thiserror::Error)]
#[error("no public address")]
pub struct AddressRefused;

/// A name has no address.
#[derive(Debug, thiserror::Error)]
#[error("no such host")]
pub struct NoSuchHost;

/// The system's resolver behind the address rules.
#[derive(Debug, Clone, Copy)]
pub(super) struct GuardedDns {
    pub(super) dev: bool,
}

impl GuardedDns {
    /// The addresses of `host` that may be connected to.
    pub(super) async fn lookup(
        self,
        host: &str,
        port: u16,
    ) -> Result<Vec<SocketAddr>, LookupError> {
        let found = tokio::net::lookup_host((host, port)).await;
        let found: Vec<SocketAddr> = found.map_err(|_cause| LookupError::NoSuchHost)?.collect();
        if found.is_empty() {
            return Err(LookupError::NoSuchHost);
        }
        let allowed: Vec<SocketAddr> = found
            .into_iter()
            .filter(|at| self.allows(host, at))
            .collect();
        if allowed.is_empty() {
            Err(LookupError::Refused)
        } else {
            Ok(allowed)
        }
    }

    /// In development `localhost` is reached, and only where it is loopback indeed.
    fn allows(self, host: &str, at: &SocketAddr) -> bool {
        let local_name = host == "localhost" || host.ends_with(".localhost");
        let local = self.dev && local_name && at.ip().is_loopback();
        local || refusal(at.ip()).is_none()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LookupError {
    NoSuchHost,
    Refused,
}

impl Resolve for GuardedDns {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = *self;
        Box::pin(async move {
            match guard.lookup(name.as_str(), 0).await {
                Ok(allowed) => Ok(Box::new(allowed.into_iter()) as Addrs),
                Err(LookupError::NoSuchHost) => Err(NoSuchHost.into()),
                Err(LookupError::Refused) => Err(AddressRefused.into()),
            }
        })
    }
}
