//! Turning a worked-out change into a signed commit and its event.
//!
//! Owns what goes into a commit's event and its size limit. Pure: key and time are arguments.
//! Follows the atproto repository and sync specifications.

use bytes::Bytes;
use rochdale_protocol::crypto::SigningKey;
use rochdale_protocol::data::Cid;
use rochdale_protocol::repo::{UnsignedCommit, car};
use rochdale_protocol::syntax::{Did, Tid};

use super::WriteError;
use super::plan::Plan;
use crate::account::Account;
use crate::sequencer::EventDraft;
use crate::store::repo::Head;

/// Largest set of blocks one event may carry, in bytes.
const EVENT_BYTES_MAX: usize = 2_000_000;

/// A commit ready for the store.
#[derive(Debug)]
pub(super) struct Sealed {
    /// The head it makes.
    pub(super) head: Head,
    /// What announces it.
    pub(super) event: EventDraft,
}

/// Signs the tree of `plan` as the commit after `before`.
///
/// # Errors
/// `TooLarge` when the event would be over its limit.
pub(super) fn seal(
    account: &Account,
    before: &Head,
    plan: &Plan,
    key: &SigningKey,
    rev: Tid,
    now_us: u64,
) -> Result<Sealed, WriteError> {
    let head = sign(&account.did, rev, plan.delta.root, key);
    let blocks = blocks(&head, plan);
    if blocks.len() > EVENT_BYTES_MAX {
        return Err(WriteError::TooLarge {
            bytes: blocks.len(),
        });
    }
    let event = EventDraft::repo_commit(
        account.id,
        &account.did,
        &head,
        Some(before),
        blocks,
        plan.ops.clone(),
        now_us,
    );
    Ok(Sealed { head, event })
}

/// Signs the tree of `before` again; the event is a `#sync`.
pub(super) fn seal_unchanged(
    account: &Account,
    before: &Head,
    key: &SigningKey,
    rev: Tid,
    now_us: u64,
) -> Sealed {
    let head = sign(&account.did, rev, before.data, key);
    let event = EventDraft::sync(account.id, &account.did, &head.block, rev, now_us);
    Sealed { head, event }
}

/// A signed commit of `data`.
pub(super) fn sign(did: &Did, rev: Tid, data: Cid, key: &SigningKey) -> Head {
    let commit = UnsignedCommit {
        did: did.clone(),
        rev,
        data,
    }
    .sign(key);
    let block = Bytes::from(commit.encode());
    Head {
        cid: Cid::dag_cbor(&block),
        rev,
        data,
        block,
    }
}

/// The commit, the nodes that are new or prove the operations, the new records.
fn blocks(head: &Head, plan: &Plan) -> Bytes {
    let records = || {
        plan.changes
            .iter()
            .filter_map(|change| change.block.as_ref())
    };
    let bytes: usize = plan
        .proof
        .iter()
        .chain(records())
        .map(|(_, block)| block.len() + 40)
        .sum();
    let mut car = car::Writer::with_capacity(&[head.cid], head.block.len() + bytes + 40);
    car.block(&head.cid, &head.block);
    for (cid, block) in &plan.proof {
        car.block(cid, block);
    }
    for (cid, block) in records() {
        car.block(cid, block);
    }
    car.into_bytes().into()
}
