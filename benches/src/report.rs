//! One JSON line a result, with what the run cost the watched process and the generator.

use crate::Failure;
use crate::process::{self, Reading};
use clap::Args;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Child;

/// Which process to watch, and how results are labelled.
#[derive(Debug, Args)]
pub(crate) struct WatchOptions {
    /// Label of what is measured, such as `ours` or `peer`
    #[arg(long, default_value = "ours", global = true)]
    target: String,
    /// Process whose CPU time, memory and written bytes are reported
    #[arg(long, global = true)]
    pid: Option<u32>,
    /// Folder whose size on disk is reported
    #[arg(long, global = true)]
    data: Option<PathBuf>,
    /// Also count fsync and fdatasync with strace; this slows the process down
    #[arg(long, global = true, requires = "pid")]
    count_fsync: bool,
}

/// A measurement that is running.
#[derive(Debug)]
pub(crate) struct Watch<'a> {
    options: &'a WatchOptions,
    before: Reading,
    own_before: Reading,
    disk_before: Option<u64>,
    tracer: Option<(Child, PathBuf)>,
}

/// What a run did, as far as every bench counts it.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// What was counted: requests, records or events.
    pub(crate) count: u64,
    pub(crate) seconds: f64,
    pub(crate) latencies: Latencies,
    pub(crate) errors: u64,
    pub(crate) first_error: Option<String>,
}

impl<'a> Watch<'a> {
    /// Takes the first readings.
    pub(crate) async fn start(options: &'a WatchOptions) -> Result<Self, Failure> {
        let tracer = match (options.count_fsync, options.pid) {
            (true, Some(pid)) => Some(trace(pid).await?),
            _ => None,
        };
        Ok(Self {
            options,
            before: options.reading()?,
            own_before: process::read("self")?,
            disk_before: options.disk_bytes(),
            tracer,
        })
    }

    /// Takes the last readings and prints the result, with the bench's own figures in `extra`.
    pub(crate) async fn finish(
        self,
        bench: &str,
        outcome: &Outcome,
        extra: Value,
    ) -> Result<(), Failure> {
        let after = self.options.reading()?;
        let own = process::read("self")?.cpu_seconds - self.own_before.cpu_seconds;
        let mut line = Map::new();
        let mut put = |key: &str, value: Value| line.insert(key.to_owned(), value);
        put("bench", json!(bench));
        put("target", json!(self.options.target));
        put("n", json!(outcome.count));
        put("seconds", rounded(outcome.seconds));
        put(
            "per_second",
            rounded(outcome.count as f64 / outcome.seconds),
        );
        for (key, share) in [("p50_ms", 0.5), ("p95_ms", 0.95), ("p99_ms", 0.99)] {
            if let Some(latency) = outcome.latencies.quantile_ms(share) {
                put(key, rounded(latency));
            }
        }
        put("errors", json!(outcome.errors));
        if let Some(error) = &outcome.first_error {
            put("first_error", json!(error));
        }
        if let Some(pid) = self.options.pid {
            let cpu = after.cpu_seconds - self.before.cpu_seconds;
            put("cpu_seconds", rounded(cpu));
            put(
                "cpu_ms_each",
                rounded(cpu * 1e3 / outcome.count.max(1) as f64),
            );
            let written = after.written_bytes - self.before.written_bytes;
            put("written_bytes", json!(written));
            put("rss_mib", json!(process::resident_mib(pid).map(rounded)));
        }
        put("client_cpu_seconds", rounded(own));
        if let (Some(before), Some(after)) = (self.disk_before, self.options.disk_bytes()) {
            put("disk_bytes", json!(after));
            put("disk_bytes_grown", json!(after.saturating_sub(before)));
        }
        if let Some((child, file)) = self.tracer {
            put("fsyncs", json!(traced(child, &file).await?));
        }
        if let Value::Object(extra) = extra {
            line.extend(extra);
        }
        print_line(&Value::Object(line));
        Ok(())
    }
}

impl WatchOptions {
    /// Resident memory of the watched process in MiB.
    pub(crate) fn resident_mib(&self) -> Option<f64> {
        self.pid.and_then(process::resident_mib)
    }

    /// Forgets the most memory that the watched process had resident so far.
    pub(crate) fn reset_peak(&self) -> Result<(), Failure> {
        self.pid.map_or(Ok(()), process::reset_peak)
    }

    /// The most memory that the watched process had resident since the last reset, in MiB.
    pub(crate) fn peak_mib(&self) -> Option<f64> {
        self.pid.and_then(process::peak_mib)
    }

    fn reading(&self) -> Result<Reading, Failure> {
        self.pid.map_or(Ok(Reading::default()), |pid| {
            process::read(&pid.to_string())
        })
    }

    fn disk_bytes(&self) -> Option<u64> {
        self.data.as_deref().map(folder_bytes)
    }
}

/// Latencies in microseconds.
#[derive(Debug, Default, Clone)]
pub(crate) struct Latencies(Vec<u32>);

impl Latencies {
    pub(crate) fn add(&mut self, latency: Duration) {
        self.0
            .push(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX));
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    fn quantile_ms(&self, share: f64) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let last = sorted.len().checked_sub(1)?;
        let index = (last as f64 * share).round() as usize;
        sorted.get(index).map(|&us| f64::from(us) / 1e3)
    }
}

/// Three decimals are more than any of these figures is good for.
pub(crate) fn rounded(number: f64) -> Value {
    json!((number * 1e3).round() / 1e3)
}

/// A progress note on standard error.
#[expect(clippy::print_stderr, reason = "progress is for the person who waits")]
pub(crate) fn note(text: &str) {
    eprintln!("{text}");
}

#[expect(clippy::print_stdout, reason = "results are this program's output")]
fn print_line(line: &Value) {
    println!("{line}");
}

fn folder_bytes(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    let sizes = entries.flatten().map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => folder_bytes(&entry.path()),
        Ok(kind) if kind.is_file() => entry.metadata().map_or(0, |data| data.len()),
        _ => 0,
    });
    sizes.sum()
}

async fn trace(pid: u32) -> Result<(Child, PathBuf), Failure> {
    let file = std::env::temp_dir().join(format!("rochdale-benches-{}.strace", std::process::id()));
    let child = tokio::process::Command::new("strace")
        .args(["-f", "-q", "-c", "-e", "trace=fsync,fdatasync", "-o"])
        .arg(&file)
        .args(["-p", &pid.to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    // strace says nothing when it has attached.
    tokio::time::sleep(Duration::from_millis(500)).await;
    Ok((child, file))
}

/// Stops the tracer and adds up the calls in its table.
async fn traced(mut child: Child, file: &Path) -> Result<u64, Failure> {
    if let Some(pid) = child.id() {
        let pid = pid.to_string();
        let kill = tokio::process::Command::new("kill")
            .args(["-INT", &pid])
            .status();
        kill.await?;
    }
    child.wait().await?;
    let table = std::fs::read_to_string(file)?;
    std::fs::remove_file(file)?;
    // Columns: % time, seconds, usecs/call, calls, errors (maybe empty), syscall.
    let calls = table.lines().filter_map(|line| {
        let columns: Vec<&str> = line.split_ascii_whitespace().collect();
        let name = columns.last()?;
        let wanted = ["fsync", "fdatasync"].contains(name);
        wanted.then(|| columns.get(3)?.parse::<u64>().ok())?
    });
    Ok(calls.sum())
}
