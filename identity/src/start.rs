//! Putting the directory together and on the network.

use std::sync::Arc;

use rochdale_service::Env;
use rochdale_service::sqlite::OpenError;
use rochdale_service::start::{FolderError, ListenError, Running, listen, make_folder};
use rochdale_service::stream::{EventLog, Options, PlainText, Stream};
use rochdale_service::xrpc::{ServeOptions, serve};

use crate::api::{self, Turnstile};
use crate::app::App;
use crate::config::Config;
use crate::directory::{Directory, StreamLog};
use crate::store::Store;

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
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The data folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
}

/// Starts a directory; returns when it accepts connections. It stops with `env.shutdown`.
///
/// # Errors
/// When the database cannot be opened or the port is taken.
pub async fn start(config: Config, env: Env) -> Result<Running, StartError> {
    let (listener, running) = listen(&config.endpoint).await?;
    make_folder(&config.data_dir)?;
    let store = Store::open(&config.data_dir.join("identity.sqlite"))?;
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
    let router = api::router(app);
    let shutdown = env.shutdown.clone();
    env.shutdown.spawn_critical("identity http", async move {
        serve(listener, router, shutdown, ServeOptions::default()).await;
        store.close().await;
    });
    tracing::info!(url = running.url, address = %running.address, "the DID directory is ready");
    Ok(running)
}
