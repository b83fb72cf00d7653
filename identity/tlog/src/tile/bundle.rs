//! Bundles of entries: each after its length in two bytes (C2SP tlog-tiles, "Log entries").

use super::{MAX_ENTRY_BYTES, Tile, TileError, checked_width};
use crate::merkle::Hash;

/// Appends an entry to a bundle. [`TileError::EntryBytes`] if it is longer than 65,535 bytes.
pub fn append(bundle: &mut Vec<u8>, entry: &[u8]) -> Result<(), TileError> {
    let length = u16::try_from(entry.len()).map_err(|_| TileError::EntryBytes(entry.len()))?;
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(entry);
    Ok(())
}

/// The bundle of 1 to 256 entries.
pub fn encode<E: AsRef<[u8]>>(entries: &[E]) -> Result<Vec<u8>, TileError> {
    checked_width(entries.len())?;
    let mut bundle = Vec::new();
    for entry in entries {
        append(&mut bundle, entry.as_ref())?;
    }
    Ok(bundle)
}

/// The entries of a bundle of a width: exactly as many, and nothing after them.
pub fn decode(bundle: &[u8], width: u16) -> Result<Vec<&[u8]>, TileError> {
    let width = usize::from(checked_width(width.into())?);
    let mut entries = Vec::with_capacity(width);
    let mut rest = bundle;
    for place in 0..width {
        let (entry, after) = split_entry(rest).ok_or(TileError::Truncated(place))?;
        entries.push(entry);
        rest = after;
    }
    match rest {
        [] => Ok(entries),
        _ => Err(TileError::Trailing(rest.len())),
    }
}

fn split_entry(bundle: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bundle.split_first_chunk::<2>()?;
    rest.split_at_checked(u16::from_be_bytes(*length).into())
}

/// Longest bundle of a width, in bytes: what a client reads at most before it hangs up.
#[must_use]
pub const fn max_bytes(width: u16) -> usize {
    width as usize * (2 + MAX_ENTRY_BYTES)
}

/// Checks that entries have the hashes of the tile of the same place and width.
pub fn check(entries: &[&[u8]], tile: &Tile) -> Result<(), TileError> {
    let width = tile.hashes().len();
    if entries.len() != width {
        return Err(TileError::Truncated(entries.len().min(width)));
    }
    let mut pairs = entries.iter().zip(tile.hashes());
    match pairs.position(|(entry, hash)| Hash::leaf(entry) != *hash) {
        Some(place) => Err(TileError::EntryHash(place)),
        None => Ok(()),
    }
}
