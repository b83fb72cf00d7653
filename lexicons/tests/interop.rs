//! The fixtures that other implementations publish: schemas, and records checked against one.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rochdale_lexicons::schema::{Audience, Definition, Permission};
use rochdale_lexicons::{Document, RecordType, SchemaError, check_references, known};
use rochdale_protocol::data::{Map, Value, json};

const INTEROP: &str = "interop/lexicon";
const INDIGO: &str = "interop/indigo/lexicon";

fn fixture(path: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures")).join(path)
}

fn cases(path: &str) -> Vec<Map> {
    let value = json::parse(&std::fs::read(fixture(path)).unwrap()).unwrap();
    let cases = value.as_array().unwrap().iter();
    cases.map(|case| case.as_map().unwrap().clone()).collect()
}

fn text<'c>(case: &'c Map, key: &str) -> &'c str {
    case.get(key).unwrap().as_text().unwrap()
}

fn catalog(folder: &str, name: &str) -> Arc<Document> {
    let path = fixture(folder).join("catalog").join(name);
    let document = Document::parse(&std::fs::read(&path).unwrap());
    Arc::new(document.unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

#[test]
fn every_schema_of_the_catalogs_reads_and_refers_to_what_exists() {
    for (folder, count) in [(INTEROP, 5), (INDIGO, 8)] {
        let names: Vec<_> = std::fs::read_dir(fixture(folder).join("catalog"))
            .unwrap()
            .collect();
        assert_eq!(names.len(), count, "{folder}");
        for name in names {
            let document = catalog(folder, name.unwrap().file_name().to_str().unwrap());
            let find = |id: &_| known::document(id).map(Arc::new);
            let (faults, missing) = check_references(&document, find);
            assert!(faults.is_empty(), "{faults:?}");
            assert!(missing.is_empty(), "{missing:?}");
        }
    }
}

#[test]
fn a_permission_set_keeps_what_it_can_give_and_voids_the_rest() {
    let document = catalog(INTEROP, "permission-set.json");
    let Definition::PermissionSet(set) = &**document.main().unwrap() else {
        panic!("no permission set")
    };
    assert_eq!(set.titles["fr"].as_ref(), "Example for Modération");
    assert_eq!(set.permissions.len(), 6);
    // The fifth asks for every method, which a set may not.
    let void = |permission: &Permission| matches!(permission, Permission::Void { .. });
    assert_eq!(set.permissions.iter().position(void), Some(4));
    let Permission::Rpc { methods, audience } = &set.permissions[5] else {
        panic!("no rpc")
    };
    assert_eq!(methods[0].as_str(), "com.example.calendar.listEvents");
    assert_eq!(*audience, Audience::Inherited);
}

#[test]
fn every_valid_schema_reads() {
    for folder in [INTEROP, INDIGO] {
        let cases = cases(&format!("{folder}/lexicon-valid.json"));
        assert_eq!(cases.len(), 3);
        for case in &cases {
            let read = Document::read(case.get("lexicon").unwrap());
            assert!(
                read.is_ok(),
                "{}: {}",
                text(case, "name"),
                read.unwrap_err()
            );
        }
    }
}

/// What each invalid schema is refused for.
///
/// `defined unknown` contradicts the official TypeScript library, whose definitions may be of type
/// unknown; the fixtures are followed.
const INVALID_SCHEMAS: [(&str, &str); 7] = [
    (
        "invalid lexicon field",
        "lexicon: must be 1, the only version of the language",
    ),
    ("invalid id field", "id: must be a string"),
    (
        "invalid NSID",
        "id: `one-two-three` is not a valid NSID: it needs at least three segments",
    ),
    ("defined unknown", "defs.demo: a unknown may not stand here"),
    ("defined ref", "defs.demo: a ref may not stand here"),
    (
        "non-main primary",
        "defs.demo: a record must be the definition `main`",
    ),
    (
        "record missing type object",
        "defs.main.record: `type` is missing",
    ),
];

#[test]
fn every_invalid_schema_is_refused_for_the_reason_it_is_named_for() {
    for folder in [INTEROP, INDIGO] {
        let cases = cases(&format!("{folder}/lexicon-invalid.json"));
        assert_eq!(cases.len(), INVALID_SCHEMAS.len());
        for (case, (name, reason)) in cases.iter().zip(INVALID_SCHEMAS) {
            assert_eq!(text(case, "name"), name);
            let SchemaError { faults } = Document::read(case.get("lexicon").unwrap()).unwrap_err();
            assert_eq!(faults.len(), 1, "{name}: {faults:?}");
            assert!(
                faults[0].to_string().starts_with(reason),
                "{name}: {}",
                faults[0]
            );
        }
    }
}

fn demo(folder: &str) -> RecordType {
    RecordType::link(&catalog(folder, "record.json"), |_| None).unwrap()
}

#[test]
fn every_valid_record_is_valid() {
    for folder in [INTEROP, INDIGO] {
        let demo = demo(folder);
        let cases = cases(&format!("{folder}/record-data-valid.json"));
        assert_eq!(cases.len(), 3);
        for case in &cases {
            demo.check_key(&text(case, "rkey").parse().unwrap())
                .unwrap();
            let checked = demo.validate(case.get("data").unwrap());
            assert!(
                checked.is_ok(),
                "{}: {}",
                text(case, "name"),
                checked.unwrap_err()
            );
        }
        assert!(demo.check_key(&"self".parse().unwrap()).is_err());
    }
}

/// What each invalid record is refused for. Two cases carry the name `union inner invalid`; the
/// first of them breaks another rule, that a closed union takes only its variants.
const INVALID_RECORDS: [(&str, &str); 50] = [
    (
        "missing required field",
        "Record must have the property \"integer\"",
    ),
    ("invalid boolean field", "Record/boolean must be a boolean"),
    ("invalid integer field", "Record/integer must be an integer"),
    (
        "invalid non-nullable string field",
        "Record/string must be a string",
    ),
    ("invalid string field", "Record/string must be a string"),
    ("invalid bytes field", "Record/bytes must be a byte array"),
    (
        "invalid bytes: empty object",
        "Record/bytes must be a byte array",
    ),
    (
        "invalid bytes: wrong type",
        "Record/bytes must be a byte array",
    ),
    ("invalid cid-link field", "Record/cid-link must be a CID"),
    ("invalid blob field", "Record/blob must be a blob ref"),
    ("invalid blob: wrong type", "Record/blob must be a blob ref"),
    ("invalid array", "Record/array must be an array"),
    ("invalid array element", "Record/array/0 must be an integer"),
    ("object wrong data type", "Record/object must be an object"),
    (
        "object nested wrong data type",
        "Record/object/a must be an integer",
    ),
    ("invalid token ref type", "Record/ref must be an object"),
    ("invalid ref value", "Record/ref must be an object"),
    (
        "invalid string format handle",
        "Record/formats/handle must be a valid handle",
    ),
    (
        "invalid string format did",
        "Record/formats/did must be a valid did",
    ),
    (
        "invalid string format atidentifier",
        "Record/formats/atidentifier must be a valid did or a handle",
    ),
    (
        "invalid string format nsid",
        "Record/formats/nsid must be a valid nsid",
    ),
    (
        "invalid string format aturi",
        "Record/formats/aturi must be a valid at-uri",
    ),
    (
        "invalid string format cid",
        "Record/formats/cid must be a cid string",
    ),
    (
        "invalid string format datetime",
        "Record/formats/datetime must be a valid atproto datetime",
    ),
    (
        "invalid string format language",
        "Record/formats/language must be a well-formed BCP 47 language tag",
    ),
    (
        "invalid string format uri",
        "Record/formats/uri must be a uri",
    ),
    (
        "invalid string format tid",
        "Record/formats/tid must be a valid TID",
    ),
    (
        "invalid string format recordkey",
        "Record/formats/recordkey must be a valid Record Key",
    ),
    ("wrong const value", "Record/constInteger must be 42"),
    (
        "integer not in enum",
        "Record/enumInteger must be one of (4|9|16|25)",
    ),
    (
        "out of integer range",
        "Record/rangeInteger can not be greater than 20",
    ),
    (
        "string too short",
        "Record/lenString must not be shorter than 10 characters",
    ),
    (
        "string too long",
        "Record/lenString must not be longer than 20 characters",
    ),
    (
        "string too short (graphemes)",
        "Record/graphemeString must not be shorter than 10 graphemes",
    ),
    (
        "string too long (graphemes)",
        "Record/graphemeString must not be longer than 20 graphemes",
    ),
    (
        "out of enum string",
        "Record/enumString must be one of (fish|tree|rock)",
    ),
    (
        "bytes too short",
        "Record/sizeBytes must not be smaller than 10 bytes",
    ),
    (
        "bytes too long",
        "Record/sizeBytes must not be larger than 20 bytes",
    ),
    (
        "array too short",
        "Record/lenArray must not have fewer than 2 elements",
    ),
    (
        "array too long",
        "Record/lenArray must not have more than 5 elements",
    ),
    (
        "blob too large",
        "Record/sizeBlob must not be larger than 20 bytes, it has 12345",
    ),
    (
        "blob wrong type",
        "Record/acceptBlob must be of type image/*, not text/plain",
    ),
    (
        "open union wrong data type",
        "Record/union must be an object which includes the \"$type\" property",
    ),
    (
        "open union missing $type",
        "Record/union must be an object which includes the \"$type\" property",
    ),
    (
        "out of closed union",
        "Record/closedUnion/$type must be one of example.lexicon.record#demoObject",
    ),
    (
        "union inner invalid",
        "Record/closedUnion/$type must be one of example.lexicon.record#demoObject",
    ),
    ("union inner invalid", "Record/union/a must be an integer"),
    (
        "unknown wrong type (bool)",
        "Record/unknown must be an object",
    ),
    (
        "unknown wrong type (bytes)",
        "Record/unknown must be an object",
    ),
    (
        "unknown wrong type (blob)",
        "Record/unknown must be an object",
    ),
];

#[test]
fn every_invalid_record_is_refused_for_the_reason_it_is_named_for() {
    for folder in [INTEROP, INDIGO] {
        let demo = demo(folder);
        let cases = cases(&format!("{folder}/record-data-invalid.json"));
        assert_eq!(cases.len(), INVALID_RECORDS.len());
        let mut incomplete = 0;
        for (case, (name, reason)) in cases.iter().zip(INVALID_RECORDS) {
            assert_eq!(text(case, "name"), name);
            let mut record = case.get("data").unwrap().clone();
            assert!(demo.validate(&record).is_err(), "{name}");
            // Some cases lack the property that every record needs, and would be refused for that.
            let map = record.as_map_mut().unwrap();
            if name != "missing required field" && !map.contains_key("integer") {
                map.insert("integer", Value::from(1));
                incomplete += 1;
            }
            let invalid = demo.validate(&record).unwrap_err().to_string();
            assert!(invalid.starts_with(reason), "{name}: {invalid}");
        }
        assert_eq!(incomplete, 3);
    }
}

#[test]
fn every_published_schema_of_com_atproto_reads() {
    let (mut open, mut read) = (vec![fixture("lexicons")], 0);
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                let document = Document::parse(&std::fs::read(&path).unwrap());
                document.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                read += 1;
            }
        }
    }
    assert!(read >= 95, "only {read}");
}
