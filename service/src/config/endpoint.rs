//! Where a service is: the address it listens on, and the origin under which the world reaches it.

use std::net::{IpAddr, SocketAddr};

use super::{ConfigError, origin};

/// The keys `bind`, `port` and `public_url` of a service.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Address to listen on; port 0 picks a free one.
    pub address: SocketAddr,
    /// Origin as configured, without a slash at the end; `None` means `http://localhost:` and the port
    /// that was bound.
    pub public_url: Option<String>,
}

impl Endpoint {
    /// Checks the three keys of the table `section`.
    ///
    /// # Errors
    /// Names the key, its value and what is allowed.
    pub fn validate(
        section: &str,
        bind: &str,
        port: u16,
        public_url: Option<&str>,
    ) -> Result<Self, ConfigError> {
        let ip: IpAddr = bind.parse().map_err(|_syntax| {
            let allowed = "an IP address such as 127.0.0.1 or ::1";
            ConfigError::invalid(format!("{section}.bind"), bind, allowed)
        })?;
        let public_url = public_url.map(|text| origin(&format!("{section}.public_url"), text));
        Ok(Self {
            address: SocketAddr::new(ip, port),
            public_url: public_url.transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_either_family_is_taken_and_anything_else_is_named() {
        for (bind, address) in [("127.0.0.1", "127.0.0.1:2583"), ("::", "[::]:2583")] {
            let endpoint = Endpoint::validate("pds", bind, 2583, None).unwrap();
            assert_eq!(endpoint.address.to_string(), address);
        }
        let said = |bind, url| {
            let refused = Endpoint::validate("pds", bind, 2583, url);
            refused.unwrap_err().to_string()
        };
        assert!(said("everywhere", None).contains("pds.bind"));
        assert!(said("::1", Some("pds.example.coop")).contains("pds.public_url"));
    }
}
