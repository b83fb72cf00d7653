//! One slot per repository in use: its turn, its tree, its unwritten nodes.
//!
//! Owns who may change a repository at a time and how much memory trees take. A slot that
//! nothing needs is dropped; a tree beyond the byte limit is forgotten, least recently used
//! first, since it can be read again. Must not read or write storage.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use rochdale_protocol::data::Cid;
use rochdale_protocol::repo::{NodeDelta, Tree};
use rochdale_protocol::syntax::Tid;
use tokio::sync::OwnedMutexGuard;

use super::WriteError;
use super::nodes::Nodes;
use crate::account::AccountId;
use crate::store::repo::Head;

/// Writers that may wait for one repository.
const WAITING_MAX: usize = 256;
/// One tree may take this part of the limit.
const LARGEST_SHARE: usize = 4;
/// Slots above which unused ones are looked for at once.
const SLOTS_MAX: usize = 20_000;

/// The state a turn holder works on: head and tree as the store last confirmed them.
#[derive(Debug)]
pub(super) struct Open {
    /// The newest commit.
    pub(super) head: Head,
    /// Its tree, as far as it was read.
    pub(super) tree: Tree,
}

/// What the holder of a turn finds: nothing when it must be read first.
#[derive(Debug, Default)]
pub(super) struct Desk {
    /// The repository, when it is in memory.
    pub(super) open: Option<Open>,
    /// The records do not add up to the head: nothing is written any more.
    pub(super) closed: bool,
}

/// The right to change a repository, until dropped.
pub(super) type Turn = OwnedMutexGuard<Desk>;

/// A repository in use.
#[derive(Debug)]
pub(super) struct Slot {
    /// Whose.
    pub(super) account: AccountId,
    /// Nodes that are not on disk.
    pub(super) nodes: Mutex<Nodes>,
    desk: Arc<tokio::sync::Mutex<Desk>>,
    waiting: AtomicUsize,
    tree_bytes: AtomicUsize,
    last_used: AtomicU64,
}

impl Slot {
    fn new(account: AccountId) -> Self {
        Self {
            account,
            nodes: Mutex::default(),
            desk: Arc::default(),
            waiting: AtomicUsize::new(0),
            tree_bytes: AtomicUsize::new(0),
            last_used: AtomicU64::new(0),
        }
    }

    /// Waits for the repository's turn, first come, first served.
    ///
    /// # Errors
    /// `Busy` when too many wait already.
    pub(super) async fn turn(&self) -> Result<Turn, WriteError> {
        struct Waiting<'a>(&'a AtomicUsize);
        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        if before >= WAITING_MAX {
            return Err(WriteError::Busy);
        }
        Ok(Arc::clone(&self.desk).lock_owned().await)
    }

    /// Takes in the nodes of a durable commit.
    pub(super) fn absorb(&self, delta: Option<NodeDelta>, rev: Tid, root: Cid) {
        let mut nodes = self.nodes.lock();
        match delta {
            Some(delta) => nodes.absorb(delta, rev),
            None => nodes.absorb_resigned(rev, root),
        }
    }

    fn is_idle(&self) -> bool {
        let tree_gone = self
            .desk
            .try_lock()
            .is_ok_and(|desk| desk.open.is_none() && !desk.closed);
        tree_gone && self.nodes.lock().is_idle()
    }
}

/// All slots.
#[derive(Debug)]
pub(super) struct Slots {
    map: Mutex<HashMap<AccountId, Arc<Slot>>>,
    tree_bytes: AtomicUsize,
    tree_bytes_max: usize,
    clock: AtomicU64,
}

impl Slots {
    /// Slots whose trees take about `tree_bytes_max` at most.
    pub(super) fn new(tree_bytes_max: usize) -> Self {
        Self {
            map: Mutex::default(),
            tree_bytes: AtomicUsize::new(0),
            tree_bytes_max,
            clock: AtomicU64::new(0),
        }
    }

    /// The slot of an account, made when there is none.
    pub(super) fn get(&self, account: AccountId) -> Arc<Slot> {
        let mut map = self.map.lock();
        if map.len() >= SLOTS_MAX {
            sweep(&mut map);
        }
        let slot = Arc::clone(
            map.entry(account)
                .or_insert_with(|| Arc::new(Slot::new(account))),
        );
        slot.last_used.store(
            self.clock.fetch_add(1, Ordering::Relaxed),
            Ordering::Relaxed,
        );
        slot
    }

    /// The slot of an account that is in use.
    #[cfg(test)]
    pub(super) fn find(&self, account: AccountId) -> Option<Arc<Slot>> {
        self.map.lock().get(&account).cloned()
    }

    /// Every slot.
    pub(super) fn all(&self) -> Vec<Arc<Slot>> {
        self.map.lock().values().cloned().collect()
    }

    /// Drops slots that nothing needs.
    pub(super) fn sweep(&self) {
        sweep(&mut self.map.lock());
    }

    /// Removes an account's slot: it is gone.
    pub(super) fn remove(&self, account: AccountId) {
        if let Some(slot) = self.map.lock().remove(&account) {
            self.weigh(&slot, 0);
        }
    }

    /// Puts back what a turn holder has, and keeps all trees within the limit.
    pub(super) fn settle(&self, slot: &Slot, turn: &mut Turn, mut open: Open) {
        // One huge repository must not push out all others, nor pass the limit alone.
        if open.tree.loaded_bytes() > self.tree_bytes_max / LARGEST_SHARE {
            open.tree.unload_clean();
        }
        self.weigh(slot, open.tree.loaded_bytes());
        turn.open = Some(open);
        if self.tree_bytes.load(Ordering::Relaxed) > self.tree_bytes_max {
            self.evict(slot.account);
        }
    }

    /// Forgets what is in memory of a repository.
    pub(super) fn drop_tree(&self, slot: &Slot, turn: &mut Turn) {
        turn.open = None;
        self.weigh(slot, 0);
    }

    fn weigh(&self, slot: &Slot, bytes: usize) {
        let before = slot.tree_bytes.swap(bytes, Ordering::Relaxed);
        self.tree_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.tree_bytes.fetch_sub(before, Ordering::Relaxed);
    }

    /// Forgets the least recently used trees until a tenth of the limit is free.
    fn evict(&self, sparing: AccountId) {
        let mut slots = self.all();
        slots.retain(|slot| slot.account != sparing && slot.tree_bytes.load(Ordering::Relaxed) > 0);
        slots.sort_by_key(|slot| slot.last_used.load(Ordering::Relaxed));
        let target = self.tree_bytes_max / 10 * 9;
        for slot in slots {
            if self.tree_bytes.load(Ordering::Relaxed) <= target {
                break;
            }
            // A repository in use keeps its tree.
            if let Ok(mut desk) = slot.desk.try_lock() {
                desk.open = None;
                self.weigh(&slot, 0);
            }
        }
    }
}

/// A slot that only the map knows and that holds nothing can go: nobody can get it meanwhile.
fn sweep(map: &mut HashMap<AccountId, Arc<Slot>>) {
    map.retain(|_, slot| Arc::strong_count(slot) > 1 || !slot.is_idle());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open() -> Open {
        let mut tree = Tree::empty();
        let data = tree.commit_nodes().root;
        let head = Head {
            cid: data,
            rev: Tid::from_u64(1),
            data,
            block: bytes::Bytes::new(),
        };
        Open { head, tree }
    }

    #[tokio::test]
    async fn trees_beyond_the_limit_are_forgotten_oldest_first_and_empty_slots_go() {
        let one = open().tree.loaded_bytes();
        let slots = Slots::new(one * 10);
        for n in 0..11 {
            let slot = slots.get(AccountId(n));
            let mut turn = slot.turn().await.unwrap();
            slots.settle(&slot, &mut turn, open());
        }
        let in_memory = |n| {
            slots
                .find(AccountId(n))
                .unwrap()
                .desk
                .try_lock()
                .unwrap()
                .open
                .is_some()
        };
        assert!(!in_memory(0) && !in_memory(1));
        assert!(in_memory(2) && in_memory(10));
        slots.sweep();
        assert_eq!(slots.all().len(), 9);
    }

    #[tokio::test]
    async fn a_tree_that_is_large_for_the_limit_is_not_kept_loaded() {
        let slots = Slots::new(open().tree.loaded_bytes() * (LARGEST_SHARE - 1));
        let slot = slots.get(AccountId(1));
        let mut turn = slot.turn().await.unwrap();
        slots.settle(&slot, &mut turn, open());
        assert_eq!(turn.open.as_ref().unwrap().tree.loaded_bytes(), 0);
        assert_eq!(slots.tree_bytes.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_slot_somebody_holds_is_never_swept() {
        let slots = Slots::new(1);
        let slot = slots.get(AccountId(1));
        slots.sweep();
        assert!(slots.find(AccountId(1)).is_some());
        drop(slot);
        slots.sweep();
        assert!(slots.find(AccountId(1)).is_none());
    }

    #[tokio::test]
    async fn writers_beyond_the_limit_of_one_repository_are_turned_away() {
        let slot = Arc::new(Slot::new(AccountId(1)));
        let held = slot.turn().await.unwrap();
        let waiters: Vec<_> = (0..WAITING_MAX)
            .map(|_| {
                let slot = Arc::clone(&slot);
                tokio::spawn(async move { slot.turn().await.is_ok() })
            })
            .collect();
        while slot.waiting.load(Ordering::Relaxed) < WAITING_MAX {
            tokio::task::yield_now().await;
        }
        assert!(matches!(slot.turn().await, Err(WriteError::Busy)));
        drop(held);
        for waiter in waiters {
            assert!(waiter.await.unwrap());
        }
    }
}
