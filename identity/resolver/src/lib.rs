//! Names to documents: DIDs, handles and both ways between them, and NSIDs to schemas; cached and
//! bounded.
//!
//! Owns the network side of the atproto identity specs: did:plc through a directory, did:web,
//! handles by DNS and HTTPS, and handles under a suffix the operator runs; and of lexicons, found by
//! DNS and fetched with a proof. What a document means is `rochdale_protocol::plc`'s business, what
//! a schema means is `rochdale_lexicons`'s. Every fetch goes through the guarded HTTP client;
//! nothing here trusts an address, a size or a time that a stranger chose.

mod budget;
mod cache;
mod config;
mod did;
mod error;
mod handle;
pub mod lexicon;
mod network;
mod resolver;

pub use config::{Config, LocalSuffix};
pub use error::ResolveError;
pub use lexicon::{LexiconError, Lexicons, Patience, Published};
pub use resolver::{Identity, Resolver};
