//! Sliding windows: how many events of a host are taken per second, hour and day; how many new hosts per day.
//!
//! A host's full window drops nothing: its reader waits, and TCP tells the host.

use rochdale_protocol::syntax::Did;

use super::share::{Counts, Shares};

pub(super) const HOUR_MS: u64 = 3_600_000;
pub(super) const DAY_MS: u64 = 24 * HOUR_MS;

/// How much one host may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostLimits {
    /// Accounts that may be hosted there before further ones are throttled.
    pub accounts: u64,
    /// Events per second.
    pub per_second: u64,
    /// Events per hour.
    pub per_hour: u64,
    /// Events per day.
    pub per_day: u64,
}

impl HostLimits {
    /// No limits at all.
    pub const UNLIMITED: Self = Self {
        accounts: u64::MAX,
        per_second: u64::MAX,
        per_hour: u64::MAX,
        per_day: u64::MAX,
    };
    /// Those of a trusted host.
    pub const TRUSTED: Self = Self {
        accounts: 10_000_000,
        per_second: 5_000,
        per_hour: 50_000_000,
        per_day: 500_000_000,
    };

    /// Those of a host that may have `accounts` accounts.
    pub fn for_accounts(accounts: u64) -> Self {
        Self {
            accounts,
            per_second: 50 + accounts / 1_000,
            per_hour: 2_500_u64.saturating_add(accounts),
            per_day: 20_000_u64.saturating_add(accounts.saturating_mul(10)),
        }
    }
}

/// One sliding window, estimated from the present and the previous fixed one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    length_ms: u64,
    limit: u64,
    start_ms: u64,
    present: u64,
    previous: u64,
}

impl Window {
    pub(super) fn new(length_ms: u64, limit: u64) -> Self {
        Self {
            length_ms,
            limit,
            start_ms: 0,
            present: 0,
            previous: 0,
        }
    }

    fn advance(&mut self, now_ms: u64) {
        let passed = now_ms.saturating_sub(self.start_ms) / self.length_ms;
        if passed > 0 {
            self.previous = if passed == 1 { self.present } else { 0 };
            self.present = 0;
            self.start_ms += passed * self.length_ms;
        }
    }

    /// Time until one more fits; 0 if it fits now.
    pub(super) fn wait_ms(&mut self, now_ms: u64) -> u64 {
        self.advance(now_ms);
        let into = now_ms.saturating_sub(self.start_ms);
        if self.present >= self.limit {
            return self.length_ms - into.min(self.length_ms - 1);
        }
        let room = self.limit - self.present;
        // The previous window weighs what of it is still within sight.
        let weighed = u128::from(self.previous) * u128::from(self.length_ms - into)
            / u128::from(self.length_ms);
        if weighed < u128::from(room) {
            return 0;
        }
        let fits_at = u128::from(self.length_ms)
            - u128::from(room) * u128::from(self.length_ms) / u128::from(self.previous.max(1));
        u64::try_from(fits_at)
            .unwrap_or(self.length_ms)
            .saturating_sub(into)
            .max(1)
    }

    /// Counts one.
    pub(super) fn count(&mut self, now_ms: u64) {
        self.advance(now_ms);
        self.present = self.present.saturating_add(1);
    }

    /// Counts one if it fits.
    pub(super) fn take(&mut self, now_ms: u64) -> bool {
        let fits = self.wait_ms(now_ms) == 0;
        if fits {
            self.count(now_ms);
        }
        fits
    }

    /// What was counted of late, about.
    pub(super) fn used(&self, now_ms: u64) -> u64 {
        let mut at = *self;
        at.advance(now_ms);
        at.present.saturating_add(at.previous)
    }

    /// Whether nothing was counted of late.
    pub(super) fn is_empty(&self, now_ms: u64) -> bool {
        self.used(now_ms) == 0
    }

    pub(super) fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
    }
}

/// What becomes of an event by its host's windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It is taken, and counted.
    Now,
    /// It may be offered again after so many ms.
    After(u64),
    /// Its account has had far more than its share.
    Refused,
}

/// The three windows of one host, and what its accounts have of them.
#[derive(Debug)]
pub struct Windows {
    limits: HostLimits,
    second: Window,
    hour: Window,
    day: Window,
    shares: Shares,
}

impl Windows {
    /// Empty windows with these limits.
    pub fn new(limits: &HostLimits) -> Self {
        Self {
            limits: *limits,
            second: Window::new(1_000, limits.per_second),
            hour: Window::new(HOUR_MS, limits.per_hour),
            day: Window::new(DAY_MS, limits.per_day),
            shares: Shares::default(),
        }
    }

    /// The limits.
    pub fn limits(&self) -> HostLimits {
        self.limits
    }

    /// Takes new limits over, keeping what was counted.
    pub fn adjust(&mut self, limits: &HostLimits) {
        self.limits = *limits;
        self.second.set_limit(limits.per_second);
        self.hour.set_limit(limits.per_hour);
        self.day.set_limit(limits.per_day);
        // What an account may have follows from the limits.
        self.shares = Shares::default();
    }

    /// Offers an event of `did`.
    pub fn take(&mut self, did: &Did, now_ms: u64) -> Turn {
        match self.shares.place(did, &self.limits, now_ms) {
            Counts::Host => {}
            Counts::Own => return Turn::Now,
            Counts::Nowhere => return Turn::Refused,
        }
        let wait_ms = [&mut self.second, &mut self.hour, &mut self.day]
            .map(|window| window.wait_ms(now_ms))
            .into_iter()
            .max()
            .unwrap_or(0);
        if wait_ms > 0 {
            return Turn::After(wait_ms);
        }
        for window in [&mut self.second, &mut self.hour, &mut self.day] {
            window.count(now_ms);
        }
        self.shares.count(did, &self.limits, now_ms);
        Turn::Now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn did(number: u64) -> Did {
        format!("did:web:a{number}.example.org")
            .parse()
            .expect("a DID")
    }

    #[test]
    fn default_host_may_send_fifty_events_at_once_and_then_waits() {
        let mut windows = Windows::new(&HostLimits::for_accounts(100));
        let at_once = (0..50).all(|number| windows.take(&did(number), 1_000_000) == Turn::Now);
        assert!(at_once);
        let Turn::After(wait_ms) = windows.take(&did(0), 1_000_000) else {
            panic!("it must wait")
        };
        assert!((1..=1_000).contains(&wait_ms), "{wait_ms}");
        // Waiting as told always leads to a free place.
        let mut now_ms = 1_000_000;
        for number in 0..10_000 {
            match windows.take(&did(number % 90), now_ms) {
                Turn::Now => {}
                Turn::After(wait_ms) => now_ms += wait_ms,
                Turn::Refused => panic!("nobody has had its share"),
            }
        }
        assert!(
            now_ms > 1_000_000 + 100_000,
            "10,000 polls passed too quickly: {now_ms}"
        );
    }

    #[test]
    fn waiting_as_told_is_enough() {
        let mut window = Window::new(86_400_000, 50);
        let mut now_ms = 1_234_567_890;
        for _ in 0..500 {
            // At the edge of a window the first answer may be a moment short.
            for _ in 0..3 {
                now_ms += window.wait_ms(now_ms);
            }
            assert_eq!(window.wait_ms(now_ms), 0);
            window.count(now_ms);
        }
    }

    #[test]
    fn no_window_length_ever_sees_more_than_twice_the_limit() {
        let mut window = Window::new(1_000, 10);
        let taken: Vec<u64> = (0..10_000).filter(|now_ms| window.take(*now_ms)).collect();
        for start in 0..9_000 {
            let seen = taken
                .iter()
                .filter(|at| (start..start + 1_000).contains(*at))
                .count();
            assert!(seen <= 20, "{seen} within a second from {start}");
        }
        assert!((90..=110).contains(&taken.len()), "{}", taken.len());
    }

    #[test]
    fn unlimited_never_waits() {
        let mut windows = Windows::new(&HostLimits::UNLIMITED);
        assert!((0..100_000).all(|_| windows.take(&did(0), 5) == Turn::Now));
    }
}
