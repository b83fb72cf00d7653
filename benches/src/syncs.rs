//! How often a process made files durable, from a trace that strace writes while it runs:
//! `strace -D -f --seccomp-bpf -qq -y -e trace=fsync,fdatasync -o FILE COMMAND`. Only these calls stop the
//! process, so it keeps nearly its speed.

use crate::Failure;
use std::collections::BTreeMap;
use std::path::Path;

/// Calls by file name.
pub(crate) type Counts = BTreeMap<String, u64>;

/// Counts the calls so far.
pub(crate) fn count(trace: &Path) -> Result<Counts, Failure> {
    let mut counts = Counts::new();
    for line in std::fs::read_to_string(trace)?.lines() {
        // `4711 fdatasync(7</data/pds.sqlite-wal>) = 0`, or its first half, `<unfinished ...>`.
        let Some((_, call)) = line.split_once("sync(") else {
            continue;
        };
        let path = call.split(['<', '>']).nth(1).unwrap_or_default();
        let name = path.rsplit('/').next().unwrap_or_default();
        *counts.entry(name.to_owned()).or_default() += 1;
    }
    Ok(counts)
}

/// What came since `before`.
pub(crate) fn since(before: &Counts, mut now: Counts) -> Counts {
    for (name, count) in &mut now {
        *count -= before.get(name).copied().unwrap_or_default().min(*count);
    }
    now.retain(|_, &mut count| count > 0);
    now
}
