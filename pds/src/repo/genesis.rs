//! The first commit of an account: an empty tree.
//!
//! Must not store or announce it: the account store does both in one transaction.

use bytes::Bytes;
use rochdale_protocol::crypto::SigningKey;
use rochdale_protocol::data::Cid;
use rochdale_protocol::repo::{car, mst};
use rochdale_protocol::syntax::{Did, Tid};

use super::seal::sign;
use super::shelf::EMPTY_NODE;
use crate::store::repo::Head;

/// Clock id of every revision: one process numbers the commits of a repository, so it only has
/// to fit the field.
pub const CLOCK_ID: u16 = 0;

/// A repository without records, signed.
#[derive(Debug, Clone)]
pub struct InitialRepo {
    /// CID of its only commit.
    pub commit: Cid,
    /// The signed commit.
    pub block: Bytes,
    /// Its revision.
    pub rev: Tid,
    /// Root of the empty tree.
    pub data: Cid,
    /// The blocks of its event: commit and empty root, as a CAR file.
    pub blocks: Bytes,
}

impl InitialRepo {
    /// The commit as a head.
    #[must_use]
    pub fn head(&self) -> Head {
        Head {
            cid: self.commit,
            rev: self.rev,
            data: self.data,
            block: self.block.clone(),
        }
    }
}

/// The first commit for `did`, at revision `rev`.
#[must_use]
pub fn genesis(did: &Did, key: &SigningKey, rev: Tid) -> InitialRepo {
    let data = mst::empty_root();
    let head = sign(did, rev, data, key);
    let mut car = car::Writer::new(&[head.cid]);
    car.block(&head.cid, &head.block).block(&data, EMPTY_NODE);
    let blocks = car.into_bytes().into();
    InitialRepo {
        commit: head.cid,
        block: head.block,
        rev,
        data,
        blocks,
    }
}
