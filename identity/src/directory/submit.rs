//! Accepting one operation.

use std::sync::Arc;

use rochdale_protocol::data::Cid;
use rochdale_protocol::plc::{
    ChainEntry, LimitError, Limits, Operation, PlcError, RECOVERY_WINDOW_MS, check_limits,
    validate_next,
};

use super::rate::{self, TooMany};
use super::{DidKey, Directory, Published, push_sequenced, read_back};
use crate::store::{Append, AppendError, Appended, Row, StoreError, Stored};

/// Why an operation was not accepted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// The DID in the address is none that this directory keeps.
    #[error("Not a did:plc of 24 characters: {0}")]
    NotPlc(String),
    /// The operation itself is at fault.
    #[error(transparent)]
    Invalid(#[from] PlcError),
    /// The DID has had too many operations lately.
    #[error(transparent)]
    TooMany(#[from] TooMany),
    /// Another operation of the DID was accepted at the same time.
    #[error("Proposed prev does not match the most recent operation")]
    Conflict,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<LimitError> for Refusal {
    fn from(error: LimitError) -> Self {
        Self::Invalid(error.into())
    }
}

/// The part of a DID's log that decides about a new operation.
struct Chain {
    entries: Vec<ChainEntry>,
    /// The number of each entry.
    seqs: Vec<i64>,
    /// How many operations of the DID hold.
    live: i64,
}

impl Directory {
    /// Accepts an operation, given as JSON, for the DID; durable on return.
    ///
    /// Everything is checked before the store's one writer is involved. It checks again only that
    /// the newest operation is still the one that was looked at, and sets the time.
    pub(crate) async fn submit(&self, did: &str, body: &[u8]) -> Result<(), Refusal> {
        let operation = Operation::from_json(body)?;
        check_limits(&operation, &Limits::strict_submit())?;
        let key =
            DidKey::parse(did).ok_or_else(|| Refusal::NotPlc(did.chars().take(80).collect()))?;
        let chain = self.chain(key, &operation).await?;
        // The time it would get: an operation is always later than the one it follows.
        let earliest_ms = chain
            .entries
            .last()
            .map_or(i64::MIN, |head| head.created_at_ms + 1);
        let now_ms = self.now_ms().max(earliest_ms);
        let accepted = validate_next(&key.to_did(), &chain.entries, &operation, now_ms)?;
        let nullifies: Vec<i64> = chain
            .seqs
            .get(accepted.nullifies.clone())
            .unwrap_or_default()
            .to_vec();
        if nullifies.is_empty() && chain.live >= rate::SMALLEST {
            // A recovery is exempt, or a thief could lock the owner out by filling the window.
            let times_ms = self
                .store
                .live_times(key, now_ms - rate::LONGEST_MS)
                .await?;
            rate::check(&times_ms, now_ms)?;
        }
        let bytes = operation.to_cbor();
        let append = Append {
            did: key,
            expected_head: chain.seqs.last().copied(),
            cid: Cid::dag_cbor(&bytes),
            bytes,
            signer_key: accepted.signer_key,
            nullifies,
            deadline_ms: accepted.deadline_ms,
        };
        self.append(append).await
    }

    async fn append(&self, append: Append) -> Result<(), Refusal> {
        let publish = Arc::clone(&self.publish);
        let (did, cid, bytes) = (append.did, append.cid, append.bytes.clone());
        let then = move |appended: &Appended| {
            let row = Row {
                seq: appended.seq,
                did,
                created_at_ms: appended.created_at_ms,
                cid,
                nullified: false,
                bytes: &bytes,
            };
            let mut line = String::with_capacity(bytes.len() * 2);
            match push_sequenced(&mut line, &row) {
                Ok(()) => publish(Published {
                    seq: appended.seq.unsigned_abs(),
                    line,
                }),
                Err(error) => tracing::error!(%error, "an accepted operation was not published"),
            }
        };
        match self
            .store
            .append(append, Arc::clone(&self.clock), then)
            .await
        {
            Ok(_) => Ok(()),
            Err(AppendError::HeadMoved) => Err(Refusal::Conflict),
            Err(AppendError::TooLate(over_ms)) => {
                Err(PlcError::LateRecovery(RECOVERY_WINDOW_MS.saturating_add(over_ms)).into())
            }
            Err(AppendError::Store(error)) => Err(error.into()),
        }
    }

    /// Reads no more of the log than the operation needs: nothing for a genesis, the newest entry
    /// for an ordinary operation, everything from the fork on for a recovery.
    async fn chain(&self, did: DidKey, operation: &Operation) -> Result<Chain, Refusal> {
        let Some(head) = self.store.head(did)? else {
            return Ok(Chain {
                entries: Vec::new(),
                seqs: Vec::new(),
                live: 0,
            });
        };
        let prev = *operation.prev().ok_or(PlcError::Misordered)?;
        let live = head.live;
        let stored = if prev == head.operation.cid {
            vec![head.operation]
        } else {
            self.store.live_from(did, prev).await?
        };
        if stored.is_empty() {
            return Err(PlcError::Misordered.into());
        }
        let seqs = stored.iter().map(|operation| operation.seq).collect();
        let entries = stored
            .into_iter()
            .map(chain_entry)
            .collect::<Result<_, _>>()?;
        Ok(Chain {
            entries,
            seqs,
            live,
        })
    }

    pub(super) fn now_ms(&self) -> i64 {
        i64::try_from(self.clock.now_ms()).unwrap_or(i64::MAX)
    }
}

fn chain_entry(stored: Stored) -> Result<ChainEntry, StoreError> {
    Ok(ChainEntry {
        cid: stored.cid,
        operation: read_back(&stored.bytes)?,
        created_at_ms: stored.created_at_ms,
        signer_key: stored.signer_key,
    })
}
