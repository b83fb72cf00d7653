//! The one parser of host names: for `requestCrawl`, admin methods and the PDS endpoints of DID documents.
//!
//! Two endpoints are the same host exactly when their parsed names are equal: scheme, case, default port and a trailing
//! slash do not matter.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use rochdale_protocol::syntax::Handle;
use url::{Host, Url};

/// Top-level domains that no public host has (RFC 6761, RFC 7686 and relatives).
const RESERVED_TLDS: [&str; 9] = [
    "local",
    "localhost",
    "internal",
    "onion",
    "test",
    "invalid",
    "example",
    "arpa",
    "alt",
];
const INPUT_BYTES_MAX: usize = 512;

/// What the place a name comes from may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NameRules {
    /// Allow exactly `localhost:PORT`, without TLS.
    pub localhost: bool,
}

/// A host: a public DNS name spoken to over TLS on the default port, or `localhost:PORT` without TLS.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostName(Arc<str>);

/// Why a text is not the name of a host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("host {value:?} cannot be used: {reason}")]
pub struct HostNameError {
    /// The text, cut if it was long.
    pub value: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl HostName {
    /// Reads a bare name or an `https`/`wss` URL without path; with [`NameRules::localhost`] also `localhost:PORT`, bare or
    /// as an `http`/`ws` URL.
    ///
    /// # Errors
    /// [`HostNameError`] for anything else: other schemes, IP addresses, single labels, ports, paths, user names, trailing
    /// dots, reserved top-level domains.
    pub fn parse(text: &str, rules: NameRules) -> Result<Self, HostNameError> {
        Self::read(text, rules).map_err(|reason| HostNameError {
            value: text.chars().take(120).collect(),
            reason,
        })
    }

    fn read(text: &str, rules: NameRules) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Err("it is empty");
        }
        if text.len() > INPUT_BYTES_MAX {
            return Err("it is too long");
        }
        if !text.is_ascii()
            || text
                .bytes()
                .any(|b| b.is_ascii_whitespace() || b.is_ascii_control() || b == b'\\')
        {
            return Err("it has characters that no host name has");
        }
        let (scheme, rest) = text
            .split_once("://")
            .map_or((None, text), |(scheme, rest)| (Some(scheme), rest));
        let tls = match scheme.map(str::to_ascii_lowercase).as_deref() {
            None => None,
            Some("https" | "wss") => Some(true),
            Some("http" | "ws") => Some(false),
            Some(_) => return Err("only https hosts can be crawled"),
        };
        let authority = rest
            .strip_suffix('/')
            .filter(|_| scheme.is_some())
            .unwrap_or(rest);
        if authority.contains(['/', '?', '#', '@']) {
            return Err("give the name alone, without path, query or user name");
        }
        if authority.ends_with('.') {
            return Err("it ends with a dot");
        }
        let (name, port) = match authority.rsplit_once(':') {
            Some((name, port)) => (
                name,
                Some(
                    port.parse::<u16>()
                        .map_err(|_| "its port is not a number")?,
                ),
            ),
            None => (authority, None),
        };
        let name = name.to_ascii_lowercase();
        if name == "localhost" {
            return Self::localhost(port, tls, rules);
        }
        if tls == Some(false) {
            return Err("it must be reachable over https");
        }
        if port.is_some_and(|port| scheme.is_none() || port != 443) {
            return Err("ports other than 443 cannot be crawled");
        }
        Self::public(&name)
    }

    fn localhost(
        port: Option<u16>,
        tls: Option<bool>,
        rules: NameRules,
    ) -> Result<Self, &'static str> {
        match port {
            _ if !rules.localhost => Err("this relay does not crawl its own machine"),
            _ if tls == Some(true) => Err("localhost is spoken to without TLS"),
            None | Some(0) => Err("localhost needs a port"),
            Some(port) => Ok(Self(format!("localhost:{port}").into())),
        }
    }

    fn public(name: &str) -> Result<Self, &'static str> {
        if name.parse::<IpAddr>().is_ok() || name.starts_with('[') {
            return Err("IP addresses cannot be crawled");
        }
        let handle: Handle = name.parse().map_err(|_| "it is not a public DNS name")?;
        // What browsers read as an IP address ("0x7f.1") is none here either.
        match Host::parse(name) {
            Ok(Host::Domain(_)) => {}
            Ok(Host::Ipv4(_) | Host::Ipv6(_)) => return Err("IP addresses cannot be crawled"),
            Err(_) => return Err("it is not a public DNS name"),
        }
        let tld = name.rsplit('.').next().unwrap_or_default();
        if RESERVED_TLDS.contains(&tld) {
            return Err("its top-level domain is reserved");
        }
        Ok(Self(handle.as_str().into()))
    }

    /// The host of a PDS endpoint as DID documents give it; `None` if it is not the address of a host.
    pub fn of_endpoint(endpoint: &str, rules: NameRules) -> Option<Self> {
        let url = Url::parse(endpoint).ok()?;
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return None;
        }
        Self::parse(endpoint, rules).ok()
    }

    /// As stored and compared.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A name read back from the relay's own store.
    pub(crate) fn from_stored(name: &str) -> Self {
        Self(name.into())
    }

    /// Whether this is `localhost:PORT`.
    pub fn is_localhost(&self) -> bool {
        self.0.starts_with("localhost:")
    }

    /// The address of its XRPC methods, without a trailing slash.
    pub fn base_url(&self) -> String {
        let scheme = if self.is_localhost() { "http" } else { "https" };
        format!("{scheme}://{}", self.0)
    }

    /// The address of its event stream.
    pub fn stream_url(&self, cursor: Option<u64>) -> String {
        let scheme = if self.is_localhost() { "ws" } else { "wss" };
        let query = cursor
            .map(|cursor| format!("?cursor={cursor}"))
            .unwrap_or_default();
        format!(
            "{scheme}://{}/xrpc/com.atproto.sync.subscribeRepos{query}",
            self.0
        )
    }

    /// The name and its parent domains down to two labels, longest first: what a domain ban is looked up by.
    pub fn domains(&self) -> impl Iterator<Item = &str> {
        let name: &str = &self.0;
        std::iter::successors(Some(name), |name| {
            name.split_once('.').map(|(_, parent)| parent)
        })
        .filter(move |domain| domain.contains('.') || *domain == name)
    }

    /// Whether `pattern` (`host.example`, or `*.host.example` for its subdomains alone) covers this host.
    pub fn matches(&self, pattern: &str) -> bool {
        match pattern.strip_prefix('*') {
            // The dot stays in the comparison: `*.host.example` is not `evilhost.example`.
            Some(suffix) => {
                suffix.starts_with('.') && self.0.len() > suffix.len() && self.0.ends_with(suffix)
            }
            None => *self.0 == *pattern,
        }
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: NameRules = NameRules { localhost: false };
    const DEV: NameRules = NameRules { localhost: true };

    fn public(text: &str) -> Result<String, &'static str> {
        HostName::parse(text, PUBLIC)
            .map(|name| name.to_string())
            .map_err(|e| e.reason)
    }

    #[test]
    fn names_of_one_host_are_equal() {
        for text in [
            "pds.coop.org",
            "PDS.Coop.org",
            "https://pds.coop.org",
            "https://pds.coop.org/",
            "wss://pds.coop.org",
            "https://pds.coop.org:443",
        ] {
            assert_eq!(public(text).as_deref(), Ok("pds.coop.org"), "{text}");
        }
    }

    // Relay checklist 49: what a public requestCrawl must refuse by its name alone.
    #[test]
    fn refuses_everything_that_is_not_a_public_name() {
        for (text, reason) in [
            ("", "it is empty"),
            ("127.0.0.1", "IP addresses cannot be crawled"),
            ("https://10.0.0.1", "IP addresses cannot be crawled"),
            ("[::1]", "its port is not a number"),
            ("2130706433", "it is not a public DNS name"),
            ("0x7f.0.0.0x1", "it is not a public DNS name"),
            (
                "pds.coop.org:8443",
                "ports other than 443 cannot be crawled",
            ),
            (
                "https://pds.coop.org:8443",
                "ports other than 443 cannot be crawled",
            ),
            (
                "user@pds.coop.org",
                "give the name alone, without path, query or user name",
            ),
            (
                "https://pds.coop.org/xrpc",
                "give the name alone, without path, query or user name",
            ),
            (
                "https://pds.coop.org?x",
                "give the name alone, without path, query or user name",
            ),
            (
                "pds.coop.org/",
                "give the name alone, without path, query or user name",
            ),
            ("pds.coop.org.", "it ends with a dot"),
            ("localhost", "this relay does not crawl its own machine"),
            (
                "localhost:2583",
                "this relay does not crawl its own machine",
            ),
            ("http://pds.coop.org", "it must be reachable over https"),
            ("ftp://pds.coop.org", "only https hosts can be crawled"),
            ("coop", "it is not a public DNS name"),
            ("pds.coop.local", "its top-level domain is reserved"),
            ("pds.coop.internal", "its top-level domain is reserved"),
            ("pds.test", "its top-level domain is reserved"),
            ("pds coop.org", "it has characters that no host name has"),
            (
                "pds.coop.org\\@evil.org",
                "it has characters that no host name has",
            ),
            ("pds.cöop.org", "it has characters that no host name has"),
            ("-pds.coop.org", "it is not a public DNS name"),
        ] {
            assert_eq!(public(text), Err(reason), "{text:?}");
        }
    }

    #[test]
    fn development_allows_localhost_with_a_port_and_nothing_else() {
        for text in [
            "localhost:2583",
            "http://localhost:2583",
            "ws://LOCALHOST:2583/",
        ] {
            let name = HostName::parse(text, DEV).expect(text);
            assert_eq!(name.as_str(), "localhost:2583");
            assert_eq!(name.base_url(), "http://localhost:2583");
            assert_eq!(
                name.stream_url(Some(4)),
                "ws://localhost:2583/xrpc/com.atproto.sync.subscribeRepos?cursor=4"
            );
        }
        for text in [
            "localhost",
            "https://localhost:2583",
            "127.0.0.1:2583",
            "[::1]:2583",
            "pds.localhost:2583",
            "localhost:0",
            "localhost.:2583",
        ] {
            assert!(HostName::parse(text, DEV).is_err(), "{text}");
        }
    }

    #[test]
    fn bans_are_looked_up_for_every_parent_down_to_two_labels() {
        let name = HostName::parse("a.b.coop.org", PUBLIC).expect("valid");
        assert_eq!(
            name.domains().collect::<Vec<_>>(),
            ["a.b.coop.org", "b.coop.org", "coop.org"]
        );
        let local = HostName::parse("localhost:1", DEV).expect("valid");
        assert_eq!(local.domains().collect::<Vec<_>>(), ["localhost:1"]);
    }

    // Relay checklist 53.
    #[test]
    fn wildcard_covers_subdomains_alone() {
        let name = |text| HostName::parse(text, PUBLIC).expect("valid");
        assert!(name("a.host.org").matches("*.host.org"));
        assert!(!name("evilhost.org").matches("*.host.org"));
        assert!(!name("host.org").matches("*.host.org"));
        assert!(name("host.org").matches("host.org"));
        assert!(!name("a.host.org").matches("*host.org"));
    }

    #[test]
    fn endpoints_of_documents_are_compared_as_hosts() {
        let endpoint = |text| HostName::of_endpoint(text, PUBLIC).map(|name| name.to_string());
        assert_eq!(
            endpoint("https://PDS.coop.org/").as_deref(),
            Some("pds.coop.org")
        );
        assert_eq!(
            endpoint("https://pds.coop.org:443").as_deref(),
            Some("pds.coop.org")
        );
        assert_eq!(endpoint("https://pds.coop.org/a"), None);
        assert_eq!(endpoint("https://pds.coop.org:8443"), None);
        assert_eq!(endpoint("nonsense"), None);
    }
}
