//! The hosts (PDSs) the relay listens to: their names, limits, cursors, connections.
//!
//! Owns who is listened to and how hard: the host table in memory, one task per connected host, reconnecting, bans. It does
//! not look into events beyond their envelope and does not decide what is valid (atproto sync spec, "relay").

mod backoff;
mod connection;
mod crawl;
mod flow;
mod host;
mod name;
mod pace;
mod share;
mod stuck;
mod subscribe;
mod table;
mod window;

#[cfg(test)]
pub(crate) use connection::Numbers;
pub use crawl::{Caller, CrawlError};
pub use flow::{Flow, Token};
pub use host::{Host, HostId, HostStatus};
pub use name::{HostName, HostNameError, NameRules};
pub use subscribe::{CrawlPolicy, Subscriber};
pub use table::{HostPolicy, Hosts};
pub use window::{HostLimits, Turn, Windows};
