//! What every subcommand does around its services: a runtime, an environment, signals, an orderly
//! end, and one message when it fails.

use std::process::ExitCode;
use std::time::Duration;

use rochdale_resolver::lexicon::folder::SchemaFolderError;
use rochdale_service::Env;
use rochdale_service::clock::SystemClock;
use rochdale_service::config::ConfigError;
use rochdale_service::outbound::{Outbound, OutboundSetupError, Policy};
use rochdale_service::shutdown::Shutdown;
use rochdale_service::telemetry::{self, ExporterError};

use crate::config::Telemetry;

/// After SIGTERM the process is gone within this time.
const STOP_LIMIT: Duration = Duration::from_millis(3_800);

/// Why a process did not start, or had to end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The PDS did not start.
    #[error("the PDS did not start: {0}")]
    Pds(#[from] rochdale_pds::StartError),
    /// The DID service did not start.
    #[error("the DID service did not start: {0}")]
    Identity(#[from] rochdale_identity::StartError),
    /// The relay did not start.
    #[error("the relay did not start: {0}")]
    Relay(#[from] rochdale_relay::StartError),
    /// A port that `up` was told to use is taken.
    #[error(
        "port {port} is in use: stop what runs there, or choose another with {flag} (0 picks a free one)"
    )]
    Port {
        /// The port.
        port: u16,
        /// The flag that changes it.
        flag: &'static str,
    },
    /// The metrics listener.
    #[error(transparent)]
    Metrics(#[from] ExporterError),
    /// The outbound client.
    #[error(transparent)]
    Outbound(#[from] OutboundSetupError),
    /// The demo could not be set up.
    #[error("the demo could not be set up: {0}")]
    Demo(String),
    /// A command for schemas could not be done.
    #[error("{0}")]
    Lexicon(String),
    /// Schemas in files cannot be read.
    #[error(transparent)]
    Schemas(#[from] SchemaFolderError),
    /// The system refused a runtime, a signal handler or the ready line.
    #[error("the system refused: {0}")]
    System(#[from] std::io::Error),
    /// A part without which the process is no good has ended.
    #[error("stopped: {0}")]
    Failed(String),
}

/// Runs a subcommand on a runtime of its own.
///
/// # Errors
/// What the subcommand answers, or a system without threads.
pub(crate) fn to_end<T>(command: impl Future<Output = Result<T, RunError>>) -> Result<T, RunError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(command);
    // Threads in the middle of a blocking call do not hold up the end.
    runtime.shutdown_background();
    outcome
}

/// As [`to_end`] for a command that has told how it ended itself.
pub(crate) fn to_code(command: impl Future<Output = ExitCode>) -> ExitCode {
    let mut code = ExitCode::FAILURE;
    let outcome = to_end(async {
        code = command.await;
        Ok(())
    });
    if let Err(error) = outcome {
        explain(&error);
    }
    code
}

/// Says on standard error why it ended, with every cause that adds something.
pub(crate) fn explain(error: &(dyn std::error::Error + 'static)) {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    #[expect(
        clippy::print_stderr,
        reason = "the last words of the process, for a person"
    )]
    {
        eprintln!("rochdale: {text}");
    }
}

/// Starts logs and, if wanted, metrics, and answers what each service is handed.
///
/// # Errors
/// A metrics port that is taken, or a system without signals.
pub(crate) async fn environment(settings: &Telemetry) -> Result<Env, RunError> {
    telemetry::init(&settings.log);
    let shutdown = Shutdown::new();
    shutdown.on_signals()?;
    if let Some(address) = settings.metrics {
        let address = telemetry::serve_metrics(address, &shutdown).await?;
        tracing::info!(%address, "serving metrics");
    }
    let user_agent = concat!("rochdale/", env!("CARGO_PKG_VERSION")).to_owned();
    let dev = settings.dev;
    let outbound = Outbound::new(Policy { dev, user_agent })?;
    Ok(Env {
        clock: SystemClock::shared(),
        shutdown,
        outbound,
        dev,
    })
}

/// Waits for the wish to stop, then for everybody to have stopped.
///
/// # Errors
/// When the stop was not asked for but had to be.
pub(crate) async fn until_stopped(shutdown: &Shutdown) -> Result<(), RunError> {
    shutdown.requested().await;
    let left = shutdown.finish(STOP_LIMIT).await;
    if left > 0 {
        tracing::warn!(tasks = left, "stopped with tasks still running");
    }
    match shutdown.failure() {
        Some(why) => Err(RunError::Failed(why)),
        None => Ok(()),
    }
}
