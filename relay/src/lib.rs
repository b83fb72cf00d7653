//! The relay: listens to many hosts (PDSs), verifies what they send, and passes it on as one stream (atproto sync spec).
//!
//! `hosts` (whom we listen to) → `verify` (sharded by DID) → `output` (log on disk, then subscribers, then state) →
//! `service::stream`. Nothing is unbounded: a noisy host waits, an unknown DID costs one look-up, a panic costs one event.
//! Repositories are not kept; the log of events is, for a while.

mod api;
mod app;
pub mod config;
pub mod hosts;
pub mod log;
pub mod output;
mod start;
pub mod store;
pub mod verify;
mod web;

pub use config::{Config, Shared};
pub use rochdale_service::start::Running;
pub use start::{StartError, start};

#[cfg(test)]
#[path = "../tests/support/repo.rs"]
mod repo;

/// What is answered here: NSID, kind and class of credentials of each method.
#[must_use]
pub fn methods() -> Vec<(
    &'static str,
    Option<rochdale_service::xrpc::Kind>,
    &'static str,
)> {
    api::table()
        .iter()
        .map(|row| (row.nsid, row.kind, row.auth))
        .collect()
}
