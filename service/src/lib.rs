//! What every Rochdale process shares: clock, orderly stop, configuration, SQLite with group commit,
//! XRPC over HTTP, event streams, the guarded outbound client, telemetry.
//!
//! It knows no account, repository, host or directory: those are the services'. It depends on the pure
//! `rochdale-protocol` only.

pub mod clock;
pub mod config;
pub mod shutdown;
pub mod sqlite;
pub mod stream;
pub mod xrpc;
