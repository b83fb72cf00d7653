//! What `/proc` tells of a process: CPU time, memory, bytes written.

use crate::Failure;
use std::time::Duration;

/// Clock ticks a second, the same on every Linux this runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// A reading of a process's counters.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Reading {
    pub(crate) cpu_seconds: f64,
    pub(crate) written_bytes: u64,
}

/// Reads the counters of `pid` (`self` for this process).
pub(crate) fn read(pid: &str) -> Result<Reading, Failure> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold spaces: the numbered fields come after the last one.
    let (_, fields) = stat.rsplit_once(')').ok_or("/proc/PID/stat has no name")?;
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    let ticks = |index: usize| -> Result<f64, Failure> {
        let field = fields.get(index).ok_or("/proc/PID/stat is short")?;
        Ok(field.parse::<f64>()?)
    };
    let written_bytes = std::fs::read_to_string(format!("/proc/{pid}/io"))
        .ok()
        .and_then(|io| number_after(&io, "write_bytes:"))
        .unwrap_or(0);
    Ok(Reading {
        cpu_seconds: (ticks(11)? + ticks(12)?) / TICKS_PER_SECOND,
        written_bytes,
    })
}

/// CPU time that `pid` takes in milliseconds a second, watched for so many seconds.
pub(crate) async fn idle_cpu_ms_per_second(pid: u32, seconds: f64) -> Result<f64, Failure> {
    let pid = pid.to_string();
    let before = read(&pid)?.cpu_seconds;
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    Ok((read(&pid)?.cpu_seconds - before) * 1e3 / seconds)
}

/// Resident memory of `pid` now, in MiB.
pub(crate) fn resident_mib(pid: u32) -> Option<f64> {
    status_mib(pid, "VmRSS:")
}

/// Forgets the most memory that `pid` had resident so far.
pub(crate) fn reset_peak(pid: u32) -> Result<(), Failure> {
    Ok(std::fs::write(format!("/proc/{pid}/clear_refs"), "5")?)
}

/// The most memory that `pid` had resident since the last [`reset_peak`], in MiB.
pub(crate) fn peak_mib(pid: u32) -> Option<f64> {
    status_mib(pid, "VmHWM:")
}

fn status_mib(pid: u32, label: &str) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    number_after(&status, label).map(|kib| kib as f64 / 1024.0)
}

fn number_after(text: &str, label: &str) -> Option<u64> {
    let (_, rest) = text.split_once(label)?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}
