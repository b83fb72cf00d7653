//! Removing what nobody refers to: files of blobs whose row is gone, uploads never used.
//!
//! Owns when and in what order; every step can be repeated after a crash.

use std::time::Duration;

use rochdale_protocol::data::Cid;

use super::{Blobs, Inner, UploadError};
use crate::account::AccountId;
use crate::store::{StoreError, blob as store, read_error, write_error};

/// Uploads that no record refers to are kept so long.
const UNUSED_KEPT: Duration = Duration::from_secs(12 * 3600);
/// Temporary files are kept so long: no upload takes longer.
const TEMPORARY_KEPT: Duration = Duration::from_secs(3600);
/// A sweep begins at least so often.
const SWEEP_EVERY: Duration = Duration::from_secs(600);
/// Rows looked at in one read.
const ROWS_PER_READ: usize = 100;

impl Blobs {
    /// Sweeps until a stop is asked for.
    pub async fn run(&self) {
        let inner = &self.inner;
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
    /// When store or disk fail; the rest is left to the next sweep.
    pub async fn sweep(&self) -> Result<(), UploadError> {
        self.inner.discard_unused().await?;
        self.inner.remove_files().await
    }
}

impl Inner {
    async fn discard_unused(&self) -> Result<(), UploadError> {
        let now_ms = self.clock.now_ms();
        let disk = self.disk.clone();
        let before_ms = now_ms.saturating_sub(millis(TEMPORARY_KEPT));
        tokio::task::spawn_blocking(move || disk.sweep_temporary(before_ms))
            .await
            .map_err(std::io::Error::other)??;
        let before_ms = now_ms.saturating_sub(millis(UNUSED_KEPT));
        loop {
            let stale: Vec<(AccountId, Cid)> = self
                .database
                .read(move |conn| store::stale(conn, before_ms, ROWS_PER_READ))
                .await
                .map_err(read_error::<StoreError>)?;
            let last = stale.len() < ROWS_PER_READ;
            self.database
                .write_background(move |tx| {
                    stale.iter().try_for_each(|(account, cid)| {
                        store::discard_stale(tx, *account, cid, before_ms)
                    })
                })
                .await
                .map_err(write_error::<StoreError>)?;
            if last {
                return Ok(());
            }
        }
    }

    async fn remove_files(&self) -> Result<(), UploadError> {
        loop {
            let garbage: Vec<(AccountId, Cid)> = self
                .database
                .read(|conn| store::garbage(conn, ROWS_PER_READ))
                .await
                .map_err(read_error::<StoreError>)?;
            if garbage.is_empty() {
                return Ok(());
            }
            for (account, cid) in garbage {
                self.remove_file(account, cid).await?;
            }
        }
    }

    async fn remove_file(&self, account: AccountId, cid: Cid) -> Result<(), UploadError> {
        let _lock = self.lock(&cid).await;
        let row = self
            .database
            .read_point(|conn| store::get(conn, account, &cid))
            .map_err(read_error::<StoreError>)?;
        // Uploaded again meanwhile: the file is wanted.
        if row.is_none() {
            let disk = self.disk.clone();
            tokio::task::spawn_blocking(move || disk.remove(account, &cid))
                .await
                .map_err(std::io::Error::other)??;
        }
        self.database
            .write_background(move |tx| store::garbage_removed(tx, account, &cid))
            .await
            .map_err(write_error::<StoreError>)?;
        Ok(())
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
