//! Blobs over real databases, disks and an object store.

mod contract;
mod down;
mod lifecycle;
mod quota;
pub(crate) mod s3;
mod takedown;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures::{TryStreamExt, stream};
use rochdale_protocol::data::Cid;
use rochdale_protocol::data::blob::BlobRef;

use super::{BlobError, Blobs, Parts};
use crate::account::Account;
use crate::config::{BlobBackend, BlobConfig};
use crate::repo::testing::*;
use crate::repo::{Intent, Write};
use crate::store::blob::admit::Quota;

const LIMIT: u64 = 1_000;

fn config(backend: BlobBackend) -> BlobConfig {
    BlobConfig {
        limit_bytes: LIMIT,
        quota: Quota {
            count: 1_000,
            bytes: 1 << 30,
        },
        backend,
    }
}

fn blobs(rig: &Rig) -> Blobs {
    blobs_with(rig, config(BlobBackend::Disk))
}

fn blobs_with(rig: &Rig, config: BlobConfig) -> Blobs {
    Blobs::open(Parts {
        database: rig.database.clone(),
        clock: rig.clock.shared(),
        tasks: rig.tasks.clone(),
        folder: rig.folder.path().join("blobs"),
        config,
        due: rig.repos.blobs_gone(),
    })
    .unwrap()
}

async fn upload(blobs: &Blobs, who: &Account, bytes: &[u8]) -> BlobRef {
    try_upload(blobs, who, bytes).await.unwrap()
}

async fn try_upload(blobs: &Blobs, who: &Account, bytes: &[u8]) -> Result<BlobRef, BlobError> {
    let body = stream::iter([Ok::<_, String>(Bytes::copy_from_slice(bytes))]);
    let received = blobs.receive(who.id, Some("text/plain"), None, body).await;
    blobs.settle(received?).await
}

fn post(rkey: &str, blob: &BlobRef) -> Write {
    let path = note_path(rkey);
    let json = format!(
        r#"{{"file":{{"$type":"blob","ref":{{"$link":"{}"}},"mimeType":"{}","size":{}}}}}"#,
        blob.cid, blob.mime, blob.size
    );
    intent(&path, Intent::Put(record(&path, &json)))
}

fn delete(rkey: &str) -> Write {
    intent(&note_path(rkey), Intent::Delete)
}

async fn content(blobs: &Blobs, who: &Account, cid: &Cid) -> Option<Vec<u8>> {
    let found = blobs.find(who.id, cid).unwrap()?;
    let pieces = blobs.read(&found, 0..found.size).await.unwrap()?;
    let bytes: Vec<Bytes> = pieces.try_collect().await.unwrap();
    let bytes = bytes.concat();
    assert_eq!(bytes.len() as u64, found.size);
    Some(bytes)
}

/// Files anywhere below the folder; an object store's own notes begin with a dot.
fn files(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries
        .map(|entry| match entry.file_type().unwrap().is_dir() {
            true => files(&entry.path()),
            false => usize::from(!entry.file_name().to_string_lossy().starts_with('.')),
        })
        .sum()
}

/// A disk and an object store, each with the folder in which its files show.
struct Places {
    rig: Rig,
    server: s3::Server,
}

impl Places {
    async fn start() -> Self {
        Self {
            rig: Rig::start().await,
            server: s3::Server::start().await,
        }
    }

    fn each(&self) -> [(Blobs, std::path::PathBuf); 2] {
        let own = self.rig.folder.path().join("blobs");
        let s3 = BlobBackend::S3(self.server.config());
        [
            (blobs(&self.rig), own),
            (blobs_with(&self.rig, config(s3)), self.server.bucket()),
        ]
    }
}

type Member = Arc<Account>;
