//! What every Rochdale process shares: clock, orderly stop, configuration, SQLite with group commit,
//! XRPC over HTTP, event streams, repositories as files, the guarded outbound client, telemetry.
//!
//! It knows no account, repository, host or directory: those are the services'. It depends on the pure
//! `rochdale-protocol` only.

pub mod car_file;
pub mod clock;
pub mod config;
pub mod encoding;
pub mod outbound;
pub mod shutdown;
pub mod sqlite;
pub mod start;
pub mod stream;
pub mod telemetry;
pub mod xrpc;

/// What a process hands to each service it starts.
#[derive(Debug, Clone)]
pub struct Env {
    /// The time.
    pub clock: clock::SharedClock,
    /// The wish to stop, and every task.
    pub shutdown: shutdown::Shutdown,
    /// The guarded client.
    pub outbound: outbound::Outbound,
    /// Development: loopback is reached, `.test` handles are taken.
    pub dev: bool,
}
