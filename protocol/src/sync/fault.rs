//! Why an event is refused: one variant per rule, so that refusals can be counted by reason.

use crate::crypto::CryptoError;
use crate::data::Cid;
use crate::data::cbor::CborError;
use crate::repo::car::CarError;
use crate::repo::commit::CommitError;
use crate::repo::invert::InvertError;

/// The rule a `#commit`, `#sync` or other event breaks.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitFault {
    /// A required field is missing.
    #[error("the event has no `{0}`")]
    MissingField(&'static str),
    /// A link that must be a dag-cbor SHA-256 CID and is another one.
    #[error("the event's `{0}` is not a dag-cbor SHA-256 CID")]
    Link(&'static str),
    /// The account is not a valid DID.
    #[error("`{0}` is not a DID")]
    Did(String),
    /// The revision, or the one before, is not a TID.
    #[error("`{0}` is not a revision")]
    Rev(String),
    /// The time is not a datetime.
    #[error("`{0}` is not a datetime")]
    Time(String),
    /// More than 2,000,000 bytes of blocks (10,000 in a `#sync`).
    #[error("the event has {bytes} bytes of blocks, more than {limit}")]
    BlocksTooLarge {
        /// How many.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// No blocks at all.
    #[error("the event has no blocks")]
    NoBlocks,
    /// More than 200 operations.
    #[error("the commit has {0} operations, more than 200")]
    TooManyOps(usize),
    /// The revision lies more than five minutes ahead.
    #[error("the revision lies {0} s in the future")]
    RevInFuture(u64),
    /// The blocks are not a CAR file, or one of them is not what its CID says.
    #[error(transparent)]
    Car(#[from] CarError),
    /// The CAR file has no root.
    #[error("the blocks have no root")]
    NoRoot,
    /// The event names another commit than the root of its blocks.
    #[error("the event's commit is not the root of its blocks")]
    RootMismatch,
    /// The commit is not among the blocks.
    #[error("the commit block is missing")]
    CommitMissing,
    /// The commit block is malformed.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The commit is of another account than the event.
    #[error("the commit is of another account than the event")]
    DidMismatch,
    /// The commit has another revision than the event.
    #[error("the commit has another revision than the event")]
    RevMismatch,
    /// The signature does not hold.
    #[error("the commit's signature does not hold: {0}")]
    Signature(CryptoError),
    /// `tooBig` is set and blocks are missing.
    #[error("the event is marked tooBig and lacks blocks")]
    TooBig,
    /// `rebase` is set.
    #[error("the event is marked rebase")]
    Rebase,
    /// An operation that is not create, update or delete.
    #[error("`{0}` is not an operation")]
    OpAction(String),
    /// An operation on something that is not a repository path.
    #[error("`{0}` is not a repository path")]
    OpPath(String),
    /// An operation with a CID it must not have, or without one it must have.
    #[error("the {action} of `{path}` {reason}")]
    OpShape {
        /// The action.
        action: &'static str,
        /// Its path.
        path: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// An update or delete without the record's CID before it, as before Sync 1.1.
    #[error("the operation on `{0}` lacks its prev")]
    OpPrevMissing(String),
    /// Two operations on one path.
    #[error("`{0}` has two operations in one commit")]
    DuplicatePath(String),
    /// The record of a create or update is not among the blocks.
    #[error("the record of `{0}` is missing")]
    RecordMissing(String),
    /// A record block of more than 1,000,000 bytes.
    #[error("block {cid} has {bytes} bytes, more than 1000000")]
    RecordTooLarge {
        /// Which block.
        cid: Cid,
        /// Its size.
        bytes: usize,
    },
    /// A record that is not a CBOR map.
    #[error("the record of `{path}` is malformed: {cause}")]
    RecordMalformed {
        /// Its path.
        path: String,
        /// What is wrong.
        cause: CborError,
    },
    /// The root before the commit is not given, and this cannot be the first commit.
    #[error("the commit lacks prevData and is not the first")]
    PrevDataMissing,
    /// The operations cannot be undone on the blocks given.
    #[error("the operations cannot be undone: {0}")]
    Inversion(#[from] InvertError),
    /// Undoing the operations leads to another root than `prevData`.
    #[error("undoing the operations leads to {found}, not to prevData {stated}")]
    PrevDataMismatch {
        /// Where it leads.
        found: Cid,
        /// What the event says.
        stated: Cid,
    },
}

impl CommitFault {
    /// A short word for counters: one of a fixed set.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::MissingField(_) => "missing_field",
            Self::Link(_) => "link",
            Self::Did(_) => "did",
            Self::Rev(_) => "rev",
            Self::Time(_) => "time",
            Self::BlocksTooLarge { .. } => "blocks_too_large",
            Self::NoBlocks => "no_blocks",
            Self::TooManyOps(_) => "too_many_ops",
            Self::RevInFuture(_) => "rev_in_future",
            Self::Car(_) => "car",
            Self::NoRoot => "no_root",
            Self::RootMismatch => "root_mismatch",
            Self::CommitMissing => "commit_missing",
            Self::Commit(_) => "commit_malformed",
            Self::DidMismatch => "did_mismatch",
            Self::RevMismatch => "rev_mismatch",
            Self::Signature(_) => "signature",
            Self::TooBig => "too_big",
            Self::Rebase => "rebase",
            Self::OpAction(_) => "op_action",
            Self::OpPath(_) => "op_path",
            Self::OpShape { .. } => "op_shape",
            Self::OpPrevMissing(_) => "op_prev_missing",
            Self::DuplicatePath(_) => "duplicate_path",
            Self::RecordMissing(_) => "record_missing",
            Self::RecordTooLarge { .. } => "record_too_large",
            Self::RecordMalformed { .. } => "record_malformed",
            Self::PrevDataMissing => "prev_data_missing",
            Self::Inversion(_) => "inversion",
            Self::PrevDataMismatch { .. } => "prev_data_mismatch",
        }
    }
}
