//! The vocabulary of XRPC over HTTP: error names, the error body and inter-service tokens
//! (atproto XRPC spec). Transport, routing and parameters belong to the service crates.

mod error_body;
pub mod names;
pub mod service_auth;

pub use error_body::ErrorBody;
