//! The check at the end: what the new PDS serves is what the old one had, and the world can see it.

use rochdale_protocol::repo::Commit;

use super::error::MigrateError;
use super::repository;
use super::{Move, survey};

impl Move<'_> {
    /// Compares the new account with what was copied, as a stranger would verify it.
    pub(super) async fn check(&mut self) -> Result<(), MigrateError> {
        let did = self.journal.did().clone();
        let document = self.documents.now(&did).await;
        let document = document.map_err(|cause| MigrateError::Check(cause.to_string()))?;
        if document.pds() != Some(self.new.url.as_str()) {
            let names = document.pds().unwrap_or("nothing");
            let why = format!("the DID document names {names} and not {}", self.new.url);
            return Err(MigrateError::Check(why));
        }
        let path = self.journal.beside("check.car");
        let there = repository::fetch(self.talk, &self.new, &did, path).await?;
        let key = document
            .signing_key()
            .ok_or_else(|| MigrateError::Check("the DID document has no signing key".to_owned()))?;
        if there.commit.verify(key).is_err() {
            let copied = self.journal.repository().map(|copied| copied.commit);
            if copied != Some(there.commit.cid()) {
                let why = "the repository is not signed by the key in the DID document";
                return Err(MigrateError::Check(why.to_owned()));
            }
            self.talk.say(
                "  the new PDS still serves the old PDS's signature; the first post there brings a new one",
            );
        }
        self.compare_records(&there.commit, there.records)?;
        self.compare_blobs().await
    }

    /// The same tree is the same records.
    fn compare_records(&self, there: &Commit, records: u64) -> Result<(), MigrateError> {
        let Some(copied) = self.journal.repository() else {
            return Err(MigrateError::Check("nothing was copied".to_owned()));
        };
        if there.data == copied.data {
            let text = format!("  {records} records, all the same");
            self.talk.say(&text);
            return Ok(());
        }
        // Right after the import they were the same, so somebody has written there since.
        if records >= copied.records {
            let text = format!("  {records} records; {} were copied", copied.records);
            self.talk.say(&text);
            return Ok(());
        }
        Err(MigrateError::Check(format!(
            "it has {records} records, {} were copied. If you deleted some there since, deactivate the old account at the old PDS yourself",
            copied.records
        )))
    }

    async fn compare_blobs(&mut self) -> Result<(), MigrateError> {
        let status = survey::status(&self.new).await?;
        if !status.activated || !status.valid_did {
            let why = "the new PDS does not take it for activated with a valid DID";
            return Err(MigrateError::Check(why.to_owned()));
        }
        let missing = status.expected_blobs.saturating_sub(status.imported_blobs);
        if missing > self.journal.lost_blobs().len() as u64 {
            // Some that arrived are gone, or the list was cut short: once more.
            self.move_blobs().await?;
        }
        let lost = self.journal.lost_blobs().len();
        self.talk.say(&format!(
            "  {} of {} blobs, {lost} could not be moved",
            status.imported_blobs, status.expected_blobs
        ));
        Ok(())
    }
}
