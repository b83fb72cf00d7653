//! From a configuration to a relay that accepts connections, and back to nothing in order.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use http::HeaderValue;
use http::header::SERVER;
use rochdale_resolver::Resolver;
use rochdale_service::Env;
use rochdale_service::shutdown::Shutdown;
use rochdale_service::sqlite::OpenError;
use rochdale_service::start::{FolderError, ListenError, Running, listen, make_folder};
use rochdale_service::stream::{Frame, Options, Stream, XrpcV0};
use rochdale_service::xrpc::{self, RateLimits, ServeOptions};
use tokio::sync::mpsc;

use crate::app::Relay;
use crate::config::Config;
use crate::hosts::{CrawlError, CrawlPolicy, HostPolicy, Hosts, NameRules, Subscriber};
use crate::log::{Appender, Hidden, Log, LogError, StreamLog};
use crate::output::{Health, Keeper, Output, Writer};
use crate::store::{Store, StoreError};
use crate::verify::{ReplayError, Shards, ShardsConfig, replay};
use crate::{api, web};

/// Verdicts that may wait for the writer, and state that may wait for the keeper.
const QUEUE: usize = 4_096;
const SAVE_CURSORS_EVERY: Duration = Duration::from_secs(1);
const TRIM_EVERY: Duration = Duration::from_secs(60);
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
    relay.resume_in_background(&env.shutdown);
    let limits = RateLimits::new(&config.shared.limits, Arc::clone(&env.clock));
    let serve = xrpc::serve(
        listener,
        router(&relay, limits),
        env.shutdown.clone(),
        ServeOptions::default(),
    );
    env.shutdown.spawn_critical("relay http", serve);
    env.shutdown.spawn(
        "relay cursors",
        save_cursors(Arc::clone(&relay), env.shutdown.clone()),
    );
    env.shutdown.spawn(
        "relay retention",
        trim(Arc::clone(&relay), env.shutdown.clone()),
    );
    env.shutdown.spawn(
        "relay stop",
        stop(Arc::clone(&relay), output, env.shutdown.clone()),
    );
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

/// What is on disk, in agreement with itself.
struct Memory {
    store: Store,
    log: Arc<Log>,
    hidden: Arc<Hidden>,
    /// The first number that has certainly never been given out.
    next_seq: u64,
    reserved_seq: u64,
}

impl Memory {
    async fn open(config: &Config, env: &Env) -> Result<Self, StartError> {
        make_folder(&config.data_dir)?;
        let store = Store::open(&config.data_dir.join("relay.sqlite"))?;
        let hidden = Arc::new(Hidden::default());
        let log = Log::open(
            &config.data_dir.join("relay-log"),
            config.log,
            Arc::clone(&hidden),
        )?;
        let replayed = replay(&log, &store, env.clock.now_ms()).await?;
        if replayed > 0 {
            tracing::info!(
                events = replayed,
                "caught up with the log after a stop that was not clean"
            );
        }
        let oldest = log.oldest().unwrap_or(u64::MAX);
        for (did, until_seq) in store.deleted_since(oldest).await? {
            hidden.hide(&did, until_seq);
        }
        let reserved_seq = store.progress().await?.reserved_seq;
        // Above everything that may have been given out: what the log holds, what was reserved outside of it, and, should both
        // be lost or restored from an old copy, what the clock says, which no number ever overtakes.
        if log.last_stored().is_none() {
            // Whatever there was is gone with the log.
            log.note_trimmed(reserved_seq);
        }
        let next_seq = (log.head() + 1)
            .max(reserved_seq + 1)
            .max(env.clock.now_us());
        Ok(Self {
            store,
            log,
            hidden,
            next_seq,
            reserved_seq,
        })
    }
}

/// The end of the pipeline, to be waited for at a stop.
struct OutputEnd {
    writer: JoinHandle<()>,
    keeper: tokio::task::JoinHandle<()>,
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

impl Relay {
    fn resume_in_background(self: &Arc<Self>, shutdown: &Shutdown) {
        let own = Arc::clone(self);
        shutdown.spawn("relay takedowns", async move {
            if let Err(error) = own.resume_takedowns().await {
                tracing::warn!(%error, "stored takedowns were not all announced");
            }
        });
    }
}

async fn save_cursors(relay: Arc<Relay>, shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            () = tokio::time::sleep(SAVE_CURSORS_EVERY) => {}
        }
        if let Err(error) = relay.hosts.save_cursors().await {
            tracing::warn!(%error, "the hosts' cursors were not saved; trying again");
        }
        metrics::gauge!("rochdale_relay_verify_queue").set(relay.shards.waiting() as f64);
        metrics::gauge!("rochdale_relay_log_bytes").set(relay.log.size_bytes() as f64);
    }
}

async fn trim(relay: Arc<Relay>, shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            () = tokio::time::sleep(TRIM_EVERY) => {}
        }
        let (log, now_us) = (Arc::clone(&relay.log), relay.clock.now_us());
        match tokio::task::spawn_blocking(move || log.trim(now_us)).await {
            Ok(Ok(_removed)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "old events were not removed; trying again"),
            Err(panic) => tracing::error!(%panic, "removing old events panicked"),
        }
    }
}

/// Lets what is on its way arrive, from the front to the back, and leaves the disk as a clean start wants it.
async fn stop(relay: Arc<Relay>, output: OutputEnd, shutdown: Shutdown) {
    shutdown.requested().await;
    let shards = Arc::clone(&relay.shards);
    let stopped = tokio::task::spawn_blocking(move || {
        shards.stop();
        output.writer.join()
    });
    if stopped.await.is_err() || output.keeper.await.is_err() {
        tracing::error!("the relay did not stop in order; the next start catches up");
        return;
    }
    let saved = async {
        relay.hosts.save_cursors().await?;
        relay.store.set_reserved(relay.log.head()).await
    };
    if let Err(error) = saved.await {
        tracing::warn!(%error, "the last cursors were not saved; some events will come again");
    }
    relay.store.database().close().await;
}
