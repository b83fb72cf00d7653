//! Removing the data of deleted accounts, in small background values.
//!
//! Owns the order: records, nodes, links and blobs first, then the account's events, then the
//! note that there is something to do. Goes on after a restart where it stopped.

use super::{Inner, Repos};
use crate::store::purge::{self, Purge};
use crate::store::{StoreError, event, read_error, write_error};

impl Repos {
    /// Says that an account was deleted: its data is removed soon.
    pub fn purge_soon(&self) {
        self.inner.purge_due.notify_one();
    }

    /// Removes what is due now.
    ///
    /// # Errors
    /// When the store fails; the rest is left to the next call.
    pub async fn purge(&self) -> Result<(), StoreError> {
        loop {
            let next: Option<Purge> = self
                .inner
                .database
                .read(purge::next)
                .await
                .map_err(read_error)?;
            match next {
                Some(job) => self.inner.purge_account(job).await?,
                None => return Ok(()),
            }
        }
    }

    pub(super) async fn run_purges(&self) {
        loop {
            if let Err(error) = self.purge().await {
                tracing::warn!(%error, "data of a deleted account is not removed yet");
            }
            tokio::select! {
                () = self.inner.tasks.requested() => return,
                () = self.inner.purge_due.notified() => {}
            }
        }
    }
}

impl Inner {
    async fn purge_account(&self, job: Purge) -> Result<(), StoreError> {
        self.slots.remove(job.account);
        self.purge_rows(job).await?;
        let mut after = Some(0);
        while let Some(from) = after {
            after = self
                .database
                .write_background(move |tx| {
                    event::remove_account(tx, job.account, from, job.below_seq)
                })
                .await
                .map_err(write_error::<StoreError>)?;
        }
        // A flush that was under way may have written a few nodes since.
        self.purge_rows(job).await?;
        self.database
            .write_background(move |tx| purge::finish(tx, job.account))
            .await
            .map_err(write_error::<StoreError>)?;
        self.blobs_gone.notify_one();
        Ok(())
    }

    async fn purge_rows(&self, job: Purge) -> Result<(), StoreError> {
        loop {
            let more = self
                .database
                .write_background(move |tx| purge::step(tx, job.account))
                .await
                .map_err(write_error::<StoreError>)?;
            if !more {
                return Ok(());
            }
        }
    }
}
