//! Schemas that strangers publish, and records that strangers write.

use std::sync::Arc;

use rochdale_lexicons::{Document, RecordType, check_references, compare, known};
use rochdale_protocol::data::json;

/// A schema is refused with its faults named, or can be compared, linked and checked against; a value
/// is a record of a known type or is refused at a place inside of it.
pub fn schema(bytes: &[u8]) {
    match Document::parse(bytes) {
        Err(error) => assert!(!error.faults.is_empty() && !error.to_string().is_empty()),
        Ok(document) => accepted(document),
    }
    let Ok(mut value) = json::parse(bytes) else {
        return;
    };
    for id in known::ids() {
        let find = |id: &_| known::document(id).map(Arc::new);
        let Some(document) = find(&id) else { continue };
        let Ok(kind) = RecordType::link(&document, find) else {
            continue;
        };
        if let Some(map) = value.as_map_mut() {
            map.insert("$type", id.as_str());
        }
        if let Err(invalid) = kind.validate(&value) {
            assert!(invalid.path.starts_with("Record"));
        }
    }
}

fn accepted(document: Document) {
    assert!(compare(&document, &document).is_empty());
    let document = Arc::new(document);
    let (faults, _missing) = check_references(&document, |_| None);
    let linked = RecordType::link(&document, |_| None);
    if let Ok(kind) = &linked {
        assert_eq!(kind.id(), document.id());
        assert!(kind.validate(&json::parse(b"{}").unwrap()).is_err());
    }
    // A fault in the document's own references shows in one of the two, if the record reaches it.
    let alone = document.definitions().count() == 1;
    assert!(linked.is_err() || faults.is_empty() || !alone);
}
