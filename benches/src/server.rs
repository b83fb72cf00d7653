//! A server that a bench starts and stops itself: its ready line, its times.

use crate::Failure;
use serde_json::Value;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// A running server; it is killed when the bench gives up.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) pid: u32,
    /// What it printed when it was ready.
    pub(crate) ready: Value,
    pub(crate) start_time: Duration,
}

impl Server {
    /// Starts the command, which prints one line of JSON on standard output when it is ready.
    pub(crate) async fn start(command: &[String]) -> Result<Self, Failure> {
        let (program, arguments) = command.split_first().ok_or("no command")?;
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
        let start_time = start.elapsed();
        let line = line.ok_or("the command ended without a ready line")?;
        Ok(Self {
            pid: child.id().ok_or("the command has ended")?,
            child,
            ready: serde_json::from_str(&line)?,
            start_time,
        })
    }

    /// Sends SIGTERM; answers how long the end took.
    pub(crate) async fn stop(mut self) -> Result<Duration, Failure> {
        let start = Instant::now();
        let pid = self.pid.to_string();
        Command::new("kill").args(["-TERM", &pid]).status().await?;
        let status = self.child.wait().await?;
        if !status.success() {
            return Err(format!("the server ended with {status} after SIGTERM").into());
        }
        Ok(start.elapsed())
    }
}
