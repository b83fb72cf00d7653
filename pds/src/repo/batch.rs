//! What a caller wants done to a repository, as values: no write is described any other way.
//!
//! Owns the rules a record must pass before it may be written that need no storage: `$type`,
//! the data model, what it refers to. Must not touch trees or the store.
//! Follows the atproto repository and data model specifications.

use bytes::Bytes;
use rochdale_protocol::data::blob::{self, BlobRef};
use rochdale_protocol::data::{self, Cid, DataError, Value, cbor};
use rochdale_protocol::syntax::{Nsid, RecordPath};
use sha2::{Digest, Sha256};

use crate::store::repo::Subject;

/// Most operations in one commit.
pub const OPERATIONS_MAX: usize = 200;
/// Largest record block, in bytes.
pub(crate) const RECORD_BYTES_MAX: usize = 1_000_000;

/// A record ready to be written.
#[derive(Debug, Clone)]
pub struct NewRecord {
    /// CID of the block.
    pub cid: Cid,
    /// The DAG-CBOR block.
    pub bytes: Bytes,
    /// Blobs it refers to, each once.
    pub blobs: Vec<BlobRef>,
    /// What it points at, for likes, reposts, follows and blocks.
    pub subject: Option<Subject>,
}

/// Why a value is not a record for its collection.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Not an object.
    #[error("a record must be an object")]
    NotAnObject,
    /// `$type` names another collection.
    #[error("the record's $type is {given:?}, its collection is {collection}")]
    TypeMismatch {
        /// What the record says.
        given: String,
        /// Where it was to go.
        collection: Nsid,
    },
    /// `$type` is not text.
    #[error("the record's $type must be a non-empty string")]
    TypeNotText,
    /// Not valid under the data model.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Over the size limit.
    #[error("the record has {bytes} bytes as DAG-CBOR, more than {RECORD_BYTES_MAX}")]
    TooLarge {
        /// Its size in bytes.
        bytes: usize,
    },
}

impl NewRecord {
    /// Checks `value` for `collection` and encodes it; a missing `$type` is filled in. What its
    /// lexicon says is not asked here.
    ///
    /// # Errors
    /// What is wrong with it, with the place.
    pub fn parse(collection: &Nsid, value: &mut Value) -> Result<Self, RecordError> {
        let map = value.as_map_mut().ok_or(RecordError::NotAnObject)?;
        match map.get("$type") {
            None => {
                map.insert("$type", collection.as_str());
            }
            Some(Value::Text(given)) if given == collection.as_str() => {}
            Some(Value::Text(given)) if !given.is_empty() => {
                let (given, collection) = (given.clone(), collection.clone());
                return Err(RecordError::TypeMismatch { given, collection });
            }
            Some(_) => return Err(RecordError::TypeNotText),
        }
        let bytes = data::check_record(value)?;
        if bytes.len() > RECORD_BYTES_MAX {
            return Err(RecordError::TooLarge { bytes: bytes.len() });
        }
        Ok(Self {
            cid: Cid::dag_cbor(&bytes),
            blobs: distinct(blob::find(value)),
            subject: subject(collection, value),
            bytes: bytes.into(),
        })
    }

    /// A record that arrives as a block, from another server: kept byte for byte.
    ///
    /// # Errors
    /// When it is not an object or is over the size limit; its types are not looked at.
    pub fn from_block(collection: &Nsid, cid: Cid, bytes: Bytes) -> Result<Self, RecordError> {
        if bytes.len() > RECORD_BYTES_MAX {
            return Err(RecordError::TooLarge { bytes: bytes.len() });
        }
        let traits = RecordTraits::of(collection, &bytes).ok_or(RecordError::NotAnObject)?;
        Ok(Self {
            cid,
            bytes,
            blobs: traits.blobs,
            subject: traits.subject,
        })
    }
}

/// What the store indexes of a record, read from its block.
#[derive(Debug, Default)]
pub(super) struct RecordTraits {
    /// Blobs it refers to, each once.
    pub(super) blobs: Vec<BlobRef>,
    /// What it points at.
    pub(super) subject: Option<Subject>,
}

impl RecordTraits {
    /// Reads them; `None` when the block is not an object.
    pub(super) fn of(collection: &Nsid, block: &[u8]) -> Option<Self> {
        let value = cbor::decode(block).ok()?;
        value.as_map()?;
        // Old records of other servers refer without a size; nobody compares it in a stored one.
        let legacy = blob::find_legacy(&value).into_iter().map(|old| BlobRef {
            cid: old.cid,
            mime: old.mime,
            size: 0,
        });
        let blobs = blob::find(&value).into_iter().chain(legacy).collect();
        Some(Self {
            blobs: distinct(blobs),
            subject: subject(collection, &value),
        })
    }
}

fn distinct(mut blobs: Vec<BlobRef>) -> Vec<BlobRef> {
    blobs.sort_by_key(|blob| blob.cid);
    blobs.dedup_by_key(|blob| blob.cid);
    blobs
}

/// Of these an account has at most one per subject.
fn subject(collection: &Nsid, record: &Value) -> Option<Subject> {
    let target = match collection.as_str() {
        "app.bsky.feed.like" | "app.bsky.feed.repost" => record.get("subject")?.get("uri")?,
        "app.bsky.graph.follow" | "app.bsky.graph.block" => record.get("subject")?,
        _ => return None,
    };
    let hash = Sha256::digest(target.as_text()?);
    hash.first_chunk().copied()
}

/// What is to happen at one path.
#[derive(Debug, Clone)]
pub enum Intent {
    /// Add; fails when there is a record already.
    Create(NewRecord),
    /// Replace; fails when there is none.
    Update(NewRecord),
    /// Add or replace; the same content again changes nothing.
    Put(NewRecord),
    /// Remove; fails when there is none.
    Delete,
    /// Remove, if there.
    Ensure,
}

/// One wanted operation.
#[derive(Debug, Clone)]
pub struct Write {
    /// Where.
    pub path: RecordPath,
    /// What.
    pub intent: Intent,
    /// The record that must be there now (`Some(None)`: none may be there).
    pub swap_record: Option<Option<Cid>>,
}

/// Operations that become one commit, or none.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// In the order given; each path once.
    pub writes: Vec<Write>,
    /// The commit that must be the head now.
    pub swap_commit: Option<Cid>,
    /// Whether creating a like, repost, follow or block removes an older one of the same subject.
    pub replace_same_subject: bool,
}

impl Batch {
    /// A batch of one.
    #[must_use]
    pub fn one(write: Write) -> Self {
        Self {
            writes: vec![write],
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(collection: &str, json: &str) -> Result<NewRecord, RecordError> {
        let mut value = data::json::parse(json.as_bytes()).unwrap();
        NewRecord::parse(&collection.parse().unwrap(), &mut value)
    }

    #[test]
    fn a_missing_type_is_filled_and_gives_the_same_cid_as_a_given_one() {
        let filled = parse("com.example.note", r#"{"text":"x"}"#).unwrap();
        let given = parse(
            "com.example.note",
            r#"{"text":"x","$type":"com.example.note"}"#,
        );
        assert_eq!(filled.cid, given.unwrap().cid);
    }

    #[test]
    fn a_type_of_another_collection_or_of_no_text_is_refused() {
        let other = parse("com.example.note", r#"{"$type":"com.example.other"}"#);
        assert!(matches!(other, Err(RecordError::TypeMismatch { .. })));
        let number = parse("com.example.note", r#"{"$type":7}"#);
        assert!(matches!(number, Err(RecordError::TypeNotText)));
        let array = parse("com.example.note", "[]");
        assert!(matches!(array, Err(RecordError::NotAnObject)));
    }

    #[test]
    fn likes_of_one_post_share_their_subject_and_notes_have_none() {
        let like = |uri: &str| {
            let json = format!(r#"{{"subject":{{"uri":"{uri}","cid":"x"}}}}"#);
            parse("app.bsky.feed.like", &json).unwrap().subject
        };
        assert!(like("at://a/b/c").is_some());
        assert_eq!(like("at://a/b/c"), like("at://a/b/c"));
        assert_ne!(like("at://a/b/c"), like("at://a/b/d"));
        assert!(
            parse("com.example.note", r#"{"subject":"did:x:y"}"#)
                .unwrap()
                .subject
                .is_none()
        );
    }
}
