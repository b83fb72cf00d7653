//! Why a value is not what its schema says.

use std::fmt;

use rochdale_protocol::syntax::{Nsid, RecordKey};

use crate::schema::{Format, RecordKeyType};

/// A value that is not what its schema says: the first place where it is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// The place, such as `Record/facets/0/index`.
    pub path: String,
    /// What is wrong there.
    pub reason: Reason,
}

/// What is wrong with one value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each says itself what is wrong")]
pub enum Reason {
    #[error("must be a boolean")]
    NotABoolean,
    #[error("must be an integer")]
    NotAnInteger,
    #[error("must be a string")]
    NotText,
    #[error("must be a byte array")]
    NotBytes,
    #[error("must be a CID")]
    NotALink,
    #[error("must be a blob ref")]
    NotABlob,
    #[error("must be an array")]
    NotAnArray,
    #[error("must be an object")]
    NotAnObject,
    #[error("must be an object which includes the \"$type\" property")]
    NotTyped,
    #[error("must be {0}")]
    Constant(String),
    #[error("must be one of ({0})")]
    NotAnOption(String),
    #[error("can not be greater than {0}")]
    TooGreat(i64),
    #[error("can not be less than {0}")]
    TooSmall(i64),
    #[error("must not be longer than {0} characters (UTF-8 bytes)")]
    TooLong(u64),
    #[error("must not be shorter than {0} characters (UTF-8 bytes)")]
    TooShort(u64),
    #[error("must not be longer than {0} graphemes")]
    TooManyGraphemes(u64),
    #[error("must not be shorter than {0} graphemes")]
    TooFewGraphemes(u64),
    #[error("must not be larger than {0} bytes")]
    TooManyBytes(u64),
    #[error("must not be smaller than {0} bytes")]
    TooFewBytes(u64),
    #[error("must not have more than {0} elements")]
    TooManyElements(u64),
    #[error("must not have fewer than {0} elements")]
    TooFewElements(u64),
    #[error("must have the property \"{0}\"")]
    Missing(String),
    #[error("must be {0}")]
    Type(String),
    #[error("must be one of {0}")]
    NotAVariant(String),
    #[error("must be {}: {cause}", format_name(.format))]
    Format { format: Format, cause: &'static str },
    #[error("must be of type {accept}, not {mime}")]
    BlobType { mime: String, accept: String },
    #[error("must not be larger than {most} bytes, it has {size}")]
    BlobSize { size: u64, most: u64 },
    #[error("is nested too deep")]
    TooDeep,
    #[error("refers to {0}, whose schema is not known")]
    MissingSchema(String),
}

/// What a text of a format is called.
fn format_name(format: &Format) -> &'static str {
    match format {
        Format::AtIdentifier => "a valid did or a handle",
        Format::AtUri => "a valid at-uri",
        Format::Cid => "a cid string",
        Format::Datetime => "a valid atproto datetime (both RFC-3339 and ISO-8601)",
        Format::Did => "a valid did",
        Format::Handle => "a valid handle",
        Format::Nsid => "a valid nsid",
        Format::Tid => "a valid TID",
        Format::RecordKey => "a valid Record Key",
        Format::Uri => "a uri",
        Format::Language => "a well-formed BCP 47 language tag",
    }
}

impl Invalid {
    pub(super) fn new(reason: Reason) -> Self {
        Self {
            path: String::new(),
            reason,
        }
    }

    /// The same, seen from one level above.
    pub(super) fn under(mut self, key: &str) -> Self {
        self.path.insert_str(0, key);
        self.path.insert(0, '/');
        self
    }

    pub(super) fn at_record(mut self) -> Self {
        self.path.insert_str(0, "Record");
        self
    }

    /// Whether nothing is known to be wrong: a schema that would have to say is missing.
    #[must_use]
    pub fn missing_schema(&self) -> bool {
        matches!(self.reason, Reason::MissingSchema(_))
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.path, self.reason)
    }
}

impl std::error::Error for Invalid {}

/// A record key that a collection does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{collection} wants a record key of type {kind}, not `{key}`")]
pub struct KeyError {
    /// The collection.
    pub collection: Nsid,
    /// The key.
    pub key: RecordKey,
    /// What keys look like.
    pub kind: RecordKeyType,
}
