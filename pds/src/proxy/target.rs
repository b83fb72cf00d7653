//! Which service a call goes to, and where that is.

use std::fmt;
use std::str::FromStr;

use rochdale_protocol::syntax::Did;

use super::ProxyError;
use crate::app::App;
use crate::config::Service;

const REPORTS: &str = "com.atproto.moderation.createReport";
const MODERATION: &str = "tools.ozone.";

/// A service of a DID: `did#id`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceName {
    /// Whose service.
    pub did: Did,
    /// Which one, without `#`.
    pub id: String,
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.did, self.id)
    }
}

/// What is wrong with an `atproto-proxy` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderFault {
    /// Bytes that are no text.
    #[error("atproto-proxy header is not text")]
    NotText,
    /// No DID in front.
    #[error("no did specified in proxy header")]
    NoDid,
    /// No service behind `#`.
    #[error("no service id specified in proxy header")]
    NoService,
    /// More than one `#`, or spaces.
    #[error("invalid proxy header format: expected did#service")]
    Format,
}

impl FromStr for ServiceName {
    type Err = HeaderFault;

    fn from_str(text: &str) -> Result<Self, HeaderFault> {
        if text.contains(char::is_whitespace) {
            return Err(HeaderFault::Format);
        }
        let (did, id) = text.split_once('#').unwrap_or((text, ""));
        if did.is_empty() {
            return Err(HeaderFault::NoDid);
        }
        if id.is_empty() {
            return Err(HeaderFault::NoService);
        }
        if id.contains('#') {
            return Err(HeaderFault::Format);
        }
        let did = did.parse().map_err(|_syntax| HeaderFault::NoDid)?;
        Ok(Self {
            did,
            id: id.to_owned(),
        })
    }
}

/// Where a method goes when the caller names no service.
pub(super) fn default_for(pds: &App, nsid: &str) -> Option<ServiceName> {
    let config = &pds.config;
    let (service, id) = if nsid == REPORTS || nsid.starts_with(MODERATION) {
        (config.report_service.as_ref()?, "atproto_labeler")
    } else {
        (config.app_view.as_ref()?, "bsky_appview")
    };
    Some(ServiceName {
        did: service.did.clone(),
        id: id.to_owned(),
    })
}

/// Where a service is.
pub(super) struct Origin {
    /// Without a slash at the end.
    pub(super) url: String,
    /// Whether the operator configured it, so that it may be a local one.
    pub(super) trusted: bool,
}

/// The origin of a service: configured ones need no look-up.
pub(super) async fn origin(pds: &App, target: &ServiceName) -> Result<Origin, ProxyError> {
    let configured = |service: &Option<Service>, id: &str| {
        let service = service.as_ref()?;
        (service.did == target.did && target.id == id).then(|| service.url.clone())
    };
    let known = configured(&pds.config.app_view, "bsky_appview")
        .or_else(|| configured(&pds.config.report_service, "atproto_labeler"));
    if let Some(url) = known {
        return Ok(Origin { url, trusted: true });
    }
    let document = pds
        .resolver
        .did_document(&target.did)
        .await
        .map_err(ProxyError::Unresolvable)?;
    let service = document.service(&format!("#{}", target.id));
    let service = service.ok_or_else(|| ProxyError::NoSuchService(target.clone()))?;
    let url = service.endpoint.trim_end_matches('/').to_owned();
    Ok(Origin {
        url,
        trusted: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_one_did_and_one_service() {
        let name: ServiceName = "did:web:api.example.com#bsky_appview".parse().unwrap();
        assert_eq!(name.did.as_str(), "did:web:api.example.com");
        assert_eq!(name.id, "bsky_appview");
        for (text, fault) in [
            ("", HeaderFault::NoDid),
            ("#svc", HeaderFault::NoDid),
            ("example.com#svc", HeaderFault::NoDid),
            ("did:web:example.com", HeaderFault::NoService),
            ("did:web:example.com#", HeaderFault::NoService),
            ("did:web:example.com#a#b", HeaderFault::Format),
            ("did:web:example.com #a", HeaderFault::Format),
            ("did:web:example.com#a b", HeaderFault::Format),
        ] {
            assert_eq!(text.parse::<ServiceName>(), Err(fault), "{text:?}");
        }
    }
}
