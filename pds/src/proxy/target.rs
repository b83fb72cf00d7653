//! Which service a call goes to, and where that is.

use std::fmt;
use std::str::FromStr;

use rochdale_protocol::syntax::Did;

use super::ProxyError;
use crate::app::App;
use crate::config::Config;

const REPORTS: &str = "com.atproto.moderation.createReport";
const MODERATION: &str = "tools.ozone.";
/// Id of a service that pushes to devices.
const PUSH: &str = "bsky_notif";
/// Id of the service that answers app methods.
const APP_VIEW: &str = "bsky_appview";
/// Id of a moderation service.
const LABELER: &str = "atproto_labeler";

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
pub(super) fn default_for(config: &Config, nsid: &str) -> Option<ServiceName> {
    // An operator who names one of the two means it for both.
    let reports = config.report_service.as_ref();
    let moderation = config.moderation_service.as_ref();
    let (service, id) = if nsid == REPORTS {
        (reports.or(moderation)?, LABELER)
    } else if nsid.starts_with(MODERATION) {
        (moderation.or(reports)?, LABELER)
    } else {
        (config.app_view.as_ref()?, APP_VIEW)
    };
    Some(ServiceName {
        did: service.did.clone(),
        id: id.to_owned(),
    })
}

/// The service of `did` that pushes to devices: for the configured AppView that is the AppView.
#[must_use]
pub fn push_service(pds: &App, did: Did) -> ServiceName {
    let app_view = pds.config.app_view.as_ref();
    let is_app_view = app_view.is_some_and(|view| view.did == did);
    let id = if is_app_view { APP_VIEW } else { PUSH };
    ServiceName {
        did,
        id: id.to_owned(),
    }
}

/// Where a service is.
#[derive(Debug)]
pub(super) struct Origin {
    /// Without a slash at the end.
    pub(super) url: String,
    /// Whether the operator configured it, so that it may be a local one.
    pub(super) trusted: bool,
}

/// The origin of a service: configured ones need no look-up.
pub(super) async fn origin(pds: &App, target: &ServiceName) -> Result<Origin, ProxyError> {
    let config = &pds.config;
    let configured = [
        (&config.app_view, APP_VIEW),
        (&config.report_service, LABELER),
        (&config.moderation_service, LABELER),
    ];
    let known = configured.into_iter().find_map(|(service, id)| {
        let service = service.as_ref()?;
        (service.did == target.did && target.id == id).then(|| service.url.clone())
    });
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
