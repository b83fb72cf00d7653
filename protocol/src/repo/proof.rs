//! Proofs that a repository holds a record, or that it does not: the commit, the path through the
//! tree, and the record (`com.atproto.sync.getRecord`).

use bytes::Bytes;

use super::car::{self, CarError, Writer};
use super::mst::{MAX_NODE_BYTES, MstError};
use super::{BlockSource, Commit, CommitError, Tree};
use crate::crypto::{CryptoError, PublicKey};
use crate::data::{Cid, Link};
use crate::syntax::{Did, RecordPath};

/// Longest proof accepted, in bytes: a record, and a path of nodes that are all of ten times the usual size.
const MAX_PROOF_BYTES: usize = 4 << 20;

/// Why a proof proves nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// Too long.
    #[error("the proof has {0} bytes, more than 4 MiB")]
    TooLarge(usize),
    /// Not a CAR file.
    #[error(transparent)]
    Car(#[from] CarError),
    /// The file has no root, or the block of its root is missing.
    #[error("the proof has no commit")]
    NoCommit,
    /// The commit is malformed.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The commit is of another account.
    #[error("the proof is of the repository of {0}")]
    OtherRepository(Did),
    /// The signature does not hold.
    #[error("the commit's signature does not hold: {0}")]
    Signature(#[from] CryptoError),
    /// The path through the tree is malformed or incomplete.
    #[error(transparent)]
    Tree(#[from] MstError),
    /// The tree holds the record, the file does not.
    #[error("record {0} is missing from the proof")]
    RecordMissing(Link),
}

/// What a proof proves.
#[derive(Debug, Clone)]
pub struct Proven {
    /// The commit, whose signature holds.
    pub commit: Commit,
    /// The record, or `None`: the repository does not hold one at this path.
    pub record: Option<(Cid, Bytes)>,
}

/// Writes the proof for `path`. `record` is the block the tree names there, if it names one.
///
/// # Errors
/// [`MstError`] when a node is missing or malformed.
pub fn write<S: BlockSource + ?Sized>(
    tree: &mut Tree,
    source: &S,
    commit: (&Cid, &[u8]),
    path: &RecordPath,
    record: Option<(&Cid, &[u8])>,
) -> Result<Vec<u8>, MstError> {
    let nodes = tree.path_to(source, path.to_string().as_bytes())?;
    let mut file = Writer::with_capacity(&[*commit.0], 4096);
    file.block(commit.0, commit.1);
    for (cid, node) in &nodes {
        file.block(cid, node);
    }
    if let Some((cid, record)) = record {
        file.block(cid, record);
    }
    Ok(file.into_bytes())
}

/// Checks the proof for `path` in the repository of `did`, whose signing key is `key`.
///
/// # Errors
/// [`ProofError`] when it proves neither the presence nor the absence of the record.
pub fn verify(
    file: &Bytes,
    did: &Did,
    path: &RecordPath,
    key: &PublicKey,
) -> Result<Proven, ProofError> {
    if file.len() > MAX_PROOF_BYTES {
        return Err(ProofError::TooLarge(file.len()));
    }
    let car = car::read(file, MAX_NODE_BYTES)?;
    let root = car
        .roots
        .first()
        .and_then(Link::as_cid)
        .ok_or(ProofError::NoCommit)?;
    let commit = Commit::decode(car.blocks.get(&root).ok_or(ProofError::NoCommit)?)?;
    if commit.did != *did {
        return Err(ProofError::OtherRepository(commit.did));
    }
    commit.verify(key)?;
    let mut tree = Tree::load(commit.data);
    let found = tree.get(&car.blocks, path.to_string().as_bytes())?;
    let record = match found {
        None => None,
        Some(link) => {
            let block = link
                .as_cid()
                .and_then(|cid| Some((cid, car.blocks.get(&cid)?.clone())));
            Some(block.ok_or(ProofError::RecordMissing(link))?)
        }
    };
    Ok(Proven { commit, record })
}

#[cfg(test)]
mod tests;
