//! Whom to trust: logs, witnesses, and how many of them together (C2SP tlog-policy).
//!
//! A policy is a file that people write. Groups refer only to what stands above them, so it is
//! evaluated from top to bottom, without recursion.

mod evaluate;
mod parse;

#[cfg(test)]
mod tests;

pub use evaluate::{Trusted, Untrusted, Witnessed};

use crate::note::{NoteError, VerifierKey, Verifiers};

/// Longest policy that is read, in bytes.
pub const MAX_POLICY_BYTES: usize = 512 * 1024;

/// Most logs, most witnesses and most groups of a policy; the specification asks for at least 32.
pub const MAX_ENTRIES: usize = 64;

/// Which logs are accepted, and whose cosignatures a checkpoint needs.
#[derive(Clone, Debug)]
pub struct Policy {
    logs: Vec<Log>,
    witnesses: Vec<Witness>,
    groups: Vec<Group>,
    quorum: Quorum,
    /// The keys of all logs and witnesses.
    keys: Verifiers,
}

/// A log whose checkpoints are accepted. Its key's name is the log's origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The key that signs its checkpoints.
    pub key: VerifierKey,
    /// Where it is found, if the policy says so. Opaque bytes, usually UTF-8.
    pub url: Option<Vec<u8>>,
}

/// A witness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// What the policy calls it. Opaque bytes, usually UTF-8.
    pub name: Vec<u8>,
    /// The key that cosigns.
    pub key: VerifierKey,
    /// Its submission prefix, if the policy gives one.
    pub url: Option<Vec<u8>>,
}

/// A witness or a group, by its place among its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Member {
    Witness(usize),
    Group(usize),
}

/// At least `threshold` of the members.
#[derive(Clone, Debug)]
struct Group {
    threshold: usize,
    members: Vec<Member>,
}

#[derive(Clone, Copy, Debug)]
enum Quorum {
    /// No cosignature is asked for.
    None,
    Of(Member),
}

/// What is wrong with a policy, and in which line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Over the limit.
    #[error("the policy has {0} bytes, over the limit of {MAX_POLICY_BYTES}")]
    TooLong(usize),
    /// A fault of one line, counted from 1.
    #[error("line {line} of the policy: {fault}")]
    Line {
        /// Which line.
        line: usize,
        /// What is wrong with it.
        fault: LineFault,
    },
    /// No line says what is needed.
    #[error("the policy has no quorum line; to ask for no cosignature write \"quorum none\"")]
    NoQuorum,
    /// Two keys with one name and ID.
    #[error(transparent)]
    Keys(#[from] NoteError),
}

/// What is wrong with a line of a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// The last line has no line feed, so that it may have been cut.
    #[error("it does not end with a line feed; add one")]
    Unterminated,
    /// A control character other than tab and line feed.
    #[error("it has a control character other than tab")]
    Control,
    /// Another first word.
    #[error("it starts with none of log, witness, group and quorum")]
    Keyword,
    /// Too few or too many words.
    #[error("expected {0}")]
    Words(&'static str),
    /// Not a verifier key.
    #[error("{0}")]
    Key(NoteError),
    /// A key of a type that witnesses do not cosign with.
    #[error("the key is not one that cosigns; witnesses have keys of type 0x04 or 0x06")]
    NotACosigner,
    /// The same public key as another log, or as another witness.
    #[error("the public key stands in line {0} already")]
    DuplicateKey(usize),
    /// A name that is taken.
    #[error("the name is taken already")]
    DuplicateName,
    /// `none` as the name of a witness or a group, or as a member.
    #[error("\"none\" is no name; it means that no cosignature is asked for")]
    None,
    /// A name that no line above defines.
    #[error("no line above defines the name {0:?}")]
    Unknown(String),
    /// A member of two groups, or twice of one.
    #[error("{0:?} is a member of a group already; it would count twice")]
    DuplicateMember(String),
    /// A threshold that the group could not reach, or would always reach.
    #[error("a threshold is any, all, or a decimal from 1 to the number of members, which is {0}")]
    Threshold(usize),
    /// A second quorum line.
    #[error("there is a quorum line already")]
    SecondQuorum,
    /// More entries of one kind than are read.
    #[error("a policy has at most {MAX_ENTRIES} logs, witnesses and groups each")]
    TooMany,
}

impl Policy {
    /// Reads a policy file.
    pub fn parse(file: &[u8]) -> Result<Self, PolicyError> {
        parse::parse(file)
    }

    /// The logs that are accepted. None is accepted if there are none: see [`Self::with_log`].
    #[must_use]
    pub fn logs(&self) -> &[Log] {
        &self.logs
    }

    /// The witnesses, in the order of their lines.
    #[must_use]
    pub fn witnesses(&self) -> &[Witness] {
        &self.witnesses
    }

    /// Accepts one more log, which is known from elsewhere than the file.
    pub fn with_log(mut self, key: VerifierKey) -> Result<Self, PolicyError> {
        self.logs.push(Log { key, url: None });
        self.keys = keys_of(&self.logs, &self.witnesses)?;
        Ok(self)
    }
}

fn keys_of(logs: &[Log], witnesses: &[Witness]) -> Result<Verifiers, NoteError> {
    let logs = logs.iter().map(|log| log.key.clone());
    let witnesses = witnesses.iter().map(|witness| witness.key.clone());
    Verifiers::new(logs.chain(witnesses))
}
