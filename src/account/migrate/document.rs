//! DID documents and the did:plc directory, as a member's own machine asks them.

use std::sync::Arc;

use rochdale_pds::identity::plc::{PlcClient, PlcClientError, PlcState};
use rochdale_protocol::plc::DidDocument;
use rochdale_protocol::syntax::Did;
use rochdale_resolver::{Config, ResolveError, Resolver};
use rochdale_service::clock::SystemClock;
use rochdale_service::outbound::Outbound;

/// Where DIDs are looked up.
pub(super) struct Documents {
    directory: PlcClient,
    plc_url: String,
    outbound: Outbound,
}

impl Documents {
    /// Looks up did:plc at `plc_url`.
    pub(super) fn new(plc_url: String, outbound: Outbound) -> Self {
        Self {
            directory: PlcClient::new(plc_url.clone(), outbound.clone()),
            plc_url,
            outbound,
        }
    }

    /// The document as it is now.
    pub(super) async fn now(&self, did: &Did) -> Result<Arc<DidDocument>, ResolveError> {
        let mut config = Config::new(self.plc_url.as_str());
        config.dev = true;
        // A new one each time, since what counts here is the present state and not a cached one.
        let resolver = Resolver::new(config, self.outbound.clone(), SystemClock::shared());
        resolver.did_document(did).await
    }

    /// The newest operation's state.
    pub(super) async fn state(&self, did: &Did) -> Result<PlcState, PlcClientError> {
        self.directory.state(did).await
    }
}
