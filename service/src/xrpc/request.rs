//! Who asks: the client's address and the request's id.

use std::convert::Infallible;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{Extensions, HeaderMap};

/// What the server knows of a request besides its bytes; in the request's extensions.
#[derive(Debug, Clone, Copy)]
pub struct RequestInfo {
    /// The other end of the connection.
    pub peer: SocketAddr,
    /// Unique in the life of the process; in every log line about the request.
    pub id: RequestId,
}

/// Shown as 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestId(pub(super) u64);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The client's address: the connection's, or what a proxy on this machine or in the private network
/// says in `X-Forwarded-For`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientIp(pub IpAddr);

impl ClientIp {
    /// The client of a request with these extensions and headers.
    pub fn of(extensions: &Extensions, headers: &HeaderMap) -> Self {
        let unknown = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let peer = extensions
            .get::<RequestInfo>()
            .map_or(unknown, |info| info.peer.ip().to_canonical());
        if !is_private(peer) {
            return Self(peer);
        }
        // Proxies append: the last address that is not itself a proxy of ours is the client. Whatever
        // stands before it was written by the client.
        let mut client = peer;
        for value in headers.get_all("x-forwarded-for").iter().rev() {
            let Ok(value) = value.to_str() else {
                return Self(client);
            };
            for part in value.rsplit(',') {
                let Ok(address) = part.trim().parse::<IpAddr>() else {
                    return Self(client);
                };
                client = address.to_canonical();
                if !is_private(client) {
                    return Self(client);
                }
            }
        }
        Self(client)
    }

    /// What limits are keyed by: the address, or an IPv6 client's /64.
    pub fn key(self) -> u128 {
        match self.0 {
            IpAddr::V4(address) => u128::from(address.to_bits()),
            IpAddr::V6(address) => address.to_bits() >> 64 << 64,
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for ClientIp {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.extensions, &parts.headers))
    }
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            address.is_loopback() || address.is_private() || address.is_link_local()
        }
        IpAddr::V6(address) => {
            address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, forwarded: &[&str]) -> String {
        let mut extensions = Extensions::new();
        let peer = SocketAddr::new(peer.parse().unwrap(), 1);
        extensions.insert(RequestInfo {
            peer,
            id: RequestId(1),
        });
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        ClientIp::of(&extensions, &headers).0.to_string()
    }

    #[test]
    fn forwarded_addresses_are_believed_from_private_peers_only() {
        assert_eq!(client("9.9.9.9", &["1.1.1.1"]), "9.9.9.9");
        assert_eq!(client("127.0.0.1", &["1.1.1.1"]), "1.1.1.1");
        assert_eq!(client("::ffff:10.0.0.1", &["1.1.1.1"]), "1.1.1.1");
        assert_eq!(client("fd00::1", &["2001:4860::1"]), "2001:4860::1");
        assert_eq!(client("127.0.0.1", &[]), "127.0.0.1");
    }

    #[test]
    fn what_the_client_wrote_before_the_proxys_entry_is_ignored() {
        assert_eq!(client("127.0.0.1", &["8.8.8.8, 1.1.1.1"]), "1.1.1.1");
        assert_eq!(
            client("127.0.0.1", &["8.8.8.8", "1.1.1.1, 10.0.0.7"]),
            "1.1.1.1"
        );
        assert_eq!(client("127.0.0.1", &["8.8.8.8, nonsense"]), "127.0.0.1");
    }

    #[test]
    fn ipv6_clients_are_counted_by_network() {
        let one = ClientIp("2001:4860:1:2::1".parse().unwrap());
        let two = ClientIp("2001:4860:1:2:ffff::9".parse().unwrap());
        let other = ClientIp("2001:4860:1:3::1".parse().unwrap());
        assert_eq!(one.key(), two.key());
        assert_ne!(one.key(), other.key());
    }
}
