//! Configuration shared by all services: secrets that never show, errors that say what to write instead.

mod secret;

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
