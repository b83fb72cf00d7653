//! Account rows in memory, so that an authenticated request costs no SQL.
//!
//! Bounded; forgotten on every change. A read that began before a change never leaves its stale
//! row behind: rows are kept only if no change happened since the read began.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rochdale_protocol::syntax::{AtIdentifier, Did, Handle};

use super::{Account, AccountId};
use crate::store::account::AccountKey;
use crate::store::{AccountStore, StoreError};

/// Rows kept: about 600 bytes each, and each may stand under two keys.
const ROWS_MAX: u64 = 20_000;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Id(AccountId),
    Name(Arc<str>),
}

/// Finds accounts by DID, handle or number.
pub struct Accounts {
    store: Arc<dyn AccountStore>,
    rows: moka::sync::Cache<Key, Arc<Account>>,
    /// Counts changes, so that a reader can tell whether one happened meanwhile.
    changes: AtomicU64,
}

impl std::fmt::Debug for Accounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Accounts")
            .field("cached", &self.rows.entry_count())
            .finish_non_exhaustive()
    }
}

impl Accounts {
    /// An empty cache in front of `store`.
    #[must_use]
    pub fn new(store: Arc<dyn AccountStore>) -> Self {
        Self {
            store,
            rows: moka::sync::Cache::new(ROWS_MAX),
            changes: AtomicU64::new(0),
        }
    }

    /// The account of this identity, in whatever state.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn by_did(&self, did: &Did) -> Result<Option<Arc<Account>>, StoreError> {
        self.get(Key::Name(did.as_str().into()), || {
            AccountKey::Did(did.clone())
        })
        .await
    }

    /// The account with this handle, in whatever state.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn by_handle(&self, handle: &Handle) -> Result<Option<Arc<Account>>, StoreError> {
        self.get(Key::Name(handle.as_str().into()), || {
            AccountKey::Handle(handle.clone())
        })
        .await
    }

    /// The account with this number, in whatever state.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn by_id(&self, id: AccountId) -> Result<Option<Arc<Account>>, StoreError> {
        self.get(Key::Id(id), || AccountKey::Id(id)).await
    }

    /// The account with this DID or handle, in whatever state.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn find(&self, who: &AtIdentifier) -> Result<Option<Arc<Account>>, StoreError> {
        match who {
            AtIdentifier::Did(did) => self.by_did(did).await,
            AtIdentifier::Handle(handle) => self.by_handle(handle).await,
        }
    }

    async fn get(
        &self,
        key: Key,
        query: impl FnOnce() -> AccountKey,
    ) -> Result<Option<Arc<Account>>, StoreError> {
        if let Some(row) = self.rows.get(&key) {
            return Ok(Some(row));
        }
        let before = self.changes.load(Ordering::SeqCst);
        let Some(row) = self.store.find(query()).await?.map(Arc::new) else {
            return Ok(None);
        };
        self.keep(key, &row, before);
        Ok(Some(row))
    }

    /// Keeps a row that was read when `before` changes had happened, unless there were more since.
    fn keep(&self, key: Key, row: &Arc<Account>, before: u64) {
        self.rows.insert(key.clone(), Arc::clone(row));
        if self.changes.load(Ordering::SeqCst) != before {
            self.rows.invalidate(&key);
        }
    }

    /// Forgets what is known of `account`. Call it after a change was stored and before it is
    /// answered; `account` is the row as it was before.
    pub fn changed(&self, account: &Account) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.rows.invalidate(&Key::Id(account.id));
        self.rows
            .invalidate(&Key::Name(account.did.as_str().into()));
        if let Some(handle) = &account.handle {
            self.rows.invalidate(&Key::Name(handle.as_str().into()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::account::tests::Fixture;
    use crate::store::account::{AccountChange, Set, Takedown};

    #[tokio::test]
    async fn a_change_is_seen_at_once_under_every_name() {
        let fixture = Fixture::new();
        let id = fixture.ada().await;
        let accounts = Accounts::new(Arc::clone(&fixture.store.accounts));
        let before = accounts.by_id(id).await.unwrap().unwrap();
        let (did, handle) = (before.did.clone(), before.handle.clone().unwrap());
        assert!(accounts.by_did(&did).await.unwrap().unwrap().is_active());
        assert!(
            accounts
                .by_handle(&handle)
                .await
                .unwrap()
                .unwrap()
                .is_active()
        );
        let down = AccountChange::of(id).set(Set::Takedown(Some(Takedown {
            reference: "1".to_owned(),
            until_ms: None,
        })));
        fixture.store.accounts.change(down).await.unwrap();
        accounts.changed(&before);
        assert!(!accounts.by_did(&did).await.unwrap().unwrap().is_active());
        assert!(
            !accounts
                .by_handle(&handle)
                .await
                .unwrap()
                .unwrap()
                .is_active()
        );
        assert!(!accounts.by_id(id).await.unwrap().unwrap().is_active());
    }

    #[tokio::test]
    async fn a_row_read_before_a_change_is_not_kept_after_it() {
        let fixture = Fixture::new();
        let id = fixture.ada().await;
        let accounts = Accounts::new(Arc::clone(&fixture.store.accounts));
        let stale = fixture
            .store
            .accounts
            .find(AccountKey::Id(id))
            .await
            .unwrap()
            .unwrap();
        let before = accounts.changes.load(Ordering::SeqCst);
        accounts.changed(&stale);
        accounts.keep(Key::Id(id), &Arc::new(stale), before);
        assert!(accounts.rows.get(&Key::Id(id)).is_none());
    }
}
