//! Configuration of the directory: what the file may say, and what it means once checked.
//!
//! [`Raw`] is the text as serde reads it; [`Config`] has no open questions left. Must not read files
//! or the environment.

use std::path::PathBuf;

use http::StatusCode;
use rochdale_service::config::{ConfigError, Endpoint};
use rochdale_service::xrpc::LimitsConfig;
use serde::Deserialize;

/// The `[identity]` table as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Raw {
    /// Address to listen on, such as `127.0.0.1`.
    pub bind: String,
    /// Port to listen on; 0 picks a free one.
    pub port: u16,
    /// Origin under which the world reaches this server. Default: `http://localhost:PORT`.
    pub public_url: Option<String>,
    /// Folder of the database.
    pub data_dir: PathBuf,
    /// What is answered about a DID that was ended by a tombstone: 404 or 410.
    pub tombstone_status: u16,
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            bind: "127.0.0.1".to_owned(),
            port: 2582,
            public_url: None,
            data_dir: PathBuf::from("."),
            // Several clients take only 404 for "no such DID" and fail on anything else.
            tombstone_status: 404,
        }
    }
}

/// What the directory runs with.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it listens, and its origin.
    pub endpoint: Endpoint,
    /// Folder of the database.
    pub data_dir: PathBuf,
    /// What is answered about a DID that was ended.
    pub(crate) tombstone_status: StatusCode,
    /// How often one address may submit, if that is limited.
    pub(crate) limits: LimitsConfig,
}

impl Config {
    /// Checks what was written. The limit of operations per DID is a rule of the directory and holds
    /// whatever `limits` says.
    ///
    /// # Errors
    /// Names the key, its value and what is allowed.
    pub fn validate(raw: Raw, limits: LimitsConfig) -> Result<Self, ConfigError> {
        let tombstone_status = match raw.tombstone_status {
            404 => StatusCode::NOT_FOUND,
            410 => StatusCode::GONE,
            other => {
                let allowed = "404 (as the reference directory) or 410";
                return Err(ConfigError::invalid(
                    "identity.tombstone_status",
                    other.to_string(),
                    allowed,
                ));
            }
        };
        Ok(Self {
            endpoint: Endpoint::validate(
                "identity",
                &raw.bind,
                raw.port,
                raw.public_url.as_deref(),
            )?,
            data_dir: raw.data_dir,
            tombstone_status,
            limits,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut Raw)) -> String {
        let mut raw = Raw::default();
        change(&mut raw);
        Config::validate(raw, LimitsConfig::default())
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    }

    #[test]
    fn the_defaults_are_valid_and_bad_values_are_named() {
        assert_eq!(refused(|_| ()), "");
        assert!(refused(|raw| raw.tombstone_status = 500).contains("identity.tombstone_status"));
        assert!(refused(|raw| raw.bind = "everywhere".into()).contains("identity.bind"));
        let no_origin = |raw: &mut Raw| raw.public_url = Some("plc.example.com".into());
        assert!(refused(no_origin).contains("identity.public_url"));
        let unknown = toml::from_str::<Raw>("colour = 1").unwrap_err().to_string();
        assert!(unknown.contains("unknown field"));
    }
}
