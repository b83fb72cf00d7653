//! Lists of hashes as proofs and witness requests write them: one to a line, then an empty one.

use std::fmt;

use crate::merkle::{Hash, MAX_PROOF_HASHES};

/// The hashes of lines, each with its line feed; `None` for more than 63 and for anything else.
pub(crate) fn parse(lines: &str) -> Option<Vec<Hash>> {
    let mut hashes = Vec::new();
    for line in lines.split_inclusive('\n') {
        if hashes.len() == MAX_PROOF_HASHES {
            return None;
        }
        hashes.push(line.strip_suffix('\n')?.parse().ok()?);
    }
    Some(hashes)
}

/// Writes the lines.
pub(crate) fn write(f: &mut fmt::Formatter<'_>, hashes: &[Hash]) -> fmt::Result {
    hashes.iter().try_for_each(|hash| writeln!(f, "{hash}"))
}

/// The lines before the first empty one, each with its line feed, and what follows the empty one.
pub(crate) fn split(text: &str) -> Option<(&str, &str)> {
    if let Some(rest) = text.strip_prefix('\n') {
        return Some(("", rest));
    }
    let end = text.find("\n\n")?;
    let (lines, rest) = text.split_at_checked(end + 1)?;
    Some((lines, rest.strip_prefix('\n')?))
}
