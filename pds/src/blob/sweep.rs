//! Removing what nobody refers to: files of blobs whose row is gone, uploads never used.
//!
//! Owns when and in what order; every step can be repeated after a crash.

use std::time::Duration;

use rochdale_protocol::data::Cid;

use super::backend::Place;
use super::{BlobError, Blobs, Inner};
use crate::account::AccountId;
use crate::store::blob::{garbage, takedown as hidden};
use crate::store::{StoreError, blob as store, read_error, write_error};

/// Uploads that no record refers to are kept so long.
const UNUSED_KEPT: Duration = Duration::from_secs(12 * 3600);
/// A sweep begins at least so often.
const SWEEP_EVERY: Duration = Duration::from_secs(600);
/// Rows looked at in one read.
const ROWS_PER_READ: usize = 100;

impl Blobs {
    /// Sweeps until a stop is asked for.
    pub async fn run(&self) {
        let inner = &self.inner;
        if let Err(error) = inner.backend.probe().await {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(%error, cause, "blobs can be neither read nor written");
        }
        let mut tick = tokio::time::interval(SWEEP_EVERY);
        loop {
            tokio::select! {
                () = inner.tasks.requested() => return,
                () = inner.due.notified() => {}
                _ = tick.tick() => {
                    if let Err(error) = inner.discard_unused().await {
                        tracing::warn!(%error, "unused uploads were not removed");
                    }
                }
            }
            if let Err(error) = inner.remove_files().await {
                tracing::warn!(%error, "blob files were not removed");
            }
        }
    }

    /// One sweep of everything, as [`Blobs::run`] does it over time.
    ///
    /// # Errors
    /// When store or backend fail; what was not removed is left to the next sweep.
    pub async fn sweep(&self) -> Result<(), BlobError> {
        self.inner.discard_unused().await?;
        self.inner.remove_files().await
    }
}

impl Inner {
    async fn discard_unused(&self) -> Result<(), BlobError> {
        let kept_ms = u64::try_from(UNUSED_KEPT.as_millis()).unwrap_or(u64::MAX);
        let before_ms = self.clock.now_ms().saturating_sub(kept_ms);
        loop {
            let stale: Vec<(AccountId, Cid)> = self
                .database
                .read(move |conn| garbage::stale(conn, before_ms, ROWS_PER_READ))
                .await
                .map_err(read_error::<StoreError>)?;
            let last = stale.len() < ROWS_PER_READ;
            self.database
                .write_background(move |tx| {
                    stale.iter().try_for_each(|(account, cid)| {
                        garbage::discard_stale(tx, *account, cid, before_ms)
                    })
                })
                .await
                .map_err(write_error::<StoreError>)?;
            if last {
                return Ok(());
            }
        }
    }

    /// Goes through the whole list, also when some files cannot be removed now.
    async fn remove_files(&self) -> Result<(), BlobError> {
        let mut failed = Ok(());
        let mut after = None;
        loop {
            let due: Vec<(AccountId, Cid)> = self
                .database
                .read(move |conn| garbage::list(conn, after.as_ref(), ROWS_PER_READ))
                .await
                .map_err(read_error::<StoreError>)?;
            for (account, cid) in &due {
                if let Err(error) = self.remove_file(*account, *cid).await {
                    failed = Err(error);
                }
            }
            after = due.last().copied();
            if due.len() < ROWS_PER_READ {
                return failed;
            }
        }
    }

    async fn remove_file(&self, account: AccountId, cid: Cid) -> Result<(), BlobError> {
        let _turn = self.files.take((account, cid)).await;
        let (wanted, kept) = self
            .database
            .read_point(|conn| {
                let row = store::get(conn, account, &cid)?;
                let takedown = hidden::get(conn, account, &cid)?;
                Ok((row.is_some(), takedown.is_some()))
            })
            .map_err(read_error::<StoreError>)?;
        // Uploaded again meanwhile: the file is wanted.
        if !wanted {
            self.backend.delete(&Place::of(account, &cid)).await?;
        }
        if !kept {
            let away = Place::quarantined(account, &cid);
            self.backend.delete(&away).await?;
        }
        self.database
            .write_background(move |tx| garbage::removed(tx, account, &cid))
            .await
            .map_err(write_error::<StoreError>)?;
        Ok(())
    }
}
