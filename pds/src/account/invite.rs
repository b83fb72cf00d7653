//! How many invite codes a member may hand out. Pure rules over the codes there are.
//!
//! With a schedule every member gets one code per interval, and holds at most five open ones; what
//! the operator gives does not count.

use super::code::invite_code;
use crate::store::invite::InviteCode;

/// Open codes of one member at most, gifts aside.
const OPEN_MAX: usize = 5;
/// The operator, as a maker and owner of codes.
pub const OPERATOR: &str = "admin";

/// When members get codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// Every member gets a code each time this has passed, in milliseconds.
    pub interval_ms: i64,
    /// Time before this does not count, Unix ms.
    pub epoch_ms: i64,
}

impl Schedule {
    /// How many codes a member who came at `created_at_ms` may have made now, given those they have.
    #[must_use]
    pub fn due(&self, created_at_ms: i64, now_ms: i64, codes: &[InviteCode]) -> usize {
        let intervals = |until_ms: i64| (until_ms - created_at_ms).max(0) / self.interval_ms.max(1);
        // Intervals begin with the account, so those before the epoch are taken off, not cut short.
        let earned = intervals(now_ms) - intervals(self.epoch_ms.min(now_ms));
        let own = || codes.iter().filter(|code| code.created_by != OPERATOR);
        let made = own()
            .filter(|code| code.created_at_ms > self.epoch_ms)
            .count();
        let open = own().filter(|code| is_open(code)).count();
        let earned = usize::try_from(earned).unwrap_or_default();
        earned
            .saturating_sub(made)
            .min(OPEN_MAX.saturating_sub(open))
    }
}

/// Whether the code can be used, as far as it knows itself.
#[must_use]
pub fn is_open(code: &InviteCode) -> bool {
    !code.disabled && u32::try_from(code.uses.len()).is_ok_and(|used| used < code.uses_allowed)
}

/// New codes of the server called `host`.
#[must_use]
pub fn new_codes(
    host: &str,
    count: usize,
    uses_allowed: u32,
    for_account: &str,
    created_by: &str,
    now_ms: i64,
) -> Vec<InviteCode> {
    let make_one = || InviteCode {
        code: invite_code(host),
        uses_allowed,
        disabled: false,
        for_account: for_account.to_owned(),
        created_by: created_by.to_owned(),
        created_at_ms: now_ms,
        uses: Vec::new(),
    };
    std::iter::repeat_with(make_one).take(count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: &str = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
    const SCHEDULE: Schedule = Schedule {
        interval_ms: 100,
        epoch_ms: 0,
    };

    fn code(created_by: &str, created_at_ms: i64, used: usize) -> InviteCode {
        let mut code = new_codes("host", 1, 1, ADA, created_by, created_at_ms).remove(0);
        code.uses = vec![("did:web:x".to_owned(), 1); used];
        code
    }

    #[test]
    fn one_code_per_interval_since_the_account_or_the_epoch_whichever_is_later() {
        assert_eq!(SCHEDULE.due(1000, 1099, &[]), 0);
        assert_eq!(SCHEDULE.due(1000, 1100, &[]), 1);
        assert_eq!(SCHEDULE.due(1000, 1350, &[code(ADA, 1200, 1)]), 2);
        let later = Schedule {
            epoch_ms: 1250,
            ..SCHEDULE
        };
        assert_eq!(later.due(1000, 1299, &[]), 0);
        assert_eq!(later.due(1000, 1300, &[]), 1);
        assert_eq!(
            later.due(1000, 1300, &[code(ADA, 1200, 1)]),
            1,
            "before the epoch"
        );
        assert_eq!(later.due(1000, 900, &[]), 0, "a clock that went back");
    }

    #[test]
    fn at_most_five_are_open_and_gifts_do_not_count() {
        assert_eq!(SCHEDULE.due(0, 10_000, &[]), 5);
        let three = vec![code(ADA, 5, 0); 3];
        assert_eq!(SCHEDULE.due(0, 10_000, &three), 2);
        let used = vec![code(ADA, 5, 1); 3];
        assert_eq!(SCHEDULE.due(0, 10_000, &used), 5);
        let gifts = vec![code(OPERATOR, 5, 0); 9];
        assert_eq!(SCHEDULE.due(0, 10_000, &gifts), 5);
    }
}
