//! Time and randomness for every process: the one place that reads the wall clock and the operating
//! system's random source. Everything else takes a [`Clock`] or the bytes as an argument.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A source of Unix time.
pub trait Clock: Send + Sync + Debug {
    /// Unix time in microseconds.
    fn now_us(&self) -> u64;

    /// Unix time in milliseconds.
    fn now_ms(&self) -> u64 {
        self.now_us() / 1_000
    }
}

/// A clock that is handed around.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl SystemClock {
    /// The machine's clock, ready to be handed around.
    pub fn shared() -> SharedClock {
        Arc::new(Self)
    }
}

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the wall clock"
    )]
    fn now_us(&self) -> u64 {
        // A clock before 1970 reads as 0, one after the year 586,000 as the largest number.
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }
}

/// A clock that stands still until it is moved, for tests. Clones share the time.
#[derive(Debug, Clone, Default)]
pub struct ManualClock {
    now_us: Arc<AtomicU64>,
}

impl ManualClock {
    /// A clock that shows `now_us` (Unix microseconds).
    pub fn at_us(now_us: u64) -> Self {
        Self {
            now_us: Arc::new(AtomicU64::new(now_us)),
        }
    }

    /// Sets the time, also backwards.
    pub fn set_us(&self, now_us: u64) {
        self.now_us.store(now_us, Ordering::SeqCst);
    }

    /// Moves the time forward.
    pub fn advance(&self, by: Duration) {
        let by_us = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
        self.now_us.fetch_add(by_us, Ordering::SeqCst);
    }

    /// This clock, ready to be handed around.
    pub fn shared(&self) -> SharedClock {
        Arc::new(self.clone())
    }
}

impl Clock for ManualClock {
    fn now_us(&self) -> u64 {
        self.now_us.load(Ordering::SeqCst)
    }
}

/// `N` bytes of the operating system's random source, fit for keys and tokens.
///
/// Ends the process when the system has none: there is no safe way to go on.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if let Err(cause) = rand::TryRng::try_fill_bytes(&mut rand::rngs::SysRng, &mut bytes) {
        tracing::error!(%cause, "the operating system gives no random bytes; stopping");
        std::process::abort();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manual_clock_moves_only_when_told() {
        let clock = ManualClock::at_us(5_000);
        let other = clock.clone();
        assert_eq!((clock.now_us(), clock.now_ms()), (5_000, 5));
        other.advance(Duration::from_millis(2));
        assert_eq!(clock.now_us(), 7_000);
        clock.set_us(1);
        assert_eq!(other.now_us(), 1);
    }

    #[test]
    fn system_clock_is_after_2020_and_random_bytes_differ() {
        assert!(SystemClock.now_ms() > 1_577_836_800_000);
        assert_ne!(random::<32>(), random::<32>());
    }
}
