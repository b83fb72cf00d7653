//! Why a name did not resolve.

use rochdale_protocol::plc::DocumentError;
use std::sync::Arc;

/// Why a name did not resolve. Cheap to clone: failures are cached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// Neither DNS nor HTTPS knows the handle, or its top-level domain is never resolved.
    #[error("handle {handle} does not resolve: {reason}")]
    HandleNotFound {
        /// The handle.
        handle: Arc<str>,
        /// What was found instead.
        reason: &'static str,
    },
    /// The DID's registry or host has no document for it.
    #[error("{0} is not registered")]
    DidNotFound(Arc<str>),
    /// The DID was ended by a tombstone.
    #[error("{0} was deactivated by its owner")]
    DidDeactivated(Arc<str>),
    /// A DID method, or a form of did:web, that atproto does not use.
    #[error(
        "{0} is of a method or form that is not supported (did:plc and did:web host names are)"
    )]
    UnsupportedMethod(Arc<str>),
    /// The document cannot be used.
    #[error("document of {did}: {cause}")]
    InvalidDocument {
        /// The DID.
        did: Arc<str>,
        /// What is wrong with it.
        cause: DocumentError,
    },
    /// The network or the other server failed; asking later may help.
    #[error("{name} could not be resolved now: {cause}")]
    Unreachable {
        /// The DID or handle.
        name: Arc<str>,
        /// What failed.
        cause: Arc<str>,
    },
}

impl ResolveError {
    /// Whether asking again later may give another answer without anybody changing anything.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}
