//! Blobs as files on the local disk: how one gets to its place whole and stays there.
//!
//! The spool must be on the same file system, since a file gets to its place by a rename.

use std::fs::{self, File};
use std::io::{self, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use futures::StreamExt;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

use super::backend::{Answer, Backend, BackendError, Pieces, Place};
use super::spool::Spooled;

/// Bytes read from disk at once: what a stalled reader pins.
const PIECE_BYTES: usize = 64 << 10;

/// The folder of blob files.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// The folder, made when absent.
    pub(super) fn open(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        Ok(Self { folder })
    }

    fn path(&self, place: &Place) -> PathBuf {
        self.folder.join(place.as_str())
    }

    /// Makes the folder of `path`, durable on return.
    fn make_folder(&self, path: &Path) -> io::Result<PathBuf> {
        let folder = path.parent().unwrap_or(&self.folder).to_owned();
        if !folder.try_exists()? {
            fs::create_dir_all(&folder)?;
            let above = folder.ancestors().skip(1);
            for parent in above.take_while(|parent| parent.starts_with(&self.folder)) {
                sync_folder(parent)?;
            }
        }
        Ok(folder)
    }
}

impl Backend for Disk {
    fn put<'a>(&'a self, file: Spooled, to: &'a Place) -> Answer<'a, ()> {
        let (disk, path) = (self.clone(), self.path(to));
        blocking(move || {
            File::open(file.path())?.sync_all()?;
            let folder = disk.make_folder(&path)?;
            fs::rename(file.path(), &path)?;
            sync_folder(&folder)
        })
    }

    fn read<'a>(&'a self, from: &'a Place, range: Range<u64>) -> Answer<'a, Option<Pieces>> {
        let path = self.path(from);
        Box::pin(async move {
            let mut file = match tokio::fs::File::open(path).await {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                file => file?,
            };
            if range.start > 0 {
                file.seek(SeekFrom::Start(range.start)).await?;
            }
            let part = file.take(range.end.saturating_sub(range.start));
            Ok(Some(ReaderStream::with_capacity(part, PIECE_BYTES).boxed()))
        })
    }

    fn rename<'a>(&'a self, from: &'a Place, to: &'a Place) -> Answer<'a, bool> {
        let (disk, from, to) = (self.clone(), self.path(from), self.path(to));
        blocking(move || {
            if !from.try_exists()? {
                return Ok(false);
            }
            let folder = disk.make_folder(&to)?;
            fs::rename(&from, &to)?;
            sync_folder(&folder)?;
            from.parent().map_or(Ok(()), sync_folder)?;
            Ok(true)
        })
    }

    fn delete<'a>(&'a self, place: &'a Place) -> Answer<'a, ()> {
        let path = self.path(place);
        blocking(move || match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        })
    }

    fn probe(&self) -> Answer<'_, ()> {
        let folder = self.folder.clone();
        blocking(move || fs::read_dir(folder).map(drop))
    }
}

/// Runs `work` beside the runtime's threads.
fn blocking<'a, T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Answer<'a, T> {
    let task = tokio::task::spawn_blocking(work);
    Box::pin(async move {
        task.await
            .map_err(io::Error::other)?
            .map_err(BackendError::Disk)
    })
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
