//! The `[pds.blobs]` table: how large, how many, and where blobs are kept.
//!
//! ```toml
//! [pds.blobs]
//! limit_bytes = 104857600      # largest blob; describeServer tells clients
//! quota_bytes = 10737418240    # of one account, all its blobs together
//! quota_count = 100000         # of one account
//! backend = "s3"               # or "disk": files in data_dir/blobs
//! [pds.blobs.s3]
//! endpoint = "https://s3.example.org"
//! bucket = "coop-blobs"
//! access_key_id = "..."
//! secret_access_key = "..."
//! ```
//!
//! Names are the same on both backends: to change from disk to S3, copy the files of
//! `data_dir/blobs`, all but `temp`, to the bucket as they are. Give the bucket a rule that
//! aborts incomplete multipart uploads after a day.

use std::time::Duration;

use rochdale_service::config::{ConfigError, Secret, origin, within};
use serde::Deserialize;

use crate::store::blob::admit::Quota;

/// Largest `limit_bytes`.
pub const BLOB_LIMIT_MAX_BYTES: u64 = 1 << 30;

/// The table as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Raw {
    /// Largest blob, in bytes.
    pub limit_bytes: u64,
    /// What the blobs of one account may take together, in bytes.
    pub quota_bytes: u64,
    /// How many blobs one account may have.
    pub quota_count: u64,
    /// `disk` or `s3`.
    pub backend: String,
    /// The object store, with `backend = "s3"`.
    pub s3: Option<RawS3>,
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            // Three minutes of video as the Bluesky app makes it: members of servers with the
            // usual 5 MiB cannot post any.
            limit_bytes: 100 << 20,
            quota_bytes: 10 << 30,
            quota_count: 100_000,
            backend: "disk".to_owned(),
            s3: None,
        }
    }
}

/// An object store as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawS3 {
    /// Its origin.
    pub endpoint: String,
    /// The bucket, which must exist.
    pub bucket: String,
    /// Its region, as signatures name it.
    pub region: String,
    /// What names in the bucket begin with.
    pub prefix: String,
    /// Public half of the credentials.
    pub access_key_id: String,
    /// Secret half of the credentials.
    pub secret_access_key: Option<Secret>,
    /// How long the store may send nothing, in seconds.
    pub timeout_seconds: u64,
}

impl Default for RawS3 {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            bucket: String::new(),
            region: "us-east-1".to_owned(),
            prefix: String::new(),
            access_key_id: String::new(),
            secret_access_key: None,
            timeout_seconds: 20,
        }
    }
}

/// The table, checked.
#[derive(Debug, Clone)]
pub struct BlobConfig {
    /// Largest blob, in bytes.
    pub limit_bytes: u64,
    /// What one account may have.
    pub quota: Quota,
    /// Where blobs are kept.
    pub backend: BlobBackend,
}

/// Where blobs are kept.
#[derive(Debug, Clone)]
pub enum BlobBackend {
    /// In the data folder.
    Disk,
    /// In an object store.
    S3(S3),
}

/// An object store that speaks S3.
#[derive(Debug, Clone)]
pub struct S3 {
    /// Its origin, without a slash at the end.
    pub endpoint: String,
    /// The bucket.
    pub bucket: String,
    /// Its region.
    pub region: String,
    /// What names in the bucket begin with; no slash at either end.
    pub prefix: String,
    /// Public half of the credentials.
    pub access_key_id: String,
    /// Secret half of the credentials.
    pub secret_access_key: Secret,
    /// How long the store may send nothing.
    pub timeout: Duration,
}

impl BlobConfig {
    pub(super) fn validate(raw: Raw) -> Result<Self, ConfigError> {
        let most = i64::MAX as u64;
        Ok(Self {
            limit_bytes: within(
                "pds.blobs.limit_bytes",
                raw.limit_bytes,
                1..=BLOB_LIMIT_MAX_BYTES,
            )?,
            quota: Quota {
                count: within("pds.blobs.quota_count", raw.quota_count, 1..=most)?,
                bytes: within("pds.blobs.quota_bytes", raw.quota_bytes, 1..=most)?,
            },
            backend: match &*raw.backend {
                "disk" => BlobBackend::Disk,
                "s3" => BlobBackend::S3(s3(raw.s3.unwrap_or_default())?),
                other => {
                    let allowed = "\"disk\" or \"s3\"";
                    return Err(ConfigError::invalid("pds.blobs.backend", other, allowed));
                }
            },
        })
    }
}

fn s3(raw: RawS3) -> Result<S3, ConfigError> {
    let secret = raw.secret_access_key.filter(|key| !key.expose().is_empty());
    Ok(S3 {
        endpoint: origin("pds.blobs.s3.endpoint", &raw.endpoint)?,
        bucket: name("pds.blobs.s3.bucket", raw.bucket)?,
        region: name("pds.blobs.s3.region", raw.region)?,
        prefix: prefix(raw.prefix)?,
        access_key_id: name("pds.blobs.s3.access_key_id", raw.access_key_id)?,
        secret_access_key: secret.ok_or_else(|| {
            ConfigError::invalid(
                "pds.blobs.s3.secret_access_key",
                "",
                "a key that is not empty",
            )
        })?,
        timeout: Duration::from_secs(within(
            "pds.blobs.s3.timeout_seconds",
            raw.timeout_seconds,
            1..=600,
        )?),
    })
}

fn name(key: &str, text: String) -> Result<String, ConfigError> {
    if !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'/')
    {
        return Ok(text);
    }
    Err(ConfigError::invalid(
        key,
        text,
        "a name without spaces and slashes",
    ))
}

fn prefix(text: String) -> Result<String, ConfigError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_/".contains(&byte);
    let sound = text.bytes().all(plain)
        && (text.is_empty() || text.split('/').all(|part| !part.is_empty()));
    if sound {
        return Ok(text);
    }
    let allowed = "letters, digits, - and _, in parts separated by single slashes";
    Err(ConfigError::invalid("pds.blobs.s3.prefix", text, allowed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(raw: Raw) -> String {
        BlobConfig::validate(raw).unwrap_err().to_string()
    }

    fn on_s3(change: impl FnOnce(&mut RawS3)) -> Raw {
        let mut s3 = RawS3 {
            endpoint: "http://localhost:9000".to_owned(),
            bucket: "blobs".to_owned(),
            access_key_id: "id".to_owned(),
            secret_access_key: Some(Secret::new("hush")),
            ..RawS3::default()
        };
        change(&mut s3);
        Raw {
            backend: "s3".to_owned(),
            s3: Some(s3),
            ..Raw::default()
        }
    }

    #[test]
    fn a_bad_blob_setting_is_refused_with_its_key_and_what_is_allowed() {
        let backend = Raw {
            backend: "tape".to_owned(),
            ..Raw::default()
        };
        let text = refused(backend);
        assert!(text.contains("pds.blobs.backend") && text.contains("\"disk\" or \"s3\""));
        let large = Raw {
            limit_bytes: (1 << 30) + 1,
            ..Raw::default()
        };
        assert!(refused(large).contains("pds.blobs.limit_bytes"));
        for (key, raw) in [
            (
                "endpoint",
                on_s3(|s3| s3.endpoint = "localhost:9000/x".to_owned()),
            ),
            ("bucket", on_s3(|s3| s3.bucket.clear())),
            ("prefix", on_s3(|s3| s3.prefix = "/a/".to_owned())),
            ("access_key_id", on_s3(|s3| s3.access_key_id.clear())),
            ("secret_access_key", on_s3(|s3| s3.secret_access_key = None)),
            ("timeout_seconds", on_s3(|s3| s3.timeout_seconds = 0)),
        ] {
            let text = refused(raw);
            assert!(text.contains(&format!("pds.blobs.s3.{key}")), "{text}");
        }
    }

    #[test]
    fn a_store_without_its_table_is_refused_and_a_secret_does_not_show() {
        let bare = Raw {
            backend: "s3".to_owned(),
            ..Raw::default()
        };
        assert!(refused(bare).contains("pds.blobs.s3.endpoint"));
        let config = BlobConfig::validate(on_s3(|_| {})).unwrap();
        assert!(!format!("{config:?}").contains("hush"));
    }
}
