//! The canonical encoding of a node: `{e: [{k, p, t, v}], l}` in DAG-CBOR, keys prefix-compressed.
//!
//! There is exactly one right encoding of a node, so the decoder refuses every other one.

use super::node::{Entry, Node, State, Subtree};
use super::{MAX_ENTRIES, MAX_HEIGHT, MAX_NODE_BYTES, MstError, common_prefix, is_key, key_depth};
use crate::data::{Cid, Link, MAX_CID_BYTES};

/// Tag 42 around a byte string.
const LINK_TAG: [u8; 2] = [0xd8, 0x2a];
/// The head of a 37-byte string (`00` and a 36-byte CID) under tag 42.
const CID_HEAD: [u8; 5] = [0xd8, 0x2a, 0x58, 0x25, 0x00];
const NULL: u8 = 0xf6;
const CID_BYTES: usize = 36;

const ARRAY: u8 = 0x80;
const BYTES: u8 = 0x40;
const UINT: u8 = 0x00;

/// Appends the block of `node`, whose children are sealed.
pub(super) fn encode(node: &Node, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\xa2\x61e");
    head(out, ARRAY, node.entries.len());
    let mut previous: &[u8] = &[];
    for entry in &node.entries {
        let shared = common_prefix(previous, &entry.key);
        let suffix = entry.key.get(shared..).unwrap_or_default();
        out.extend_from_slice(b"\xa4\x61k");
        head(out, BYTES, suffix.len());
        out.extend_from_slice(suffix);
        out.extend_from_slice(b"\x61p");
        head(out, UINT, shared);
        out.extend_from_slice(b"\x61t");
        child(out, entry.right.as_ref());
        out.extend_from_slice(b"\x61v");
        match &entry.value {
            Link::Known(value) => cid(out, value),
            Link::Foreign(value) => {
                out.extend_from_slice(&LINK_TAG);
                head(out, BYTES, value.len() + 1);
                out.push(0);
                out.extend_from_slice(value);
            }
        }
        previous = &entry.key;
    }
    out.extend_from_slice(b"\x61l");
    child(out, node.left.as_ref());
}

fn child(out: &mut Vec<u8>, subtree: Option<&Subtree>) {
    match subtree {
        None => out.push(NULL),
        Some(subtree) => cid(out, &subtree.cid()),
    }
}

fn cid(out: &mut Vec<u8>, cid: &Cid) {
    out.extend_from_slice(&CID_HEAD);
    out.extend_from_slice(&cid.to_bytes());
}

fn head(out: &mut Vec<u8>, major: u8, value: usize) {
    match value {
        0..24 => out.push(major | value as u8),
        24..0x100 => out.extend_from_slice(&[major | 24, value as u8]),
        0x100..0x1_0000 => {
            out.push(major | 25);
            out.extend_from_slice(&(value as u16).to_be_bytes());
        }
        _ => {
            out.push(major | 26);
            out.extend_from_slice(&(value as u32).to_be_bytes());
        }
    }
}

/// Whether the block of `node` can take more than 1 MiB with these entries, whatever children it
/// gets. Nodes are limited by this weight and not by their bytes, so that no child makes one too
/// large.
pub(super) fn is_too_heavy(node: &Node) -> bool {
    // Without looking for shared prefixes: enough for all but nodes made for the purpose.
    let keys: usize = node.entries.iter().map(|entry| entry.key.len()).sum();
    let rough = EMPTY_WEIGHT + keys + node.entries.len() * (100 + MAX_CID_BYTES);
    rough > MAX_NODE_BYTES && weight(node) > MAX_NODE_BYTES
}

fn weight(node: &Node) -> usize {
    let mut previous: &[u8] = &[];
    node.entries.iter().fold(EMPTY_WEIGHT, |sum, entry| {
        let weight = entry_weight(previous, entry);
        previous = &entry.key;
        sum + weight
    })
}

/// The weight of a node without entries.
pub(super) const EMPTY_WEIGHT: usize = 50;

/// What `entry` adds to the weight when it comes after `previous`.
pub(super) fn entry_weight(previous: &[u8], entry: &Entry) -> usize {
    let suffix = entry.key.len() - common_prefix(previous, &entry.key);
    let value = match &entry.value {
        Link::Known(_) => 0,
        Link::Foreign(bytes) => bytes.len(),
    };
    suffix + value + 100
}

/// Reads the block called `cid`. `height` is the height its place demands; a root has no such demand
/// and is allowed to be the empty node.
pub(super) fn decode(block: &[u8], cid: Cid, height: Option<u8>) -> Result<Node, MstError> {
    parse(block, cid, height).map_err(|reason| MstError::Malformed { cid, reason })
}

fn parse(block: &[u8], cid: Cid, height: Option<u8>) -> Result<Node, &'static str> {
    if block.len() > MAX_NODE_BYTES {
        return Err("larger than 1 MiB");
    }
    let mut cursor = Cursor(block);
    cursor.literal(b"\xa2\x61e", "not a map with the keys e and l")?;
    let count = cursor.head(ARRAY)?;
    if count > MAX_ENTRIES {
        return Err("more than 2048 entries");
    }
    // An entry takes more than 50 bytes: a false count cannot reserve more than the block is worth.
    let mut entries: Vec<Entry> = Vec::with_capacity(count.min(block.len() / 50));
    let mut node_height = height;
    for _ in 0..count {
        let previous = entries.last().map_or(&[][..], |entry| &entry.key);
        let entry = entry(&mut cursor, previous)?;
        let depth = key_depth(&entry.key);
        if *node_height.get_or_insert(depth) != depth {
            return Err("a key does not belong at this height");
        }
        entries.push(entry);
    }
    cursor.literal(b"\x61l", "not a map with the keys e and l")?;
    let left = cursor.child()?;
    if !cursor.0.is_empty() {
        return Err("bytes after the end");
    }
    let height = match node_height {
        Some(height) => height,
        None if left.is_none() => 0,
        None => return Err("the root holds nothing but one child"),
    };
    let node = Node {
        cid,
        state: State::Stored,
        height,
        left,
        entries,
    };
    check_shape(&node, height, node_height.is_some())?;
    // Children can weigh more than they take here: 40 bytes each.
    if block.len() + 41 * (node.entries.len() + 1) > MAX_NODE_BYTES && is_too_heavy(&node) {
        return Err("larger than 1 MiB");
    }
    Ok(node)
}

fn check_shape(node: &Node, height: u8, has_place: bool) -> Result<(), &'static str> {
    if height > MAX_HEIGHT {
        return Err("higher than 40 levels");
    }
    if has_place && node.is_empty() {
        return Err("an empty node that is not the root");
    }
    let has_child = node.left.is_some() || node.entries.iter().any(|entry| entry.right.is_some());
    if height == 0 && has_child {
        return Err("a node of height 0 with children");
    }
    Ok(())
}

fn entry(cursor: &mut Cursor<'_>, previous: &[u8]) -> Result<Entry, &'static str> {
    const SHAPE: &str = "an entry is not a map with the keys k, p, t and v";
    cursor.literal(b"\xa4\x61k", SHAPE)?;
    let length = cursor.head(BYTES)?;
    let suffix = cursor.take(length)?;
    cursor.literal(b"\x61p", SHAPE)?;
    let shared = cursor.head(UINT)?;
    let prefix = previous
        .get(..shared)
        .ok_or("a prefix is longer than the key before it")?;
    let (first, replaced) = (suffix.first(), previous.get(shared));
    // The first byte past the prefix decides both: it must differ (the prefix is maximal) and be
    // greater (the keys ascend).
    match (first, replaced) {
        (None, _) => return Err("keys do not ascend"),
        (Some(a), Some(b)) if a == b => return Err("a prefix is not maximal"),
        (Some(a), Some(b)) if a < b => return Err("keys do not ascend"),
        _ => {}
    }
    let key = [prefix, suffix].concat();
    if !is_key(&key) {
        return Err("a key is not a repository path");
    }
    cursor.literal(b"\x61t", SHAPE)?;
    let right = cursor.child()?;
    cursor.literal(b"\x61v", SHAPE)?;
    let value = cursor.link()?;
    Ok(Entry {
        key: key.into_boxed_slice(),
        value,
        right,
    })
}

/// What is left to read of a block.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], &'static str> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or("ends too early")?;
        self.0 = rest;
        Ok(taken)
    }

    fn literal(&mut self, expected: &[u8], reason: &'static str) -> Result<(), &'static str> {
        self.0 = self.0.strip_prefix(expected).ok_or(reason)?;
        Ok(())
    }

    /// A length or number of the given major type, in its shortest form.
    fn head(&mut self, major: u8) -> Result<usize, &'static str> {
        let (&first, rest) = self.0.split_first().ok_or("ends too early")?;
        if first & 0xe0 != major {
            return Err("a value of the wrong type");
        }
        self.0 = rest;
        let (value, least) = match first & 0x1f {
            short @ 0..24 => return Ok(usize::from(short)),
            24 => (self.number(1)?, 24),
            25 => (self.number(2)?, 0x100),
            26 => (self.number(4)?, 0x1_0000),
            _ => return Err("a length out of range"),
        };
        if value < least {
            return Err("a number is not in its shortest form");
        }
        Ok(value)
    }

    fn number(&mut self, bytes: usize) -> Result<usize, &'static str> {
        Ok(self
            .take(bytes)?
            .iter()
            .fold(0, |sum, &byte| sum << 8 | usize::from(byte)))
    }

    fn child(&mut self) -> Result<Option<Subtree>, &'static str> {
        if let Some(rest) = self.0.strip_prefix(&[NULL]) {
            self.0 = rest;
            return Ok(None);
        }
        const REASON: &str = "a child is not a dag-cbor sha-256 link";
        self.literal(&CID_HEAD, REASON)?;
        let cid = Cid::from_bytes(self.take(CID_BYTES)?).map_err(|_| REASON)?;
        if cid.codec() != crate::data::Codec::DagCbor {
            return Err(REASON);
        }
        Ok(Some(Subtree::Stub(cid)))
    }

    fn link(&mut self) -> Result<Link, &'static str> {
        const REASON: &str = "a value is not a link";
        self.literal(&LINK_TAG, REASON)?;
        let length = self.head(BYTES)?;
        let (marker, bytes) = self.take(length)?.split_first().ok_or(REASON)?;
        if *marker != 0 {
            return Err(REASON);
        }
        Link::from_bytes(bytes).map_err(|_| REASON)
    }
}
