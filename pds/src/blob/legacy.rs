//! Pictures of old profiles: references of the legacy form get the present one.
//!
//! Owns the one place where the legacy form is taken from a client: an app that read an old profile
//! writes avatar and banner back as it found them. Follows what the reference PDS does.

use rochdale_protocol::data::Value;
use rochdale_protocol::data::blob::{self, BlobRef};

use super::Blobs;
use crate::account::AccountId;
use crate::store::StoreError;

const PICTURES: [&str; 2] = ["avatar", "banner"];

/// Whether avatar or banner of a profile are of the legacy form.
pub fn has_legacy_pictures(profile: &Value) -> bool {
    PICTURES
        .iter()
        .any(|picture| profile.get(picture).and_then(blob::legacy).is_some())
}

impl Blobs {
    /// Gives avatar and banner of `profile` the present form, with type and size as stored. One that
    /// the account does not have stays as it is.
    ///
    /// # Errors
    /// When the store fails.
    pub fn renew_pictures(
        &self,
        account: AccountId,
        profile: &mut Value,
    ) -> Result<(), StoreError> {
        for picture in PICTURES {
            let Some(legacy) = profile.get(picture).and_then(blob::legacy) else {
                continue;
            };
            let stored = self.find(account, &legacy.cid)?;
            if let (Some(stored), Some(profile)) = (stored, profile.as_map_mut()) {
                let present = BlobRef {
                    cid: legacy.cid,
                    mime: stored.mime,
                    size: stored.size,
                };
                profile.insert(picture, present.to_value());
            }
        }
        Ok(())
    }
}
