//! Whether a checkpoint is signed by those whom a policy trusts.

use super::{Member, Policy, Quorum, Witness};
use crate::checkpoint::{Checkpoint, Origin, SignedCheckpoint};
use crate::note::NoteError;

/// Why a policy does not trust a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// A known signature that does not hold, or none that is known.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// No log of the policy with this origin has signed.
    #[error("no log that the policy accepts has signed as {0}")]
    Log(Origin),
    /// Too few witnesses, or not the right ones.
    #[error("the {found} witnesses that have cosigned are not the quorum that the policy asks for")]
    Quorum {
        /// How many of the policy's witnesses have cosigned.
        found: usize,
    },
}

/// A checkpoint that a policy trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trusted<'a> {
    /// What the log says, and enough witnesses with it.
    pub checkpoint: &'a Checkpoint,
    /// Which witnesses, and when.
    pub witnessed: Vec<Witnessed<'a>>,
}

/// A witness of the policy that has cosigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Witnessed<'a> {
    /// Which one.
    pub witness: &'a Witness,
    /// When it says that it did, in Unix seconds; the latest if it did so more than once.
    pub time_s: u64,
}

impl Trusted<'_> {
    /// The latest time that a witness gives, in Unix seconds: how fresh the checkpoint is.
    #[must_use]
    pub fn latest_s(&self) -> Option<u64> {
        self.witnessed.iter().map(|seen| seen.time_s).max()
    }
}

impl Policy {
    /// Checks that a log of the policy has signed a checkpoint under its own name, and that the
    /// policy's quorum of witnesses has cosigned it.
    ///
    /// Times are not judged: an application that wants fresh checkpoints looks at
    /// [`Trusted::latest_s`].
    pub fn trust<'a>(&'a self, signed: &'a SignedCheckpoint) -> Result<Trusted<'a>, Untrusted> {
        let checkpoint = signed.checkpoint();
        let verified = signed.note().verify(&self.keys)?;
        let origin = checkpoint.origin();
        let is_of_the_log = self.logs.iter().any(|log| {
            let is_its_origin = log.key.name().as_str() == origin.as_str();
            is_its_origin && verified.iter().any(|signature| *signature.key == log.key)
        });
        if !is_of_the_log {
            return Err(Untrusted::Log(origin.clone()));
        }
        let times: Vec<Option<u64>> = self
            .witnesses
            .iter()
            .map(|witness| {
                let its = verified
                    .iter()
                    .filter(|signature| *signature.key == witness.key);
                its.filter_map(|signature| signature.time_s).max()
            })
            .collect();
        let witnessed: Vec<Witnessed<'a>> = self
            .witnesses
            .iter()
            .zip(&times)
            .filter_map(|(witness, time_s)| time_s.map(|time_s| Witnessed { witness, time_s }))
            .collect();
        if !self.is_quorum(&times) {
            let found = witnessed.len();
            return Err(Untrusted::Quorum { found });
        }
        Ok(Trusted {
            checkpoint,
            witnessed,
        })
    }

    /// Whether the witnesses that have a time are the quorum.
    fn is_quorum(&self, times: &[Option<u64>]) -> bool {
        let Quorum::Of(quorum) = self.quorum else {
            return true;
        };
        // A group's members stand above it, so their answers are known when its turn comes.
        let mut groups = Vec::with_capacity(self.groups.len());
        for group in &self.groups {
            let members = group.members.iter();
            let count = members
                .filter(|member| has_seen(**member, times, &groups))
                .count();
            groups.push(count >= group.threshold);
        }
        has_seen(quorum, times, &groups)
    }
}

fn has_seen(member: Member, times: &[Option<u64>], groups: &[bool]) -> bool {
    match member {
        Member::Witness(index) => times.get(index).is_some_and(Option::is_some),
        Member::Group(index) => groups.get(index).copied().unwrap_or(false),
    }
}
