//! The whole `rochdale.toml`: one table per service and those that services share.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use rochdale_resolver::{Config as ResolverConfig, LocalSuffix};
use rochdale_service::config::{
    ConfigError, Secret, Sources, load, origin, read_or_create_password_file,
};
use rochdale_service::xrpc::LimitsConfig;
use serde::Deserialize;

/// Variables that begin so override the file: `ROCHDALE_PDS__PORT` is `pds.port`.
const PREFIX: &str = "ROCHDALE_";

/// The file as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Raw {
    /// The PDS.
    pub(crate) pds: rochdale_pds::config::Raw,
    /// The DID service.
    pub(crate) identity: rochdale_identity::config::Raw,
    /// The relay.
    pub(crate) relay: rochdale_relay::config::Raw,
    /// How names are resolved.
    pub(crate) resolver: Resolver,
    /// Request limits.
    pub(crate) limits: LimitsConfig,
    /// Logs and metrics.
    pub(crate) telemetry: Telemetry,
}

/// The `[resolver]` table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Resolver {
    /// Origin of the did:plc directory.
    pub(crate) plc_url: String,
    /// Handle suffixes that are asked at a fixed place: `".test" = "http://localhost:2583"`.
    pub(crate) local: BTreeMap<String, String>,
    /// DNS servers, such as `["9.9.9.9:53"]`; the system's when empty.
    pub(crate) nameservers: Vec<SocketAddr>,
    /// Memory for documents and handles, in MiB.
    pub(crate) cache_mib: u64,
}

impl Default for Resolver {
    fn default() -> Self {
        Self {
            plc_url: "https://plc.directory".to_owned(),
            local: BTreeMap::new(),
            nameservers: Vec::new(),
            cache_mib: 32,
        }
    }
}

/// The `[telemetry]` table.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Telemetry {
    /// Where Prometheus finds `/metrics`, such as `127.0.0.1:9100`; nowhere when unset.
    pub(crate) metrics: Option<SocketAddr>,
    /// What is logged, such as `info,rochdale_relay=debug`.
    pub(crate) log: String,
    /// Development: loopback is reached, plain http and `.test` handles are taken.
    pub(crate) dev: bool,
}

impl Raw {
    /// Reads the sources and the environment.
    ///
    /// # Errors
    /// Names the key, its value and what is allowed.
    pub(crate) fn load(sources: Sources<'_>) -> Result<Self, ConfigError> {
        load(PREFIX, sources)
    }

    /// What the services share about names.
    ///
    /// # Errors
    /// A suffix without its dot, or an address that is no origin.
    pub(crate) fn resolver(&self) -> Result<ResolverConfig, ConfigError> {
        let plc_url = origin("resolver.plc_url", &self.resolver.plc_url)?;
        let mut config = ResolverConfig::new(plc_url);
        config.dev = self.telemetry.dev;
        config.nameservers.clone_from(&self.resolver.nameservers);
        config.cache_bytes = self.resolver.cache_mib.clamp(1, 1 << 20) << 20;
        for (suffix, base_url) in &self.resolver.local {
            if !suffix.starts_with('.') {
                let allowed = "suffixes with a leading dot, such as \".test\"";
                return Err(ConfigError::invalid("resolver.local", suffix, allowed));
            }
            config.local.push(LocalSuffix {
                suffix: suffix.to_ascii_lowercase(),
                base_url: origin("resolver.local", base_url)?,
            });
        }
        Ok(config)
    }
}

/// The operator's password: as configured, else from `FOLDER/keys/NAME`, which is made on first use.
/// Answers the password and the file it stands in.
///
/// # Errors
/// A file that others may read or that cannot be made.
pub(crate) fn admin_password(
    configured: Option<&Secret>,
    folder: &Path,
    name: &str,
) -> Result<(Secret, Option<PathBuf>), ConfigError> {
    if let Some(password) = configured.filter(|secret| !secret.expose().is_empty()) {
        return Ok((password.clone(), None));
    }
    let file = folder.join("keys").join(name);
    Ok((read_or_create_password_file(&file)?, Some(file)))
}
