//! AT-URIs in the restricted form that Lexicon uses, and the account identifiers they start with
//! (atproto "AT URI scheme" specification).

use std::str::FromStr;
use std::sync::Arc;

use super::text::text_traits;
use super::{Did, Handle, Nsid, RecordKey, RecordPath, SyntaxError, quoted};

/// A DID or a handle.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AtIdentifier {
    /// A DID.
    Did(Did),
    /// A handle.
    Handle(Handle),
}

impl AtIdentifier {
    /// The identifier as text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Did(did) => did.as_str(),
            Self::Handle(handle) => handle.as_str(),
        }
    }

    /// The DID, if it is one.
    pub fn as_did(&self) -> Option<&Did> {
        match self {
            Self::Did(did) => Some(did),
            Self::Handle(_) => None,
        }
    }
}

impl FromStr for AtIdentifier {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        let parsed = if text.starts_with("did:") {
            text.parse().map(Self::Did)
        } else {
            text.parse().map(Self::Handle)
        };
        parsed.map_err(|error| SyntaxError::AtIdentifier {
            value: quoted(text),
            reason: error.reason(),
        })
    }
}

text_traits!(AtIdentifier, "a DID or a handle");

impl From<Did> for AtIdentifier {
    fn from(did: Did) -> Self {
        Self::Did(did)
    }
}

impl From<Handle> for AtIdentifier {
    fn from(handle: Handle) -> Self {
        Self::Handle(handle)
    }
}

/// An AT-URI: `at://authority[/collection[/rkey]]`, no query, no fragment.
///
/// Kept normalised: a handle and the authority of the collection are in lower case.
#[derive(Clone)]
pub struct AtUri {
    text: Arc<str>,
    authority: AtIdentifier,
    path: Option<(Nsid, Option<RecordKey>)>,
}

impl AtUri {
    /// The URI of an account.
    pub fn account(authority: impl Into<AtIdentifier>) -> Self {
        Self::build(authority.into(), None)
    }

    /// The URI of a record.
    pub fn record(authority: impl Into<AtIdentifier>, path: &RecordPath) -> Self {
        let path = (path.collection.clone(), Some(path.rkey.clone()));
        Self::build(authority.into(), Some(path))
    }

    /// The account.
    pub fn authority(&self) -> &AtIdentifier {
        &self.authority
    }

    /// The collection, if the URI names one.
    pub fn collection(&self) -> Option<&Nsid> {
        self.path.as_ref().map(|(collection, _)| collection)
    }

    /// The record key, if the URI names a record.
    pub fn rkey(&self) -> Option<&RecordKey> {
        self.path.as_ref().and_then(|(_, rkey)| rkey.as_ref())
    }

    /// The path in the repository, if the URI names a record.
    pub fn record_path(&self) -> Option<RecordPath> {
        match &self.path {
            Some((collection, Some(rkey))) => {
                Some(RecordPath::new(collection.clone(), rkey.clone()))
            }
            Some((_, None)) | None => None,
        }
    }

    /// The URI as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn build(authority: AtIdentifier, path: Option<(Nsid, Option<RecordKey>)>) -> Self {
        let text = match &path {
            None => format!("at://{authority}"),
            Some((collection, None)) => format!("at://{authority}/{collection}"),
            Some((collection, Some(rkey))) => format!("at://{authority}/{collection}/{rkey}"),
        };
        Self {
            text: text.into(),
            authority,
            path,
        }
    }
}

impl FromStr for AtUri {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        let error = |reason| SyntaxError::AtUri {
            value: quoted(text),
            reason,
        };
        if text.len() > super::MAX_URI_BYTES {
            return Err(error("it is longer than 8192 bytes"));
        }
        let rest = text
            .strip_prefix("at://")
            .ok_or_else(|| error("it must start with `at://`"))?;
        if rest.contains(['?', '#']) {
            return Err(error("a query or a fragment is not allowed"));
        }
        let mut parts = rest.split('/');
        let authority = parts.next().unwrap_or_default();
        let authority = authority
            .parse()
            .map_err(|e: SyntaxError| error(e.reason()))?;
        let part = |part: &str| match part {
            "" => Err(error("it has an empty part or a slash at its end")),
            _ => Ok(()),
        };
        let path = match (parts.next(), parts.next(), parts.next()) {
            (_, _, Some(_)) => return Err(error("it has more than two parts after the authority")),
            (None, ..) => None,
            (Some(collection), rkey, None) => {
                part(collection)?;
                let collection = collection
                    .parse()
                    .map_err(|e: SyntaxError| error(e.reason()))?;
                let rkey = rkey.map(|rkey| {
                    part(rkey)?;
                    rkey.parse().map_err(|e: SyntaxError| error(e.reason()))
                });
                Some((collection, rkey.transpose()?))
            }
        };
        Ok(Self::build(authority, path))
    }
}

text_traits!(AtUri, "an AT-URI");

impl PartialEq for AtUri {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for AtUri {}

impl PartialOrd for AtUri {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for AtUri {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}

impl std::hash::Hash for AtUri {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}
