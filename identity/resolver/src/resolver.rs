//! The resolver as its users see it.

use crate::{
    budget::Budget,
    cache::{Answers, Failure, Policy},
    config::Config,
    did,
    error::ResolveError,
    handle,
    network::{Network, RealNetwork},
};
use rochdale_protocol::{
    plc::DidDocument,
    syntax::{AtIdentifier, Did, Handle},
};
use rochdale_service::{clock::SharedClock, outbound::Outbound};
use std::sync::Arc;

/// Resolves DIDs and handles. Clones share one cache.
#[derive(Clone, Debug)]
pub struct Resolver {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: Config,
    network: Box<dyn Network>,
    documents: Answers<Did, Arc<DidDocument>>,
    handles: Answers<Handle, Did>,
    budget: Budget,
}

/// An account's names and document.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The DID.
    pub did: Did,
    /// The handle, only if DID and handle point at each other.
    pub handle: Option<Handle>,
    /// The DID document.
    pub document: Arc<DidDocument>,
}

impl Resolver {
    /// A resolver over the guarded HTTP client and DNS.
    #[must_use]
    pub fn new(config: Config, outbound: Outbound, clock: SharedClock) -> Self {
        let network = RealNetwork::new(outbound, &config.nameservers);
        Self::over(config, Box::new(network), clock)
    }

    pub(crate) fn over(config: Config, network: Box<dyn Network>, clock: SharedClock) -> Self {
        let us = |ms: u64| ms.saturating_mul(1000);
        let documents = Answers::new(
            config.cache_bytes,
            Policy {
                fresh_us: us(config.document_fresh_ms),
                stale_us: us(config.document_stale_ms),
                negative_us: us(config.negative_ms),
            },
            Arc::clone(&clock),
            // The text and, about as large again, what was parsed from it.
            |document: &Arc<DidDocument>| {
                u32::try_from(document.json().len())
                    .unwrap_or(u32::MAX)
                    .saturating_mul(2)
            },
        );
        let handles = Answers::new(
            config.cache_bytes / 4,
            Policy {
                fresh_us: us(config.handle_fresh_ms),
                stale_us: us(config.document_stale_ms),
                negative_us: us(config.negative_ms),
            },
            clock,
            |did: &Did| u32::try_from(did.as_str().len()).unwrap_or(u32::MAX),
        );
        let inner = Inner {
            config,
            network,
            documents,
            handles,
            budget: Budget::new(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// The document of a DID, from the cache when fresh. Failures are remembered for a while too;
    /// while the network fails, an older document is answered.
    pub async fn did_document(&self, did: &Did) -> Result<Arc<DidDocument>, ResolveError> {
        let inner = &*self.inner;
        let fetch = did::fetch(&*inner.network, &inner.config, did);
        count("did", inner.documents.get(did, fetch).await)
    }

    /// As [`Self::did_document`] but asks again now. At most three times in a row and then once a
    /// minute per DID; beyond that what is cached is answered.
    pub async fn refresh(&self, did: &Did) -> Result<Arc<DidDocument>, ResolveError> {
        let inner = &*self.inner;
        let fetch = did::fetch(&*inner.network, &inner.config, did);
        let allowed = |now_us| inner.budget.take(did, now_us);
        count(
            "did_refresh",
            inner.documents.refresh(did, allowed, fetch).await,
        )
    }

    /// Forgets the document of a DID, and the handle it claims. The budget of [`Self::refresh`]
    /// stays as it is.
    pub fn purge(&self, did: &Did) {
        let document = self.inner.documents.purge(did);
        if let Some(handle) = document.as_ref().and_then(|document| document.handle()) {
            self.inner.handles.purge(handle);
        }
    }

    /// Forgets what a handle resolved to.
    pub fn purge_handle(&self, handle: &Handle) {
        self.inner.handles.purge(handle);
    }

    /// The DID a handle points at. Whether the DID points back is not checked: see
    /// [`Self::identity`]. Handles under a local suffix are not cached.
    pub async fn handle_to_did(&self, handle: &Handle) -> Result<Did, ResolveError> {
        let inner = &*self.inner;
        let fetch = handle::fetch(&*inner.network, &inner.config, handle);
        if handle::local_server(&inner.config, handle).is_some() {
            return count("handle_local", fetch.await);
        }
        count("handle", inner.handles.get(handle, fetch).await)
    }

    /// DID, document and the handle that was verified in both directions.
    pub async fn identity(&self, name: &AtIdentifier) -> Result<Identity, ResolveError> {
        match name {
            AtIdentifier::Did(did) => {
                let document = self.did_document(did).await?;
                let handle = match document.handle() {
                    Some(handle) if self.points_at(handle, did).await => Some(handle.clone()),
                    _ => None,
                };
                Ok(Identity {
                    did: did.clone(),
                    handle,
                    document,
                })
            }
            AtIdentifier::Handle(handle) => {
                let did = self.handle_to_did(handle).await?;
                let document = self.did_document(&did).await?;
                let handle = document
                    .handle()
                    .filter(|claimed| *claimed == handle)
                    .cloned();
                Ok(Identity {
                    did,
                    handle,
                    document,
                })
            }
        }
    }

    /// The ways out, for what else is resolved by DNS and HTTP.
    pub(crate) fn network(&self) -> &dyn Network {
        &*self.inner.network
    }

    async fn points_at(&self, handle: &Handle, did: &Did) -> bool {
        self.handle_to_did(handle)
            .await
            .is_ok_and(|found| found == *did)
    }
}

pub(crate) fn count<T, E: Failure>(kind: &'static str, result: Result<T, E>) -> Result<T, E> {
    let outcome = match &result {
        Ok(_) => "ok",
        Err(error) if error.is_transient() => "unreachable",
        Err(_) => "refused",
    };
    metrics::counter!("rochdale_resolver_answers_total", "kind" => kind, "outcome" => outcome)
        .increment(1);
    result
}

#[cfg(test)]
mod tests;
