//! Why a schema was not found.

use std::sync::Arc;

use crate::cache::Failure;

/// Why a schema was not found. Cheap to clone: failures are cached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LexiconError {
    /// Its authority publishes none.
    #[error("{nsid} is not published: {reason}")]
    NotPublished {
        /// The NSID.
        nsid: Arc<str>,
        /// What was found instead.
        reason: Arc<str>,
    },
    /// What is published is no schema, or cannot be proven.
    #[error("what is published as {nsid} cannot be used: {cause}")]
    Invalid {
        /// The NSID.
        nsid: Arc<str>,
        /// What is wrong with it.
        cause: Arc<str>,
    },
    /// A schema of something else.
    #[error("{0} does not define a record")]
    NotARecord(Arc<str>),
    /// The network or another server failed; asking later may help.
    #[error("{nsid} could not be fetched now: {cause}")]
    Unreachable {
        /// The NSID.
        nsid: Arc<str>,
        /// What failed.
        cause: Arc<str>,
    },
    /// It is still being fetched.
    #[error("{0} is being fetched; ask again in a moment")]
    Pending(Arc<str>),
    /// Too many are being fetched.
    #[error("{0} was not fetched: too many others are being fetched; ask again in a moment")]
    Busy(Arc<str>),
}

impl LexiconError {
    /// Whether asking again later may give another answer without anybody changing anything.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::Pending(_) | Self::Busy(_)
        )
    }
}

impl Failure for LexiconError {
    fn is_transient(&self) -> bool {
        self.is_transient()
    }
}
