//! Questions that need the network, asked off the shards' threads, with a bound on how many at once.

use std::sync::Arc;
use std::time::Duration;

use rochdale_protocol::plc::DidDocument;
use rochdale_protocol::syntax::Did;
use rochdale_resolver::{ResolveError, Resolver};
use rochdale_service::clock::SharedClock;
use rochdale_service::outbound::{Limits, Outbound};
use serde::Deserialize;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};

use super::account::{Identity, Upstream};
use super::entry::IdentityState;
use super::judge::Question;
use super::shard::Job;
use crate::hosts::{HostName, NameRules};

/// Questions under way at once.
const AT_ONCE: usize = 512;
/// A missing identity is not asked for again before this time has passed.
const GONE_MS: u64 = 120_000;
/// An identity that could not be fetched.
const UNREACHABLE_MS: u64 = 10_000;
/// Waits before further attempts at an identity nothing is known of; its events wait meanwhile.
const RETRIES: [Duration; 3] = [
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(5),
];
const STATUS_BYTES_MAX: usize = 64 * 1024;
const STATUS_TIMEOUT_MS: u64 = 5_000;

/// The answer to a [`Question`].
#[derive(Debug)]
pub(super) enum Answer {
    /// To [`Question::Identity`] and [`Question::Refresh`].
    Identity(IdentityState),
    /// To [`Question::Renewal`].
    Renewed(IdentityState),
    /// To [`Question::Status`]; `None` if the host did not say.
    Status(Option<Upstream>),
}

/// Whom to ask.
#[derive(Debug, Clone)]
pub(super) struct Lookups {
    resolver: Resolver,
    outbound: Outbound,
    clock: SharedClock,
    names: NameRules,
    runtime: Handle,
    slots: Arc<Semaphore>,
}

impl Lookups {
    pub(super) fn new(
        resolver: Resolver,
        outbound: Outbound,
        clock: SharedClock,
        names: NameRules,
        runtime: Handle,
    ) -> Self {
        Self {
            resolver,
            outbound,
            clock,
            names,
            runtime,
            slots: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// Asks; the answer comes back as a job of the shard.
    pub(super) fn ask(
        &self,
        did: Did,
        host: HostName,
        question: Question,
        shard: mpsc::Sender<Job>,
    ) {
        let own = self.clone();
        self.runtime.spawn(async move {
            let answer = match question {
                Question::Identity => Answer::Identity(own.identity(&did).await),
                Question::Renewal => Answer::Renewed(own.identity(&did).await),
                Question::Refresh => Answer::Identity(own.refresh(&did).await),
                Question::Status => Answer::Status(own.status(&did, &host).await),
            };
            // A shard that has stopped needs no answer.
            drop(shard.send(Job::Answer(did, answer)).await);
        });
    }

    async fn identity(&self, did: &Did) -> IdentityState {
        let mut found = self.document(did).await;
        for wait in RETRIES {
            if !matches!(found, IdentityState::Unreachable { .. }) {
                break;
            }
            tokio::time::sleep(wait).await;
            // The resolver remembers failures for longer than this waits.
            self.resolver.purge(did);
            found = self.document(did).await;
        }
        found
    }

    async fn document(&self, did: &Did) -> IdentityState {
        let _slot = self.slots.acquire().await;
        self.state_of(self.resolver.did_document(did).await)
    }

    async fn refresh(&self, did: &Did) -> IdentityState {
        let _slot = self.slots.acquire().await;
        self.state_of(self.resolver.refresh(did).await)
    }

    fn state_of(&self, answer: Result<Arc<DidDocument>, ResolveError>) -> IdentityState {
        let now_ms = self.clock.now_ms();
        match answer {
            Ok(document) => {
                let host = document
                    .pds()
                    .and_then(|endpoint| HostName::of_endpoint(endpoint, self.names));
                let identity = Identity {
                    key: document.signing_key().cloned(),
                    host,
                    handle: document.handle().cloned(),
                };
                IdentityState::Known {
                    identity: Arc::new(identity),
                    fetched_ms: now_ms,
                }
            }
            Err(error) if error.is_transient() => IdentityState::Unreachable {
                until_ms: now_ms + UNREACHABLE_MS,
            },
            Err(_) => IdentityState::Gone {
                until_ms: now_ms + GONE_MS,
            },
        }
    }

    async fn status(&self, did: &Did, host: &HostName) -> Option<Upstream> {
        #[derive(Deserialize)]
        struct Output {
            active: bool,
            status: Option<String>,
        }
        let url = format!(
            "{}/xrpc/com.atproto.sync.getRepoStatus?did={did}",
            host.base_url()
        );
        let limits = Limits {
            max_bytes: STATUS_BYTES_MAX,
            timeout_ms: STATUS_TIMEOUT_MS,
            ..Limits::default()
        };
        let fetched = self
            .outbound
            .get(&url, limits)
            .await
            .ok()
            .filter(|fetched| fetched.status == 200)?;
        let Output { active, status } = serde_json::from_slice(&fetched.body).ok()?;
        Some(Upstream { active, status })
    }
}
