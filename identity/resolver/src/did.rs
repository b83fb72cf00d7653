//! DIDs to documents (did:plc and did:web as the atproto DID spec allows them).

use crate::{
    config::Config,
    error::ResolveError,
    network::{Get, Network, NetworkError},
};
use rochdale_protocol::{
    plc::DidDocument,
    syntax::{Did, disallowed_tld},
};
use std::sync::Arc;

/// Largest document that is fetched.
const DOCUMENT_LIMIT_BYTES: usize = 64 * 1024;

/// Fetches and reads the document of a DID.
pub(crate) async fn fetch(
    network: &dyn Network,
    config: &Config,
    did: &Did,
) -> Result<Arc<DidDocument>, ResolveError> {
    let name: Arc<str> = did.as_str().into();
    let (url, trusted) = document_url(config, did)
        .ok_or_else(|| ResolveError::UnsupportedMethod(Arc::clone(&name)))?;
    let get = Get {
        url,
        host: None,
        max_bytes: DOCUMENT_LIMIT_BYTES,
        redirects: 0,
        accept: "application/did+ld+json, application/json",
        trusted,
    };
    let unreachable = |cause: &str| ResolveError::Unreachable {
        name: Arc::clone(&name),
        cause: cause.into(),
    };
    let reply = match network.get(get).await {
        Ok(reply) => reply,
        // A host name that is gone has no documents; a directory that is gone is an outage.
        Err(NetworkError::NoSuchName) if !did.is_plc() => {
            return Err(ResolveError::DidNotFound(name));
        }
        Err(error) => return Err(unreachable(&error.to_string())),
    };
    match reply.status {
        200..=299 => DidDocument::parse(&reply.body, did)
            .map(Arc::new)
            .map_err(|cause| ResolveError::InvalidDocument { did: name, cause }),
        410 => Err(ResolveError::DidDeactivated(name)),
        // The reference directory answers 404 for both; only the message tells them apart.
        404 if did.is_plc() && contains(&reply.body, b"not available") => {
            Err(ResolveError::DidDeactivated(name))
        }
        404 => Err(ResolveError::DidNotFound(name)),
        status => Err(unreachable(&format!(
            "the server answered with status {status}"
        ))),
    }
}

fn document_url(config: &Config, did: &Did) -> Option<(String, bool)> {
    if did.is_plc() {
        return Some((
            format!("{}/{did}", config.plc_url.trim_end_matches('/')),
            true,
        ));
    }
    let host = did.web_host()?;
    if host == "localhost" || host.starts_with("localhost:") {
        return config
            .dev
            .then(|| (format!("http://{host}/.well-known/did.json"), false));
    }
    (!disallowed_tld(&host)).then(|| (format!("https://{host}/.well-known/did.json"), false))
}

fn contains(body: &[u8], words: &[u8]) -> bool {
    body.windows(words.len()).any(|window| window == words)
}
