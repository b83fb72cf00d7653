//! Configuration of the relay: what the file may say, and what it means once checked.
//!
//! [`Raw`] is the text as serde reads it; [`Config`] has no open questions left. Must not read files or the environment.

use std::path::PathBuf;
use std::time::Duration;

use rochdale_service::config::{ConfigError, Endpoint, Secret, within};
use rochdale_service::xrpc::LimitsConfig;
use serde::Deserialize;

use crate::hosts::{HostName, NameRules};
use crate::log::LogOptions;

const SUBSCRIBER_STALL: Duration = Duration::from_secs(30);

/// The `[relay]` table as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Raw {
    /// Address to listen on, such as `127.0.0.1`.
    pub bind: String,
    /// Port to listen on; 0 picks a free one.
    pub port: u16,
    /// Origin under which the world reaches this relay. Default: `http://localhost:PORT`.
    pub public_url: Option<String>,
    /// Folder of the database and the log.
    pub data_dir: PathBuf,
    /// Password of user `admin` at the admin methods. Without one they are closed.
    pub admin_password: Option<Secret>,
    /// Hosts that are listened to from the start, from their oldest event on.
    pub hosts: Vec<String>,
    /// Whether anybody may bring hosts in with `requestCrawl`.
    pub public_crawl: bool,
    /// Whether other relays may be listened to.
    pub crawl_relays: bool,
    /// Hosts with wide limits: names, or `*.example.org` for all below `example.org`.
    pub trusted_hosts: Vec<String>,
    /// Hosts whose commits need not prove where they come from, for they predate inductive proofs: names or patterns, as above.
    pub lenient_hosts: Vec<String>,
    /// Accounts a new host may have before further ones are throttled.
    pub accounts_per_host: u64,
    /// Hosts the public may bring in per day.
    pub new_hosts_per_day: u64,
    /// Hours without an event after which a small host is hung up on, until it asks to be crawled or a day has passed; 0:
    /// never. Hosts named in `hosts` stay connected.
    pub idle_hours: u64,
    /// How long events are kept, in hours.
    pub retain_hours: u64,
    /// How many bytes of events are kept, in MiB.
    pub retain_mib: u64,
    /// Size of one file of events, in MiB.
    pub segment_mib: u64,
    /// Events held ready in memory for subscribers, in MiB.
    pub ready_mib: u64,
    /// Events of all hosts together that may be on their way, in MiB.
    pub in_flight_mib: u64,
    /// Accounts whose state is kept in memory.
    pub hot_accounts: u64,
    /// Threads that verify. Default: one per processor.
    pub verifiers: Option<u64>,
    /// Subscribers at the same time.
    pub subscribers: u64,
    /// Subscribers of one address at the same time.
    pub subscribers_per_address: u64,
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            bind: "127.0.0.1".to_owned(),
            port: 2470,
            public_url: None,
            data_dir: PathBuf::from("."),
            admin_password: None,
            hosts: Vec::new(),
            public_crawl: true,
            crawl_relays: false,
            trusted_hosts: Vec::new(),
            lenient_hosts: Vec::new(),
            accounts_per_host: 100,
            new_hosts_per_day: 50,
            idle_hours: 24,
            retain_hours: 72,
            retain_mib: 20 * 1024,
            segment_mib: 256,
            ready_mib: 64,
            in_flight_mib: 256,
            hot_accounts: 100_000,
            verifiers: None,
            subscribers: 2_000,
            subscribers_per_address: 200,
        }
    }
}

/// Configuration that several services share.
#[derive(Debug, Clone)]
pub struct Shared {
    /// How DIDs are resolved.
    pub resolver: rochdale_resolver::Config,
    /// Request limits; whether they are on decides on the limits of hosts too.
    pub limits: LimitsConfig,
    /// Whether `localhost:PORT` may be crawled.
    pub dev: bool,
}

/// What the relay runs with.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it listens, and its origin.
    pub endpoint: Endpoint,
    /// Folder of the database and the log.
    pub data_dir: PathBuf,
    /// Password of user `admin`; `None` closes the admin methods.
    pub admin_password: Option<Secret>,
    /// Hosts that are listened to from the start.
    pub hosts: Vec<HostName>,
    /// Whether anybody may bring hosts in.
    pub public_crawl: bool,
    /// Whether other relays may be listened to.
    pub crawl_relays: bool,
    /// Names and patterns of hosts with wide limits.
    pub trusted_hosts: Vec<String>,
    /// Names and patterns of hosts whose commits need not prove where they come from.
    pub lenient_hosts: Vec<String>,
    /// Accounts a new host may have.
    pub accounts_per_host: u64,
    /// Hosts the public may bring in per day.
    pub new_hosts_per_day: u64,
    /// How long nothing may come from a small host before it is hung up on; `None`: for ever.
    pub idle_after: Option<Duration>,
    /// Size and age of the log.
    pub log: LogOptions,
    /// Events held ready in memory for subscribers, in bytes.
    pub ready_bytes: usize,
    /// Events of all hosts that may be on their way, in bytes.
    pub in_flight_bytes: usize,
    /// Accounts whose state is kept in memory.
    pub hot_accounts: usize,
    /// Threads that verify.
    pub verifiers: usize,
    /// Subscribers at the same time.
    pub subscribers: usize,
    /// Subscribers of one address at the same time.
    pub subscribers_per_address: usize,
    /// How long a subscriber may accept no byte.
    pub subscriber_stall: Duration,
    /// What is shared with other services.
    pub shared: Shared,
}

impl Config {
    /// Checks what the file says.
    ///
    /// # Errors
    /// Names the key, the value and what is allowed.
    pub fn validate(raw: Raw, shared: Shared) -> Result<Self, ConfigError> {
        let names = NameRules { localhost: true };
        let host = |text: &String| {
            HostName::parse(text, names)
                .map_err(|error| ConfigError::invalid("relay.hosts", text, error.to_string()))
        };
        let cpus = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let verifiers = within(
            "relay.verifiers",
            raw.verifiers.unwrap_or(cpus as u64),
            1..=256,
        )?;
        let log = LogOptions {
            segment_bytes: within("relay.segment_mib", raw.segment_mib, 1..=4_096)? << 20,
            retain_age: Duration::from_secs(
                within("relay.retain_hours", raw.retain_hours, 1..=24 * 365)? * 3_600,
            ),
            retain_bytes: within("relay.retain_mib", raw.retain_mib, 1..=1 << 30)? << 20,
            ..LogOptions::default()
        };
        Ok(Self {
            endpoint: Endpoint::validate("relay", &raw.bind, raw.port, raw.public_url.as_deref())?,
            data_dir: raw.data_dir,
            admin_password: raw
                .admin_password
                .filter(|secret| !secret.expose().is_empty()),
            hosts: raw.hosts.iter().map(host).collect::<Result<_, _>>()?,
            public_crawl: raw.public_crawl,
            crawl_relays: raw.crawl_relays,
            trusted_hosts: patterns("relay.trusted_hosts", raw.trusted_hosts)?,
            lenient_hosts: patterns("relay.lenient_hosts", raw.lenient_hosts)?,
            accounts_per_host: within(
                "relay.accounts_per_host",
                raw.accounts_per_host,
                1..=1 << 40,
            )?,
            new_hosts_per_day: within(
                "relay.new_hosts_per_day",
                raw.new_hosts_per_day,
                0..=1 << 40,
            )?,
            idle_after: idle_after(raw.idle_hours)?,
            log,
            ready_bytes: mebibytes("relay.ready_mib", raw.ready_mib, 1)?,
            in_flight_bytes: mebibytes("relay.in_flight_mib", raw.in_flight_mib, 32)?,
            hot_accounts: size(within(
                "relay.hot_accounts",
                raw.hot_accounts,
                100..=1 << 30,
            )?),
            verifiers: size(verifiers),
            subscribers: size(within("relay.subscribers", raw.subscribers, 1..=1 << 20)?),
            subscribers_per_address: size(within(
                "relay.subscribers_per_address",
                raw.subscribers_per_address,
                1..=1 << 20,
            )?),
            subscriber_stall: SUBSCRIBER_STALL,
            shared,
        })
    }
}

fn idle_after(hours: u64) -> Result<Option<Duration>, ConfigError> {
    let hours = within("relay.idle_hours", hours, 0..=24 * 365)?;
    Ok((hours > 0).then(|| Duration::from_secs(hours * 3_600)))
}

fn mebibytes(key: &str, value: u64, least: u64) -> Result<usize, ConfigError> {
    Ok(size(within(key, value, least..=1 << 20)? << 20))
}

fn size(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

fn patterns(key: &str, patterns: Vec<String>) -> Result<Vec<String>, ConfigError> {
    let check = |pattern: String| {
        let pattern = pattern.to_ascii_lowercase();
        let name = pattern.strip_prefix("*.").unwrap_or(&pattern);
        match HostName::parse(name, NameRules { localhost: true }) {
            Ok(_) => Ok(pattern),
            Err(_) => Err(ConfigError::invalid(
                key,
                pattern,
                "host names, or \"*.\" and a domain",
            )),
        }
    };
    patterns.into_iter().map(check).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn validate(raw: Raw) -> Result<Config, String> {
        let shared = Shared {
            resolver: rochdale_resolver::Config::new("https://plc.directory"),
            limits: LimitsConfig::default(),
            dev: false,
        };
        Config::validate(raw, shared).map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_are_valid() {
        let config = validate(Raw::default()).expect("valid");
        assert_eq!(config.log.retain_age, Duration::from_secs(72 * 3_600));
        assert!(config.admin_password.is_none());
        assert!(config.verifiers >= 1);
    }

    #[test]
    fn bad_value_names_its_key_the_value_and_what_is_allowed() {
        let hosts = |host: &str| Raw {
            hosts: vec![host.to_owned()],
            ..Raw::default()
        };
        for (raw, key) in [
            (hosts("10.0.0.1"), "relay.hosts"),
            (hosts("ftp://pds.example.org"), "relay.hosts"),
            (
                Raw {
                    trusted_hosts: vec!["*".to_owned()],
                    ..Raw::default()
                },
                "relay.trusted_hosts",
            ),
            (
                Raw {
                    retain_hours: 0,
                    ..Raw::default()
                },
                "relay.retain_hours",
            ),
            (
                Raw {
                    in_flight_mib: 1,
                    ..Raw::default()
                },
                "relay.in_flight_mib",
            ),
            (
                Raw {
                    public_url: Some("relay.example.org".to_owned()),
                    ..Raw::default()
                },
                "relay.public_url",
            ),
        ] {
            let message = validate(raw).expect_err(key);
            assert!(message.contains(key), "{message}");
        }
        assert_eq!(
            validate(hosts("http://localhost:2583"))
                .expect("valid")
                .hosts[0]
                .as_str(),
            "localhost:2583"
        );
    }
}
