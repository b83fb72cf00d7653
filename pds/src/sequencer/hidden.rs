//! Events of deleted accounts that are still in the stream's memory: nobody is sent them any more.
//!
//! The log hides them by itself; this is for the frames that wait ready for subscribers. Accounts
//! are forgotten, oldest deletion first, when so many were deleted since that their frames are gone.

use std::collections::HashMap;

use parking_lot::RwLock;
use rochdale_service::stream::Frame;

use crate::account::AccountId;

/// Deletions remembered at most; each put an event of its own in the stream.
const REMEMBERED: usize = 10_000;

/// Up to which number the events of an account are hidden.
#[derive(Debug, Default)]
pub(super) struct Hidden {
    below: RwLock<HashMap<u64, u64>>,
}

impl Hidden {
    /// Hides the events of `account` before `seq`, the event that tells of its deletion.
    pub(super) fn hide(&self, account: AccountId, seq: u64) {
        let mut below = self.below.write();
        if below.len() >= REMEMBERED {
            let oldest = below.iter().min_by_key(|(_, seq)| **seq);
            if let Some(account) = oldest.map(|(account, _)| *account) {
                below.remove(&account);
            }
        }
        below.insert(account.0 as u64, seq);
    }

    /// Whether `frame` may still be sent.
    pub(super) fn shows(&self, frame: &Frame) -> bool {
        let below = self.below.read();
        below.is_empty()
            || below
                .get(&frame.subject)
                .is_none_or(|seq| frame.seq >= *seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_events_before_a_deletion_are_hidden_and_old_deletions_are_forgotten() {
        let hidden = Hidden::default();
        let frame = |seq, subject| Frame {
            seq,
            bytes: bytes::Bytes::new(),
            subject,
        };
        assert!(hidden.shows(&frame(1, 1)));
        hidden.hide(AccountId(1), 5);
        assert!(!hidden.shows(&frame(4, 1)));
        assert!(hidden.shows(&frame(5, 1)) && hidden.shows(&frame(4, 2)));
        for later in 0..REMEMBERED as i64 {
            hidden.hide(AccountId(later + 10), 100 + later as u64);
        }
        assert!(hidden.shows(&frame(4, 1)));
        assert_eq!(hidden.below.read().len(), REMEMBERED);
    }
}
