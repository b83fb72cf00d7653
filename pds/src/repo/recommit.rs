//! Making a repository's head anew: the operator's repair.
//!
//! Two things can be wrong with a head. It may not be what readers last saw, or be dated in the
//! future: then the same tree is signed again. Or its tree may not be that of the records, so that
//! the repository is closed: then the records, where they are right, become the tree. Both are told
//! by `#sync`, on which readers start over. Follows the atproto sync specification.

use std::sync::Arc;

use super::{CommitMeta, Inner, Repos, WriteError, rev};
use crate::account::Account;

/// What is taken for right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// The head's tree.
    Head,
    /// The records as they are stored, whatever the head says.
    Records,
}

impl Repos {
    /// Gives the repository of `account` a new head; announced when the account is active.
    ///
    /// # Errors
    /// `Closed` when the head is to be kept and the records do not lead to it; else as
    /// [`Repos::write`].
    pub async fn recommit(
        &self,
        account: &Arc<Account>,
        truth: Truth,
    ) -> Result<CommitMeta, WriteError> {
        let (inner, account) = (Arc::clone(&self.inner), Arc::clone(account));
        self.owned("repo-recommit", async move {
            match truth {
                Truth::Head => {
                    let announces = account.is_active();
                    let nothing = |_: &rusqlite::Connection| Ok(Vec::new());
                    inner.resign(&account, announces, nothing).await
                }
                Truth::Records => inner.head_from_records(&account).await,
            }
        })
        .await
    }
}

impl Inner {
    async fn head_from_records(&self, account: &Account) -> Result<CommitMeta, WriteError> {
        let slot = self.slots.get(account.id);
        let mut turn = slot.turn().await?;
        self.slots.drop_tree(&slot, &mut turn);
        let head = self.stored_head(account.id)?;
        tracing::warn!(account = account.id.0, head = %head.cid, "a head is made from the records");
        let rev = rev::anew(head.rev, self.clock.now_us());
        let done = self.complete(account, &slot, &mut turn, rev).await;
        if done.is_ok() {
            turn.closed = false;
        }
        done
    }
}
