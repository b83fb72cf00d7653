//! Putting the directory together and on the network.

use std::net::SocketAddr;
use std::sync::Arc;

use rochdale_service::Env;
use rochdale_service::sqlite::OpenError;
use rochdale_service::stream::{EventLog, Options, PlainText, Stream};
use rochdale_service::xrpc::{ServeOptions, serve};
use tokio::net::TcpListener;

use crate::api::{self, Turnstile};
use crate::app::App;
use crate::config::Config;
use crate::directory::{Directory, StreamLog};
use crate::store::Store;

/// A directory that accepts connections.
#[derive(Debug, Clone)]
pub struct Running {
    /// Its origin.
    pub url: String,
    /// Where it listens.
    pub address: SocketAddr,
}

/// Why a directory did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// What the database holds.
    #[error("the directory's database cannot be read: {0}")]
    Read(String),
    /// The address.
    #[error("cannot listen on {address}: {cause}; choose another identity.port")]
    Listen {
        /// Address and port.
        address: String,
        /// What the system said.
        cause: std::io::Error,
    },
}

/// Starts a directory; returns when it accepts connections. It stops with `env.shutdown`.
///
/// # Errors
/// When the database cannot be opened or the port is taken.
pub async fn start(config: Config, env: Env) -> Result<Running, StartError> {
    let store = Store::open(&config.database)?;
    let log = StreamLog::new(store.clone(), Arc::clone(&env.clock))
        .map_err(|error| StartError::Read(error.to_string()))?;
    let options = Options {
        name: "export",
        ..Options::default()
    };
    let shared_log: Arc<dyn EventLog> = Arc::<StreamLog>::clone(&log);
    let stream = Stream::new(shared_log, PlainText, options, env.shutdown.clone());
    let published = Arc::clone(&stream);
    let publish = Arc::new(move |operation| published.publish(vec![log.frame(operation)]));
    let directory = Directory::new(store.clone(), Arc::clone(&env.clock), publish);
    let app = Arc::new(App {
        directory,
        stream,
        turnstile: Turnstile::new(&config.limits, Arc::clone(&env.clock)),
        tombstone_status: config.tombstone_status,
    });
    let address = format!("{}:{}", config.bind, config.port);
    let listen = |cause| StartError::Listen {
        address: address.clone(),
        cause,
    };
    let listener = TcpListener::bind((config.bind.as_str(), config.port))
        .await
        .map_err(listen)?;
    let bound = listener.local_addr().map_err(listen)?;
    let url = config
        .public_url
        .unwrap_or_else(|| format!("http://localhost:{}", bound.port()));
    let router = api::router(app);
    let shutdown = env.shutdown.clone();
    env.shutdown.spawn_critical("identity http", async move {
        serve(listener, router, shutdown, ServeOptions::default()).await;
        store.close().await;
    });
    tracing::info!(%url, %bound, "the DID directory is ready");
    Ok(Running {
        url,
        address: bound,
    })
}
