//! What one account may take of its host's windows: an import must not hold up the neighbours.
//!
//! An account that has had a fifth of its host's hour or day is not counted against the host any longer but against a day of
//! its own, as large as that of a small host. Only when that is full too are its events refused. Its next event then leaves a
//! gap that consumers see and repair, as any other (atproto sync spec, "desynchronized").

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use rochdale_protocol::syntax::Did;

use super::HostLimits;
use super::window::{DAY_MS, HOUR_MS, Window};

/// One account may have this part of its host's windows.
const PART: u64 = 5;
/// And so many events of its own in a day when it has had that.
const OWN_PER_DAY: u64 = 20_000;
/// Accounts of one host with a day of their own at once: more of them would multiply the host's limits.
const IMPORTS_MAX: usize = 4;
/// Accounts of one host that are counted at once; the least busy is forgotten for a new one.
const COUNTED_MAX: usize = 256;

/// Against what an event counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counts {
    /// The windows of its host.
    Host,
    /// The account's own day, and it was counted there.
    Own,
    /// Nothing has room for it.
    Nowhere,
}

/// The accounts of one host that were busy lately.
#[derive(Debug, Default)]
pub(super) struct Shares {
    // Keyed per process, so that nobody can make two DIDs collide.
    hasher: RandomState,
    of: HashMap<u64, Share>,
}

#[derive(Debug)]
struct Share {
    hour: Window,
    day: Window,
    own: Window,
}

impl Share {
    fn new(limits: &HostLimits) -> Self {
        Self {
            hour: Window::new(HOUR_MS, limits.per_hour / PART),
            day: Window::new(DAY_MS, limits.per_day / PART),
            own: Window::new(DAY_MS, OWN_PER_DAY),
        }
    }
}

impl Shares {
    /// Against what the next event of `did` counts at a host with these limits.
    pub(super) fn place(&mut self, did: &Did, limits: &HostLimits, now_ms: u64) -> Counts {
        // Where limits are that wide, no account comes near a part of them.
        if limits.per_hour >= HostLimits::TRUSTED.per_hour {
            return Counts::Host;
        }
        let key = self.hasher.hash_one(did);
        let Some(share) = self.of.get_mut(&key) else {
            return Counts::Host;
        };
        if share.hour.wait_ms(now_ms) == 0 && share.day.wait_ms(now_ms) == 0 {
            return Counts::Host;
        }
        if share.own.is_empty(now_ms) && self.imports(now_ms) >= IMPORTS_MAX {
            return Counts::Host;
        }
        let taken = self
            .of
            .get_mut(&key)
            .is_some_and(|share| share.own.take(now_ms));
        if taken { Counts::Own } else { Counts::Nowhere }
    }

    /// Notes an event of `did` that was counted against the host.
    pub(super) fn count(&mut self, did: &Did, limits: &HostLimits, now_ms: u64) {
        if limits.per_hour >= HostLimits::TRUSTED.per_hour {
            return;
        }
        let key = self.hasher.hash_one(did);
        if self.of.len() >= COUNTED_MAX && !self.of.contains_key(&key) {
            self.forget_one(now_ms);
        }
        let share = self.of.entry(key).or_insert_with(|| Share::new(limits));
        share.hour.count(now_ms);
        share.day.count(now_ms);
    }

    fn imports(&self, now_ms: u64) -> usize {
        let shares = self.of.values();
        shares.filter(|share| !share.own.is_empty(now_ms)).count()
    }

    fn forget_one(&mut self, now_ms: u64) {
        let least = self
            .of
            .iter()
            .min_by_key(|(_, share)| (share.own.used(now_ms), share.day.used(now_ms)));
        if let Some(key) = least.map(|(key, _)| *key) {
            self.of.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hosts::{Turn, Windows};

    const START_MS: u64 = 1_750_000_000_000;

    fn did(number: u64) -> Did {
        format!("did:web:a{number}.example.org")
            .parse()
            .expect("a DID")
    }

    /// Sends `count` events of `account` as fast as the host is read; answers how long that took and how many were refused.
    fn send(windows: &mut Windows, account: u64, count: u64, now_ms: &mut u64) -> (u64, u64) {
        let (started, mut refused) = (*now_ms, 0);
        for _ in 0..count {
            loop {
                match windows.take(&did(account), *now_ms) {
                    Turn::Now => break,
                    Turn::Refused => {
                        refused += 1;
                        break;
                    }
                    Turn::After(wait_ms) => *now_ms += wait_ms,
                }
            }
        }
        (*now_ms - started, refused)
    }

    // Relay checklist 51.
    #[test]
    fn import_of_one_account_does_not_delay_its_neighbours() {
        let mut windows = Windows::new(&HostLimits::for_accounts(100));
        let mut now_ms = START_MS;
        let (took_ms, refused) = send(&mut windows, 1, 20_000, &mut now_ms);
        assert_eq!(refused, 0, "an import of 20,000 records passes whole");
        assert!(took_ms < 60_000, "{took_ms}");
        for neighbour in 2..50 {
            let (took_ms, refused) = send(&mut windows, neighbour, 3, &mut now_ms);
            assert_eq!(refused, 0);
            assert!(took_ms <= 2_000, "{neighbour} waited {took_ms} ms");
        }
    }

    #[test]
    fn account_without_end_is_refused_and_its_host_is_not() {
        let mut windows = Windows::new(&HostLimits::for_accounts(100));
        let mut now_ms = START_MS;
        let (_, refused) = send(&mut windows, 1, 30_000, &mut now_ms);
        assert!((9_000..10_000).contains(&refused), "{refused}");
        assert_eq!(send(&mut windows, 2, 10, &mut now_ms).1, 0);
        now_ms += 2 * DAY_MS;
        assert_eq!(send(&mut windows, 1, 100, &mut now_ms).1, 0);
    }

    #[test]
    fn host_does_not_multiply_its_limits_with_many_busy_accounts() {
        let mut windows = Windows::new(&HostLimits::for_accounts(100));
        let (mut now_ms, mut passed) = (START_MS, 0);
        while now_ms < START_MS + HOUR_MS {
            for account in 0..40 {
                match windows.take(&did(account), now_ms) {
                    Turn::Now => passed += 1,
                    Turn::Refused => {}
                    Turn::After(_) => now_ms += 250,
                }
            }
        }
        let most = 2 * 2_600 + IMPORTS_MAX as u64 * OWN_PER_DAY;
        assert!(passed <= most, "{passed}");
    }

    #[test]
    fn memory_for_busy_accounts_is_bounded_and_keeps_the_busiest() {
        let limits = HostLimits::for_accounts(100_000);
        let mut shares = Shares::default();
        for _ in 0..limits.per_hour {
            shares.count(&did(0), &limits, START_MS);
        }
        for number in 1..5_000 {
            shares.count(&did(number), &limits, START_MS);
        }
        assert!(shares.of.len() <= COUNTED_MAX);
        assert_eq!(shares.place(&did(0), &limits, START_MS), Counts::Own);
    }
}
