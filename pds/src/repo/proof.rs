//! Reading single records of a repository, proofs of them, and what is known of all.
//!
//! Must not write. Follows the atproto sync specification.

use rochdale_protocol::data::Cid;
use rochdale_protocol::repo::{Tree, car};
use rochdale_protocol::syntax::{Nsid, RecordPath};

use super::shelf::Shelf;
use super::{Repos, WriteError};
use crate::account::AccountId;
use crate::store::repo::{Head, ListedRepo};
use crate::store::{StoreError, blob, node, read_error, record, repo as store, write_error};

/// What an account's owner may know of its repository.
#[derive(Debug, Clone)]
pub struct RepoStatus {
    /// The newest commit.
    pub head: Head,
    /// Blocks of the present tree: records, nodes and the commit.
    pub blocks: u64,
    /// Records.
    pub records: u64,
    /// Distinct blobs that records refer to.
    pub expected_blobs: u64,
    /// Blobs that are here.
    pub imported_blobs: u64,
}

impl Repos {
    /// The newest commit; `None` when the account has no repository.
    ///
    /// # Errors
    /// When the store fails.
    pub fn head(&self, account: AccountId) -> Result<Option<Head>, StoreError> {
        self.inner
            .database
            .read_point(|conn| store::head(conn, account))
            .map_err(read_error)
    }

    /// Counts for the account's owner.
    ///
    /// # Errors
    /// When the store fails, or there is no repository.
    pub async fn status(&self, account: AccountId) -> Result<RepoStatus, WriteError> {
        let slot = self.inner.slots.get(account);
        let found = self
            .inner
            .database
            .read(move |conn| {
                let Some(head) = store::head(conn, account)? else {
                    return Ok(None);
                };
                let records = record::count(conn, account)?;
                let stored = node::count(conn, account)?;
                let nodes = slot.nodes.lock().total(stored);
                let (expected_blobs, imported_blobs) = blob::counts(conn, account)?;
                let blocks = records + nodes.max(1) + 1;
                Ok(Some(RepoStatus {
                    head,
                    blocks,
                    records,
                    expected_blobs,
                    imported_blobs,
                }))
            })
            .await
            .map_err(read_error::<StoreError>)?;
        found.ok_or(WriteError::NoRepo)
    }

    /// A CAR file that proves what `path` holds, or that it holds nothing.
    ///
    /// # Errors
    /// `NoRepo`, `Closed`, or when the store fails.
    pub async fn prove(
        &self,
        account: AccountId,
        path: &RecordPath,
    ) -> Result<Vec<u8>, WriteError> {
        let pinned = self.inner.pin(account).await?;
        let key = path.to_string();
        let shelf = Shelf {
            database: &self.inner.database,
            slot: &pinned.slot,
        };
        let mut tree = Tree::load(pinned.head.data);
        let nodes = tree.path_to(&shelf, key.as_bytes())?;
        let leaf = tree
            .get(&shelf, key.as_bytes())?
            .and_then(|link| link.as_cid());
        let mut file = car::Writer::new(&[pinned.head.cid]);
        file.block(&pinned.head.cid, &pinned.head.block);
        for (cid, block) in &nodes {
            file.block(cid, block);
        }
        if let Some(cid) = leaf {
            let stored = self
                .inner
                .database
                .read_point(|conn| record::get(conn, account, path))
                .map_err(read_error::<StoreError>)?
                .filter(|record| record.cid == cid)
                .map(|record| record.value);
            let kept = || pinned.slot.nodes.lock().kept_record(&cid);
            let block = stored
                .or_else(kept)
                .ok_or_else(|| StoreError::corrupt("record"))?;
            file.block(&cid, &block);
        }
        Ok(file.into_bytes())
    }

    /// Repositories ordered by creation of their accounts, after `after`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn list(
        &self,
        after: Option<(i64, String)>,
        limit: usize,
    ) -> Result<Vec<ListedRepo>, StoreError> {
        self.inner
            .database
            .read(move |conn| store::list(conn, after.as_ref(), limit))
            .await
            .map_err(read_error)
    }

    /// The collections with at least one record.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn collections(&self, account: AccountId) -> Result<Vec<Nsid>, StoreError> {
        let found = self
            .inner
            .database
            .read(move |conn| record::collections(conn, account))
            .await
            .map_err(read_error::<StoreError>)?;
        Ok(found.into_iter().map(|(_, nsid)| nsid).collect())
    }

    /// A record that is not hidden.
    ///
    /// # Errors
    /// When the store fails.
    pub fn record(
        &self,
        account: AccountId,
        path: &RecordPath,
    ) -> Result<Option<record::StoredRecord>, StoreError> {
        self.inner
            .database
            .read_point(|conn| record::get_visible(conn, account, path))
            .map_err(read_error)
    }

    /// The CID of a record, hidden or not.
    ///
    /// # Errors
    /// When the store fails.
    pub fn record_cid(
        &self,
        account: AccountId,
        path: &RecordPath,
    ) -> Result<Option<Cid>, StoreError> {
        let found = self
            .inner
            .database
            .read_point(|conn| record::get(conn, account, path))
            .map_err(read_error::<StoreError>)?;
        Ok(found.map(|record| record.cid))
    }

    /// A page of a collection, hidden records left out.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn records(
        &self,
        account: AccountId,
        collection: Nsid,
        page: record::Page,
    ) -> Result<Vec<record::ListedRecord>, StoreError> {
        self.inner
            .database
            .read(move |conn| record::list(conn, account, &collection, &page))
            .await
            .map_err(read_error)
    }

    /// Hides a record (`reference` given) or shows it again.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn set_record_takedown(
        &self,
        account: AccountId,
        path: &RecordPath,
        reference: Option<String>,
    ) -> Result<(), StoreError> {
        let path = path.clone();
        self.inner
            .database
            .write(move |tx| record::set_takedown(tx, account, &path, reference.as_deref()))
            .await
            .map_err(write_error)
    }

    /// The reference under which a record is hidden.
    ///
    /// # Errors
    /// When the store fails.
    pub fn record_takedown(
        &self,
        account: AccountId,
        path: &RecordPath,
    ) -> Result<Option<String>, StoreError> {
        self.inner
            .database
            .read_point(|conn| record::takedown(conn, account, path))
            .map_err(read_error)
    }
}
