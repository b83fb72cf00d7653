//! Checks that the second stage of every service makes.

use std::fmt::Display;
use std::ops::RangeInclusive;

use url::Url;

use super::ConfigError;

/// An origin: http or https, a host, perhaps a port, nothing else. Answers it without a slash at the end.
///
/// # Errors
/// Names `key`, the value and what is allowed.
pub fn origin(key: &str, text: &str) -> Result<String, ConfigError> {
    let is_origin = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none()
    };
    match Url::parse(text).ok().filter(is_origin) {
        Some(url) => Ok(url.as_str().trim_end_matches('/').to_owned()),
        None => Err(ConfigError::invalid(
            key,
            text,
            "an origin such as \"https://pds.example.coop\", no path",
        )),
    }
}

/// A number within `allowed`.
///
/// # Errors
/// Names `key`, the value and what is allowed.
pub fn within<T: PartialOrd + Display>(
    key: &str,
    value: T,
    allowed: RangeInclusive<T>,
) -> Result<T, ConfigError> {
    if allowed.contains(&value) {
        return Ok(value);
    }
    let range = format!("a number from {} to {}", allowed.start(), allowed.end());
    Err(ConfigError::invalid(key, value.to_string(), range))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_a_host_and_no_more_than_a_port() {
        for (text, origin_of_it) in [
            ("https://pds.example.coop", "https://pds.example.coop"),
            ("https://pds.example.coop/", "https://pds.example.coop"),
            ("HTTPS://PDS.example.coop:443", "https://pds.example.coop"),
            ("http://localhost:2583", "http://localhost:2583"),
        ] {
            assert_eq!(origin("pds.public_url", text).unwrap(), origin_of_it);
        }
        for text in [
            "pds.example.coop",
            "https://",
            "ftp://pds.example.coop",
            "https://pds.example.coop/path",
            "https://pds.example.coop?query",
            "https://pds.example.coop#fragment",
            "https://user@pds.example.coop",
            "https://:password@pds.example.coop",
        ] {
            let error = origin("pds.public_url", text).unwrap_err().to_string();
            assert!(
                error.contains("pds.public_url") && error.contains(text),
                "{error}"
            );
        }
    }

    #[test]
    fn a_number_out_of_its_range_is_named_with_the_range() {
        assert_eq!(within("relay.verifiers", 256, 1..=256).unwrap(), 256);
        for value in [0, 257] {
            let error = within("relay.verifiers", value, 1..=256)
                .unwrap_err()
                .to_string();
            assert!(
                error.contains("relay.verifiers") && error.contains("1 to 256"),
                "{error}"
            );
        }
    }
}
