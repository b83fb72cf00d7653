//! Configuration shared by all services, in three stages: raw, validated, composed.
//!
//! The raw stage is the file with what the environment and flags say instead ([`load()`]); the second
//! is each service's. Secrets never show, and an error says what to write instead.

mod check;
mod endpoint;
mod key_file;
mod load;
mod secret;

pub use check::{origin, within};
pub use endpoint::Endpoint;
pub use key_file::{KeyFileError, read_or_create_key_file, read_or_create_password_file};
pub use load::{Setting, Sources, load};
pub use secret::Secret;

/// What is wrong with the configuration, and what to write instead.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A value that cannot be used.
    #[error("{key} = {value:?} is not valid; allowed: {allowed}")]
    Invalid {
        /// The key, with its section, such as `pds.port`.
        key: String,
        /// The value, or nothing when it is secret.
        value: String,
        /// What is allowed instead.
        allowed: String,
    },
    /// The file cannot be read or is not TOML, or a key is unknown or of the wrong kind.
    #[error("{0}")]
    Unreadable(String),
    /// A key file cannot be used.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
}

impl ConfigError {
    /// A value that cannot be used.
    pub fn invalid(
        key: impl Into<String>,
        value: impl Into<String>,
        allowed: impl Into<String>,
    ) -> Self {
        Self::Invalid {
            key: key.into(),
            value: value.into(),
            allowed: allowed.into(),
        }
    }
}
