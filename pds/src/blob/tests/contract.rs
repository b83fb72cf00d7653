//! What every backend must do, run against each.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use rochdale_protocol::data::Cid;
use tokio::io::AsyncWriteExt;

use super::s3::Server;
use crate::account::AccountId;
use crate::blob::backend::{Backend, Place};
use crate::blob::disk::Disk;
use crate::blob::objects::Objects;
use crate::blob::spool::{Spool, Spooled};

/// More than two parts of an object store's upload.
const LARGE: usize = (17 << 20) + 5;

#[tokio::test]
async fn the_disk_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::open(folder.path().join("blobs")).unwrap();
    Suite::new(&disk).keeps_the_contract().await;
}

#[tokio::test]
async fn an_object_store_in_memory_keeps_the_contract() {
    let store = Arc::new(object_store::memory::InMemory::new());
    let objects = Objects::new(store, "a/b".to_owned());
    Suite::new(&objects).keeps_the_contract().await;
}

#[tokio::test]
async fn an_object_store_over_a_folder_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let store = object_store::local::LocalFileSystem::new_with_prefix(folder.path()).unwrap();
    let objects = Objects::new(Arc::new(store), String::new());
    Suite::new(&objects).keeps_the_contract().await;
}

#[tokio::test]
async fn a_server_that_speaks_s3_keeps_the_contract() {
    let server = Server::start().await;
    let objects = Objects::s3(&server.config()).unwrap();
    Suite::new(&objects).keeps_the_contract().await;
}

#[tokio::test]
async fn both_backends_use_the_same_names_so_that_files_can_be_copied_over() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::open(folder.path().to_owned()).unwrap();
    Suite::new(&disk).put(&place(7), b"moved").await;
    let server = Server::start().await;
    let mut config = server.config();
    config.prefix.clear();
    let name = place(7);
    let to = server.bucket().join(name.as_str());
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    std::fs::copy(folder.path().join(name.as_str()), to).unwrap();
    let objects = Objects::s3(&config).unwrap();
    let suite = Suite::new(&objects);
    assert_eq!(suite.read(&name, 0..5).await.unwrap(), b"moved");
}

fn place(account: i64) -> Place {
    Place::of(AccountId(account), &Cid::raw(b"some blob"))
}

/// One backend, and files to give to it.
pub(super) struct Suite<'a> {
    backend: &'a dyn Backend,
    spool: Spool,
    _folder: tempfile::TempDir,
}

impl<'a> Suite<'a> {
    pub(super) fn new(backend: &'a dyn Backend) -> Self {
        // Beside the other temporary folders: a disk takes files from its own file system only.
        let folder = tempfile::tempdir().unwrap();
        Self {
            backend,
            spool: Spool::open(folder.path().to_owned()).unwrap(),
            _folder: folder,
        }
    }

    pub(super) async fn file(&self, bytes: &[u8]) -> Spooled {
        let (mut file, mut out) = self.spool.create().await.unwrap();
        out.write_all(bytes).await.unwrap();
        out.flush().await.unwrap();
        file.size = bytes.len() as u64;
        file
    }

    async fn put(&self, to: &Place, bytes: &[u8]) {
        let file = self.file(bytes).await;
        let path = file.path().to_owned();
        self.backend.put(file, to).await.unwrap();
        assert!(!path.try_exists().unwrap(), "nothing stays in the spool");
    }

    pub(super) async fn read(&self, from: &Place, range: Range<u64>) -> Option<Vec<u8>> {
        let pieces = self.backend.read(from, range).await.unwrap()?;
        let pieces: Vec<Bytes> = pieces.try_collect().await.unwrap();
        Some(pieces.concat())
    }

    async fn keeps_the_contract(&self) {
        self.backend.probe().await.unwrap();
        self.gives_whole_files_and_parts().await;
        self.replaces_what_is_there().await;
        self.moves_and_removes().await;
        self.takes_large_files().await;
    }

    async fn gives_whole_files_and_parts(&self) {
        let (ada, ben) = (place(1), place(257));
        self.put(&ada, b"of ada").await;
        self.put(&ben, b"of ben").await;
        for (range, expected) in [
            (0..6, &b"of ada"[..]),
            (0..1, b"o"),
            (3..6, b"ada"),
            (2..100, b" ada"),
            (6..6, b""),
        ] {
            assert_eq!(self.read(&ada, range).await.unwrap(), expected);
        }
        assert_eq!(self.read(&ben, 0..6).await.unwrap(), b"of ben");
        self.put(&ben, b"").await;
        assert_eq!(self.read(&ben, 0..0).await.unwrap(), b"");
        assert!(self.read(&place(2), 0..6).await.is_none());
        assert!(self.read(&place(2), 0..0).await.is_none());
    }

    async fn replaces_what_is_there(&self) {
        let place = place(3);
        self.put(&place, b"damaged").await;
        self.put(&place, b"whole").await;
        assert_eq!(self.read(&place, 0..5).await.unwrap(), b"whole");
    }

    async fn moves_and_removes(&self) {
        let cid = Cid::raw(b"some blob");
        let away = Place::quarantined(AccountId(4), &cid);
        let place = place(4);
        let moved = self.backend.rename(&place, &away).await.unwrap();
        assert!(!moved, "nothing is there");
        self.put(&place, b"moves").await;
        assert!(self.backend.rename(&place, &away).await.unwrap());
        assert!(self.read(&place, 0..5).await.is_none());
        self.put(&place, b"older").await;
        assert!(self.backend.rename(&away, &place).await.unwrap());
        assert_eq!(self.read(&place, 0..5).await.unwrap(), b"moves");
        self.backend.delete(&place).await.unwrap();
        self.backend.delete(&place).await.unwrap();
        assert!(self.read(&place, 0..5).await.is_none());
    }

    async fn takes_large_files(&self) {
        let place = place(5);
        let bytes: Vec<u8> = (0..LARGE).map(|n| (n / 7) as u8).collect();
        self.put(&place, &bytes).await;
        let back = self.read(&place, 0..LARGE as u64).await.unwrap();
        assert!(back == bytes, "{} bytes came back", back.len());
        let (from, to) = ((8 << 20) - 3, (8 << 20) + 3);
        let across = self.read(&place, from as u64..to as u64).await.unwrap();
        assert_eq!(across, bytes[from..to]);
    }
}
