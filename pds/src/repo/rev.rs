//! Revisions: the time of a commit, and always above the one before.
//!
//! Owns what happens when clock and revisions do not fit. Readers refuse a revision from the future,
//! and every one after it must be higher still, so a clock that was wrong once would silence an
//! account. Must not read the clock. Follows the atproto repository specification.

use rochdale_protocol::syntax::Tid;

use super::{CLOCK_ID, WriteError};

/// How far a revision may lie in the future, in microseconds: what readers forgive.
const DRIFT_US: u64 = 5 * 60 * 1_000_000;

/// Whether readers would refuse `rev`.
pub(super) fn is_from_the_future(rev: Tid, now_us: u64) -> bool {
    rev.micros() > now_us.saturating_add(DRIFT_US)
}

/// The revision of a write after `head`.
///
/// # Errors
/// `FutureRevision` when nobody would take it: the clock is wrong, or was when `head` was made.
pub(super) fn next(head: Tid, now_us: u64) -> Result<Tid, WriteError> {
    if is_from_the_future(head, now_us) {
        return Err(WriteError::FutureRevision { rev: head });
    }
    Ok(Tid::next(Some(head), now_us, CLOCK_ID))
}

/// The revision of a commit that is announced by `#sync`. A head from the future, which no reader
/// took, is passed over: this is how an account gets out of it.
pub(super) fn anew(head: Tid, now_us: u64) -> Tid {
    let head = (!is_from_the_future(head, now_us)).then_some(head);
    Tid::next(head, now_us, CLOCK_ID)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_US: u64 = 1_790_000_000_000_000;

    #[test]
    fn revisions_rise_with_the_clock_and_above_it_by_one() {
        let past = Tid::new(NOW_US - 10, 3).unwrap();
        assert_eq!(next(past, NOW_US).unwrap().micros(), NOW_US);
        let ahead = Tid::new(NOW_US + 1_000_000, 3).unwrap();
        let after = next(ahead, NOW_US).unwrap();
        assert!(after > ahead && after.micros() <= ahead.micros() + 1);
        assert!(anew(ahead, NOW_US) > ahead);
    }

    #[test]
    fn a_head_from_the_future_is_refused_by_writes_and_passed_over_by_a_new_beginning() {
        let future = Tid::new(NOW_US + DRIFT_US + 1, 3).unwrap();
        assert!(matches!(
            next(future, NOW_US),
            Err(WriteError::FutureRevision { rev }) if rev == future
        ));
        assert_eq!(anew(future, NOW_US).micros(), NOW_US);
    }
}
