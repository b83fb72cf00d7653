//! From a configuration to a relay that accepts connections, and back to nothing in order.

mod memory;
mod tasks;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use axum::Router;
use http::HeaderValue;
use http::header::SERVER;
use rochdale_resolver::Resolver;
use rochdale_service::Env;
use rochdale_service::shutdown::Shutdown;
use rochdale_service::sqlite::OpenError;
use rochdale_service::start::{FolderError, ListenError, Running, listen};
use rochdale_service::stream::{Frame, Options, Stream, XrpcV0};
use rochdale_service::xrpc::{self, RateLimits, ServeOptions};
use tokio::sync::mpsc;

use crate::app::Relay;
use crate::config::Config;
use crate::hosts::{CrawlError, CrawlPolicy, HostPolicy, Hosts, NameRules, Subscriber};
use crate::log::{Appender, LogError, StreamLog};
use crate::output::{Health, Keeper, Output, Writer};
use crate::store::StoreError;
use crate::verify::{ReplayError, Shards, ShardsConfig};
use crate::{api, web};
use memory::Memory;
use tasks::OutputEnd;

/// Verdicts that may wait for the writer, and state that may wait for the keeper.
const QUEUE: usize = 4_096;
/// Said of every answer; by this word relays know each other.
const SERVER_NAME: &str = concat!("rochdale/", env!("CARGO_PKG_VERSION"), " (atproto-relay)");

/// Why the relay did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The data folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A thread cannot be started.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
    /// The database cannot be opened.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log cannot be used.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The state could not catch up with the log.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// A host of the configuration could not be taken in.
    #[error(transparent)]
    Host(#[from] CrawlError),
}

/// Starts the relay; returns when it accepts connections. It runs until a stop is asked for.
///
/// # Errors
/// Says what to do about a port, folder or database that cannot be used.
pub async fn start(config: Config, env: Env) -> Result<Running, StartError> {
    let (listener, running) = listen(&config.endpoint).await?;
    let memory = Memory::open(&config, &env).await?;
    let (relay, output) = compose(&config, &env, &memory, running.url.clone()).await?;
    let limits = RateLimits::new(&config.shared.limits, Arc::clone(&env.clock));
    let serve = xrpc::serve(
        listener,
        router(&relay, limits),
        env.shutdown.clone(),
        ServeOptions::default(),
    );
    env.shutdown.spawn_critical("relay http", serve);
    tasks::spawn(&relay, output, &env.shutdown);
    relay.subscriber.listen_to_all();
    for host in config.hosts {
        relay.subscriber.adopt(host).await?;
    }
    tracing::info!(url = relay.url, "relay is ready");
    Ok(running)
}

fn router(relay: &Arc<Relay>, limits: RateLimits) -> Router {
    let name = |mut response: axum::response::Response| async {
        response
            .headers_mut()
            .insert(SERVER, HeaderValue::from_static(SERVER_NAME));
        response
    };
    xrpc::router(api::table(), api::rest(), limits)
        .merge(api::admin::routes())
        .merge(web::routes())
        .layer(axum::middleware::map_response(name))
        .with_state(Arc::clone(relay))
}

async fn compose(
    config: &Config,
    env: &Env,
    memory: &Memory,
    url: String,
) -> Result<(Arc<Relay>, OutputEnd), StartError> {
    let Memory {
        store, log, hidden, ..
    } = memory;
    let limits = config.shared.limits.enabled;
    let names = NameRules {
        localhost: config.shared.dev,
    };
    let policy = HostPolicy {
        limits,
        account_limit: config.accounts_per_host,
        new_hosts_per_day: config.new_hosts_per_day,
        trusted: config.trusted_hosts.clone(),
        lenient: config.lenient_hosts.clone(),
    };
    let hosts = Hosts::load(store.clone(), policy).await?;
    let resolver = Resolver::new(
        config.shared.resolver.clone(),
        env.outbound.clone(),
        Arc::clone(&env.clock),
    );
    let appender = Appender::new(Arc::clone(log), memory.next_seq);
    let stream = open_stream(config, memory, &env.shutdown);
    let health = Arc::new(Health::default());
    let (verdicts, end) = start_output((memory, appender), env, &stream, &health)?;
    let shards = ShardsConfig {
        shards: config.verifiers,
        entries: config.hot_accounts,
        limits,
        names: NameRules { localhost: true },
        last_account: store.last_account().await?,
    };
    let network = (&resolver, &env.outbound, &env.clock);
    let shards = Shards::start(&shards, (store, &hosts, &env.shutdown), network, &verdicts)
        .map_err(StartError::Thread)?;
    let crawl = CrawlPolicy {
        public: config.public_crawl,
        names,
        relays: config.crawl_relays,
    };
    let subscriber = Subscriber::new(
        (Arc::clone(&hosts), Arc::clone(&shards)),
        (
            env.outbound.clone(),
            Arc::clone(&env.clock),
            env.shutdown.clone(),
        ),
        crawl,
        config.in_flight_bytes,
        config.idle_after,
    );
    let relay = Relay {
        url,
        admin_password: config.admin_password.clone(),
        clock: Arc::clone(&env.clock),
        store: store.clone(),
        log: Arc::clone(log),
        hidden: Arc::clone(hidden),
        hosts,
        shards,
        subscriber,
        resolver,
        stream,
        health,
    };
    Ok((Arc::new(relay), end))
}

fn open_stream(config: &Config, memory: &Memory, shutdown: &Shutdown) -> Arc<Stream> {
    let hidden = Arc::clone(&memory.hidden);
    let options = Options {
        name: "relay",
        ring_bytes: config.ready_bytes,
        max_subscribers: config.subscribers,
        max_per_ip: config.subscribers_per_address,
        stall_timeout: config.subscriber_stall,
        visible: Some(Arc::new(move |frame: &Frame| {
            hidden.shows(frame.subject, frame.seq)
        })),
        ..Options::default()
    };
    let log = StreamLog::new(Arc::clone(&memory.log), Arc::clone(&memory.hidden));
    Stream::new(Arc::new(log), XrpcV0, options, shutdown.clone())
}

fn start_output(
    (memory, appender): (&Memory, Appender),
    env: &Env,
    stream: &Arc<Stream>,
    health: &Arc<Health>,
) -> Result<(mpsc::Sender<Output>, OutputEnd), StartError> {
    let (verdicts, inbox) = mpsc::channel(QUEUE);
    let (states, keeper_inbox) = mpsc::channel(QUEUE);
    let reserved = Arc::new(AtomicU64::new(memory.reserved_seq));
    let keeper = Keeper {
        store: memory.store.clone(),
        clock: Arc::clone(&env.clock),
        inbox: keeper_inbox,
        reserved: Arc::clone(&reserved),
    };
    let writer = Writer {
        appender,
        stream: Arc::clone(stream),
        hidden: Arc::clone(&memory.hidden),
        clock: Arc::clone(&env.clock),
        shutdown: env.shutdown.clone(),
        inbox,
        keeper: states,
        reserved,
        health: Arc::clone(health),
    };
    let shutdown = env.shutdown.clone();
    let run = move || {
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| writer.run()));
        if ended.is_err() || !shutdown.is_requested() {
            shutdown.fail("the relay's writer ended".to_owned());
        }
    };
    let writer = std::thread::Builder::new()
        .name("relay-log".to_owned())
        .spawn(run)
        .map_err(StartError::Thread)?;
    let keeper = tokio::spawn(keeper.run());
    Ok((verdicts, OutputEnd { writer, keeper }))
}
