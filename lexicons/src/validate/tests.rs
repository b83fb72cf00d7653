use std::sync::Arc;

use proptest::prelude::*;
use rochdale_protocol::data::{Cid, json};
use unicode_segmentation::UnicodeSegmentation as _;

use super::*;
use crate::{Document, Library, RecordType};

/// A record type with one property `p` and a few definitions to refer to.
fn kind(property: &str, more: &str) -> RecordType {
    let text = format!(
        r#"{{"lexicon":1,"id":"com.example.a","defs":{{
            "main":{{"type":"record","key":"any","record":{{"type":"object","properties":{{"p":{property}}}{more}}}}},
            "point":{{"type":"object","required":["x"],"properties":{{"x":{{"type":"integer"}}}}}},
            "node":{{"type":"object","properties":{{"next":{{"type":"ref","ref":"com.example.a#node"}}}}}},
            "names":{{"type":"array","maxLength":2,"items":{{"type":"string","maxLength":3}}}}
        }}}}"#
    );
    let document = Arc::new(Document::parse(text.as_bytes()).unwrap());
    RecordType::link(&document, |_| None).unwrap()
}

fn check(property: &str, value: &str) -> Result<(), String> {
    let record = format!(r#"{{"$type":"com.example.a","p":{value}}}"#);
    let record = json::parse(record.as_bytes()).unwrap();
    kind(property, "")
        .validate(&record)
        .map_err(|invalid| invalid.to_string())
}

fn refused(property: &str, value: &str) -> String {
    check(property, value).unwrap_err()
}

#[test]
fn the_type_of_a_record_must_be_its_collection() {
    let kind = kind(r#"{"type":"string"}"#, "");
    for (record, fault) in [
        (r#"{}"#, "Record/$type must be com.example.a"),
        (
            r#"{"$type":"com.example.b"}"#,
            "Record/$type must be com.example.a",
        ),
        (
            r#"{"$type":"com.example.a#main"}"#,
            "Record/$type must be com.example.a",
        ),
        (r#"[]"#, "Record must be an object"),
    ] {
        let invalid = kind
            .validate(&json::parse(record.as_bytes()).unwrap())
            .unwrap_err();
        assert_eq!(invalid.to_string(), fault);
    }
}

#[test]
fn null_is_only_for_what_is_nullable_and_required_is_not_optional() {
    let nullable = kind(
        r#"{"type":"string"}"#,
        r#","required":["p"],"nullable":["p"]"#,
    );
    let check = |record: &str| nullable.validate(&json::parse(record.as_bytes()).unwrap());
    assert!(check(r#"{"$type":"com.example.a","p":null}"#).is_ok());
    let missing = check(r#"{"$type":"com.example.a"}"#)
        .unwrap_err()
        .to_string();
    assert_eq!(missing, "Record must have the property \"p\"");
    assert_eq!(
        refused(r#"{"type":"string"}"#, "null"),
        "Record/p must be a string"
    );
}

#[test]
fn properties_that_are_not_declared_are_allowed() {
    let kind = kind(r#"{"type":"string"}"#, "");
    let record = br#"{"$type":"com.example.a","more":{"$type":"x.y.z","a":[null]}}"#;
    assert!(kind.validate(&json::parse(record).unwrap()).is_ok());
}

#[test]
fn numbers_and_booleans_are_not_coerced() {
    assert_eq!(
        refused(r#"{"type":"integer"}"#, "\"1\""),
        "Record/p must be an integer"
    );
    assert_eq!(
        refused(r#"{"type":"integer"}"#, "true"),
        "Record/p must be an integer"
    );
    assert_eq!(
        refused(r#"{"type":"boolean"}"#, "0"),
        "Record/p must be a boolean"
    );
    assert_eq!(
        refused(r#"{"type":"boolean","const":true}"#, "false"),
        "Record/p must be true"
    );
    assert_eq!(
        refused(r#"{"type":"integer","minimum":3}"#, "2"),
        "Record/p can not be less than 3"
    );
    assert!(check(r#"{"type":"integer","minimum":3,"maximum":3}"#, "3").is_ok());
}

#[test]
fn known_values_and_defaults_restrict_nothing() {
    assert!(check(r#"{"type":"string","knownValues":["a"]}"#, "\"b\"").is_ok());
    assert!(check(r#"{"type":"string","default":"a"}"#, "\"b\"").is_ok());
    assert_eq!(
        refused(r#"{"type":"string","const":"a"}"#, "\"b\""),
        "Record/p must be a"
    );
}

#[test]
fn a_family_is_one_grapheme_and_lengths_count_bytes() {
    let family = "\"👩‍👩‍👦‍👦\"";
    assert!(check(r#"{"type":"string","maxGraphemes":1}"#, family).is_ok());
    assert!(check(r#"{"type":"string","maxLength":25}"#, family).is_ok());
    assert!(
        refused(r#"{"type":"string","maxLength":24}"#, family)
            .contains("24 characters (UTF-8 bytes)")
    );
    assert!(refused(r#"{"type":"string","minGraphemes":2}"#, family).contains("2 graphemes"));
    assert!(check(r#"{"type":"string","minGraphemes":2}"#, "\"é🇩🇪\"").is_ok());
    assert!(refused(r#"{"type":"string","minGraphemes":1}"#, "\"\"").contains("1 graphemes"));
}

#[test]
fn a_reference_may_name_its_type_but_no_other() {
    let point = r#"{"type":"ref","ref":"com.example.a#point"}"#;
    assert!(check(point, r#"{"x":1}"#).is_ok());
    assert!(check(point, r#"{"x":1,"$type":"com.example.a#point"}"#).is_ok());
    let other = refused(point, r#"{"x":1,"$type":"com.example.a#node"}"#);
    assert_eq!(other, "Record/p/$type must be com.example.a#point");
    assert_eq!(
        refused(point, "{}"),
        "Record/p must have the property \"x\""
    );
    let names = r#"{"type":"ref","ref":"com.example.a#names"}"#;
    assert_eq!(
        refused(names, r#"["a","long"]"#),
        "Record/p/1 must not be longer than 3 characters (UTF-8 bytes)"
    );
}

#[test]
fn an_open_union_takes_any_type_and_checks_the_ones_it_knows() {
    let open = r#"{"type":"union","refs":["com.example.a#point"]}"#;
    assert!(check(open, r#"{"$type":"com.example.z","x":"anything"}"#).is_ok());
    assert_eq!(
        refused(open, r#"{"$type":"com.example.a#point","x":"a"}"#),
        "Record/p/x must be an integer"
    );
    assert!(
        check(
            r#"{"type":"union","refs":[]}"#,
            r#"{"$type":"com.example.z"}"#
        )
        .is_ok()
    );
    let closed = r#"{"type":"union","closed":true,"refs":["com.example.a#point"]}"#;
    assert!(check(closed, r#"{"$type":"com.example.a#point","x":1}"#).is_ok());
    assert_eq!(
        refused(closed, r#"{"$type":"com.example.z"}"#),
        "Record/p/$type must be one of com.example.a#point"
    );
}

#[test]
fn a_schema_that_is_missing_is_told_apart_from_a_fault() {
    for property in [
        r#"{"type":"ref","ref":"com.example.gone#it"}"#,
        r#"{"type":"union","refs":["com.example.gone#it"]}"#,
    ] {
        let kind = kind(property, "");
        let check = |record: &str| kind.validate(&json::parse(record.as_bytes()).unwrap());
        let met = r#"{"$type":"com.example.a","p":{"$type":"com.example.gone#it"}}"#;
        assert!(check(met).unwrap_err().missing_schema(), "{property}");
        assert!(check(r#"{"$type":"com.example.a"}"#).is_ok(), "{property}");
        assert!(
            !check(r#"{"$type":"com.example.b"}"#)
                .unwrap_err()
                .missing_schema()
        );
    }
}

#[test]
fn a_blob_is_checked_for_type_and_size_without_regard_to_case() {
    let blob = |mime: &str, size: u64| {
        let link = Cid::raw(b"x");
        format!(
            r#"{{"$type":"blob","ref":{{"$link":"{link}"}},"mimeType":"{mime}","size":{size}}}"#
        )
    };
    let avatar = r#"{"type":"blob","accept":["image/png","Image/*"],"maxSize":10}"#;
    assert!(check(avatar, &blob("IMAGE/JPEG", 10)).is_ok());
    assert_eq!(
        refused(avatar, &blob("video/mp4", 1)),
        "Record/p must be of type image/png, Image/*, not video/mp4"
    );
    assert_eq!(
        refused(avatar, &blob("image/png", 11)),
        "Record/p must not be larger than 10 bytes, it has 11"
    );
    assert!(check(r#"{"type":"blob"}"#, &blob("x/y", 1 << 40)).is_ok());
    // The legacy form is none, and a blob is no object of another kind.
    let legacy = format!(r#"{{"cid":"{}","mimeType":"image/png"}}"#, Cid::raw(b"x"));
    assert_eq!(refused(avatar, &legacy), "Record/p must be a blob ref");
    let more = blob("image/png", 1).replacen('{', r#"{"alt":"x","#, 1);
    assert_eq!(refused(avatar, &more), "Record/p must be a blob ref");
    for property in [
        r#"{"type":"unknown"}"#,
        r#"{"type":"object"}"#,
        r#"{"type":"ref","ref":"com.example.a#node"}"#,
    ] {
        assert_eq!(
            refused(property, &blob("x/y", 1)),
            "Record/p must be an object"
        );
    }
    let union = r#"{"type":"union","refs":[]}"#;
    assert!(
        refused(union, &blob("x/y", 1)).starts_with("Record/p must be an object which includes")
    );
}

#[test]
fn a_value_that_nests_without_end_is_refused_without_a_crash() {
    let mut node = Value::Map(Map::new());
    for _ in 0..500 {
        node = Value::Map([("next", node)].into_iter().collect());
    }
    let entries = [("$type", Value::from("com.example.a")), ("p", node)];
    let record = Value::Map(entries.into_iter().collect());
    let kind = kind(r#"{"type":"ref","ref":"com.example.a#node"}"#, "");
    let invalid = kind.validate(&record).unwrap_err();
    assert_eq!(invalid.reason, Reason::TooDeep);
}

#[test]
fn record_keys_are_of_the_type_of_their_collection() {
    let library = Library::default();
    let check = |id: &str, key: &str| {
        let kind = library.record_type(&id.parse().unwrap()).unwrap();
        kind.check_key(&key.parse().unwrap())
            .map_err(|error| error.to_string())
    };
    assert!(check("app.bsky.feed.post", "3kznmn7xqxl22").is_ok());
    assert_eq!(
        check("app.bsky.feed.post", "self").unwrap_err(),
        "app.bsky.feed.post wants a record key of type tid, not `self`"
    );
    assert!(check("app.bsky.actor.profile", "self").is_ok());
    assert!(
        check("app.bsky.actor.profile", "3kznmn7xqxl22")
            .unwrap_err()
            .contains("literal:self")
    );
    assert!(check("com.atproto.lexicon.schema", "com.example.a").is_ok());
    assert!(check("com.atproto.lexicon.schema", "self").is_err());
    assert!(check("app.bsky.feed.generator", "any-thing").is_ok());
}

#[test]
fn real_records_of_the_app_are_checked_through_all_their_references() {
    let library = Library::default();
    let post = library
        .record_type(&"app.bsky.feed.post".parse().unwrap())
        .unwrap();
    let check = |extra: &str| {
        let record = format!(
            r#"{{"$type":"app.bsky.feed.post","text":"hi","createdAt":"2026-01-01T00:00:00Z"{extra}}}"#
        );
        post.validate(&json::parse(record.as_bytes()).unwrap())
            .map_err(|invalid| invalid.to_string())
    };
    assert_eq!(check(""), Ok(()));
    assert_eq!(check(r#","langs":["en","pt-BR"]"#), Ok(()));
    let facet = |index: &str| {
        format!(
            r#","facets":[{{"index":{index},"features":[{{"$type":"app.bsky.richtext.facet#link","uri":"https://a.example"}},{{"$type":"x.y.z"}}]}}]"#
        )
    };
    assert_eq!(check(&facet(r#"{"byteStart":0,"byteEnd":1}"#)), Ok(()));
    assert_eq!(
        check(&facet(r#"{"byteStart":-1,"byteEnd":1}"#)),
        Err("Record/facets/0/index/byteStart can not be less than 0".to_owned())
    );
    assert_eq!(
        check(r#","embed":{"$type":"app.bsky.embed.images","images":[{"alt":"a","image":"no"}]}"#),
        Err("Record/embed/images/0/image must be a blob ref".to_owned())
    );
    assert_eq!(
        check(r#","reply":{"root":{"uri":"at://did:web:a.example/a.b.c/d","cid":"bafyreiclp443lavogvhj3d2ob2cxbfuscni2k5jk7bebjzg7khl3esabwq"}}"#)
            .unwrap_err(),
        "Record/reply must have the property \"parent\""
    );
    let long = "x".repeat(3001);
    let record = format!(
        r#"{{"$type":"app.bsky.feed.post","text":"{long}","createdAt":"2026-01-01T00:00:00Z"}}"#
    );
    let invalid = post
        .validate(&json::parse(record.as_bytes()).unwrap())
        .unwrap_err();
    assert_eq!(
        invalid.to_string(),
        "Record/text must not be longer than 3000 characters (UTF-8 bytes)"
    );
}

/// Any value of the data model, a few levels deep.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(|number| Value::from(i64::from(number))),
        ".{0,6}".prop_map(Value::from),
        prop::collection::vec(any::<u8>(), 0..4).prop_map(Value::Bytes),
        Just(Value::from(Cid::raw(b"x"))),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let keys =
            prop::sample::select(&["$type", "p", "x", "next", "text", "embed", "ref", "size"][..]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec((keys, inner), 0..4)
                .prop_map(|entries| Value::Map(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_value_is_valid_or_refused_at_a_place_inside_of_it(value in any_value(), id in prop::sample::select(crate::known::ids())) {
        let Some(kind) = Library::default().record_type(&id) else { return Ok(()) };
        let mut record = value;
        if let Some(map) = record.as_map_mut() {
            map.insert("$type", id.as_str());
        }
        if let Err(invalid) = kind.validate(&record) {
            prop_assert!(invalid.path.starts_with("Record"));
            prop_assert!(!invalid.missing_schema());
        }
    }

    #[test]
    fn graphemes_are_counted_as_the_unicode_standard_cuts_them(text in "[a👩\u{200d}👦🇩🇪e\u{301}\r\n ]{0,12}") {
        let count = text.graphemes(true).count() as u64;
        let is = |least: u64, most: u64| {
            let kind = kind(&format!(r#"{{"type":"string","minGraphemes":{least},"maxGraphemes":{most}}}"#), "");
            let entries = [("$type", Value::from("com.example.a")), ("p", Value::from(text.as_str()))];
            kind.validate(&Value::Map(entries.into_iter().collect())).is_ok()
        };
        prop_assert!(is(count, count));
        prop_assert!(!is(count + 1, count + 1));
        prop_assert!(count == 0 || !is(0, count - 1));
    }

    #[test]
    fn what_is_valid_stays_valid_when_something_undeclared_is_added(number in -5i64..5) {
        let kind = kind(r#"{"type":"integer","minimum":0}"#, "");
        let record = |more: bool| {
            let mut map: Map = [("$type", Value::from("com.example.a")), ("p", Value::from(number))].into_iter().collect();
            if more {
                map.insert("undeclared", Value::Null);
            }
            Value::Map(map)
        };
        prop_assert_eq!(kind.validate(&record(false)).is_ok(), number >= 0);
        prop_assert_eq!(kind.validate(&record(true)).is_ok(), number >= 0);
    }
}
