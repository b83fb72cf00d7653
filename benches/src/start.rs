//! How long a stack takes from its start to its ready line and from SIGTERM to its end, and what it costs idle.

use crate::Failure;
use crate::process;
use crate::report::{Outcome, Watch, WatchOptions, rounded};
use crate::server::Server;
use clap::Args;
use serde_json::json;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Seconds to watch the idle stack
    #[arg(long, default_value_t = 5.0)]
    idle_seconds: f64,
    /// The command, which prints one line on standard output when it is ready
    #[arg(trailing_var_arg = true, required = true)]
    command: Vec<String>,
}

/// Runs the bench.
pub(crate) async fn run(options: Options, watch: &WatchOptions) -> Result<(), Failure> {
    let watch = Watch::start(watch)?;
    let server = Server::start(&options.command).await?;
    let idle = process::idle_cpu_ms_per_second(server.pid, options.idle_seconds).await?;
    let idle_mib = process::resident_mib(server.pid);
    let outcome = Outcome {
        count: 1,
        seconds: server.start_time.as_secs_f64(),
        ..Outcome::default()
    };
    let stop_time = server.stop().await?;
    let extra = json!({
        "idle_rss_mib": idle_mib.map(rounded),
        "idle_cpu_ms_per_second": rounded(idle),
        "stop_seconds": rounded(stop_time.as_secs_f64()),
    });
    watch.finish("stack.start", &outcome, extra)
}
