//! When a lost host is tried again: soon at first, then ever more rarely, never not at all.
//!
//! Full jitter from 1 s to 5 min for six hours, then about hourly for a week, then about daily.

use std::time::Duration;

const FIRST_MS: u64 = 1_000;
const MOST_MS: u64 = 300_000;
const HOUR_MS: u64 = 3_600_000;
/// How long a host is tried often.
const OFTEN_MS: u64 = 6 * HOUR_MS;
const HOURLY_MS: u64 = 7 * 24 * HOUR_MS;

/// The failures of one host since it last worked.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Backoff {
    failures: u32,
    since_ms: Option<u64>,
}

impl Backoff {
    /// The host works.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Whether the host has not failed since it last worked.
    pub(super) fn is_fresh(&self) -> bool {
        self.failures == 0
    }

    /// Whether the host has been failing for so long that it counts as offline.
    pub(super) fn is_offline(&self, now_ms: u64) -> bool {
        self.since_ms
            .is_some_and(|since| now_ms.saturating_sub(since) >= OFTEN_MS)
    }

    /// Notes one more failure; answers how long to wait. `random` is any number.
    pub(super) fn fail(&mut self, now_ms: u64, random: u64) -> Duration {
        let since = *self.since_ms.get_or_insert(now_ms);
        let down_ms = now_ms.saturating_sub(since);
        let doubled = FIRST_MS.checked_shl(self.failures).unwrap_or(MOST_MS);
        self.failures = self.failures.saturating_add(1);
        let wait_ms = match down_ms {
            down if down < OFTEN_MS => 1 + random % doubled.clamp(FIRST_MS, MOST_MS),
            down if down < HOURLY_MS => HOUR_MS / 2 + random % HOUR_MS,
            _ => 12 * HOUR_MS + random % (24 * HOUR_MS),
        };
        Duration::from_millis(wait_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_five_minutes_and_carry_jitter() {
        let mut backoff = Backoff::default();
        let longest: Vec<u64> = (0..12)
            .map(|_| backoff.fail(0, u64::MAX - 615).as_millis() as u64)
            .collect();
        assert!(longest.iter().all(|wait| *wait >= 1 && *wait <= MOST_MS));
        let mut backoff = Backoff {
            failures: 30,
            since_ms: Some(0),
        };
        assert_eq!(backoff.fail(1, 0), Duration::from_millis(1));
        assert_eq!(backoff.fail(1, MOST_MS - 1), Duration::from_millis(MOST_MS));
        let mut first = Backoff::default();
        assert_eq!(first.fail(1, FIRST_MS - 1), Duration::from_millis(FIRST_MS));
        assert_eq!(
            first.fail(1, 2 * FIRST_MS - 1),
            Duration::from_millis(2 * FIRST_MS)
        );
    }

    // Relay checklist 50: an offline host is still tried.
    #[test]
    fn long_dead_host_is_offline_and_tried_hourly_then_daily() {
        let mut backoff = Backoff::default();
        backoff.fail(0, 0);
        assert!(!backoff.is_offline(OFTEN_MS - 1));
        assert!(backoff.is_offline(OFTEN_MS));
        let hourly = backoff.fail(OFTEN_MS, 7).as_millis() as u64;
        assert!((HOUR_MS / 2..=HOUR_MS * 3 / 2).contains(&hourly));
        let daily = backoff.fail(HOURLY_MS, 7).as_millis() as u64;
        assert!((12 * HOUR_MS..=36 * HOUR_MS).contains(&daily));
        backoff.reset();
        assert!(backoff.is_fresh());
    }
}
