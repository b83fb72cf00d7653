//! Takedown of blobs: hidden by a row at once, then moved out of every reader's way.
//!
//! The row decides what is served and accepted, the move keeps the bytes as evidence, also when
//! the member deletes the record meanwhile. Each step can be repeated after a failure.

use rochdale_protocol::data::Cid;

use super::backend::Place;
use super::{BlobError, Blobs, Inner};
use crate::account::AccountId;
use crate::store::blob::takedown as hidden;
use crate::store::{StoreError, blob as store, read_error, write_error};

impl Blobs {
    /// Hides a blob (`reference` given) or shows it again. A hidden one is not accepted anew.
    ///
    /// # Errors
    /// When the store or the backend fails. A hidden blob stays hidden then; ask again.
    pub async fn set_takedown(
        &self,
        account: AccountId,
        cid: &Cid,
        reference: Option<String>,
    ) -> Result<(), BlobError> {
        let _turn = self.inner.files.take((account, *cid)).await;
        match reference {
            Some(reference) => self.inner.hide(account, *cid, reference).await,
            None => self.inner.show(account, *cid).await,
        }
    }

    /// The reference under which a blob is hidden.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn takedown(
        &self,
        account: AccountId,
        cid: &Cid,
    ) -> Result<Option<String>, StoreError> {
        let cid = *cid;
        self.inner
            .database
            .read(move |conn| hidden::get(conn, account, &cid))
            .await
            .map_err(read_error)
    }
}

impl Inner {
    async fn hide(&self, account: AccountId, cid: Cid, reference: String) -> Result<(), BlobError> {
        self.set_row(account, cid, Some(reference)).await?;
        let (place, away) = places(account, &cid);
        self.backend.rename(&place, &away).await?;
        Ok(())
    }

    async fn show(&self, account: AccountId, cid: Cid) -> Result<(), BlobError> {
        let row = self
            .database
            .read_point(|conn| store::get(conn, account, &cid))
            .map_err(read_error::<StoreError>)?;
        let (place, away) = places(account, &cid);
        if row.is_some() {
            self.backend.rename(&away, &place).await?;
        } else {
            // Its last record went meanwhile.
            self.backend.delete(&away).await?;
        }
        self.set_row(account, cid, None).await
    }

    async fn set_row(
        &self,
        account: AccountId,
        cid: Cid,
        reference: Option<String>,
    ) -> Result<(), BlobError> {
        self.database
            .write(move |tx| hidden::set(tx, account, &cid, reference.as_deref()))
            .await
            .map_err(write_error::<StoreError>)?;
        Ok(())
    }
}

fn places(account: AccountId, cid: &Cid) -> (Place, Place) {
    (Place::of(account, cid), Place::quarantined(account, cid))
}
