//! Which events of the past are no longer shown: those of accounts taken down by this relay or deleted by their owner.
//!
//! `#account` events are always shown: they are how a subscriber learns of it.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::RwLock;

use super::Kind;

/// The set of hidden accounts; shared by the log's readers and the live edge of the stream.
#[derive(Debug, Default)]
pub struct Hidden {
    // Keyed per process, so that nobody can make two DIDs collide.
    hasher: RandomState,
    until: RwLock<HashMap<u64, u64>>,
    entries: AtomicUsize,
}

impl Hidden {
    /// The number by which an event's account is known here; 0 for events that are never hidden.
    pub fn subject(&self, kind: Kind, did: &str) -> u64 {
        match kind {
            Kind::Account => 0,
            Kind::Commit | Kind::Sync | Kind::Identity => self.key(did),
        }
    }

    /// Hides everything of `did` numbered `until_seq` or lower (`u64::MAX`: everything, until [`Self::show`]).
    pub fn hide(&self, did: &str, until_seq: u64) {
        let mut until = self.until.write();
        let entry = until.entry(self.key(did)).or_insert(0);
        *entry = until_seq.max(*entry);
        self.entries.store(until.len(), Ordering::Release);
    }

    /// Shows `did` again.
    pub fn show(&self, did: &str) {
        let mut until = self.until.write();
        until.remove(&self.key(did));
        self.entries.store(until.len(), Ordering::Release);
    }

    /// Whether the event numbered `seq` about `subject` may be shown.
    pub fn shows(&self, subject: u64, seq: u64) -> bool {
        if subject == 0 || self.entries.load(Ordering::Acquire) == 0 {
            return true;
        }
        self.until
            .read()
            .get(&subject)
            .is_none_or(|until| seq > *until)
    }

    /// Forgets accounts whose hidden events the log no longer has.
    pub fn forget_before(&self, oldest_seq: u64) {
        let mut until = self.until.write();
        until.retain(|_, last| *last >= oldest_seq);
        self.entries.store(until.len(), Ordering::Release);
    }

    fn key(&self, did: &str) -> u64 {
        self.hasher.hash_one(did).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: &str = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";

    #[test]
    fn hides_commits_up_to_the_given_event_and_never_account_events() {
        let hidden = Hidden::default();
        let subject = hidden.subject(Kind::Commit, ADA);
        assert!(hidden.shows(subject, 5));
        hidden.hide(ADA, 5);
        assert!(!hidden.shows(subject, 5));
        assert!(hidden.shows(subject, 6));
        assert!(hidden.shows(hidden.subject(Kind::Account, ADA), 5));
        assert!(hidden.shows(hidden.subject(Kind::Commit, "did:plc:other"), 5));
        hidden.show(ADA);
        assert!(hidden.shows(subject, 5));
    }

    #[test]
    fn forgets_what_the_log_no_longer_has_but_keeps_takedowns() {
        let hidden = Hidden::default();
        hidden.hide(ADA, 5);
        hidden.hide("did:web:taken.example", u64::MAX);
        hidden.forget_before(6);
        assert!(hidden.shows(hidden.subject(Kind::Commit, ADA), 5));
        assert!(!hidden.shows(hidden.subject(Kind::Commit, "did:web:taken.example"), 5));
    }
}
