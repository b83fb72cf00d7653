//! The blobs: those that the new PDS misses, streamed from the old one.

use futures::{StreamExt, TryStreamExt, stream};
use reqwest::Body;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use rochdale_protocol::syntax::Did;
use serde::Deserialize;
use serde_json::Value;

use super::error::MigrateError;
use super::journal::LostBlob;
use super::remote::{Remote, RemoteError, Tries};
use super::talk::{Talk, Unit};
use super::{Move, survey};

/// Blobs under way at the same time.
const AT_ONCE: usize = 4;
/// Blobs per page of a list.
const PAGE: &str = "500";
const GET_BLOB: &str = "com.atproto.sync.getBlob";

/// A blob that is to be moved.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Blob {
    cid: String,
    record_uri: String,
}

#[derive(Deserialize)]
struct Missing {
    blobs: Vec<Blob>,
    cursor: Option<String>,
}

/// What became of a blob.
enum Fate {
    Moved,
    Lost(LostBlob),
}

impl Move<'_> {
    /// Moves every blob that the new PDS misses, and notes those that cannot be moved.
    pub(super) async fn move_blobs(&mut self) -> Result<(), MigrateError> {
        let expected = match survey::status(&self.new).await {
            Ok(status) => status.expected_blobs.saturating_sub(status.imported_blobs),
            Err(_not_told) => 0,
        };
        let progress = self.talk.progress("blobs", expected, Unit::Things);
        let (mut lost, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let mut query = vec![("limit", PAGE)];
            query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let nsid = "com.atproto.repo.listMissingBlobs";
            let page: Missing = self.new.ask(nsid, &query).await?;
            let fates = stream::iter(&page.blobs).map(|blob| self.move_blob(blob));
            let mut fates = fates.buffer_unordered(AT_ONCE);
            while let Some(fate) = fates.try_next().await? {
                progress.add(1);
                if let Fate::Lost(blob) = fate {
                    lost.push(blob);
                }
            }
            drop(fates);
            let done = page.blobs.is_empty() || page.cursor == cursor;
            cursor = page.cursor;
            if done || cursor.is_none() {
                break;
            }
        }
        drop(progress);
        if !lost.is_empty() {
            let text = format!(
                "  {} blobs cannot be moved: the report names them",
                lost.len()
            );
            self.talk.say(&text);
        }
        self.journal.lose_blobs(lost)
    }

    async fn move_blob(&self, blob: &Blob) -> Result<Fate, MigrateError> {
        let mut tries = Tries::new();
        loop {
            match self.try_blob(blob).await {
                Ok(fate) => return Ok(fate),
                Err(error) => tries.after(error, &[&self.old, &self.new]).await?,
            }
        }
    }

    async fn try_blob(&self, blob: &Blob) -> Result<Fate, RemoteError> {
        let lost = |reason: String| {
            Ok(Fate::Lost(LostBlob {
                cid: blob.cid.clone(),
                record: blob.record_uri.clone(),
                reason,
            }))
        };
        let query = [("did", self.journal.did().as_str()), ("cid", &blob.cid)];
        let found = match self.old.get(GET_BLOB, &query).await {
            Ok(found) => found,
            Err(error) if is_about_the_blob(&error) => {
                return lost(format!("the old PDS does not give it: {}", error.reason()));
            }
            Err(error) => return Err(error),
        };
        let header = |name| found.headers().get(name)?.to_str().ok().map(str::to_owned);
        let kind = header(CONTENT_TYPE).unwrap_or_else(|| "application/octet-stream".to_owned());
        // Of a body that was compressed on the way the length is not that of the blob.
        let bytes = found
            .content_length()
            .or_else(|| header(CONTENT_LENGTH)?.parse().ok());
        let body = Body::wrap_stream(found.bytes_stream());
        let nsid = "com.atproto.repo.uploadBlob";
        match self.new.upload(nsid, &kind, bytes, body).await {
            Ok(answer) => {
                let stored = answer.pointer("/blob/ref/$link").and_then(Value::as_str);
                if stored == Some(&blob.cid) {
                    Ok(Fate::Moved)
                } else {
                    lost("the old PDS gives other bytes under its name".to_owned())
                }
            }
            Err(error) if is_about_the_blob(&error) => {
                lost(format!("the new PDS does not take it: {}", error.reason()))
            }
            Err(error) => Err(error),
        }
    }
}

/// Whether a refusal is about this blob, and not about the session or the server.
fn is_about_the_blob(error: &RemoteError) -> bool {
    let RemoteError::Refused { status, name, .. } = error else {
        return false;
    };
    matches!(status, 400 | 403 | 404 | 410 | 413 | 415) && name != "ExpiredToken"
}

/// The blobs that would be lost: each is asked for, none is read.
pub(super) async fn look(
    talk: &Talk,
    old: &Remote,
    did: &Did,
    limit_bytes: Option<u64>,
) -> Result<Vec<LostBlob>, MigrateError> {
    #[derive(Deserialize)]
    struct Listed {
        cids: Vec<String>,
        cursor: Option<String>,
    }
    let progress = talk.progress("looking at blobs", 0, Unit::Things);
    let (mut lost, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let mut query = vec![("did", did.as_str()), ("limit", PAGE)];
        query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let page: Listed = old.ask("com.atproto.sync.listBlobs", &query).await?;
        let looks = stream::iter(&page.cids).map(|cid| look_at(old, did, cid, limit_bytes));
        let mut looks = looks.buffer_unordered(AT_ONCE);
        while let Some(found) = looks.try_next().await? {
            progress.add(1);
            lost.extend(found);
        }
        drop(looks);
        let done = page.cids.is_empty() || page.cursor == cursor;
        cursor = page.cursor;
        if done || cursor.is_none() {
            return Ok(lost);
        }
    }
}

async fn look_at(
    old: &Remote,
    did: &Did,
    cid: &str,
    limit_bytes: Option<u64>,
) -> Result<Option<LostBlob>, RemoteError> {
    let lost = |reason: String| {
        Some(LostBlob {
            cid: cid.to_owned(),
            record: String::new(),
            reason,
        })
    };
    match old
        .get(GET_BLOB, &[("did", did.as_str()), ("cid", cid)])
        .await
    {
        Ok(found) => {
            let bytes = found.content_length();
            let too_large = bytes
                .zip(limit_bytes)
                .filter(|(bytes, limit)| bytes > limit);
            Ok(too_large.and_then(|(bytes, limit)| {
                lost(format!("{bytes} bytes, the new PDS takes {limit} at most"))
            }))
        }
        Err(error) if is_about_the_blob(&error) => Ok(lost(format!(
            "the old PDS does not give it: {}",
            error.reason()
        ))),
        Err(error) => Err(error),
    }
}
