//! Bodies on their way in: files in a folder of their own on the local disk.
//!
//! Owns their removal. A body is taken whole before any backend hears of it: a slow or broken
//! client costs neither memory nor a connection to an object store, and leaves nothing there.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rochdale_service::clock::random;

/// The folder of bodies on their way in.
#[derive(Debug, Clone)]
pub(super) struct Spool {
    folder: PathBuf,
}

/// A file that is removed unless it is moved away.
#[derive(Debug)]
pub(super) struct Spooled {
    path: PathBuf,
    /// Its size in bytes, once it is whole.
    pub(super) size: u64,
}

impl Spooled {
    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Spooled {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, path = %self.path.display(), "a temporary file stays");
        }
    }
}

impl Spool {
    /// The folder, made when absent and emptied: what is in it was cut off by a crash.
    pub(super) fn open(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        for entry in fs::read_dir(&folder)? {
            fs::remove_file(entry?.path())?;
        }
        Ok(Self { folder })
    }

    /// A new file, open for writing. Dropping the future leaves none.
    pub(super) async fn create(&self) -> io::Result<(Spooled, tokio::fs::File)> {
        let name = data_encoding::HEXLOWER.encode(&random::<16>());
        let path = self.folder.join(name);
        // Both are made on the other thread: whoever drops them there removes the file as well.
        let made = tokio::task::spawn_blocking(move || {
            let file = File::create_new(&path)?;
            io::Result::Ok((Spooled { path, size: 0 }, file))
        });
        let (spooled, file) = made.await.map_err(io::Error::other)??;
        Ok((spooled, tokio::fs::File::from_std(file)))
    }
}
