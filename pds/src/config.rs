//! Configuration of the PDS: what the file may say, and what it means once checked.
//!
//! [`Raw`] is the text as serde reads it; [`Config`] has no open questions left. Must not read
//! files or the environment.

pub mod blobs;

use std::path::PathBuf;
use std::time::Duration;

use lettre::message::Mailbox;
use lettre::transport::smtp::AsyncSmtpTransportBuilder;
use rochdale_protocol::crypto::PublicKey;
use rochdale_protocol::syntax::{Datetime, Did, Handle};
use rochdale_service::config::{ConfigError, Endpoint, Secret, origin, within};
use serde::Deserialize;

use crate::account::invite::Schedule;
pub use blobs::{BLOB_LIMIT_MAX_BYTES, BlobBackend, BlobConfig, S3};

use crate::auth::password::Cost;
use crate::mail;

/// The `[pds]` table as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Raw {
    /// Address to listen on, such as `127.0.0.1`.
    pub bind: String,
    /// Port to listen on; 0 picks a free one.
    pub port: u16,
    /// Origin under which the world reaches this server. Default: `http://localhost:PORT`.
    pub public_url: Option<String>,
    /// DID of this server. Default: `did:web:` and the host of `public_url`.
    pub did: Option<String>,
    /// Folder of the database, keys, blobs and outbox.
    pub data_dir: PathBuf,
    /// Folder of the key files. Default: `data_dir/keys`.
    pub key_dir: Option<PathBuf>,
    /// Folder of schemas that win over the network's and over those that are carried.
    pub lexicon_dir: Option<PathBuf>,
    /// Domains that handles may be had under, each with a leading dot, and names without one that are
    /// a handle themselves, such as the server's own domain. Default: `.HOST`.
    pub handle_domains: Vec<String>,
    /// Whether signing up takes an invite code.
    pub invites_required: bool,
    /// Every member may hand out one invite code each time this has passed, in hours; none when unset.
    pub invite_interval_hours: Option<u64>,
    /// Time before this date earns no codes, such as `2026-01-01T00:00:00Z`.
    pub invite_epoch: Option<String>,
    /// Password of user `admin` at the admin methods.
    pub admin_password: Option<Secret>,
    /// Further operators at the admin methods, each with a password of its own.
    pub operators: Vec<RawOperator>,
    /// DID directory.
    pub plc_url: String,
    /// `did:key` of the co-op's recovery key, put above the server's in every new DID.
    pub recovery_key: Option<String>,
    /// Where app methods go by default: DID and URL of the AppView.
    pub app_view: Option<RawService>,
    /// Where images of posts are shown from while the AppView does not know them, with `{preset}`,
    /// `{did}` and `{cid}`. Default: this server's blobs.
    pub image_url: Option<String>,
    /// Where reports go: DID and URL.
    pub report_service: Option<RawService>,
    /// Whose service tokens are good at the moderation methods: DID and URL.
    pub moderation_service: Option<RawService>,
    /// Operator's mail address, shown to clients.
    pub contact_email: Option<String>,
    /// Page with the privacy policy.
    pub privacy_policy_url: Option<String>,
    /// Page with the terms of service.
    pub terms_of_service_url: Option<String>,
    /// Mail server: `smtps://USER:PASSWORD@HOST`, or `smtp://…:587?tls=required` for STARTTLS.
    /// Without one mail is written to `data_dir/outbox`.
    pub smtp_url: Option<Secret>,
    /// Sender of mail, such as `The Co-op <noreply@example.coop>`. Default: `noreply@HOST`.
    pub mail_from: Option<String>,
    /// Limits of blobs and where they are kept: the `[pds.blobs]` table.
    pub blobs: blobs::Raw,
    /// Largest repository that is imported, in bytes; 0 takes none.
    pub import_limit_bytes: u64,
    /// Relays that are told of new events, as origins.
    pub crawlers: Vec<String>,
    /// How long events can be replayed, in hours.
    pub backfill_hours: u64,
    /// Memory of one password hash, in KiB.
    pub password_memory_kib: u32,
    /// Passes of one password hash.
    pub password_passes: u32,
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            bind: "127.0.0.1".to_owned(),
            port: 2583,
            public_url: None,
            did: None,
            data_dir: PathBuf::from("."),
            key_dir: None,
            lexicon_dir: None,
            handle_domains: Vec::new(),
            invites_required: true,
            invite_interval_hours: None,
            invite_epoch: None,
            admin_password: None,
            operators: Vec::new(),
            plc_url: "https://plc.directory".to_owned(),
            recovery_key: None,
            app_view: None,
            image_url: None,
            report_service: None,
            moderation_service: None,
            contact_email: None,
            privacy_policy_url: None,
            terms_of_service_url: None,
            smtp_url: None,
            mail_from: None,
            blobs: blobs::Raw::default(),
            import_limit_bytes: 1024 * 1024 * 1024,
            crawlers: Vec::new(),
            backfill_hours: 72,
            password_memory_kib: Cost::DEFAULT.memory_kib,
            password_passes: Cost::DEFAULT.passes,
        }
    }
}

/// A service elsewhere, as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawService {
    /// Its DID.
    pub did: String,
    /// Its origin.
    pub url: String,
}

/// An operator, as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawOperator {
    /// User name of the Basic credentials.
    pub name: String,
    /// Password.
    pub password: Secret,
}

/// Somebody who may call the admin methods.
#[derive(Debug, Clone)]
pub struct Operator {
    /// User name of the Basic credentials, and name in the audit log.
    pub name: String,
    /// Password.
    pub password: Secret,
}

/// A service elsewhere.
#[derive(Debug, Clone)]
pub struct Service {
    /// Its DID.
    pub did: Did,
    /// Its origin, without a slash at the end.
    pub url: String,
}

/// What the PDS runs with.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it listens, and its origin.
    pub endpoint: Endpoint,
    /// DID as configured; `None` means `did:web:` and the host of the origin.
    pub did: Option<Did>,
    /// Folder of the database, blobs and outbox.
    pub data_dir: PathBuf,
    /// Folder of the key files.
    pub key_dir: PathBuf,
    /// Folder of the operator's schemas.
    pub lexicon_dir: Option<PathBuf>,
    /// Domains for handles, each with a leading dot, and whole handles; empty means `.HOST`.
    pub handle_domains: Vec<String>,
    /// Whether signing up takes an invite code.
    pub invites_required: bool,
    /// When members get codes of their own.
    pub invite_schedule: Option<Schedule>,
    /// Who may call the admin methods; user `admin` comes first.
    pub operators: Vec<Operator>,
    /// DID directory, without a slash at the end.
    pub plc_url: String,
    /// The co-op's recovery key.
    pub recovery_key: Option<String>,
    /// Default target of app methods.
    pub app_view: Option<Service>,
    /// Where images are shown from, with `{preset}`, `{did}` and `{cid}`.
    pub image_url: Option<String>,
    /// Target of reports.
    pub report_service: Option<Service>,
    /// The moderation service.
    pub moderation_service: Option<Service>,
    /// What `describeServer` says of the operator.
    pub about: About,
    /// Mail server, if there is one.
    pub(crate) mail_server: Option<AsyncSmtpTransportBuilder>,
    /// Sender of mail; `None` means `noreply@` and the host.
    pub(crate) mail_from: Option<Mailbox>,
    /// Limits of blobs and where they are kept.
    pub blobs: BlobConfig,
    /// Largest repository that is imported, in bytes; 0 takes none.
    pub import_limit_bytes: u64,
    /// Relays that are told of new events, as origins.
    pub crawlers: Vec<String>,
    /// How long events can be replayed.
    pub backfill: Duration,
    /// What one password hash costs.
    pub password_cost: Cost,
    /// How names are resolved.
    pub resolver: rochdale_resolver::Config,
    /// Request limits.
    pub limits: rochdale_service::xrpc::LimitsConfig,
}

/// What `describeServer` says of the operator.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// Mail address.
    pub contact_email: Option<String>,
    /// Privacy policy.
    pub privacy_policy_url: Option<String>,
    /// Terms of service.
    pub terms_of_service_url: Option<String>,
}

/// Configuration that several services share.
#[derive(Debug, Clone)]
pub struct Shared {
    /// How names are resolved.
    pub resolver: rochdale_resolver::Config,
    /// Request limits.
    pub limits: rochdale_service::xrpc::LimitsConfig,
}

impl Config {
    /// Checks what the file says.
    ///
    /// # Errors
    /// Names the key, the value and what is allowed.
    pub fn validate(raw: Raw, shared: Shared) -> Result<Self, ConfigError> {
        let key_dir = raw.key_dir.unwrap_or_else(|| raw.data_dir.join("keys"));
        Ok(Self {
            endpoint: Endpoint::validate("pds", &raw.bind, raw.port, raw.public_url.as_deref())?,
            did: raw.did.map(|text| did("pds.did", &text)).transpose()?,
            data_dir: raw.data_dir,
            key_dir,
            lexicon_dir: raw.lexicon_dir,
            handle_domains: raw
                .handle_domains
                .into_iter()
                .map(handle_domain)
                .collect::<Result<_, _>>()?,
            invites_required: raw.invites_required,
            invite_schedule: invite_schedule(raw.invite_interval_hours, raw.invite_epoch)?,
            operators: operators(raw.admin_password, raw.operators)?,
            plc_url: origin("pds.plc_url", &raw.plc_url)?,
            recovery_key: raw.recovery_key.map(recovery_key).transpose()?,
            app_view: raw
                .app_view
                .map(|raw| service("pds.app_view", raw))
                .transpose()?,
            image_url: raw.image_url.map(image_url).transpose()?,
            report_service: raw
                .report_service
                .map(|raw| service("pds.report_service", raw))
                .transpose()?,
            moderation_service: raw
                .moderation_service
                .map(|raw| service("pds.moderation_service", raw))
                .transpose()?,
            about: About {
                contact_email: raw.contact_email,
                privacy_policy_url: raw.privacy_policy_url,
                terms_of_service_url: raw.terms_of_service_url,
            },
            mail_server: raw.smtp_url.map(smtp).transpose()?,
            mail_from: raw.mail_from.map(mail_from).transpose()?,
            blobs: BlobConfig::validate(raw.blobs)?,
            import_limit_bytes: within(
                "pds.import_limit_bytes",
                raw.import_limit_bytes,
                0..=16 << 30,
            )?,
            crawlers: raw
                .crawlers
                .iter()
                .map(|text| origin("pds.crawlers", text))
                .collect::<Result<_, _>>()?,
            backfill: Duration::from_secs(
                within("pds.backfill_hours", raw.backfill_hours, 1..=24 * 365)? * 3600,
            ),
            password_cost: Cost {
                memory_kib: within(
                    "pds.password_memory_kib",
                    raw.password_memory_kib,
                    64..=1024 * 1024,
                )?,
                passes: within("pds.password_passes", raw.password_passes, 1..=64)?,
            },
            resolver: shared.resolver,
            limits: shared.limits,
        })
    }
}

fn did(key: &str, text: &str) -> Result<Did, ConfigError> {
    text.parse().map_err(|_syntax| {
        ConfigError::invalid(key, text, "a DID such as \"did:web:pds.example.coop\"")
    })
}

fn service(key: &str, raw: RawService) -> Result<Service, ConfigError> {
    Ok(Service {
        did: did(&format!("{key}.did"), &raw.did)?,
        url: origin(&format!("{key}.url"), &raw.url)?,
    })
}

fn image_url(text: String) -> Result<String, ConfigError> {
    let is_url = text.starts_with("https://") || text.starts_with("http://");
    if is_url && text.contains("{did}") && text.contains("{cid}") {
        return Ok(text);
    }
    Err(ConfigError::invalid(
        "pds.image_url",
        &text,
        "a URL with {did} and {cid}, and {preset} if sizes differ, such as \
         \"https://cdn.example/img/{preset}/plain/{did}/{cid}\"",
    ))
}

fn operators(
    admin_password: Option<Secret>,
    others: Vec<RawOperator>,
) -> Result<Vec<Operator>, ConfigError> {
    let password = admin_password.unwrap_or_else(|| Secret::new(""));
    let mut operators = vec![Operator {
        name: "admin".to_owned(),
        password,
    }];
    for RawOperator { name, password } in others {
        let is_free = operators.iter().all(|other| other.name != name);
        if name.is_empty() || name.contains(':') || !is_free {
            return Err(ConfigError::invalid(
                "pds.operators.name",
                name,
                "a name without a colon that no other operator has",
            ));
        }
        operators.push(Operator { name, password });
    }
    match operators
        .iter()
        .find(|operator| operator.password.expose().is_empty())
    {
        None => Ok(operators),
        Some(empty) => {
            let key = match empty.name.as_str() {
                "admin" => "pds.admin_password",
                _ => "pds.operators.password",
            };
            Err(ConfigError::invalid(
                key,
                "",
                "a password that is not empty",
            ))
        }
    }
}

fn invite_schedule(
    hours: Option<u64>,
    epoch: Option<String>,
) -> Result<Option<Schedule>, ConfigError> {
    let epoch_ms = match epoch {
        None => 0,
        Some(text) => match text.parse::<Datetime>() {
            Ok(date) => date.unix_ms(),
            Err(_syntax) => {
                let allowed = "a date and time such as \"2026-01-01T00:00:00Z\"";
                return Err(ConfigError::invalid("pds.invite_epoch", &text, allowed));
            }
        },
    };
    let schedule = |hours: u64| {
        let hours = within("pds.invite_interval_hours", hours, 1..=24 * 365)?;
        let interval_ms = i64::try_from(hours).unwrap_or(i64::MAX / 3_600_000) * 3_600_000;
        Ok(Schedule {
            interval_ms,
            epoch_ms,
        })
    };
    hours.map(schedule).transpose()
}

fn smtp(url: Secret) -> Result<AsyncSmtpTransportBuilder, ConfigError> {
    mail::mail_server(url.expose()).map_err(|why| {
        let allowed =
            format!("smtps://USER:PASSWORD@HOST or smtp://HOST:PORT?tls=required ({why})");
        ConfigError::invalid("pds.smtp_url", "***", allowed)
    })
}

fn mail_from(text: String) -> Result<Mailbox, ConfigError> {
    text.parse().map_err(|_syntax| {
        let allowed = "a sender such as \"The Co-op <noreply@example.coop>\"";
        ConfigError::invalid("pds.mail_from", &text, allowed)
    })
}

fn recovery_key(text: String) -> Result<String, ConfigError> {
    match PublicKey::from_did_key(&text) {
        Ok(_key) => Ok(text),
        Err(cause) => Err(ConfigError::invalid(
            "pds.recovery_key",
            &text,
            format!("a did:key of a k256 or p256 key ({cause})"),
        )),
    }
}

fn handle_domain(text: String) -> Result<String, ConfigError> {
    let domain = text.to_ascii_lowercase();
    let labels = domain.strip_prefix('.').is_some_and(|rest| {
        rest.split('.').all(|label| {
            !label.is_empty()
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        })
    });
    if labels || domain.parse::<Handle>().is_ok() {
        Ok(domain)
    } else {
        Err(ConfigError::invalid(
            "pds.handle_domains",
            &text,
            "domains with a leading dot, such as \".example.coop\", or whole handles, such as \"example.coop\"",
        ))
    }
}
