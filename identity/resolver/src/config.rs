//! What a resolver is told by its operator.

use std::net::SocketAddr;

/// Settings of a resolver. URLs are checked by whoever read them from a file.
#[derive(Clone, Debug)]
pub struct Config {
    /// Origin of the did:plc directory.
    pub plc_url: String,
    /// Handle suffixes that are asked at a fixed place instead of DNS and HTTPS.
    pub local: Vec<LocalSuffix>,
    /// DNS servers; the system's when empty.
    pub nameservers: Vec<SocketAddr>,
    /// Lets `did:web:localhost` resolve over plain HTTP.
    pub dev: bool,
    /// How long a document is used without asking again, milliseconds.
    pub document_fresh_ms: u64,
    /// How long a document is used when asking again fails, milliseconds.
    pub document_stale_ms: u64,
    /// How long a handle is used without asking again, milliseconds.
    pub handle_fresh_ms: u64,
    /// How long a failure is answered without asking again, milliseconds.
    pub negative_ms: u64,
    /// Memory for documents, bytes; handles get a quarter on top.
    pub cache_bytes: u64,
}

/// A suffix such as `.test` and the server that knows all handles under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalSuffix {
    /// With its leading dot, lower case.
    pub suffix: String,
    /// Origin that answers `/.well-known/atproto-did` for the handle in the `Host` header.
    pub base_url: String,
}

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;

impl Config {
    /// The defaults, with a directory.
    #[must_use]
    pub fn new(plc_url: impl Into<String>) -> Self {
        Self {
            plc_url: plc_url.into(),
            local: Vec::new(),
            nameservers: Vec::new(),
            dev: false,
            document_fresh_ms: HOUR_MS,
            document_stale_ms: 24 * HOUR_MS,
            handle_fresh_ms: 10 * MINUTE_MS,
            negative_ms: 2 * MINUTE_MS,
            cache_bytes: 32 * 1024 * 1024,
        }
    }
}
