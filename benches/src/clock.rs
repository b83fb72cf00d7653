//! The wall clock: the one place that reads it.

use std::time::{SystemTime, UNIX_EPOCH};

/// Unix time in microseconds.
#[expect(
    clippy::disallowed_methods,
    reason = "a load generator has no clock injected"
)]
pub(crate) fn now_us() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
        })
}
