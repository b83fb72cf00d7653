//! Turns: at most so many at a time for each key, in the order in which they came.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Keys kept before those that nobody uses are looked for.
const TIDY_AT: usize = 1_024;

/// Who has a turn, by key.
#[derive(Debug)]
pub(super) struct Turns<K> {
    at_once: usize,
    open: Mutex<HashMap<K, Weak<Semaphore>>>,
}

/// A turn; it ends when this is dropped.
pub(super) type Turn = OwnedSemaphorePermit;

impl<K: Eq + Hash> Turns<K> {
    /// At most `at_once` for each key.
    pub(super) fn new(at_once: usize) -> Self {
        Self {
            at_once,
            open: Mutex::default(),
        }
    }

    /// Waits for a turn. `None` never comes, since nothing closes a queue.
    pub(super) async fn take(&self, key: K) -> Option<Turn> {
        let queue = self.queue(key);
        queue.acquire_owned().await.ok()
    }

    fn queue(&self, key: K) -> Arc<Semaphore> {
        let mut open = self.open.lock();
        if open.len() >= TIDY_AT {
            open.retain(|_, queue| queue.strong_count() > 0);
        }
        if let Some(queue) = open.get(&key).and_then(Weak::upgrade) {
            return queue;
        }
        let queue = Arc::new(Semaphore::new(self.at_once));
        open.insert(key, Arc::downgrade(&queue));
        queue
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_key_has_so_many_turns_at_a_time_and_the_next_waits_for_one_to_end() {
        let turns = Turns::new(2);
        let (first, _second) = (turns.take("ada").await, turns.take("ada").await);
        assert!(first.is_some());
        let wait = Duration::from_millis(20);
        let third = tokio::time::timeout(wait, turns.take("ada")).await;
        assert!(third.is_err(), "two have their turn");
        assert!(turns.take("ben").await.is_some(), "another key is free");
        drop(first);
        assert!(turns.take("ada").await.is_some());
    }

    #[tokio::test]
    async fn keys_that_nobody_uses_are_forgotten() {
        let turns = Turns::new(1);
        let held = turns.take(0).await;
        for key in 1..3 * TIDY_AT {
            drop(turns.take(key).await);
        }
        assert!(turns.open.lock().len() <= TIDY_AT);
        let wait = Duration::from_millis(20);
        assert!(tokio::time::timeout(wait, turns.take(0)).await.is_err());
        drop(held);
    }
}
