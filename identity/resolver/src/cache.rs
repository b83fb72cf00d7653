//! Answers and failures by name: bounded in memory, one fetch at a time per name, stale answers when
//! fetching fails.

use crate::error::ResolveError;
use moka::sync::Cache;
use parking_lot::Mutex;
use rochdale_service::clock::SharedClock;
use std::{
    fmt,
    hash::Hash,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

/// How long answers count, microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    pub(crate) fresh_us: u64,
    pub(crate) stale_us: u64,
    pub(crate) negative_us: u64,
}

/// A failure that can be remembered.
pub(crate) trait Failure: Clone + Send + Sync + 'static {
    /// Whether asking again later may help without anybody changing anything.
    fn is_transient(&self) -> bool;
}

impl Failure for ResolveError {
    fn is_transient(&self) -> bool {
        self.is_transient()
    }
}

/// Answers of type `V` by name, or failures of type `E`.
pub(crate) struct Answers<K, V, E = ResolveError> {
    slots: Cache<K, Arc<Slot<V, E>>>,
    policy: Policy,
    clock: SharedClock,
    weigh: fn(&V) -> u32,
}

impl<K, V, E> fmt::Debug for Answers<K, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

struct Slot<V, E> {
    state: Mutex<State<V, E>>,
    /// Held by the one task that fetches.
    flight: tokio::sync::Mutex<()>,
    weight: AtomicU32,
}

struct State<V, E> {
    good: Option<Kept<V>>,
    failure: Option<(E, u64)>,
    /// Counts purges, so that a fetch that began before one is not kept after it.
    generation: u64,
}

struct Kept<V> {
    value: V,
    /// When its fetch began.
    asked_us: u64,
}

/// What an empty slot costs, roughly: key, locks and the cache's own books.
const SLOT_BYTES: u32 = 400;

impl<K, V, E> Answers<K, V, E>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    E: Failure,
{
    pub(crate) fn new(
        bytes: u64,
        policy: Policy,
        clock: SharedClock,
        weigh: fn(&V) -> u32,
    ) -> Self {
        let slots = Cache::builder()
            .max_capacity(bytes)
            .weigher(|_, slot: &Arc<Slot<V, E>>| slot.weight.load(Ordering::Relaxed))
            .build();
        Self {
            slots,
            policy,
            clock,
            weigh,
        }
    }

    /// The answer for `key`, fetched unless a fresh one is known.
    pub(crate) async fn get<F>(&self, key: &K, fetch: F) -> Result<V, E>
    where
        F: Future<Output = Result<V, E>>,
    {
        let slot = self.slot(key);
        if let Some(answer) = slot.known(self.policy, self.clock.now_us()) {
            return answer;
        }
        let _flight = slot.flight.lock().await;
        // Whoever held the flight before may have fetched it.
        match slot.known(self.policy, self.clock.now_us()) {
            Some(answer) => answer,
            None => self.fetch(key, &slot, fetch).await,
        }
    }

    /// Fetches even when a fresh answer is known, unless `allowed` says no; then as [`Self::get`].
    /// Callers that come while another is fetching share its answer.
    pub(crate) async fn refresh<F>(
        &self,
        key: &K,
        allowed: impl FnOnce(u64) -> bool,
        fetch: F,
    ) -> Result<V, E>
    where
        F: Future<Output = Result<V, E>>,
    {
        let asked_us = self.clock.now_us();
        let slot = self.slot(key);
        let _flight = slot.flight.lock().await;
        if let Some(value) = slot.asked_after(asked_us) {
            return Ok(value);
        }
        let now_us = self.clock.now_us();
        if !allowed(now_us)
            && let Some(answer) = slot.known(self.policy, now_us)
        {
            return answer;
        }
        self.fetch(key, &slot, fetch).await
    }

    /// What can be answered for `key` without a fetch.
    pub(crate) fn known(&self, key: &K) -> Option<Result<V, E>> {
        self.slots.get(key)?.known(self.policy, self.clock.now_us())
    }

    /// What was found out about `key` last, a failure however old it is.
    pub(crate) fn last(&self, key: &K) -> Option<Result<V, E>> {
        let slot = self.slots.get(key)?;
        let state = slot.state.lock();
        if let Some(value) = state.stale(self.policy, self.clock.now_us()) {
            return Some(Ok(value));
        }
        let failure = state.failure.as_ref();
        failure.map(|(error, _failed_us)| Err(error.clone()))
    }

    /// Forgets everything about `key`, also what is being fetched just now.
    pub(crate) fn purge(&self, key: &K) -> Option<V> {
        let slot = self.slots.get(key)?;
        let mut state = slot.state.lock();
        state.generation += 1;
        state.failure = None;
        state.good.take().map(|kept| kept.value)
    }

    fn slot(&self, key: &K) -> Arc<Slot<V, E>> {
        self.slots.get_with_by_ref(key, || {
            Arc::new(Slot {
                state: Mutex::new(State {
                    good: None,
                    failure: None,
                    generation: 0,
                }),
                flight: tokio::sync::Mutex::new(()),
                weight: AtomicU32::new(SLOT_BYTES),
            })
        })
    }

    async fn fetch<F>(&self, key: &K, slot: &Arc<Slot<V, E>>, fetch: F) -> Result<V, E>
    where
        F: Future<Output = Result<V, E>>,
    {
        let generation = slot.state.lock().generation;
        let asked_us = self.clock.now_us();
        let result = fetch.await;
        let mut state = slot.state.lock();
        if state.generation != generation {
            return result;
        }
        let now_us = self.clock.now_us();
        match result {
            Ok(value) => {
                state.good = Some(Kept {
                    value: value.clone(),
                    asked_us,
                });
                state.failure = None;
                drop(state);
                let weight = SLOT_BYTES.saturating_add((self.weigh)(&value));
                if slot.weight.swap(weight, Ordering::Relaxed) != weight {
                    // The cache weighs on insertion only.
                    self.slots.insert(key.clone(), Arc::clone(slot));
                }
                Ok(value)
            }
            Err(error) => {
                if !error.is_transient() {
                    state.good = None;
                }
                state.failure = Some((error.clone(), now_us));
                state.stale(self.policy, now_us).ok_or(error)
            }
        }
    }
}

impl<V: Clone, E: Clone> Slot<V, E> {
    /// What can be answered without a fetch.
    fn known(&self, policy: Policy, now_us: u64) -> Option<Result<V, E>> {
        let state = self.state.lock();
        if let Some(kept) = &state.good
            && now_us.saturating_sub(kept.asked_us) < policy.fresh_us
        {
            return Some(Ok(kept.value.clone()));
        }
        let (error, failed_us) = state.failure.as_ref()?;
        if now_us.saturating_sub(*failed_us) >= policy.negative_us {
            return None;
        }
        Some(state.stale(policy, now_us).ok_or_else(|| error.clone()))
    }

    fn asked_after(&self, us: u64) -> Option<V> {
        let state = self.state.lock();
        state
            .good
            .as_ref()
            .filter(|kept| kept.asked_us > us)
            .map(|kept| kept.value.clone())
    }
}

impl<V: Clone, E> State<V, E> {
    fn stale(&self, policy: Policy, now_us: u64) -> Option<V> {
        let kept = self.good.as_ref()?;
        (now_us.saturating_sub(kept.asked_us) < policy.stale_us).then(|| kept.value.clone())
    }
}

#[cfg(test)]
mod tests;
