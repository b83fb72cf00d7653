//! The DID service: a did:plc directory, wire-compatible with the public one.
//!
//! `directory` holds the rules, `store` the SQL, `api` the HTTP. Holds no personal data: what is
//! served here is what its owners signed and published.

mod api;
mod app;
pub mod config;
mod directory;
mod start;
mod store;

pub use rochdale_service::start::Running;
pub use start::{StartError, start};
