//! What can be checked about one `#commit` or `#sync` without knowing anything else.

use std::collections::HashSet;

use super::{
    CommitEvent, CommitFault, MAX_COMMIT_BLOCKS_BYTES, MAX_OPS, MAX_RECORD_BYTES, MAX_REV_DRIFT_US,
    MAX_SYNC_BLOCKS_BYTES, SyncEvent,
};
use crate::crypto::PublicKey;
use crate::data::Cid;
use crate::data::cbor::Decoder;
use crate::repo::car::{self, Car};
use crate::repo::invert::{InvertError, invert};
use crate::repo::{Action, BlockMap, Commit, RepoOp, mst};
use crate::syntax::{Did, Tid};

/// A `#commit` that passed every check but that of its signature.
#[derive(Debug)]
pub struct CheckedCommit {
    /// The commit.
    pub commit: Commit,
    /// Its CID.
    pub commit_cid: Cid,
    /// The root of the tree after it.
    pub data: Cid,
    /// The root of the tree before it, as the event says and the operations confirm;
    /// `None` when the event does not say.
    pub prev_data: Option<Cid>,
    /// What is wrong with it that some hosts are forgiven: it predates inductive proofs.
    pub weakness: Option<CommitFault>,
}

/// A `#sync` that passed every check but that of its signature.
#[derive(Debug)]
pub struct CheckedSync {
    /// The commit.
    pub commit: Commit,
    /// Its CID.
    pub commit_cid: Cid,
    /// The root of the tree.
    pub data: Cid,
}

impl CheckedCommit {
    /// Checks the signature with the account's signing key.
    ///
    /// # Errors
    /// [`CommitFault::Signature`].
    pub fn verify(&self, key: &PublicKey) -> Result<(), CommitFault> {
        self.commit.verify(key).map_err(CommitFault::Signature)
    }
}

impl CheckedSync {
    /// Checks the signature with the account's signing key.
    ///
    /// # Errors
    /// [`CommitFault::Signature`].
    pub fn verify(&self, key: &PublicKey) -> Result<(), CommitFault> {
        self.commit.verify(key).map_err(CommitFault::Signature)
    }
}

/// Checks a `#commit`: limits, blocks, the commit object, and that undoing its operations leads
/// back to `prevData`. The signature and what depends on earlier events are for the caller.
///
/// # Errors
/// [`CommitFault`] names the first rule it breaks.
pub fn check_commit(event: &CommitEvent, now_us: u64) -> Result<CheckedCommit, CommitFault> {
    let mut checked = check_commit_leniently(event, now_us)?;
    match checked.weakness.take() {
        None => Ok(checked),
        Some(fault) => Err(fault),
    }
}

/// As [`check_commit`], but what a host of before Sync 1.1 cannot do right (no `prev`, no
/// `prevData`, missing blocks, an inversion that fails) is a [`CheckedCommit::weakness`].
///
/// # Errors
/// [`CommitFault`] names the first rule it breaks that nobody is forgiven.
pub fn check_commit_leniently(
    event: &CommitEvent,
    now_us: u64,
) -> Result<CheckedCommit, CommitFault> {
    if event.blocks.len() > MAX_COMMIT_BLOCKS_BYTES {
        let (bytes, limit) = (event.blocks.len(), MAX_COMMIT_BLOCKS_BYTES);
        return Err(CommitFault::BlocksTooLarge { bytes, limit });
    }
    if event.ops.len() > MAX_OPS {
        return Err(CommitFault::TooManyOps(event.ops.len()));
    }
    check_rev(event.rev, now_us)?;
    if event.rebase {
        return Err(CommitFault::Rebase);
    }
    check_paths(&event.ops)?;
    let mut weakness = None;
    for op in &event.ops {
        check_shape(op, &mut weakness)?;
    }
    let car = read_blocks(&event.blocks)?;
    let (commit, commit_cid) = root_commit(&car, &event.repo, event.rev)?;
    if commit_cid != event.commit {
        return Err(CommitFault::RootMismatch);
    }
    for op in &event.ops {
        check_record(&car.blocks, op, event.too_big, &mut weakness)?;
    }
    if weakness.is_none() {
        weakness = check_tree(&car.blocks, &commit.data, event).err();
    }
    let (data, prev_data) = (commit.data, event.prev_data);
    Ok(CheckedCommit {
        commit,
        commit_cid,
        data,
        prev_data,
        weakness,
    })
}

/// Checks a `#sync`. The signature and the order of revisions are for the caller.
///
/// # Errors
/// [`CommitFault`] names the first rule it breaks.
pub fn check_sync(event: &SyncEvent, now_us: u64) -> Result<CheckedSync, CommitFault> {
    if event.blocks.len() > MAX_SYNC_BLOCKS_BYTES {
        let (bytes, limit) = (event.blocks.len(), MAX_SYNC_BLOCKS_BYTES);
        return Err(CommitFault::BlocksTooLarge { bytes, limit });
    }
    check_rev(event.rev, now_us)?;
    let car = read_blocks(&event.blocks)?;
    let (commit, commit_cid) = root_commit(&car, &event.did, event.rev)?;
    let data = commit.data;
    Ok(CheckedSync {
        commit,
        commit_cid,
        data,
    })
}

fn check_rev(rev: Tid, now_us: u64) -> Result<(), CommitFault> {
    let ahead_us = rev.micros().saturating_sub(now_us);
    if ahead_us > MAX_REV_DRIFT_US {
        return Err(CommitFault::RevInFuture(ahead_us / 1_000_000));
    }
    Ok(())
}

fn read_blocks(blocks: &bytes::Bytes) -> Result<Car, CommitFault> {
    if blocks.is_empty() {
        return Err(CommitFault::NoBlocks);
    }
    let car = car::read(blocks, MAX_COMMIT_BLOCKS_BYTES)?;
    match car
        .blocks
        .iter()
        .find(|(_, block)| block.len() > MAX_RECORD_BYTES)
    {
        Some((cid, block)) => Err(CommitFault::RecordTooLarge {
            cid: *cid,
            bytes: block.len(),
        }),
        None => Ok(car),
    }
}

/// The commit the blocks are about, checked against what the event says of it.
fn root_commit(car: &Car, did: &Did, rev: Tid) -> Result<(Commit, Cid), CommitFault> {
    let root = car.roots.first().ok_or(CommitFault::NoRoot)?;
    let cid = root.as_cid().ok_or(CommitFault::CommitMissing)?;
    let block = car.blocks.get(&cid).ok_or(CommitFault::CommitMissing)?;
    let commit = Commit::decode(block)?;
    if commit.did != *did {
        return Err(CommitFault::DidMismatch);
    }
    if commit.rev != rev {
        return Err(CommitFault::RevMismatch);
    }
    Ok((commit, cid))
}

fn check_paths(ops: &[RepoOp]) -> Result<(), CommitFault> {
    if ops.len() < 2 {
        return Ok(());
    }
    let mut seen = HashSet::with_capacity(ops.len());
    match ops.iter().find(|op| !seen.insert(&op.path)) {
        Some(twice) => Err(CommitFault::DuplicatePath(twice.path.to_string())),
        None => Ok(()),
    }
}

fn check_shape(op: &RepoOp, weakness: &mut Option<CommitFault>) -> Result<(), CommitFault> {
    let wrong = |reason| {
        let action = op.action.as_str();
        Err(CommitFault::OpShape {
            action,
            path: op.path.to_string(),
            reason,
        })
    };
    match (op.action, op.cid, op.prev) {
        (Action::Create | Action::Update, None, _) => return wrong("lacks its cid"),
        (Action::Create, _, Some(_)) => return wrong("has a prev"),
        (Action::Delete, Some(_), _) => return wrong("has a cid"),
        (Action::Update | Action::Delete, _, None) => {
            weakness.get_or_insert_with(|| CommitFault::OpPrevMissing(op.path.to_string()));
        }
        (Action::Create, Some(_), None)
        | (Action::Update, Some(_), Some(_))
        | (Action::Delete, None, Some(_)) => {}
    }
    Ok(())
}

fn check_record(
    blocks: &BlockMap,
    op: &RepoOp,
    too_big: bool,
    weakness: &mut Option<CommitFault>,
) -> Result<(), CommitFault> {
    let Some(cid) = op.cid else { return Ok(()) };
    let Some(block) = blocks.get(&cid) else {
        weakness.get_or_insert_with(|| {
            if too_big {
                CommitFault::TooBig
            } else {
                CommitFault::RecordMissing(op.path.to_string())
            }
        });
        return Ok(());
    };
    let mut decoder = Decoder::new(block);
    // The map is asked for on a copy: `skip` then checks it whole.
    let sound = decoder
        .clone()
        .map()
        .and_then(|_| decoder.skip())
        .and_then(|_| decoder.finish());
    sound.map_err(|cause| CommitFault::RecordMalformed {
        path: op.path.to_string(),
        cause,
    })
}

/// Undoes the operations and compares where that leads with what the event says.
fn check_tree(blocks: &BlockMap, data: &Cid, event: &CommitEvent) -> Result<(), CommitFault> {
    if event.prev_data.is_none() && event.since.is_some() {
        return Err(CommitFault::PrevDataMissing);
    }
    let found = match invert(blocks, *data, &event.ops) {
        Ok(found) => found,
        Err(InvertError::Tree(mst::MstError::MissingNode(_))) if event.too_big => {
            return Err(CommitFault::TooBig);
        }
        Err(error) => return Err(error.into()),
    };
    match event.prev_data {
        Some(stated) if stated == found => Ok(()),
        Some(stated) => Err(CommitFault::PrevDataMismatch { found, stated }),
        // Only the first commit of a repository has nothing before it.
        None if found == mst::empty_root() => Ok(()),
        None => Err(CommitFault::PrevDataMissing),
    }
}
