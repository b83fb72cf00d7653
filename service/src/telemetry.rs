//! Logs and metrics. Logs are JSON lines on standard error; metrics are Prometheus text on a port of
//! their own. No secret goes into either.

mod exporter;

pub use exporter::{ExporterError, serve_metrics};

use tracing_subscriber::EnvFilter;

/// What is logged when nobody says otherwise.
const DEFAULT_FILTER: &str = "info";

/// Starts logging to standard error. `filter` is a directive list such as `info,rochdale_relay=debug`;
/// an empty one means `info`. A second call changes nothing.
pub fn init(filter: &str) {
    let filter = if filter.is_empty() {
        DEFAULT_FILTER
    } else {
        filter
    };
    let chosen = EnvFilter::try_new(filter);
    let usable = chosen.is_ok();
    let started = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_env_filter(chosen.unwrap_or_else(|_syntax| EnvFilter::new(DEFAULT_FILTER)))
        .with_writer(std::io::stderr)
        .try_init();
    if started.is_ok() && !usable {
        tracing::warn!(filter, "not a log filter; using {DEFAULT_FILTER}");
    }
}
