//! Leaves for acts of governance: a kind, a body, and who has signed it.

use rochdale_protocol::data::cbor::{self, Decoder, Kind};
use rochdale_protocol::data::{Map, Value};

use super::body::{Approval, MapRoot};
use super::fields::{Fields, quoted, refused};
use super::{LeafError, VERSION, checked_time};

/// Most signatures of one act.
pub const MAX_SIGNATURES: usize = 64;

/// Longest signature, in bytes: room for what a passkey signs along with it.
pub const MAX_SIGNATURE_BYTES: usize = 2048;

/// Longest did:key of a signature, in bytes.
const MAX_KEY_BYTES: usize = 256;

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal,)*) => {
        /// What an act is about.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum GovernanceKind {
            $($(#[$doc])* $kind,)*
        }

        impl GovernanceKind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// What it is called in a leaf.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }
        }
    };
}

kinds! {
    /// The policy that holds from here on.
    Policy = "policy",
    /// The stewards and their keys.
    StewardSet = "steward-set",
    /// A steward's approval of one operation; see [`Approval`].
    Approval = "approval",
    /// A recovery has begun, so that its owner can object.
    RecoveryPending = "recovery-pending",
    /// A DID was issued under the policy.
    Issuance = "issuance",
    /// The root of the members' register.
    MembershipRoot = "membership-root",
    /// A ballot.
    Ballot = "ballot",
    /// The result of a vote.
    Tally = "tally",
    /// Evidence that an upstream directory dropped an operation.
    Invalidate = "invalidate",
    /// The hash of a did:web document that is served.
    WebDoc = "web-doc",
    /// The committed map of all DIDs; see [`MapRoot`].
    MapRoot = "mapRoot",
}

/// An act of governance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Governance {
    /// What it is about.
    pub kind: GovernanceKind,
    /// What it says: a map in canonical DAG-CBOR.
    pub body: Vec<u8>,
    /// When the log took it in, in Unix milliseconds. Not signed by those who act: they cannot know.
    pub at_ms: i64,
    /// Who has signed it, in the order given. Not verified here.
    pub signatures: Vec<Signature>,
}

/// A signature on an act. What its bytes are follows from the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The key that signed, as did:key.
    pub key: String,
    /// The signature over [`Governance::signed_bytes`].
    pub bytes: Vec<u8>,
}

impl Governance {
    /// What those who act sign: version, type, kind and body, in the form of a leaf.
    #[must_use]
    pub fn signed_bytes(kind: GovernanceKind, body: &[u8]) -> Vec<u8> {
        let mut map = Map::new();
        map.insert("v", VERSION);
        map.insert("t", "gov");
        map.insert("type", kind.name());
        map.insert("body", Value::Bytes(body.to_vec()));
        cbor::encode(&map.into())
    }

    pub(super) fn read(fields: &mut Fields) -> Result<Self, LeafError> {
        let name = fields.text("type")?;
        let kinds = GovernanceKind::ALL.iter();
        let kind = kinds.copied().find(|kind| kind.name() == name);
        let kind = kind.ok_or_else(|| LeafError::Type(quoted(&name)))?;
        let body = fields.bytes("body")?;
        let at_ms = checked_time("at", fields.integer("at")?)?;
        let signatures = fields.list("sigs")?.into_iter();
        let signatures: Result<_, _> = signatures.map(Signature::read).collect();
        let leaf = Self {
            kind,
            body,
            at_ms,
            signatures: signatures?,
        };
        leaf.check()?;
        Ok(leaf)
    }

    pub(super) fn write(&self, map: &mut Map) -> Result<(), LeafError> {
        self.check()?;
        map.insert("type", self.kind.name());
        map.insert("body", Value::Bytes(self.body.clone()));
        map.insert("at", checked_time("at", self.at_ms)?);
        let signatures = self.signatures.iter().map(Signature::write).collect();
        map.insert("sigs", Value::Array(signatures));
        Ok(())
    }

    fn check(&self) -> Result<(), LeafError> {
        let mut body = Decoder::new(&self.body);
        let is_map = body.kind() == Ok(Kind::Map);
        if !is_map || body.skip().is_err() || body.finish().is_err() {
            return Err(refused("body", "one map in canonical DAG-CBOR"));
        }
        match self.kind {
            GovernanceKind::Approval => drop(Approval::decode(&self.body)?),
            GovernanceKind::MapRoot => drop(MapRoot::decode(&self.body)?),
            _ => {}
        }
        if self.signatures.len() > MAX_SIGNATURES {
            return Err(refused("sigs", "an array of at most 64 signatures"));
        }
        self.signatures.iter().try_for_each(Signature::check)
    }
}

impl Signature {
    fn read(value: Value) -> Result<Self, LeafError> {
        let mut fields = Fields::of(value)?;
        let signature = Self {
            key: fields.text("key")?,
            bytes: fields.bytes("sig")?,
        };
        fields.finish()?;
        Ok(signature)
    }

    fn write(&self) -> Value {
        let mut map = Map::new();
        map.insert("key", self.key.as_str());
        map.insert("sig", Value::Bytes(self.bytes.clone()));
        map.into()
    }

    fn check(&self) -> Result<(), LeafError> {
        let is_base58 = |key: &str| key.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let key = self.key.strip_prefix("did:key:z");
        if self.key.len() > MAX_KEY_BYTES || !key.is_some_and(is_base58) {
            return Err(refused("key", "a did:key of at most 256 bytes"));
        }
        if !(1..=MAX_SIGNATURE_BYTES).contains(&self.bytes.len()) {
            return Err(refused("sig", "1 to 2048 bytes"));
        }
        Ok(())
    }
}
