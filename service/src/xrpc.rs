//! XRPC over HTTP (atproto XRPC spec): a table of methods, the checks every request goes through before
//! a handler sees it, and the shape of every answer.
//!
//! The router is one dispatcher over a map of NSIDs, not a tower of layers: verb, rate limits, body
//! limits, CORS, panics and metrics are handled in one place. It knows no method of a service; what an
//! unknown method means (an error, or a proxied call) is the service's fallback.

mod body;
mod compress;
mod cors;
mod error;
mod input;
mod limit;
mod method;
mod query;
mod request;
mod router;
mod serve;
mod unread;

#[cfg(test)]
mod tests;

pub use body::RawBody;
pub use error::{Failure, XrpcError};
pub use input::{Input, NoInput, Output};
pub use limit::{Budget, Charges, LimitsConfig, RateLimits};
pub use method::{Kind, Limits, Method, fallback, method};
pub use query::{Query, QueryError};
pub use request::{ClientIp, RequestInfo};
pub use router::router;
pub use serve::{ServeOptions, serve};
