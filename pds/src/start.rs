//! From a configuration to a server that accepts connections.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::Response;
use http::HeaderValue;
use http::header::{AUTHORIZATION, CACHE_CONTROL, VARY};
use rochdale_protocol::syntax::{Datetime, Did};
use rochdale_resolver::lexicon::folder::{self, SchemaFolderError};
use rochdale_resolver::{Lexicons, Resolver};
use rochdale_service::Env;
use rochdale_service::config::{ConfigError, KeyFileError, read_or_create_key_file};
use rochdale_service::sqlite::{Database, OpenError, Options};
use rochdale_service::start::{FolderError, ListenError, Running, listen, make_folder};
use rochdale_service::xrpc::{self, RateLimits, ServeOptions};

use crate::account::Accounts;
use crate::account::handle::HandleRules;
use crate::app::{App, Pds};
use crate::auth::password::{PasswordError, PasswordPool};
use crate::auth::replay::ReplayGuard;
use crate::auth::token::TokenSigner;
use crate::blob::Blobs;
use crate::config::Config;
use crate::identity::plc::PlcClient;
use crate::keys::Keyring;
use crate::mail::{Mailer, Transport};
use crate::repo::Repos;
use crate::sequencer::Sequencer;
use crate::store::{self, Store};
use crate::{api, blob, job, repo, sequencer, web};

/// No clock that was set says less: the beginning of 2025, Unix ms.
const EARLIEST_MS: i64 = 1_735_689_600_000;
/// Passwords that may wait for a slot.
const PASSWORDS_WAITING: usize = 64;

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The data folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A value that only shows at start is not good.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A key file cannot be used.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// The database cannot be opened.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::StoreError),
    /// The place of the blobs cannot be used.
    #[error(transparent)]
    Blobs(#[from] blob::BackendError),
    /// The clock was never set: revisions and sequence numbers are made of the time.
    #[error("the system clock says {0}: set it, then start again")]
    Clock(Datetime),
    /// The operator's schemas are not good.
    #[error("pds.lexicon_dir: {0}")]
    Lexicons(#[from] SchemaFolderError),
    /// The password settings are not good.
    #[error(transparent)]
    Password(#[from] PasswordError),
}

/// Starts the server; returns when it accepts connections. It runs until a stop is asked for.
///
/// # Errors
/// Says what to do about a port, folder, key file or database that cannot be used.
pub async fn start(config: Config, env: Env) -> Result<Running, StartError> {
    let now_ms = i64::try_from(env.clock.now_ms()).unwrap_or(i64::MAX);
    if now_ms < EARLIEST_MS {
        return Err(StartError::Clock(Datetime::from_unix_ms(now_ms)));
    }
    let (listener, running) = listen(&config.endpoint).await?;
    let limits = RateLimits::new(&config.limits, Arc::clone(&env.clock));
    let pds = compose(config, &env, running.url.clone()).await?;
    job::spawn(&pds);
    let router = router(&pds, limits);
    let serve = xrpc::serve(
        listener,
        router,
        env.shutdown.clone(),
        ServeOptions::default(),
    );
    env.shutdown.spawn_critical("pds http", serve);
    tracing::info!(url = pds.url, did = %pds.did, "PDS is ready");
    Ok(running)
}

fn router(pds: &Pds, limits: RateLimits) -> Router {
    xrpc::router(api::table(), api::rest(), limits.clone())
        .merge(api::operator::routes(limits.clone()))
        .merge(web::routes(limits))
        .layer(middleware::from_fn(mark_private))
        .with_state(Arc::clone(pds))
}

/// Answers to credentials are the caller's alone: no shared cache keeps them.
async fn mark_private(request: Request, next: Next) -> Response {
    let has_credentials = request.headers().contains_key(AUTHORIZATION);
    let mut response = next.run(request).await;
    if has_credentials {
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private"));
        headers.append(VARY, HeaderValue::from_static("Authorization"));
    }
    response
}

/// The names this server goes by.
struct Names {
    url: String,
    host: String,
    did: Did,
    handle_domains: Vec<String>,
}

fn names(config: &Config, url: String) -> Result<Names, ConfigError> {
    let host = url
        .split_once("://")
        .map_or(url.as_str(), |(_scheme, host)| host)
        .to_owned();
    let did = match &config.did {
        Some(did) => did.clone(),
        None => {
            let text = format!("did:web:{}", host.replace(':', "%3A"));
            let refuse = |_syntax| {
                ConfigError::invalid("pds.public_url", &*url, "a host name that makes a did:web")
            };
            text.parse().map_err(refuse)?
        }
    };
    let bare_host = host.split(':').next().unwrap_or_default();
    let handle_domains = if config.handle_domains.is_empty() {
        vec![format!(".{bare_host}")]
    } else {
        config.handle_domains.clone()
    };
    Ok(Names {
        url,
        host,
        did,
        handle_domains,
    })
}

async fn compose(config: Config, env: &Env, url: String) -> Result<Pds, StartError> {
    make_folder(&config.data_dir)?;
    let Names {
        url,
        host,
        did,
        handle_domains,
    } = names(&config, url)?;
    let keys = Arc::new(Keyring::open(&config.key_dir)?);
    let token_secret = read_or_create_key_file(&config.key_dir.join("pds-session.key"))?;
    let options = Options {
        name: "pds",
        ..Options::default()
    };
    let database = Database::open(
        config.data_dir.join("pds.sqlite"),
        store::MIGRATIONS,
        options,
    )?;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let passwords = PasswordPool::new(
        cores.saturating_sub(1),
        PASSWORDS_WAITING,
        config.password_cost,
    )?;
    let resolver = Resolver::new(
        config.resolver.clone(),
        env.outbound.clone(),
        Arc::clone(&env.clock),
    );
    let lexicons = Lexicons::new(
        resolver.clone(),
        folder::library(config.lexicon_dir.as_deref())?,
        Arc::clone(&env.clock),
        env.shutdown.clone(),
    );
    let bare_host = host.split(':').next().unwrap_or_default().to_owned();
    let mailer = mailer(&config, &bare_host)?;
    let Kept {
        sequencer,
        store,
        repos,
        blobs,
    } = kept(&config, env, &database, &keys, &host).await?;
    Ok(Arc::new(App {
        did: did.clone(),
        url,
        dev: env.dev,
        clock: Arc::clone(&env.clock),
        tasks: env.shutdown.clone(),
        accounts: Accounts::new(Arc::clone(&store.accounts)),
        store,
        repos,
        blobs,
        sequencer,
        database,
        handles: HandleRules::new(handle_domains, bare_host, env.dev),
        keys,
        tokens: TokenSigner::new(&token_secret, did),
        passwords,
        replays: ReplayGuard::default(),
        resolver,
        lexicons,
        plc: PlcClient::new(config.plc_url.clone(), env.outbound.clone()),
        outbound: env.outbound.clone(),
        mailer,
        host,
        config,
    }))
}

fn mailer(config: &Config, host: &str) -> Result<Mailer, ConfigError> {
    let from = match &config.mail_from {
        Some(from) => from.clone(),
        None => format!("noreply@{host}").parse().map_err(|_syntax| {
            ConfigError::invalid(
                "pds.mail_from",
                "",
                "a mail address: none can be made of the host",
            )
        })?,
    };
    let transport = match &config.mail_server {
        Some(server) => Transport::smtp(server.clone()),
        None => {
            let folder = config.data_dir.join("outbox");
            let shown = folder.display();
            tracing::info!(
                folder = %shown,
                "no mail server is configured (pds.smtp_url): mail goes into a folder, see /outbox"
            );
            Transport::Folder(folder)
        }
    };
    Ok(Mailer::new(transport, from))
}

/// Everything that is kept on disk.
struct Kept {
    sequencer: Sequencer,
    store: Store,
    repos: Repos,
    blobs: Blobs,
}

async fn kept(
    config: &Config,
    env: &Env,
    database: &Database,
    keys: &Arc<Keyring>,
    host: &str,
) -> Result<Kept, StartError> {
    let sequencer = Sequencer::open(sequencer::Parts {
        database: database.clone(),
        clock: Arc::clone(&env.clock),
        tasks: env.shutdown.clone(),
        backfill: config.backfill,
        outbound: env.outbound.clone(),
        crawlers: config.crawlers.clone(),
        host: host.to_owned(),
    })
    .await?;
    let publish = sequencer.publisher();
    let store = Store::sqlite(database, Arc::clone(&publish));
    let repos = Repos::new(
        repo::Parts {
            database: database.clone(),
            keys: Arc::clone(keys),
            clock: Arc::clone(&env.clock),
            tasks: env.shutdown.clone(),
            publish,
        },
        repo::Limits::default(),
    );
    repos.recover().await?;
    let blobs = Blobs::open(blob::Parts {
        database: database.clone(),
        clock: Arc::clone(&env.clock),
        tasks: env.shutdown.clone(),
        folder: config.data_dir.join("blobs"),
        config: config.blobs.clone(),
        due: repos.blobs_gone(),
    })?;
    Ok(Kept {
        sequencer,
        store,
        repos,
        blobs,
    })
}
