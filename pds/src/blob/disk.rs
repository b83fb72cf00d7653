//! Blob files: where they are and how one gets there whole.
//!
//! Owns paths and syncing. Every call blocks: callers run it beside the runtime's threads.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use rochdale_protocol::data::Cid;
use rochdale_service::clock::random;

use crate::account::AccountId;

/// The folder of blob files.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    folder: PathBuf,
}

/// A file that is removed unless it was moved into place.
#[derive(Debug)]
pub(super) struct TemporaryFile {
    /// Where it is now.
    pub(super) path: PathBuf,
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, path = %self.path.display(), "a temporary file stays");
        }
    }
}

impl Disk {
    /// The folder, made when absent.
    pub(super) fn open(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(folder.join("temp"))?;
        Ok(Self { folder })
    }

    /// Where a blob is, or will be.
    pub(super) fn path(&self, account: AccountId, cid: &Cid) -> PathBuf {
        self.account(account).join(cid.to_string())
    }

    fn account(&self, account: AccountId) -> PathBuf {
        self.folder
            .join(format!("{:02x}", account.0 & 0xff))
            .join(account.0.to_string())
    }

    /// A name for an upload under way.
    pub(super) fn temporary(&self) -> TemporaryFile {
        let name = data_encoding::HEXLOWER.encode(&random::<16>());
        TemporaryFile {
            path: self.folder.join("temp").join(name),
        }
    }

    /// Moves a written and synced file to its place; durable on return.
    pub(super) fn settle(
        &self,
        file: &TemporaryFile,
        account: AccountId,
        cid: &Cid,
    ) -> io::Result<()> {
        let folder = self.account(account);
        if !folder.try_exists()? {
            fs::create_dir_all(&folder)?;
            for parent in folder.ancestors().skip(1).take(2) {
                sync_folder(parent)?;
            }
        }
        fs::rename(&file.path, self.path(account, cid))?;
        sync_folder(&folder)
    }

    /// Removes a blob's file; absent is fine.
    pub(super) fn remove(&self, account: AccountId, cid: &Cid) -> io::Result<()> {
        match fs::remove_file(self.path(account, cid)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes uploads that ended without a trace, such as in a crash, before `before_ms`.
    pub(super) fn sweep_temporary(&self, before_ms: u64) -> io::Result<usize> {
        let before = UNIX_EPOCH + Duration::from_millis(before_ms);
        let mut removed = 0;
        for entry in fs::read_dir(self.folder.join("temp"))? {
            let entry = entry?;
            if entry.metadata()?.modified()? < before {
                fs::remove_file(entry.path())?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
