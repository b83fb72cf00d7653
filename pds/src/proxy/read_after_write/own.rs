//! What the caller wrote after the revision that the AppView has read, and who the caller is.

use rochdale_protocol::data::{Cid, json};
use rochdale_protocol::syntax::{AtUri, Datetime, Did, Tid};
use serde_json::Value;

use crate::app::App;
use crate::auth::Member;
use crate::store::StoreError;
use crate::store::recent::RecentRecord;

pub(super) const POST: &str = "app.bsky.feed.post";
const PROFILE: &str = "app.bsky.actor.profile";
const PROFILE_KEY: &str = "self";
/// Records that are shown at most.
const RECORDS_MAX: usize = 10;
/// What an account without a handle is shown as.
const NO_HANDLE: &str = "handle.invalid";

/// The caller and their newest records.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) did: Did,
    pub(super) handle: String,
    /// The present profile record.
    pub(super) profile: Option<Value>,
    /// Whether the AppView does not know it yet.
    pub(super) profile_is_new: bool,
    /// Posts that the AppView does not know yet, oldest first.
    pub(super) posts: Vec<OwnPost>,
    /// Where images are shown from, with `{preset}`, `{did}` and `{cid}`.
    pub(super) image_url: String,
    oldest_ms: i64,
}

/// A post of the caller.
#[derive(Debug)]
pub(super) struct OwnPost {
    pub(super) uri: String,
    pub(super) cid: Cid,
    /// When it was written here.
    pub(super) indexed_at: String,
    pub(super) record: Value,
}

impl Own {
    /// What the caller wrote after `read`; nothing when that is nothing, or when the whole
    /// repository is newer: then it has just moved here, and the AppView knows the old one.
    pub(super) async fn after(
        pds: &App,
        caller: &Member,
        read: Tid,
    ) -> Result<Option<Self>, StoreError> {
        let head = pds.repos.head(caller.id())?;
        if head.is_none_or(|head| head.rev <= read) {
            return Ok(None);
        }
        let zero = Tid::from_u64(0);
        let profiles = pds.repos.after(caller.id(), PROFILE, zero, RECORDS_MAX);
        let mut profile = profiles.await?.records.into_iter();
        let profile = profile.rfind(|record| record.rkey == PROFILE_KEY);
        let profile_is_new = profile.as_ref().is_some_and(|profile| profile.rev > read);
        let limit = RECORDS_MAX - usize::from(profile_is_new);
        let posts = pds.repos.after(caller.id(), POST, read, limit).await?;
        let newer = posts.records.iter().chain(profile.as_ref());
        let newer = newer.filter(|record| record.rev > read);
        let Some(oldest_ms) = newer.map(|record| written_ms(record.rev)).min() else {
            return Ok(None);
        };
        if !posts.reaches_back {
            return Ok(None);
        }
        let did = caller.did().clone();
        let handle = caller.account.handle.as_ref();
        let own_image = || {
            format!(
                "{}/xrpc/com.atproto.sync.getBlob?did={{did}}&cid={{cid}}",
                pds.url
            )
        };
        Ok(Some(Self {
            handle: handle
                .map_or(NO_HANDLE, |handle| handle.as_str())
                .to_owned(),
            profile: profile.map(|profile| to_json(&profile)).transpose()?,
            profile_is_new,
            posts: posts
                .records
                .iter()
                .map(|record| OwnPost::read(&did, record))
                .collect::<Result<_, _>>()?,
            image_url: pds.config.image_url.clone().unwrap_or_else(own_image),
            oldest_ms,
            did,
        }))
    }

    /// How far the AppView is behind.
    pub(super) fn lag_ms(&self, now_ms: i64) -> i64 {
        now_ms.saturating_sub(self.oldest_ms).max(0)
    }

    /// Whether `actor` is the caller: their DID or handle.
    pub(super) fn is(&self, actor: &str) -> bool {
        actor == self.did.as_str() || actor.eq_ignore_ascii_case(&self.handle)
    }

    /// The URI of an own record with the DID in it; nothing for other people's records.
    pub(super) fn own_uri(&self, uri: &str) -> Option<String> {
        let uri: AtUri = uri.parse().ok()?;
        let path = uri.record_path()?;
        self.is(uri.authority().as_str())
            .then(|| AtUri::record(self.did.clone(), &path).as_str().to_owned())
    }

    /// Where an image is shown from.
    pub(super) fn image(&self, preset: &str, cid: &str) -> String {
        self.image_url
            .replace("{preset}", preset)
            .replace("{did}", self.did.as_str())
            .replace("{cid}", cid)
    }
}

impl OwnPost {
    fn read(did: &Did, record: &RecentRecord) -> Result<Self, StoreError> {
        Ok(Self {
            uri: format!("at://{did}/{POST}/{}", record.rkey),
            cid: record.cid,
            indexed_at: Datetime::from_unix_ms(written_ms(record.rev))
                .as_str()
                .to_owned(),
            record: to_json(record)?,
        })
    }
}

/// A revision is the time of its commit.
fn written_ms(rev: Tid) -> i64 {
    i64::try_from(rev.micros() / 1000).unwrap_or(i64::MAX)
}

fn to_json(record: &RecentRecord) -> Result<Value, StoreError> {
    let mut text = Vec::with_capacity(record.value.len() * 2);
    json::write_cbor(&record.value, &mut text).map_err(|_| StoreError::corrupt("record"))?;
    serde_json::from_slice(&text).map_err(|_| StoreError::corrupt("record"))
}
