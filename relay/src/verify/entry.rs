//! What a shard keeps in memory of each DID, and the bounded map of them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use rochdale_protocol::syntax::{Did, Handle};

use super::account::{Change, FetchedIdentity, Identity, Known, Upstream};
use super::budget::Budget;
use super::event::{Incoming, Pending};
use super::shard::Command;
use crate::hosts::HostId;

/// Events of one DID that may wait for its identity: half of what its host may have on the way.
const PARKED_EVENTS_MAX: usize = 512;
/// Bytes of them.
const PARKED_BYTES_MAX: usize = 8 << 20;
/// An event that was missed is waited for this long.
const MISSED_MS: u64 = 60_000;
/// The host of an account is not asked for its status more often.
const STATUS_AGAIN_MS: u64 = 60_000;
/// A known identity older than this is fetched again, without making anything wait.
const RENEW_AFTER_MS: u64 = 24 * 3_600_000;
/// And if that fails, not again before this time has passed.
const RENEW_AGAIN_MS: u64 = 600_000;

/// What is known of a DID's identity.
#[derive(Debug, Clone, Default)]
pub(super) enum IdentityState {
    /// Nothing yet.
    #[default]
    Unknown,
    /// The document, and when it was fetched.
    Known {
        identity: Arc<Identity>,
        fetched_ms: u64,
    },
    /// There is none, or it cannot be used; not asked again before that time.
    Gone { until_ms: u64 },
    /// It could not be fetched; not asked again before that time.
    Unreachable { until_ms: u64 },
}

/// Work for one DID.
#[derive(Debug)]
pub(super) enum Item {
    Event(Pending),
    Command(Command),
}

/// What a shard keeps of one DID.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) loaded: bool,
    pub(super) known: Known,
    pub(super) identity: IdentityState,
    /// A question is under way; events wait in the queue.
    pub(super) waiting: bool,
    pub(super) queue: VecDeque<Item>,
    pub(super) queued_bytes: usize,
    pub(super) account_changed: bool,
    pub(super) repo_changed: bool,
    pub(super) identity_changed: bool,
    /// A known identity is not renewed before this time.
    pub(super) renew_after_ms: u64,
    /// The first event that could not be taken and has not come again: its host, its number, when it was missed.
    pub(super) missed: Option<(HostId, u64, u64)>,
    /// State up to here has been handed on.
    pub(super) ticket: u64,
    pub(super) refreshes: Budget,
    pub(super) syncs: Budget,
    /// The host is not asked for the account's status before this time.
    pub(super) ask_status_after_ms: u64,
    /// The last `#identity` passed on: when, and with which handle.
    pub(super) last_identity: Option<(u64, Option<Handle>)>,
}

impl Entry {
    /// Takes over what is stored of the DID.
    pub(super) fn load(&mut self, known: Known, identity: Option<FetchedIdentity>) {
        self.known = known;
        self.loaded = true;
        if let (IdentityState::Unknown, Some(stored)) = (&self.identity, identity) {
            self.identity = IdentityState::Known {
                identity: stored.identity,
                fetched_ms: stored.fetched_ms,
            };
        }
    }

    /// Takes a new identity over; answers whether it differs from what was known. A known one outlives a failed look-up.
    pub(super) fn learn(&mut self, found: IdentityState) -> bool {
        let changed = match (&self.identity, &found) {
            (IdentityState::Known { .. }, IdentityState::Unreachable { .. }) => return false,
            (
                IdentityState::Known { identity: old, .. },
                IdentityState::Known { identity: new, .. },
            ) => old != new,
            (IdentityState::Unknown, _) => false,
            _ => true,
        };
        let known = |state: &IdentityState| matches!(state, IdentityState::Known { .. });
        self.identity_changed |= known(&self.identity) || known(&found);
        self.identity = found;
        changed
    }

    /// Whether the identity, though still used, should be fetched again now. Asks for it once in a while only.
    pub(super) fn is_due_for_renewal(&mut self, now_ms: u64) -> bool {
        let IdentityState::Known { fetched_ms, .. } = self.identity else {
            return false;
        };
        let due =
            now_ms.saturating_sub(fetched_ms) > RENEW_AFTER_MS && now_ms >= self.renew_after_ms;
        if due {
            self.renew_after_ms = now_ms + RENEW_AGAIN_MS;
        }
        due
    }

    /// Takes over what the account's host answered about its status (`None`: nothing); answers whether that is news.
    pub(super) fn take_status(&mut self, said: Option<Upstream>, now_ms: u64) -> bool {
        self.ask_status_after_ms = now_ms + STATUS_AGAIN_MS;
        let account = self.known.account.as_mut();
        match (said, account) {
            (Some(said), Some(account))
                if said != account.upstream && !account.upstream.is_deleted() =>
            {
                account.upstream = said;
                self.account_changed = true;
                true
            }
            _ => false,
        }
    }

    /// Notes that `event` could not be taken and will come again.
    pub(super) fn note_missed(&mut self, event: &Incoming, now_ms: u64) {
        let seq = event.token.seq();
        let first = self
            .missed
            .filter(|(host, missed, _)| *host == event.host.id && *missed <= seq);
        self.missed = first.or(Some((event.host.id, seq, now_ms)));
    }

    /// Whether `event` comes after one that was missed and must come again first.
    pub(super) fn is_past_missed(&mut self, event: &Incoming, now_ms: u64) -> bool {
        let Some((host, missed, at_ms)) = self.missed else {
            return false;
        };
        if host != event.host.id {
            return false;
        }
        // It came again, or never will, if its host has lost its numbering meanwhile.
        let is_over = event.token.seq() <= missed || now_ms.saturating_sub(at_ms) > MISSED_MS;
        if is_over {
            self.missed = None;
        }
        !is_over
    }

    /// Puts work behind what waits; gives it back when too much does.
    pub(super) fn park(&mut self, item: Item) -> Option<Item> {
        if let Item::Event(pending) = &item {
            let bytes = pending.event.frame.len();
            if self.queue.len() >= PARKED_EVENTS_MAX || self.queued_bytes + bytes > PARKED_BYTES_MAX
            {
                return Some(item);
            }
            self.queued_bytes += bytes;
        }
        self.queue.push_back(item);
        None
    }

    /// Puts work in front of what waits.
    pub(super) fn park_first(&mut self, item: Item) {
        if let Item::Event(pending) = &item {
            self.queued_bytes += pending.event.frame.len();
        }
        self.queue.push_front(item);
    }

    /// The next work that waited.
    pub(super) fn unpark(&mut self) -> Option<Item> {
        let item = self.queue.pop_front()?;
        if let Item::Event(pending) = &item {
            self.queued_bytes = self.queued_bytes.saturating_sub(pending.event.frame.len());
        }
        Some(item)
    }

    /// Whether something has changed that is to be stored.
    pub(super) fn has_change(&self) -> bool {
        self.known.account.is_some()
            && (self.account_changed || self.repo_changed || self.identity_changed)
    }

    /// The change since the last call, if there is one.
    pub(super) fn take_change(&mut self, did: &Did) -> Option<Change> {
        if !self.has_change() {
            return None;
        }
        let identity = match &self.identity {
            IdentityState::Known {
                identity,
                fetched_ms,
            } => Some(FetchedIdentity {
                identity: Arc::clone(identity),
                fetched_ms: *fetched_ms,
            }),
            _ => None,
        };
        Some(Change {
            did: did.clone(),
            account: self.known.account.clone()?,
            repo: self.known.repo,
            identity,
            account_changed: std::mem::take(&mut self.account_changed),
            repo_changed: std::mem::take(&mut self.repo_changed),
            identity_changed: std::mem::take(&mut self.identity_changed),
        })
    }

    fn is_idle(&self, stored: u64) -> bool {
        !self.waiting && self.queue.is_empty() && self.ticket <= stored
    }
}

/// The entries of one shard. About `2 * half` of them stay in memory, the least recently used ones go; one whose state is
/// not stored yet, or for which something waits, always stays.
#[derive(Debug)]
pub(super) struct Entries {
    young: HashMap<Did, Entry>,
    old: HashMap<Did, Entry>,
    half: usize,
}

impl Entries {
    pub(super) fn new(most: usize) -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            half: (most / 2).max(1),
        }
    }

    /// The entry of `did`, new if there is none. `stored`: the highest ticket whose state is stored.
    pub(super) fn get(&mut self, did: &Did, stored: u64) -> &mut Entry {
        if self.young.len() >= self.half && !self.young.contains_key(did) {
            let mut old = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
            self.young = old.extract_if(|_, entry| !entry.is_idle(stored)).collect();
        }
        let old = &mut self.old;
        self.young
            .entry(did.clone())
            .or_insert_with(|| old.remove(did).unwrap_or_default())
    }

    /// The entry of `did`, if it is in memory.
    pub(super) fn peek(&self, did: &Did) -> Option<&Entry> {
        self.young.get(did).or_else(|| self.old.get(did))
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn did(number: usize) -> Did {
        format!("did:web:a{number}.example.com")
            .parse()
            .expect("a DID")
    }

    #[test]
    fn map_of_entries_stays_small_and_keeps_the_recently_used() {
        let mut entries = Entries::new(100);
        entries.get(&did(0), 0).loaded = true;
        for number in 1..1_000 {
            entries.get(&did(number), 0);
            assert!(
                entries.get(&did(0), 0).loaded,
                "the busy entry went at {number}"
            );
        }
        assert!(entries.len() <= 102, "{}", entries.len());
    }

    #[test]
    fn entry_whose_state_is_not_stored_never_goes() {
        let mut entries = Entries::new(10);
        entries.get(&did(0), 0).ticket = 7;
        for number in 1..100 {
            entries.get(&did(number), 6);
        }
        assert_eq!(entries.get(&did(0), 6).ticket, 7);
        for number in 100..200 {
            entries.get(&did(number), 7);
        }
        assert_eq!(entries.get(&did(0), 7).ticket, 0);
    }
}
