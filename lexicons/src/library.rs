//! The schemas at hand without asking anybody: the operator's own, and those carried as data.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use rochdale_protocol::syntax::Nsid;

use crate::{Document, LinkError, RecordType, known};

/// Schemas at hand. The operator's own win over those that are carried.
///
/// Looking up a type takes no lock; it is brought together when it is first asked for.
#[derive(Debug)]
pub struct Library {
    own: HashMap<Nsid, Arc<Document>>,
    types: HashMap<Nsid, OnceLock<Option<Arc<RecordType>>>>,
}

/// Why a set of schemas cannot be used together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LibraryError {
    /// Two documents have one NSID.
    #[error("{0} is there twice")]
    Twice(Nsid),
    /// A record refers to something that cannot be referred to.
    #[error(transparent)]
    Link(#[from] LinkError),
}

impl Default for Library {
    /// What is carried.
    fn default() -> Self {
        let types = known::ids()
            .into_iter()
            .map(|id| (id, OnceLock::new()))
            .collect();
        let own = HashMap::new();
        Self { own, types }
    }
}

impl Library {
    /// What is carried, and `documents`.
    ///
    /// # Errors
    /// When they contradict themselves or each other.
    pub fn new(documents: Vec<Document>) -> Result<Self, LibraryError> {
        let mut library = Self::default();
        for document in documents {
            let id = document.id().clone();
            library.types.insert(id.clone(), OnceLock::new());
            if library.own.insert(id.clone(), Arc::new(document)).is_some() {
                return Err(LibraryError::Twice(id));
            }
        }
        for document in library.own.values() {
            match RecordType::link(document, |id| library.document(id)) {
                Ok(_) | Err(LinkError::NotARecord(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(library)
    }

    /// A schema at hand.
    #[must_use]
    pub fn document(&self, id: &Nsid) -> Option<Arc<Document>> {
        let own = self.own.get(id).map(Arc::clone);
        own.or_else(|| known::document(id).map(Arc::new))
    }

    /// A schema of the operator's.
    #[must_use]
    pub fn own(&self, id: &Nsid) -> Option<&Arc<Document>> {
        self.own.get(id)
    }

    /// The operator's schemas.
    pub fn owned(&self) -> impl Iterator<Item = &Arc<Document>> {
        self.own.values()
    }

    /// Whether the schema is at hand, a record or not.
    #[must_use]
    pub fn has(&self, id: &Nsid) -> bool {
        self.types.contains_key(id)
    }

    /// The records of a collection, if the schema is at hand and defines records.
    #[must_use]
    pub fn record_type(&self, id: &Nsid) -> Option<Arc<RecordType>> {
        let cell = self.types.get(id)?;
        cell.get_or_init(|| self.link(id)).clone()
    }

    fn link(&self, id: &Nsid) -> Option<Arc<RecordType>> {
        let document = self.document(id)?;
        // What is carried links, as the tests prove; the operator's was linked once before.
        RecordType::link(&document, |id| self.document(id))
            .ok()
            .map(Arc::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> Document {
        Document::parse(text.as_bytes()).unwrap()
    }

    fn like(key: &str) -> Document {
        document(&format!(
            r#"{{"lexicon":1,"id":"app.bsky.feed.like","defs":{{"main":{{"type":"record","key":"{key}","record":{{"type":"object"}}}}}}}}"#
        ))
    }

    #[test]
    fn the_operators_own_schema_wins_over_one_that_is_carried() {
        let id = "app.bsky.feed.like".parse().unwrap();
        let key = "any-key".parse().unwrap();
        let carried = Library::default();
        assert!(carried.record_type(&id).unwrap().check_key(&key).is_err());
        let own = Library::new(vec![like("any")]).unwrap();
        assert!(own.record_type(&id).unwrap().check_key(&key).is_ok());
    }

    #[test]
    fn schemas_that_contradict_each_other_are_refused() {
        let twice = Library::new(vec![like("any"), like("tid")]);
        assert!(matches!(twice, Err(LibraryError::Twice(_))));
        let bad = document(
            r#"{"lexicon":1,"id":"com.example.a","defs":{"main":{"type":"record","key":"any","record":{"type":"object",
                "properties":{"x":{"type":"ref","ref":"app.bsky.feed.like#nothing"}}}}}}"#,
        );
        assert!(matches!(
            Library::new(vec![bad]),
            Err(LibraryError::Link(_))
        ));
    }
}
