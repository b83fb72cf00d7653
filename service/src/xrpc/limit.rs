//! Rate limits: fixed windows in a bounded table, keyed by address, DID or anything else.

use std::collections::HashMap;
use std::convert::Infallible;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use parking_lot::Mutex;
use serde::Deserialize;

use super::error::XrpcError;
use super::method::Limits;
use super::request::ClientIp;
use crate::clock::SharedClock;
use crate::config::Secret;

/// Windows kept at most; above it the least used ones are forgotten.
const WINDOWS: usize = 200_000;
const SHARDS: usize = 16;
const BYPASS: &str = "x-ratelimit-bypass";

/// The `[limits]` table.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Whether requests are limited at all.
    pub enabled: bool,
    /// Requests of one address to all methods together, in each `global_seconds`.
    pub global_points: u32,
    /// Length of the window of `global_points`, in seconds.
    pub global_seconds: u32,
    /// Requests with this value in `x-ratelimit-bypass` are not limited. Sizes always are.
    pub bypass_key: Option<Secret>,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            global_points: 3_000,
            global_seconds: 300,
            bypass_key: None,
        }
    }
}

/// A number of points in each window of time. Budgets of the same name are the same budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Its name, such as `repo-write-hour`.
    pub name: &'static str,
    /// Points in each window.
    pub points: u32,
    /// Length of the window, in seconds.
    pub seconds: u32,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    resets_at_s: u64,
    used: u32,
}

/// What is left of a budget.
#[derive(Debug, Clone, Copy)]
struct Reading {
    budget: Budget,
    left: u32,
    resets_at_s: u64,
    now_s: u64,
    exceeded: bool,
}

impl Reading {
    fn refusal(&self) -> XrpcError {
        XrpcError::rate_limited(self.resets_at_s.saturating_sub(self.now_s).max(1))
    }
}

/// The windows of one process. Clones share them.
#[derive(Clone)]
pub struct RateLimits {
    inner: Arc<Inner>,
}

struct Inner {
    enabled: bool,
    global: Budget,
    bypass_key: Option<Secret>,
    clock: SharedClock,
    hasher: RandomState,
    shards: Vec<Mutex<Shard>>,
    limited: metrics::Counter,
}

impl std::fmt::Debug for RateLimits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RateLimits")
            .field("enabled", &self.inner.enabled)
            .finish_non_exhaustive()
    }
}

impl RateLimits {
    /// No window is used yet.
    pub fn new(config: &LimitsConfig, clock: SharedClock) -> Self {
        let inner = Inner {
            enabled: config.enabled,
            global: Budget {
                name: "global",
                points: config.global_points,
                seconds: config.global_seconds,
            },
            bypass_key: config.bypass_key.clone(),
            clock,
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            limited: metrics::counter!("rochdale_rate_limited_total"),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Takes `points` from a budget for `key`, outside of any request. True when there were enough.
    pub fn take(&self, budget: &Budget, key: impl Hash, points: u32) -> bool {
        !self.inner.enabled || !self.read(budget, key, points).exceeded
    }

    fn read(&self, budget: &Budget, key: impl Hash, points: u32) -> Reading {
        let inner = &self.inner;
        let now_s = inner.clock.now_ms() / 1_000;
        let hash = inner.hasher.hash_one((budget.name, budget.seconds, key));
        let shard = usize::try_from(hash % SHARDS as u64).unwrap_or(0);
        let window = inner
            .shards
            .get(shard)
            .map(|shard| shard.lock().take(hash, budget, points, now_s));
        let window = window.unwrap_or(Window {
            resets_at_s: now_s,
            used: points,
        });
        let exceeded = window.used > budget.points;
        if exceeded {
            inner.limited.increment(1);
        }
        Reading {
            budget: *budget,
            left: budget.points.saturating_sub(window.used),
            resets_at_s: window.resets_at_s,
            now_s,
            exceeded,
        }
    }

    /// A meter for one request, unless limits are off or the request may bypass them. The router
    /// puts it in the request's extensions; routes beside it may do the same.
    pub fn meter(&self, headers: &HeaderMap) -> Option<Charges> {
        if !self.inner.enabled || self.bypasses(headers) {
            return None;
        }
        Some(Charges {
            meter: Some(Arc::new(Meter {
                limits: self.clone(),
                tightest: Mutex::default(),
            })),
        })
    }

    fn bypasses(&self, headers: &HeaderMap) -> bool {
        let (Some(key), Some(sent)) = (&self.inner.bypass_key, headers.get(BYPASS)) else {
            return false;
        };
        !key.expose().is_empty() && key.matches(sent.as_bytes())
    }
}

#[derive(Default)]
struct Shard {
    windows: HashMap<u64, Window>,
    swept_at_s: u64,
}

impl Shard {
    /// Takes points and answers the window with them; one that would be exceeded keeps what it had, so
    /// that a client that waits gets through at the reset.
    fn take(&mut self, key: u64, budget: &Budget, points: u32, now_s: u64) -> Window {
        if self.windows.len() >= WINDOWS / SHARDS && !self.windows.contains_key(&key) {
            self.make_room(now_s);
        }
        let fresh = Window {
            resets_at_s: now_s + u64::from(budget.seconds),
            used: 0,
        };
        let kept = self.windows.entry(key).or_insert(fresh);
        if kept.resets_at_s <= now_s {
            *kept = fresh;
        }
        let after = Window {
            used: kept.used.saturating_add(points),
            ..*kept
        };
        if after.used <= budget.points {
            *kept = after;
        }
        after
    }

    fn make_room(&mut self, now_s: u64) {
        if self.swept_at_s != now_s {
            self.swept_at_s = now_s;
            self.windows.retain(|_, window| window.resets_at_s > now_s);
        }
        while self.windows.len() >= WINDOWS / SHARDS {
            let some = self.windows.iter().take(16);
            let least = some
                .min_by_key(|(_, window)| window.used)
                .map(|(key, _)| *key);
            let Some(least) = least else { return };
            self.windows.remove(&least);
        }
    }
}

struct Meter {
    limits: RateLimits,
    tightest: Mutex<Option<Reading>>,
}

/// Takes points for the request at hand, and tells the client what is left. An extractor; it does
/// nothing when limits are off.
#[derive(Clone)]
pub struct Charges {
    meter: Option<Arc<Meter>>,
}

impl std::fmt::Debug for Charges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Charges")
            .field("limited", &self.meter.is_some())
            .finish()
    }
}

impl Charges {
    /// Takes `points` from a budget for `key`.
    ///
    /// # Errors
    /// 429 `RateLimitExceeded` when there are not as many.
    pub fn take(&self, budget: &Budget, key: impl Hash, points: u32) -> Result<(), XrpcError> {
        let Some(meter) = &self.meter else {
            return Ok(());
        };
        let reading = meter.limits.read(budget, key, points);
        let mut tightest = meter.tightest.lock();
        if reading.exceeded || tightest.is_none_or(|other| reading.left < other.left) {
            *tightest = Some(reading);
        }
        if reading.exceeded {
            return Err(reading.refusal());
        }
        Ok(())
    }

    /// Refuses when nothing is left of a budget for `key`; takes nothing.
    ///
    /// # Errors
    /// 429 `RateLimitExceeded` when there is none.
    pub fn spare(&self, budget: &Budget, key: impl Hash) -> Result<(), XrpcError> {
        let Some(meter) = &self.meter else {
            return Ok(());
        };
        let reading = meter.limits.read(budget, key, 0);
        if reading.left > 0 {
            return Ok(());
        }
        *meter.tightest.lock() = Some(reading);
        Err(reading.refusal())
    }

    /// What every request to a method costs before anything of it is read.
    pub(super) fn enter(&self, limits: &Limits, client: ClientIp) -> Result<(), XrpcError> {
        let Some(meter) = &self.meter else {
            return Ok(());
        };
        if limits.in_global {
            let global = meter.limits.inner.global;
            self.take(&global, client.key(), 1)?;
        }
        limits
            .per_ip
            .iter()
            .try_for_each(|budget| self.take(budget, client.key(), 1))
    }

    /// The headers of the tightest budget.
    pub(super) fn write(&self, headers: &mut HeaderMap) {
        let reading = self.meter.as_ref().and_then(|meter| *meter.tightest.lock());
        let Some(Reading {
            budget,
            left,
            resets_at_s,
            ..
        }) = reading
        else {
            return;
        };
        let mut set = |name, value| headers.insert(HeaderName::from_static(name), value);
        set("ratelimit-limit", HeaderValue::from(budget.points));
        set("ratelimit-remaining", HeaderValue::from(left));
        set("ratelimit-reset", HeaderValue::from(resets_at_s));
        if let Ok(policy) = HeaderValue::try_from(format!("{};w={}", budget.points, budget.seconds))
        {
            set("ratelimit-policy", policy);
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Charges {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts
            .extensions
            .get::<Self>()
            .cloned()
            .unwrap_or(Self { meter: None }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use std::time::Duration;

    const TWO: Budget = Budget {
        name: "two",
        points: 2,
        seconds: 10,
    };

    fn limits(clock: &ManualClock) -> RateLimits {
        RateLimits::new(&LimitsConfig::default(), clock.shared())
    }

    #[test]
    fn a_window_gives_its_points_and_then_none_until_it_ends() {
        let clock = ManualClock::at_us(1_000_000_000);
        let limits = limits(&clock);
        let take = |key: &str| limits.take(&TWO, key, 1);
        assert!(take("a") && take("a"));
        assert!(!take("a"));
        assert!(take("b"), "keys are counted apart");
        clock.advance(Duration::from_millis(9_999));
        assert!(!take("a"));
        clock.advance(Duration::from_millis(1));
        assert!(take("a"));
    }

    #[test]
    fn points_are_taken_whole_or_not_at_all() {
        let limits = limits(&ManualClock::at_us(0));
        let five = Budget { points: 5, ..TWO };
        assert!(limits.take(&five, "did", 3));
        assert!(!limits.take(&five, "did", 3));
        assert!(limits.take(&five, "did", 2));
        assert!(!limits.take(&five, "did", 1));
    }

    #[test]
    fn the_table_is_bounded_and_forgets_the_least_used_first() {
        let limits = limits(&ManualClock::at_us(0));
        let busy = Budget {
            points: 1_000,
            ..TWO
        };
        assert!(limits.take(&busy, "regular", 1_000));
        for stranger in 0..WINDOWS + WINDOWS / 2 {
            limits.take(&busy, stranger, 1);
        }
        let kept: usize = limits
            .inner
            .shards
            .iter()
            .map(|shard| shard.lock().windows.len())
            .sum();
        assert!(kept <= WINDOWS, "{kept}");
        assert!(
            !limits.take(&busy, "regular", 1),
            "a client that used much is remembered"
        );
    }

    #[test]
    fn limits_that_are_off_take_nothing() {
        let config = LimitsConfig {
            enabled: false,
            ..LimitsConfig::default()
        };
        let limits = RateLimits::new(&config, ManualClock::at_us(0).shared());
        assert!((0..10).all(|_| limits.take(&TWO, "a", 1)));
        assert!(limits.meter(&HeaderMap::new()).is_none());
    }
}
