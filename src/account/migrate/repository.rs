//! The repository: fetched to a file, looked through, and handed to the new PDS.
//!
//! Of a repository nothing but the index of its file is held in memory.

use std::fs::{self, File};
use std::path::PathBuf;

use rochdale_protocol::data::Cid;
use rochdale_protocol::repo::{Commit, Tree, car};
use rochdale_protocol::syntax::{Did, Tid};
use rochdale_service::car_file::{BLOCK_BYTES_MAX, CarFile, CarFileWriter};
use serde::Deserialize;

use super::Move;
use super::error::MigrateError;
use super::journal::Copied;
use super::remote::{Remote, RemoteError, Tries};
use super::talk::{Talk, Unit};

/// Largest repository, in bytes.
const REPOSITORY_BYTES_MAX: u64 = 64 << 30;

/// What `getLatestCommit` says.
#[derive(Debug, Deserialize)]
pub(super) struct Head {
    cid: Cid,
    /// Its revision.
    pub(super) rev: Tid,
}

/// The newest commit at one place.
pub(super) async fn head(remote: &Remote, did: &str) -> Result<Head, RemoteError> {
    let nsid = "com.atproto.sync.getLatestCommit";
    remote.ask(nsid, &[("did", did)]).await
}

/// The newest commit itself.
pub(super) async fn commit(remote: &Remote, did: &Did) -> Result<Commit, MigrateError> {
    let Head { cid, .. } = head(remote, did.as_str()).await?;
    let nsid = "com.atproto.sync.getBlocks";
    let query = [("did", did.as_str()), ("cids", &cid.to_string())];
    let mut answer = remote.get(nsid, &query).await?;
    let mut bytes = Vec::new();
    while let Some(piece) = answer
        .chunk()
        .await
        .map_err(|cause| remote.unreachable(&cause))?
    {
        bytes.extend_from_slice(&piece);
        if bytes.len() > BLOCK_BYTES_MAX {
            return Err(remote.odd(nsid, "more than one block").into());
        }
    }
    let found = car::read(&bytes.into(), BLOCK_BYTES_MAX);
    let blocks = found
        .map_err(|cause| remote.odd(nsid, &cause.to_string()))?
        .blocks;
    let block = blocks
        .get(&cid)
        .ok_or_else(|| remote.odd(nsid, "the commit is not in it"))?;
    Ok(Commit::decode(block).map_err(|cause| remote.odd(nsid, &cause.to_string()))?)
}

/// A repository in a file of ours, which goes when this does.
pub(super) struct Fetched {
    /// Its blocks.
    file: CarFile,
    /// Its commit.
    pub(super) commit: Commit,
    /// Records in its tree, all of them there.
    pub(super) records: u64,
    path: PathBuf,
}

impl Drop for Fetched {
    fn drop(&mut self) {
        let _gone = fs::remove_file(&self.path);
    }
}

/// Fetches the repository of `did` into the file `path` and looks through all of it.
pub(super) async fn fetch(
    talk: &Talk,
    remote: &Remote,
    did: &Did,
    path: PathBuf,
) -> Result<Fetched, MigrateError> {
    let mut tries = Tries::new();
    let file = loop {
        match try_fetch(talk, remote, did, &path).await {
            Ok(file) => break file,
            Err(MigrateError::Remote(error)) => tries.after(error, &[remote]).await?,
            Err(error) => return Err(error),
        }
    };
    let refused = |cause: &dyn std::fmt::Display| MigrateError::Repository(cause.to_string());
    let block = file.read(&file.root())?;
    let block = block.ok_or_else(|| refused(&"its commit is missing"))?;
    let commit = Commit::decode(&block).map_err(|cause| refused(&cause))?;
    if commit.did != *did {
        return Err(refused(&format!("it is that of {}", commit.did)));
    }
    let data = commit.data;
    let looked = tokio::task::spawn_blocking(move || {
        let mut records = 0;
        for leaf in Tree::load(data).walk(&file, b"") {
            let (key, value) = leaf.map_err(|cause| cause.to_string())?;
            let there = match value.as_cid() {
                Some(cid) => file
                    .read(&cid)
                    .map_err(|cause| cause.to_string())?
                    .is_some(),
                None => false,
            };
            if !there {
                let key = String::from_utf8_lossy(&key);
                return Err(format!("record {key} is missing"));
            }
            records += 1;
        }
        Ok((file, records))
    });
    let looked = looked.await.map_err(std::io::Error::other)?;
    let (file, records) = looked.map_err(|cause: String| refused(&cause))?;
    Ok(Fetched {
        file,
        commit,
        records,
        path,
    })
}

async fn try_fetch(
    talk: &Talk,
    remote: &Remote,
    did: &Did,
    path: &PathBuf,
) -> Result<CarFile, MigrateError> {
    let nsid = "com.atproto.sync.getRepo";
    let mut answer = remote.get(nsid, &[("did", did.as_str())]).await?;
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)?;
    let mut writer = CarFileWriter::new(file, REPOSITORY_BYTES_MAX);
    let progress = talk.progress("fetching", 0, Unit::Bytes);
    while let Some(piece) = answer
        .chunk()
        .await
        .map_err(|cause| remote.unreachable(&cause))?
    {
        writer.feed(&piece)?;
        progress.add(piece.len() as u64);
    }
    Ok(writer.finish()?)
}

impl Move<'_> {
    /// Copies the repository and makes sure that the new PDS has exactly its records.
    pub(super) async fn move_repository(&mut self) -> Result<(), MigrateError> {
        let did = self.journal.did().clone();
        let path = self.journal.beside("car");
        let fetched = fetch(self.talk, &self.old, &did, path).await?;
        let bytes = fetched.file.file().metadata()?.len();
        self.talk.say(&format!(
            "  {} records, {bytes} bytes: handing them to the new PDS",
            fetched.records
        ));
        let mut tries = Tries::new();
        loop {
            let body = tokio::fs::File::open(&fetched.path).await?;
            let nsid = "com.atproto.repo.importRepo";
            let import = self
                .new
                .upload(nsid, car::MEDIA_TYPE, Some(bytes), body.into());
            match import.await {
                Ok(_nothing) => break,
                Err(error) => tries.after(error, &[&self.new]).await?,
            }
        }
        let there = commit(&self.new, &did).await?;
        if there.data != fetched.commit.data {
            let why = "the new PDS has other records than the old one after the import";
            return Err(MigrateError::Check(why.to_owned()));
        }
        self.journal.copied(Copied {
            commit: fetched.commit.cid(),
            rev: fetched.commit.rev,
            data: fetched.commit.data,
            records: fetched.records,
        })
    }

    /// Copies again what was written at the old PDS since the copy.
    pub(super) async fn catch_up(&mut self) -> Result<(), MigrateError> {
        let copied = self.journal.repository().map(|copied| copied.rev);
        let head = head(&self.old, self.journal.did().as_str()).await?;
        if copied == Some(head.rev) {
            return Ok(());
        }
        self.talk
            .say("  the old repository has changed meanwhile: copying it again");
        self.move_repository().await?;
        self.move_blobs().await
    }
}
