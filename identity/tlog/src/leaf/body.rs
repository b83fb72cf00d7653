//! Bodies of acts whose fields others than their authors must read.

use rochdale_protocol::data::{Cid, MAX_INTEGER, Map, Value, cbor};
use rochdale_protocol::syntax::Did;

use super::fields::{Fields, refused};
use super::{LeafError, VERSION, checked_time};
use crate::merkle::Hash;

/// Longest text and longest nonce of an approval, in bytes.
const MAX_APPROVAL_BYTES: usize = 256;

/// A steward's approval of one operation, bound to its exact bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// The case that it belongs to; a pseudonym, never a person's name.
    pub case: String,
    /// The DID that the operation changes.
    pub did: Did,
    /// The operation that it follows.
    pub prev: Cid,
    /// SHA-256 of the operation's bytes without its signature.
    pub unsigned_hash: [u8; 32],
    /// SHA-256 of the body of the policy under which this is done.
    pub policy_hash: [u8; 32],
    /// Who approves.
    pub steward: Did,
    /// As what.
    pub role: String,
    /// Until when it may be used, in Unix milliseconds.
    pub expires_ms: i64,
    /// Makes every approval a different one.
    pub nonce: Vec<u8>,
}

impl Approval {
    /// Reads a body; strict as a leaf is.
    pub fn decode(body: &[u8]) -> Result<Self, LeafError> {
        let mut fields = Fields::decode(body)?;
        match fields.integer("v")? {
            VERSION => {}
            other => return Err(LeafError::Version(other)),
        }
        let approval = Self {
            case: fields.text("case")?,
            did: fields.parsed("did", "a DID")?,
            prev: fields.parsed("prev", "a CID")?,
            unsigned_hash: fields.array("opUnsignedHash", "32 bytes")?,
            policy_hash: fields.array("policyHash", "32 bytes")?,
            steward: fields.parsed("steward", "a DID")?,
            role: fields.text("role")?,
            expires_ms: fields.integer("expires")?,
            nonce: fields.bytes("nonce")?,
        };
        fields.finish()?;
        // A CID has more than one spelling, and limits hold both ways.
        if approval.encode()? != body {
            return Err(refused("prev", "a CID in its one canonical spelling"));
        }
        Ok(approval)
    }

    /// The body.
    pub fn encode(&self) -> Result<Vec<u8>, LeafError> {
        for (field, length) in [
            ("case", self.case.len()),
            ("role", self.role.len()),
            ("nonce", self.nonce.len()),
        ] {
            if !(1..=MAX_APPROVAL_BYTES).contains(&length) {
                return Err(refused(field, "1 to 256 bytes"));
            }
        }
        let mut map = Map::new();
        map.insert("v", VERSION);
        map.insert("case", self.case.as_str());
        map.insert("did", self.did.as_str());
        map.insert("prev", self.prev.to_string());
        map.insert("opUnsignedHash", Value::Bytes(self.unsigned_hash.to_vec()));
        map.insert("policyHash", Value::Bytes(self.policy_hash.to_vec()));
        map.insert("steward", self.steward.as_str());
        map.insert("role", self.role.as_str());
        map.insert("expires", checked_time("expires", self.expires_ms)?);
        map.insert("nonce", Value::Bytes(self.nonce.clone()));
        Ok(cbor::encode(&map.into()))
    }
}

/// The root of the map from DIDs to their heads, over all leaves before a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapRoot {
    /// The number of leaves that the map accounts for.
    pub tree_size: u64,
    /// Its root.
    pub root: Hash,
}

impl MapRoot {
    /// Reads a body; strict as a leaf is.
    pub fn decode(body: &[u8]) -> Result<Self, LeafError> {
        let mut fields = Fields::decode(body)?;
        let tree_size = fields.integer("tree_size")?;
        let root = fields.array("root", "32 bytes")?;
        fields.finish()?;
        let map_root = Self {
            tree_size: u64::try_from(tree_size).map_err(|_| refused("tree_size", IS_SIZE))?,
            root: Hash::from_bytes(root),
        };
        map_root.encode()?;
        Ok(map_root)
    }

    /// The body.
    pub fn encode(&self) -> Result<Vec<u8>, LeafError> {
        let size = i64::try_from(self.tree_size).ok();
        let size = size.filter(|size| *size <= MAX_INTEGER);
        let mut map = Map::new();
        map.insert("tree_size", size.ok_or(refused("tree_size", IS_SIZE))?);
        map.insert("root", Value::Bytes(self.root.as_bytes().to_vec()));
        Ok(cbor::encode(&map.into()))
    }
}

const IS_SIZE: &str = "the size of a tree, at most 2^53 - 1";
