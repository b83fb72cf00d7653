//! Handles to DIDs (atproto handle spec): DNS and HTTPS at once, DNS wins; or one fixed server for a
//! suffix that the operator runs. The way back, from document to handle, is the caller's check.

use crate::{
    config::Config,
    error::ResolveError,
    network::{Get, Network, NetworkError},
};
use rochdale_protocol::syntax::{Did, Handle};
use std::pin::pin;

/// A DID is at most 2,048 bytes; a little white space may follow.
const ANSWER_LIMIT_BYTES: usize = 2100;
const REDIRECTS: usize = 3;
const WELL_KNOWN: &str = "/.well-known/atproto-did";

/// What one way of asking found out.
enum Found {
    Did(Did),
    /// A definite no.
    Nothing(&'static str),
    /// No answer.
    Unknown(String),
}

/// The fixed server for a handle, if the operator named one.
pub(crate) fn local_server<'a>(config: &'a Config, handle: &Handle) -> Option<&'a str> {
    config
        .local
        .iter()
        .find(|local| handle.as_str().ends_with(&local.suffix))
        .map(|local| local.base_url.as_str())
}

/// Asks for the DID of a handle.
pub(crate) async fn fetch(
    network: &dyn Network,
    config: &Config,
    handle: &Handle,
) -> Result<Did, ResolveError> {
    let found = match local_server(config, handle) {
        Some(server) => well_known(network, server, handle, true).await,
        None if handle.is_disallowed_tld() => Found::Nothing("its top-level domain is reserved"),
        None => dns_and_https(network, handle).await,
    };
    match found {
        Found::Did(did) => Ok(did),
        Found::Nothing(reason) => Err(ResolveError::HandleNotFound {
            handle: handle.as_str().into(),
            reason,
        }),
        Found::Unknown(cause) => Err(ResolveError::Unreachable {
            name: handle.as_str().into(),
            cause: cause.into(),
        }),
    }
}

async fn dns_and_https(network: &dyn Network, handle: &Handle) -> Found {
    let origin = format!("https://{handle}");
    let mut dns = pin!(dns(network, handle));
    let mut https = pin!(well_known(network, &origin, handle, false));
    // An answer from DNS, also a contradictory one, ends the matter.
    let (dns, https) = tokio::select! {
        biased;
        found = &mut dns => match found {
            Ok(None) => (None, https.await),
            Ok(Some(found)) => return found,
            Err(cause) => (Some(cause), https.await),
        },
        https = &mut https => match dns.await {
            Ok(None) => (None, https),
            Ok(Some(found)) => return found,
            Err(cause) => (Some(cause), https),
        },
    };
    match (https, dns) {
        // With DNS silent, a no by HTTPS alone is no proof.
        (Found::Nothing(_), Some(cause)) => Found::Unknown(cause),
        (found, _) => found,
    }
}

/// `None` when DNS knows nothing of the handle.
async fn dns(network: &dyn Network, handle: &Handle) -> Result<Option<Found>, String> {
    let records = match network.txt(&format!("_atproto.{handle}")).await {
        Ok(records) => records,
        Err(NetworkError::NoSuchName) => return Ok(None),
        Err(NetworkError::Refused(cause) | NetworkError::Transport(cause)) => {
            return Err(format!("DNS: {cause}"));
        }
    };
    let mut dids: Vec<Did> = records
        .iter()
        .filter_map(|record| record.strip_prefix("did="))
        .filter_map(|did| did.parse().ok())
        .collect();
    dids.sort();
    dids.dedup();
    Ok(match (dids.pop(), dids.is_empty()) {
        (None, _) => None,
        (Some(did), true) => Some(Found::Did(did)),
        (Some(_), false) => Some(Found::Nothing("its DNS records name more than one DID")),
    })
}

async fn well_known(network: &dyn Network, origin: &str, handle: &Handle, trusted: bool) -> Found {
    let get = Get {
        url: format!("{}{WELL_KNOWN}", origin.trim_end_matches('/')),
        host: trusted.then_some(handle.as_str()),
        max_bytes: ANSWER_LIMIT_BYTES,
        redirects: if trusted { 0 } else { REDIRECTS },
        accept: "text/plain",
        trusted,
    };
    let reply = match network.get(get).await {
        Ok(reply) => reply,
        Err(NetworkError::NoSuchName) => return Found::Nothing("no such host"),
        Err(NetworkError::Refused(_)) => {
            return Found::Nothing("its host is not a public one or answers too much");
        }
        Err(NetworkError::Transport(cause)) => return Found::Unknown(cause),
    };
    match reply.status {
        200..=299 => str::from_utf8(&reply.body)
            .ok()
            .and_then(|text| text.trim().lines().next()?.trim_end().parse().ok())
            .map_or(
                Found::Nothing("its host answers with something that is no DID"),
                Found::Did,
            ),
        429 | 500.. => Found::Unknown(format!("the host answered with status {}", reply.status)),
        _ => Found::Nothing("neither DNS nor its host names a DID"),
    }
}
