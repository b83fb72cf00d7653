//! The two ways out: guarded HTTP and DNS. Behind a trait, so that rules are tested without sockets.

use bytes::Bytes;
use futures::future::BoxFuture;
use std::fmt::Debug;

mod real;
#[cfg(test)]
mod script;

pub(crate) use real::RealNetwork;
#[cfg(test)]
pub(crate) use script::Script;

/// One GET.
#[derive(Clone, Debug)]
pub(crate) struct Get<'a> {
    pub(crate) url: String,
    /// Overrides the `Host` header.
    pub(crate) host: Option<&'a str>,
    pub(crate) max_bytes: usize,
    pub(crate) redirects: usize,
    pub(crate) accept: &'static str,
    /// The operator wrote the origin of this URL; it may be local.
    pub(crate) trusted: bool,
}

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
}

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum NetworkError {
    /// The name has no such record or no address.
    #[error("no such name in DNS")]
    NoSuchName,
    /// Policy forbids the URL or the address behind it, or the answer broke a limit.
    #[error("{0}")]
    Refused(String),
    /// Anything that may go away by itself.
    #[error("{0}")]
    Transport(String),
}

/// The ways out.
pub(crate) trait Network: Debug + Send + Sync {
    /// Fetches a URL.
    fn get<'a>(&'a self, get: Get<'a>) -> BoxFuture<'a, Result<Reply, NetworkError>>;
    /// The TXT records of a name, chunks joined.
    fn txt<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<String>, NetworkError>>;
}
