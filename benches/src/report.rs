//! One JSON line a result, with what the run cost the watched process and the generator.

use crate::Failure;
use crate::process::{self, Reading};
use crate::syncs;
use clap::Args;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

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
    /// What strace writes of the process's fsync and fdatasync: how many there were is reported by file
    #[arg(long, value_name = "FILE", global = true)]
    fsync_trace: Option<PathBuf>,
}

/// A measurement that is running.
#[derive(Debug)]
pub(crate) struct Watch<'a> {
    options: &'a WatchOptions,
    before: Reading,
    own_before: Reading,
    disk_before: Option<u64>,
    syncs_before: syncs::Counts,
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
    pub(crate) fn start(options: &'a WatchOptions) -> Result<Self, Failure> {
        Ok(Self {
            options,
            before: options.reading()?,
            own_before: process::read("self")?,
            disk_before: options.disk_bytes(),
            syncs_before: options.syncs()?,
        })
    }

    /// Takes the last readings and prints the result, with the bench's own figures in `extra`.
    pub(crate) fn finish(
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
        if self.options.fsync_trace.is_some() {
            let syncs = syncs::since(&self.syncs_before, self.options.syncs()?);
            let all = syncs.values().sum::<u64>();
            put("fsyncs", json!(all));
            put(
                "fsyncs_each",
                rounded(all as f64 / outcome.count.max(1) as f64),
            );
            put("fsyncs_of", json!(syncs));
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

    fn syncs(&self) -> Result<syncs::Counts, Failure> {
        let trace = self.fsync_trace.as_deref();
        trace.map_or(Ok(syncs::Counts::new()), syncs::count)
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

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// The latency that this share of all does not exceed, in milliseconds.
    pub(crate) fn quantile_ms(&self, share: f64) -> Option<f64> {
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
