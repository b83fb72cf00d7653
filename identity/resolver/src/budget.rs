//! How often a DID may be looked up again out of turn.

use moka::sync::Cache;
use parking_lot::Mutex;
use rochdale_protocol::syntax::Did;
use std::sync::Arc;

/// Forced look-ups in a row.
const BURST: u64 = 3;
/// One more is allowed after this time, microseconds.
const REFILL_US: u64 = 60_000_000;
/// DIDs that are remembered; forgetting one merely gives it a new burst.
const REMEMBERED: u64 = 20_000;

/// A token bucket per DID, so that a stranger's bad signatures cannot make us hammer a directory.
#[derive(Debug)]
pub(crate) struct Budget {
    buckets: Cache<Did, Arc<Mutex<Bucket>>>,
}

#[derive(Debug)]
struct Bucket {
    left: u64,
    counted_us: u64,
}

impl Budget {
    pub(crate) fn new() -> Self {
        Self {
            buckets: Cache::new(REMEMBERED),
        }
    }

    /// Takes one look-up if there is one left.
    pub(crate) fn take(&self, did: &Did, now_us: u64) -> bool {
        let full = || {
            Arc::new(Mutex::new(Bucket {
                left: BURST,
                counted_us: now_us,
            }))
        };
        let bucket = self.buckets.get_with_by_ref(did, full);
        let mut bucket = bucket.lock();
        let earned = now_us.saturating_sub(bucket.counted_us) / REFILL_US;
        if earned > 0 {
            bucket.left = bucket.left.saturating_add(earned).min(BURST);
            bucket.counted_us = bucket
                .counted_us
                .saturating_add(earned.saturating_mul(REFILL_US));
        }
        let allowed = bucket.left > 0;
        bucket.left = bucket.left.saturating_sub(1);
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_in_a_row_then_one_a_minute_per_did() {
        let budget = Budget::new();
        let [a, b]: [Did; 2] =
            ["did:web:a.example", "did:web:b.example"].map(|did| did.parse().unwrap());
        let now = 1_700_000_000_000_000;
        let taken: Vec<bool> = (0..4).map(|_| budget.take(&a, now)).collect();
        assert_eq!(taken, [true, true, true, false]);
        assert!(budget.take(&b, now));
        assert!(!budget.take(&a, now + REFILL_US - 1));
        assert!(budget.take(&a, now + REFILL_US));
        assert!(!budget.take(&a, now + REFILL_US + 1));
        // A clock that runs backwards neither earns nor panics.
        assert!(!budget.take(&a, 0));
        let later: Vec<bool> = (0..4)
            .map(|_| budget.take(&a, now + 100 * REFILL_US))
            .collect();
        assert_eq!(later, [true, true, true, false]);
    }
}
