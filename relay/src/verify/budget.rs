//! What one account may cost: forced look-ups of its identity, and `#sync` events.

const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 86_400_000;

/// A small budget that fills up again with time.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Budget {
    used: u32,
    since_ms: u64,
}

/// How large a [`Budget`] is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    most: u32,
    each_ms: u64,
}

impl Rate {
    /// Forced look-ups of one identity: three, and one more each minute.
    pub(super) const REFRESH: Self = Self {
        most: 3,
        each_ms: MINUTE_MS,
    };
    /// `#sync` events of one account, each of which makes every consumer fetch the repository: five, and five more a day.
    pub(super) const SYNC: Self = Self {
        most: 5,
        each_ms: DAY_MS / 5,
    };
}

impl Budget {
    /// Takes one, if there is one.
    pub(super) fn take(&mut self, rate: Rate, now_ms: u64) -> bool {
        let back = now_ms.saturating_sub(self.since_ms) / rate.each_ms;
        if self.used == 0 {
            self.since_ms = now_ms;
        } else if back > 0 {
            self.used = self
                .used
                .saturating_sub(u32::try_from(back).unwrap_or(u32::MAX));
            self.since_ms += back * rate.each_ms;
        }
        let fits = self.used < rate.most;
        if fits {
            self.used += 1;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budget_gives_its_burst_and_then_one_per_interval() {
        let mut budget = Budget::default();
        let mut taken = |now_ms| budget.take(Rate::REFRESH, now_ms);
        assert_eq!(
            [taken(1_000), taken(1_000), taken(1_000), taken(1_000)],
            [true, true, true, false]
        );
        assert!(!taken(60_999));
        assert!(taken(61_000));
        assert!(!taken(61_000));
        assert_eq!(
            [
                taken(10_000_000),
                taken(10_000_000),
                taken(10_000_000),
                taken(10_000_000)
            ],
            [true, true, true, false]
        );
    }
}
