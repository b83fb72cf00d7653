//! Whether a record is what its lexicon says: the `validate` of a write, and what became of it.
//!
//! Follows `com.atproto.repo.createRecord`: unset checks a record whose schema is known and says
//! "unknown" of any other; true demands a known schema; false asks for nothing. Owns how long a
//! write waits for a schema: half a second per request when unset, and only while the schema was
//! never asked for before; five seconds when the caller demands it. Must not fetch or cache.

use std::sync::Arc;
use std::time::Duration;

use rochdale_lexicons::{Invalid, KeyError, Reason, RecordType};
use rochdale_protocol::data::Value;
use rochdale_protocol::syntax::{Nsid, RecordPath};
use rochdale_resolver::{LexiconError, Lexicons, Patience};
use tokio::time::Instant;

/// How long the schemas of one request may be waited for, when its caller did not ask for it.
const UNASKED: Duration = Duration::from_millis(500);
/// The same, when its caller demands valid records.
const DEMANDED: Duration = Duration::from_secs(5);

/// What is known of a written record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It is what its lexicon says.
    Valid,
    /// Its lexicon is not known.
    Unknown,
}

impl Status {
    /// As it stands in `validationStatus`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Unknown => "unknown",
        }
    }
}

/// Why a record may not be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// A known schema was demanded.
    #[error("Unknown lexicon type: {collection} ({cause})")]
    Unknown {
        /// The collection.
        collection: Nsid,
        /// Why it is not known.
        cause: LexiconError,
    },
    /// A known schema was demanded, and this part of it is not.
    #[error("Unknown lexicon type in a {collection} record: {place}")]
    Incomplete {
        /// The collection.
        collection: Nsid,
        /// Where, and what is missing.
        place: Invalid,
    },
    /// The record key is of another kind.
    #[error("Invalid record key: {0}")]
    Key(KeyError),
    /// A file of a type that may not stand there.
    #[error("Invalid {collection} record: {fault}")]
    BlobType {
        /// The collection.
        collection: Nsid,
        /// Where and why not.
        fault: Invalid,
    },
    /// A file that is too large to stand there.
    #[error("Invalid {collection} record: {fault}")]
    BlobSize {
        /// The collection.
        collection: Nsid,
        /// Where and why not.
        fault: Invalid,
    },
    /// Anything else that the schema does not allow.
    #[error("Invalid {collection} record: {fault}")]
    Record {
        /// The collection.
        collection: Nsid,
        /// Where and why not.
        fault: Invalid,
    },
}

/// The checks of one request.
#[derive(Debug)]
pub struct Checks<'a> {
    lexicons: &'a Lexicons,
    /// As the request has it.
    validate: Option<bool>,
    deadline: Instant,
}

impl<'a> Checks<'a> {
    /// The checks that `validate` asks for; the time they may take begins now.
    #[must_use]
    pub fn new(lexicons: &'a Lexicons, validate: Option<bool>) -> Self {
        let limit = if validate == Some(true) {
            DEMANDED
        } else {
            UNASKED
        };
        let deadline = Instant::now() + limit;
        Self {
            lexicons,
            validate,
            deadline,
        }
    }

    /// Checks the record that is to stand at `path`, with its `$type`. `None`: not asked for.
    ///
    /// # Errors
    /// When the record is not what its lexicon says, or a demanded lexicon is not known.
    pub async fn check(
        &self,
        path: &RecordPath,
        record: &Value,
    ) -> Result<Option<Status>, CheckError> {
        if self.validate == Some(false) {
            return Ok(None);
        }
        let collection = &path.collection;
        let demanded = self.validate == Some(true);
        let kind = match self.lexicons.known(collection) {
            Some(known) => known,
            None => self.find(collection, demanded).await,
        };
        let kind = match kind {
            Ok(kind) => kind,
            Err(_cause) if !demanded => return Ok(Some(Status::Unknown)),
            Err(cause) => {
                let collection = collection.clone();
                return Err(CheckError::Unknown { collection, cause });
            }
        };
        kind.check_key(&path.rkey).map_err(CheckError::Key)?;
        let Err(fault) = kind.validate(record) else {
            return Ok(Some(Status::Valid));
        };
        if fault.missing_schema() && !demanded {
            return Ok(Some(Status::Unknown));
        }
        let collection = collection.clone();
        Err(match &fault.reason {
            Reason::MissingSchema(_) => CheckError::Incomplete {
                collection,
                place: fault,
            },
            Reason::BlobType { .. } => CheckError::BlobType { collection, fault },
            Reason::BlobSize { .. } => CheckError::BlobSize { collection, fault },
            _ => CheckError::Record { collection, fault },
        })
    }

    async fn find(
        &self,
        collection: &Nsid,
        demanded: bool,
    ) -> Result<Arc<RecordType>, LexiconError> {
        let patience = if demanded {
            Patience::Whole
        } else {
            Patience::Brief
        };
        let found = self.lexicons.record_type(collection, patience);
        let found = tokio::time::timeout_at(self.deadline, found).await;
        found.unwrap_or_else(|_late| Err(LexiconError::Pending(collection.as_str().into())))
    }
}
