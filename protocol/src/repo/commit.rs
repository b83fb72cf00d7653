//! The signed commit: the one object of a repository that carries a signature
//! ("atproto repository" spec, "Commit Objects", version 3).

use crate::crypto::{CryptoError, PublicKey, Signature, SigningKey};
use crate::data::Cid;
use crate::data::cbor::{CborError, Decoder, Encoder, MapKeys};
use crate::syntax::{Did, Tid};

/// The only version written and read.
pub const VERSION: i64 = 3;
/// Largest commit block accepted, in bytes: the longest DID and some 200 bytes more.
pub const MAX_COMMIT_BYTES: usize = 4096;

/// Why a block is not a commit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// Not canonical DAG-CBOR, or a field of the wrong type.
    #[error("the commit is malformed: {0}")]
    Cbor(#[from] CborError),
    /// Too long.
    #[error("the commit has {0} bytes, more than 4096")]
    TooLarge(usize),
    /// Not exactly the fields did, rev, sig, data, prev and version.
    #[error("the commit does not have exactly the fields did, rev, sig, data, prev and version")]
    Fields,
    /// A version this code does not know.
    #[error("the commit has version {0}, not 3")]
    Version(i64),
    /// The `did` field.
    #[error("the commit's did is not a DID")]
    Did,
    /// The `rev` field.
    #[error("the commit's rev is not a TID")]
    Rev,
    /// The `sig` field.
    #[error("the commit's signature has {0} bytes, not 64")]
    SignatureLength(usize),
}

/// A commit before it is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsignedCommit {
    /// Whose repository.
    pub did: Did,
    /// Its revision, greater than every earlier one.
    pub rev: Tid,
    /// The root of its tree.
    pub data: Cid,
}

/// A signed commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Whose repository.
    pub did: Did,
    /// Its revision.
    pub rev: Tid,
    /// The root of its tree.
    pub data: Cid,
    /// The commit before; a leftover of version 2 that is written as null.
    pub prev: Option<Cid>,
    /// The signature over the commit without this field.
    pub sig: Signature,
}

impl UnsignedCommit {
    /// The bytes that get signed.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        write(&self.did, self.rev, &self.data, None, None)
    }

    /// Signs.
    #[must_use]
    pub fn sign(self, key: &SigningKey) -> Commit {
        let sig = key.sign(&self.encode());
        Commit {
            did: self.did,
            rev: self.rev,
            data: self.data,
            prev: None,
            sig,
        }
    }
}

impl Commit {
    /// The block.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        write(
            &self.did,
            self.rev,
            &self.data,
            self.prev.as_ref(),
            Some(&self.sig),
        )
    }

    /// The bytes the signature is over.
    #[must_use]
    pub fn unsigned_bytes(&self) -> Vec<u8> {
        write(&self.did, self.rev, &self.data, self.prev.as_ref(), None)
    }

    /// The CID; encodes and hashes.
    #[must_use]
    pub fn cid(&self) -> Cid {
        Cid::dag_cbor(&self.encode())
    }

    /// Checks the signature with the account's current signing key.
    ///
    /// # Errors
    /// [`CryptoError`] when it does not hold, or is not in its low-S form.
    pub fn verify(&self, key: &PublicKey) -> Result<(), CryptoError> {
        key.verify(&self.unsigned_bytes(), &self.sig)
    }

    /// Reads a commit block. Every field must be there and no other: readers that drop unknown
    /// fields would disagree on what was signed.
    ///
    /// # Errors
    /// [`CommitError`]; the signature is not checked.
    pub fn decode(block: &[u8]) -> Result<Self, CommitError> {
        if block.len() > MAX_COMMIT_BYTES {
            return Err(CommitError::TooLarge(block.len()));
        }
        let mut decoder = Decoder::new(block);
        let mut keys = decoder.map()?;
        field(&mut keys, &mut decoder, "did")?;
        let did = decoder.text()?.parse().map_err(|_| CommitError::Did)?;
        field(&mut keys, &mut decoder, "rev")?;
        let rev = decoder.text()?.parse().map_err(|_| CommitError::Rev)?;
        field(&mut keys, &mut decoder, "sig")?;
        let sig = decoder.bytes()?;
        let sig =
            Signature::from_bytes(sig).map_err(|_| CommitError::SignatureLength(sig.len()))?;
        field(&mut keys, &mut decoder, "data")?;
        let data = decoder.cid()?;
        field(&mut keys, &mut decoder, "prev")?;
        let prev = decoder.cid_or_null()?;
        field(&mut keys, &mut decoder, "version")?;
        let version = decoder.int()?;
        if version != VERSION {
            return Err(CommitError::Version(version));
        }
        if keys.remaining() != 0 {
            return Err(CommitError::Fields);
        }
        decoder.finish()?;
        Ok(Self {
            did,
            rev,
            data,
            prev,
            sig,
        })
    }
}

fn field<'a>(
    keys: &mut MapKeys<'a>,
    decoder: &mut Decoder<'a>,
    name: &str,
) -> Result<(), CommitError> {
    match keys.next(decoder)? {
        Some(key) if key == name => Ok(()),
        _ => Err(CommitError::Fields),
    }
}

fn write(did: &Did, rev: Tid, data: &Cid, prev: Option<&Cid>, sig: Option<&Signature>) -> Vec<u8> {
    let mut out = Encoder::with_capacity(256);
    out.map(if sig.is_some() { 6 } else { 5 });
    out.text("did").text(did.as_str());
    out.text("rev").text(rev.text().as_str());
    if let Some(sig) = sig {
        out.text("sig").bytes(sig.as_bytes());
    }
    out.text("data").cid(data);
    match prev {
        None => out.text("prev").null(),
        Some(prev) => out.text("prev").cid(prev),
    };
    out.text("version").int(VERSION);
    out.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Curve;

    fn commit(curve: Curve) -> (Commit, SigningKey) {
        let key = SigningKey::from_bytes(curve, &[5; 32]).unwrap();
        let did = "did:plc:44ybard66vv44zksje25o7dz".parse().unwrap();
        let rev = Tid::next(None, 1_700_000_000_000_000, 3);
        let data = crate::repo::mst::empty_root();
        (UnsignedCommit { did, rev, data }.sign(&key), key)
    }

    #[test]
    fn a_signed_commit_survives_its_block_and_verifies() {
        for curve in [Curve::K256, Curve::P256] {
            let (commit, key) = commit(curve);
            let block = commit.encode();
            assert_eq!(Commit::decode(&block).unwrap(), commit);
            assert!(commit.cid().matches(&block));
            commit.verify(key.public()).unwrap();
            let other = Commit {
                rev: Tid::next(Some(commit.rev), 0, 0),
                ..commit
            };
            assert!(other.verify(key.public()).is_err());
        }
    }

    #[test]
    fn a_commit_of_version_2_chained_to_the_one_before_keeps_its_prev() {
        let (commit, _) = commit(Curve::K256);
        let chained = Commit {
            prev: Some(commit.data),
            ..commit
        };
        assert_eq!(Commit::decode(&chained.encode()).unwrap(), chained);
        assert_ne!(
            chained.unsigned_bytes(),
            Commit {
                prev: None,
                ..chained
            }
            .unsigned_bytes()
        );
    }

    #[test]
    fn every_other_form_is_refused() {
        use crate::data::{Value, cbor};
        let (commit, _) = commit(Curve::K256);
        let changed = |change: &dyn Fn(&mut crate::data::Map)| {
            let mut value = cbor::decode(&commit.encode()).unwrap();
            change(value.as_map_mut().unwrap());
            Commit::decode(&cbor::encode(&value)).unwrap_err()
        };
        let text = |text: &str| Value::Text(text.to_owned());
        let set = |field: &'static str, value: Value| {
            changed(&move |map| {
                map.insert(field, value.clone());
            })
        };
        for field in ["did", "rev", "sig", "data", "prev", "version"] {
            let error = changed(&|map| {
                map.remove(field);
            });
            assert_eq!(error, CommitError::Fields, "{field}");
            assert!(
                matches!(set(field, Value::Bool(true)), CommitError::Cbor(_)),
                "{field}"
            );
        }
        assert_eq!(set("extra", Value::Null), CommitError::Fields);
        assert_eq!(set("zzzzzzzzzz", Value::Null), CommitError::Fields);
        assert_eq!(set("version", Value::Integer(2)), CommitError::Version(2));
        assert_eq!(set("did", text("did:PLC:a")), CommitError::Did);
        assert_eq!(set("rev", text("0000000000000")), CommitError::Rev);
        assert_eq!(
            set("sig", Value::Bytes(vec![0; 65])),
            CommitError::SignatureLength(65)
        );
        let raw = Value::Link(crate::data::Link::from_bytes(&[1, 0x71, 0x13, 0]).unwrap());
        assert!(matches!(set("data", raw), CommitError::Cbor(_)));
        let long = [commit.encode(), vec![0; 4096]].concat();
        assert_eq!(
            Commit::decode(&long),
            Err(CommitError::TooLarge(long.len()))
        );
        let trailing = [commit.encode(), vec![0]].concat();
        assert!(matches!(
            Commit::decode(&trailing),
            Err(CommitError::Cbor(_))
        ));
    }
}
