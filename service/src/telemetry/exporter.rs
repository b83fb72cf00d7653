//! The metrics listener.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use tokio::net::TcpListener;

use crate::shutdown::Shutdown;
use crate::xrpc::{ServeOptions, serve};

/// Buckets for durations in seconds, from a database read to a password hash.
const SECONDS: [f64; 12] = [
    0.000_1, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0,
];
/// Buckets for numbers of values, such as those of one commit.
const VALUES: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];
/// How often old samples are folded away.
const UPKEEP: Duration = Duration::from_secs(5);

/// Why metrics cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ExporterError {
    /// The port cannot be used.
    #[error("cannot serve metrics on {address}: {cause}; choose another --metrics-port")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        cause: std::io::Error,
    },
    /// Another recorder is there already.
    #[error("cannot record metrics: {0}")]
    Recorder(String),
}

/// Records metrics from now on and serves them at `/metrics` on `address`. Answers the address.
///
/// # Errors
/// A port that cannot be used, or a recorder that is there already.
pub async fn serve_metrics(
    address: SocketAddr,
    shutdown: &Shutdown,
) -> Result<SocketAddr, ExporterError> {
    let listen = |cause| ExporterError::Listen { address, cause };
    let listener = TcpListener::bind(address).await.map_err(listen)?;
    let local = listener.local_addr().map_err(listen)?;
    let recorder =
        |cause: metrics_exporter_prometheus::BuildError| ExporterError::Recorder(cause.to_string());
    let handle = PrometheusBuilder::new()
        .set_buckets(&SECONDS)
        .map_err(recorder)?
        .set_buckets_for_metric(Matcher::Suffix("_values".to_owned()), &VALUES)
        .map_err(recorder)?
        .install_recorder()
        .map_err(recorder)?;
    let rendered = handle.clone();
    let text = "text/plain; version=0.0.4; charset=utf-8";
    let page = get(move || std::future::ready(([(CONTENT_TYPE, text)], rendered.render())));
    let router = Router::new().route("/metrics", page);
    shutdown.spawn(
        "metrics http",
        serve(listener, router, shutdown.clone(), ServeOptions::default()),
    );
    let own = shutdown.clone();
    shutdown.spawn("metrics upkeep", async move {
        loop {
            tokio::select! {
                () = tokio::time::sleep(UPKEEP) => handle.run_upkeep(),
                () = own.requested() => return,
            }
        }
    });
    Ok(local)
}
