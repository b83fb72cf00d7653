//! Names to documents: DIDs, handles and both ways between them, cached and bounded.
//!
//! Owns the network side of the atproto identity specs: did:plc through a directory, did:web,
//! handles by DNS and HTTPS, and handles under a suffix the operator runs. What a document means is
//! `rochdale_protocol::plc`'s business. Every fetch goes through the guarded HTTP client; nothing
//! here trusts an address, a size or a time that a stranger chose.

mod budget;
mod cache;
mod config;
mod did;
mod error;
mod handle;
mod network;
mod resolver;

pub use config::{Config, LocalSuffix};
pub use error::ResolveError;
pub use resolver::{Identity, Resolver};
