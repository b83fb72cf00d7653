//! How long a stack takes from its start to its ready line and from SIGTERM to its end, and what it costs idle.

use crate::Failure;
use crate::process;
use crate::report::{Outcome, Watch, WatchOptions, rounded};
use clap::Args;
use serde_json::json;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

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
    let (program, arguments) = options.command.split_first().ok_or("no command")?;
    let watch = Watch::start(watch)?;
    let start = Instant::now();
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let stdout = child.stdout.take().ok_or("no standard output")?;
    let line = BufReader::new(stdout).lines().next_line().await?;
    let seconds = start.elapsed().as_secs_f64();
    line.ok_or("the command ended without a ready line")?;
    let pid = child.id().ok_or("the command has ended")?;
    let before = process::read(&pid.to_string())?.cpu_seconds;
    tokio::time::sleep(Duration::from_secs_f64(options.idle_seconds)).await;
    let idle = process::read(&pid.to_string())?.cpu_seconds - before;
    let idle_mib = process::resident_mib(pid);
    let stop_seconds = stop(&mut child, pid).await?;
    let outcome = Outcome {
        count: 1,
        seconds,
        ..Outcome::default()
    };
    let extra = json!({
        "idle_rss_mib": idle_mib.map(rounded),
        "idle_cpu_ms_per_second": rounded(idle * 1e3 / options.idle_seconds),
        "stop_seconds": rounded(stop_seconds),
    });
    watch.finish("stack.start", &outcome, extra)
}

async fn stop(child: &mut Child, pid: u32) -> Result<f64, Failure> {
    let start = Instant::now();
    let pid = pid.to_string();
    Command::new("kill").args(["-TERM", &pid]).status().await?;
    let status = child.wait().await?;
    if !status.success() {
        return Err(format!("the stack ended with {status} after SIGTERM").into());
    }
    Ok(start.elapsed().as_secs_f64())
}
