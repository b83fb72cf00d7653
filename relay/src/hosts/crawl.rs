//! `requestCrawl`: who may bring a host in, and under which conditions.
//!
//! Everything that can be decided here is decided before anybody else's machine is bothered: the method must not be a way to
//! make the relay send requests. Hosts that are listened to ask often; for them it costs next to nothing.

use std::sync::Arc;

use rochdale_service::outbound::Limits;

use super::{Host, HostName, HostNameError, NameRules, Subscriber};
use crate::store::StoreError;

const DESCRIPTION_BYTES_MAX: usize = 256 * 1024;
const DESCRIPTION_TIMEOUT_MS: u64 = 5_000;

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// Anybody.
    Public,
    /// The operator, who is not bound by the switch and the number of new hosts per day and may name `localhost:PORT`.
    Operator,
}

/// Why a host is not crawled.
#[derive(Debug, thiserror::Error)]
pub enum CrawlError {
    /// The public may not ask.
    #[error("this relay takes no crawl requests")]
    Closed,
    /// That is no name of a host.
    #[error(transparent)]
    Name(#[from] HostNameError),
    /// The host or a domain above it is banned.
    #[error("{0} is banned from this relay")]
    Banned(HostName),
    /// No PDS answers there.
    #[error("{host} does not answer as a PDS: {reason}")]
    NotFound {
        /// The host.
        host: HostName,
        /// What it did instead.
        reason: String,
    },
    /// Enough new hosts for today.
    #[error(
        "this relay has taken as many new hosts today as it takes in a day: try again tomorrow"
    )]
    TooManyNew,
    /// The relay's own trouble.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Subscriber {
    /// Starts listening to a host, or wakes it. A host that is listened to already is answered without further ado.
    ///
    /// # Errors
    /// [`CrawlError`]; nothing is remembered of a host that was refused.
    pub async fn request_crawl(
        self: &Arc<Self>,
        hostname: &str,
        caller: Caller,
    ) -> Result<(), CrawlError> {
        let by_public = caller == Caller::Public;
        if by_public && !self.policy.public {
            return Err(CrawlError::Closed);
        }
        let rules = if by_public {
            self.policy.names
        } else {
            NameRules { localhost: true }
        };
        let name = HostName::parse(hostname, rules)?;
        if let Some(host) = self.hosts.find(&name) {
            return self.wake(&host);
        }
        if self.hosts.is_domain_banned(&name) {
            return Err(CrawlError::Banned(name));
        }
        if by_public && !self.hosts.may_add(self.clock.now_ms()) {
            return Err(CrawlError::TooManyNew);
        }
        // Of many requests for one new host, the first is carried out and the others find what came of it.
        let turn = self.crawls.get_with_by_ref(&name, Arc::default);
        let _turn = turn.lock().await;
        if let Some(host) = self.hosts.find(&name) {
            return self.wake(&host);
        }
        self.examine(&name).await?;
        let now_ms = self.clock.now_ms();
        if by_public && !self.hosts.count_added(now_ms) {
            return Err(CrawlError::TooManyNew);
        }
        let host = self.hosts.add(name, None, now_ms).await?;
        self.listen(&host);
        Ok(())
    }

    /// Takes up again a host that is not listened to just now.
    fn wake(self: &Arc<Self>, host: &Arc<Host>) -> Result<(), CrawlError> {
        if self.hosts.is_banned(host) {
            return Err(CrawlError::Banned(host.name.clone()));
        }
        if !host.is_connected() {
            self.listen(host);
        }
        Ok(())
    }

    /// Listens to a host of the configuration: a new one from its oldest event on, so that nothing is missed.
    ///
    /// # Errors
    /// [`CrawlError`].
    pub async fn adopt(self: &Arc<Self>, name: HostName) -> Result<(), CrawlError> {
        let host = self.hosts.add(name, Some(0), self.clock.now_ms()).await?;
        host.keep();
        self.listen(&host);
        Ok(())
    }

    /// Whether a PDS answers there. A refusal is remembered for a few minutes.
    async fn examine(&self, name: &HostName) -> Result<(), CrawlError> {
        let refuse = |reason: String| CrawlError::NotFound {
            host: name.clone(),
            reason,
        };
        if self.refused.contains_key(name) {
            return Err(refuse("it did not a moment ago".to_owned()));
        }
        let url = format!("{}/xrpc/com.atproto.server.describeServer", name.base_url());
        let limits = Limits {
            max_bytes: DESCRIPTION_BYTES_MAX,
            timeout_ms: DESCRIPTION_TIMEOUT_MS,
            ..Limits::default()
        };
        let reason = match self.outbound.get(&url, limits).await {
            Ok(fetched) if fetched.status != 200 => {
                format!("it answered with status {}", fetched.status)
            }
            Ok(fetched) => match serde_json::from_slice::<serde_json::Value>(&fetched.body) {
                Ok(body) if body.get("did").is_some_and(serde_json::Value::is_string) => {
                    return Ok(());
                }
                Ok(_) | Err(_) => "its description has no DID".to_owned(),
            },
            Err(error) => error.to_string(),
        };
        self.refused.insert(name.clone(), ());
        Err(refuse(reason))
    }
}
