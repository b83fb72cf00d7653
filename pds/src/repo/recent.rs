//! What a repository gained after a revision. Must not write.

use rochdale_protocol::syntax::Tid;

use super::Repos;
use crate::account::AccountId;
use crate::store::recent::{self, RecentRecord};
use crate::store::{StoreError, read_error};

/// The newest records of one collection.
#[derive(Debug)]
pub struct Recent {
    /// Oldest first.
    pub records: Vec<RecentRecord>,
    /// Whether the repository has anything as old as the revision that was asked about.
    pub reaches_back: bool,
}

impl Repos {
    /// The newest records of `collection` that came after `rev`, at most `limit`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn after(
        &self,
        account: AccountId,
        collection: &'static str,
        rev: Tid,
        limit: usize,
    ) -> Result<Recent, StoreError> {
        self.inner
            .database
            .read(move |conn| {
                Ok(Recent {
                    records: recent::after(conn, account, collection, rev, limit)?,
                    reaches_back: recent::reaches_back_to(conn, account, rev)?,
                })
            })
            .await
            .map_err(read_error)
    }
}
