//! Reading a policy file, line by line.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Group, LineFault, Log, MAX_ENTRIES, MAX_POLICY_BYTES, Member, Policy, PolicyError, Quorum,
    Witness, keys_of,
};
use crate::decimal;
use crate::note::{KeyKind, VerifierKey};

/// What the lines so far have defined.
#[derive(Default)]
struct Lines<'a> {
    logs: Vec<Log>,
    witnesses: Vec<Witness>,
    groups: Vec<Group>,
    quorum: Option<Quorum>,
    names: BTreeMap<&'a [u8], Member>,
    /// Names that are a member of a group.
    taken: BTreeSet<Member>,
    /// Public keys of logs and of witnesses, and the lines they stand in.
    log_keys: BTreeMap<Vec<u8>, usize>,
    witness_keys: BTreeMap<Vec<u8>, usize>,
}

pub(super) fn parse(file: &[u8]) -> Result<Policy, PolicyError> {
    if file.len() > MAX_POLICY_BYTES {
        return Err(PolicyError::TooLong(file.len()));
    }
    let mut lines = Lines::default();
    for (index, line) in file.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let line_number = index + 1;
        lines.add(line, line_number).map_err(|fault| {
            let line = line_number;
            PolicyError::Line { line, fault }
        })?;
    }
    let quorum = lines.quorum.ok_or(PolicyError::NoQuorum)?;
    let keys = keys_of(&lines.logs, &lines.witnesses)?;
    Ok(Policy {
        logs: lines.logs,
        witnesses: lines.witnesses,
        groups: lines.groups,
        quorum,
        keys,
    })
}

impl<'a> Lines<'a> {
    fn add(&mut self, line: &'a [u8], number: usize) -> Result<(), LineFault> {
        let line = line.strip_suffix(b"\n").ok_or(LineFault::Unterminated)?;
        if line
            .iter()
            .any(|byte| matches!(byte, 0..=8 | 10..=31 | 127))
        {
            return Err(LineFault::Control);
        }
        let words = line.split(|byte| matches!(byte, b' ' | b'\t'));
        let words: Vec<&[u8]> = words.filter(|word| !word.is_empty()).collect();
        match words.as_slice() {
            [] => Ok(()),
            [first, ..] if first.starts_with(b"#") => Ok(()),
            [b"log", rest @ ..] => self.add_log(rest, number),
            [b"witness", rest @ ..] => self.add_witness(rest, number),
            [b"group", rest @ ..] => self.add_group(rest),
            [b"quorum", rest @ ..] => self.set_quorum(rest),
            _ => Err(LineFault::Keyword),
        }
    }

    fn add_log(&mut self, words: &[&[u8]], number: usize) -> Result<(), LineFault> {
        let (key, url) = match words {
            [key] => (key, None),
            [key, url] => (key, Some(url.to_vec())),
            _ => return Err(LineFault::Words("log <key> [<url>]")),
        };
        check_room(self.logs.len())?;
        let key = parse_key(key)?;
        claim_key(&mut self.log_keys, &key, number)?;
        self.logs.push(Log { key, url });
        Ok(())
    }

    fn add_witness(&mut self, words: &[&'a [u8]], number: usize) -> Result<(), LineFault> {
        let (name, key, url) = match words {
            [name, key] => (*name, key, None),
            [name, key, url] => (*name, key, Some(url.to_vec())),
            _ => return Err(LineFault::Words("witness <name> <key> [<url>]")),
        };
        check_room(self.witnesses.len())?;
        let key = parse_key(key)?;
        if key.kind() == KeyKind::Ed25519 {
            return Err(LineFault::NotACosigner);
        }
        claim_key(&mut self.witness_keys, &key, number)?;
        self.define(name, Member::Witness(self.witnesses.len()))?;
        let name = name.to_vec();
        self.witnesses.push(Witness { name, key, url });
        Ok(())
    }

    fn add_group(&mut self, words: &[&'a [u8]]) -> Result<(), LineFault> {
        let [name, threshold, first, rest @ ..] = words else {
            return Err(LineFault::Words("group <name> <any|all|number> <member>…"));
        };
        check_room(self.groups.len())?;
        let names = std::iter::once(first).chain(rest);
        let members: Result<Vec<Member>, _> = names.map(|name| self.take(name)).collect();
        let members = members?;
        let threshold = parse_threshold(threshold, members.len())?;
        // Only now, so that a group cannot name itself.
        self.define(name, Member::Group(self.groups.len()))?;
        self.groups.push(Group { threshold, members });
        Ok(())
    }

    fn set_quorum(&mut self, words: &[&[u8]]) -> Result<(), LineFault> {
        let [name] = words else {
            return Err(LineFault::Words("quorum <name>"));
        };
        if self.quorum.is_some() {
            return Err(LineFault::SecondQuorum);
        }
        self.quorum = Some(match *name {
            b"none" => Quorum::None,
            name => Quorum::Of(self.find(name)?),
        });
        Ok(())
    }

    fn define(&mut self, name: &'a [u8], member: Member) -> Result<(), LineFault> {
        if name == b"none" {
            return Err(LineFault::None);
        }
        match self.names.insert(name, member) {
            Some(_) => Err(LineFault::DuplicateName),
            None => Ok(()),
        }
    }

    fn find(&self, name: &[u8]) -> Result<Member, LineFault> {
        let found = self.names.get(name).copied();
        found.ok_or_else(|| LineFault::Unknown(quoted(name)))
    }

    /// A name as a member of a group: each may be that once.
    fn take(&mut self, name: &[u8]) -> Result<Member, LineFault> {
        if name == b"none" {
            return Err(LineFault::None);
        }
        let member = self.find(name)?;
        if self.taken.insert(member) {
            Ok(member)
        } else {
            Err(LineFault::DuplicateMember(quoted(name)))
        }
    }
}

fn check_room(entries: usize) -> Result<(), LineFault> {
    if entries < MAX_ENTRIES {
        Ok(())
    } else {
        Err(LineFault::TooMany)
    }
}

fn parse_key(word: &[u8]) -> Result<VerifierKey, LineFault> {
    let text = std::str::from_utf8(word);
    let text = text.map_err(|_| LineFault::Key(crate::note::NoteError::VerifierKey))?;
    text.parse().map_err(LineFault::Key)
}

/// The same public key under another name would be the same log or witness again.
fn claim_key(
    keys: &mut BTreeMap<Vec<u8>, usize>,
    key: &VerifierKey,
    number: usize,
) -> Result<(), LineFault> {
    match keys.insert(key.public_bytes().to_vec(), number) {
        Some(before) => Err(LineFault::DuplicateKey(before)),
        None => Ok(()),
    }
}

fn parse_threshold(word: &[u8], members: usize) -> Result<usize, LineFault> {
    let threshold = match word {
        b"any" => Some(1),
        b"all" => Some(members),
        _ => std::str::from_utf8(word)
            .ok()
            .and_then(decimal::parse)
            .and_then(|number| usize::try_from(number).ok()),
    };
    threshold
        .filter(|threshold| (1..=members).contains(threshold))
        .ok_or(LineFault::Threshold(members))
}

/// A name for an error message, which must not carry a megabyte.
fn quoted(name: &[u8]) -> String {
    String::from_utf8_lossy(name).chars().take(80).collect()
}
