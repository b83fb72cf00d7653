//! The schemas that are carried as data (`known/`), so that a server without the Internet checks
//! the records of the apps that most members use. A file is read when it is first asked for.

use include_dir::{Dir, DirEntry, include_dir};
use rochdale_protocol::syntax::Nsid;

use crate::Document;

static FILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/known");

/// The text of a schema, if it is carried.
#[must_use]
pub fn text(id: &Nsid) -> Option<&'static [u8]> {
    let path = format!("{}.json", id.as_str().replace('.', "/"));
    FILES.get_file(path).map(include_dir::File::contents)
}

/// A schema, if it is carried.
#[must_use]
pub fn document(id: &Nsid) -> Option<Document> {
    // That each can be read is for the tests to prove.
    text(id).and_then(|text| Document::parse(text).ok())
}

/// The NSIDs of all schemas that are carried.
#[must_use]
pub fn ids() -> Vec<Nsid> {
    let mut ids = Vec::new();
    let mut open = vec![&FILES];
    while let Some(folder) = open.pop() {
        for entry in folder.entries() {
            match entry {
                DirEntry::Dir(inner) => open.push(inner),
                DirEntry::File(file) => {
                    let path = file.path().with_extension("");
                    let parts: Option<Vec<&str>> = path.iter().map(|part| part.to_str()).collect();
                    // A file that is no schema, such as the one that says where they are from, has no such name.
                    ids.extend(parts.and_then(|parts| parts.join(".").parse::<Nsid>().ok()));
                }
            }
        }
    }
    ids.sort();
    ids
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::schema::Definition;
    use crate::{Library, RecordType, check_references};

    #[test]
    fn every_schema_that_is_carried_reads_and_refers_only_to_others_that_are() {
        let ids = ids();
        assert_eq!(ids.len(), 47);
        for id in &ids {
            let document = Document::parse(text(id).unwrap());
            let document = document.unwrap_or_else(|error| panic!("{id}: {error}"));
            assert_eq!(document.id(), id);
            let find = |id: &Nsid| super::document(id).map(Arc::new);
            let (faults, missing) = check_references(&document, find);
            assert!(
                faults.is_empty() && missing.is_empty(),
                "{id}: {faults:?} {missing:?}"
            );
        }
    }

    #[test]
    fn every_record_that_is_carried_makes_a_complete_type() {
        let library = Library::default();
        let mut records = 0;
        for id in ids() {
            let document = Arc::new(document(&id).unwrap());
            if !matches!(
                document.main().map(|main| &**main),
                Some(Definition::Record(_))
            ) {
                assert!(library.record_type(&id).is_none(), "{id}");
                continue;
            }
            records += 1;
            let linked =
                RecordType::link(&document, |id| super::document(id).map(Arc::new)).unwrap();
            assert!(linked.missing().is_empty(), "{id}");
            assert_eq!(*library.record_type(&id).unwrap(), linked);
        }
        assert_eq!(records, 21);
    }
}
