//! The data model against the interoperability fixtures; record checks; CIDs; blobs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use proptest::prelude::*;
use serde_json::value::RawValue;

use super::json::JsonFault;
use super::*;

/// Any value, also integers that may not be written and links of other kinds.
pub(super) fn any_value() -> impl Strategy<Value = Value> {
    value_with(any::<i64>().boxed(), any_link().boxed())
}

/// Any value whose JSON form can be read back.
pub(super) fn any_writable_value() -> impl Strategy<Value = Value> {
    value_with((-MAX_INTEGER..=MAX_INTEGER).boxed(), any_link().boxed())
}

fn any_link() -> impl Strategy<Value = Link> {
    let bytes = prop::collection::vec(any::<u8>(), 0..40);
    prop_oneof![
        any::<[u8; 32]>().prop_map(|digest| Cid::from_digest(Codec::DagCbor, digest).into()),
        any::<[u8; 32]>().prop_map(|digest| Cid::from_digest(Codec::Raw, digest).into()),
        (0..0x80_u8, bytes).prop_map(|(codec, digest)| {
            let bytes = [&[0x01, codec, 0x00, digest.len() as u8], &digest[..]].concat();
            Link::from_bytes(&bytes).unwrap()
        }),
    ]
}

fn value_with(integer: BoxedStrategy<i64>, link: BoxedStrategy<Link>) -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        integer.prop_map(Value::Integer),
        "\\PC{0,20}|[\\x00-\\x7f]{0,20}".prop_map(Value::Text),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(Value::Bytes),
        link.prop_map(Value::Link),
    ];
    leaf.prop_recursive(5, 60, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::Array),
            prop::collection::vec(("[a-z$é]{0,30}", inner), 0..8)
                .prop_map(|entries| Value::Map(entries.into_iter().collect())),
        ]
    })
    .boxed()
}

#[derive(serde::Deserialize)]
struct Case {
    #[serde(default)]
    note: String,
    json: Box<RawValue>,
    cbor_base64: Option<String>,
    cid: Option<String>,
}

fn cases(file: &str, count: usize) -> Vec<Case> {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/fixtures/interop/data-model/"
    );
    let cases: Vec<Case> =
        serde_json::from_slice(&std::fs::read(format!("{folder}{file}")).unwrap()).unwrap();
    assert_eq!(cases.len(), count, "{file}");
    cases
}

#[test]
fn json_and_cbor_and_cids_agree_with_the_fixtures() {
    for case in cases("data-model-fixtures.json", 3) {
        let value = json::parse(case.json.get().as_bytes()).unwrap();
        let bytes = cbor::encode(&value);
        assert_eq!(STANDARD_NO_PAD.encode(&bytes), case.cbor_base64.unwrap());
        assert_eq!(Cid::dag_cbor(&bytes).to_string(), case.cid.unwrap());
        assert_eq!(cbor::decode(&bytes).unwrap(), value);
        assert_eq!(check_record(&value).unwrap(), bytes);
        assert_eq!(
            json::parse(json::to_string(&value).as_bytes()).unwrap(),
            value
        );
    }
}

#[test]
fn valid_records_pass() {
    for case in cases("data-model-valid.json", 5) {
        let value = json::parse(case.json.get().as_bytes()).unwrap();
        assert!(check_record(&value).is_ok(), "{}", case.note);
    }
}

#[test]
fn invalid_records_fail_for_the_reason_they_are_named_for() {
    let refused: Vec<(String, String)> = cases("data-model-invalid.json", 12)
        .into_iter()
        .map(|case| {
            let error = match json::parse(case.json.get().as_bytes()) {
                Err(error) => format!("{}: {}", error.path, error.fault),
                Ok(value) => check_record(&value).unwrap_err().to_string(),
            };
            (case.note, error)
        })
        .collect();
    let type_error = "`$type` at $.rcrd must be a non-empty string";
    let bytes_error = format!("$.lnk: {}", JsonFault::BytesShape);
    let link_error = format!("$.lnk: {}", JsonFault::LinkShape);
    let bogus = format!("$.lnk: {}", JsonFault::Link(CidError::Multibase));
    let expected = [
        ("top-level not an object", "a record must be an object"),
        ("float", "$.rcrd.a: floating point numbers are not allowed"),
        ("record with $type null", type_error),
        ("record with $type wrong type", type_error),
        ("record with empty $type string", type_error),
        (
            "blob with string size",
            "bad blob at $.blb: the `size` of a blob must be an integer, zero or more",
        ),
        (
            "blob with missing key",
            "bad blob at $.blb: a blob must have exactly the keys `$type`, `ref`, `mimeType` and \
             `size`",
        ),
        ("bytes with wrong field type", &bytes_error),
        ("bytes with extra fields", &bytes_error),
        ("link with wrong field type", &link_error),
        ("link with bogus CID", &bogus),
        ("link with extra fields", &link_error),
    ];
    for ((note, error), (expected_note, expected_error)) in refused.iter().zip(expected) {
        assert_eq!(note, expected_note);
        assert_eq!(error, expected_error, "{note}");
    }
}

fn check(json: &str) -> Result<Vec<u8>, DataError> {
    check_record(&json::parse(json.as_bytes()).unwrap())
}

#[test]
fn blobs_must_have_their_exact_shape() {
    let blob = |cid: Cid, mime: &str, size: &str| {
        let link = format!("{{\"$link\":\"{cid}\"}}");
        let fields = format!("\"ref\":{link},\"mimeType\":\"{mime}\",\"size\":{size}");
        check(&format!("{{\"b\":{{\"$type\":\"blob\",{fields}}}}}"))
    };
    let raw = Cid::raw(b"blob");
    assert!(blob(raw, "image/png", "0").is_ok());
    let reason = |result: Result<Vec<u8>, DataError>| match result.unwrap_err() {
        DataError::Blob { path, reason } => {
            assert_eq!(path, "$.b");
            reason
        }
        other => panic!("{other}"),
    };
    assert!(reason(blob(Cid::dag_cbor(b""), "image/png", "1")).contains("`ref`"));
    assert!(reason(blob(raw, "png", "1")).contains("`mimeType`"));
    assert!(reason(blob(raw, "image/png", "-1")).contains("`size`"));
    assert!(reason(blob(raw, "image/png", "1,\"alt\":\"\"")).contains("exactly"));
    assert!(reason(check("{\"b\":{\"$type\":\"blob\"}}")).contains("exactly"));
}

#[test]
fn legacy_blobs_are_read_but_never_written() {
    let legacy = format!(
        "{{\"b\":[{{\"cid\":\"{}\",\"mimeType\":\"a/b\"}}]}}",
        Cid::raw(b"")
    );
    assert_eq!(
        check(&legacy),
        Err(DataError::LegacyBlob {
            path: "$.b[0]".into()
        })
    );
    assert!(check("{\"b\":{\"cid\":\"not a CID\",\"mimeType\":\"a/b\"}}").is_ok());
    let value = json::parse(legacy.as_bytes()).unwrap();
    assert_eq!(blob::find(&value), []);
    let [found] = &blob::find_legacy(&value)[..] else {
        panic!("one is there");
    };
    assert_eq!((found.cid, &*found.mime), (Cid::raw(b""), "a/b"));
    let at_itself = value.get("b").and_then(|list| match list {
        Value::Array(list) => blob::legacy(&list[0]),
        _ => None,
    });
    assert_eq!(at_itself.as_ref(), Some(found));
    let record = format!(
        "{{\"cid\":\"{}\",\"mimeType\":\"a/b\"}}",
        Cid::dag_cbor(b"")
    );
    let value = json::parse(record.as_bytes()).unwrap();
    assert_eq!(blob::legacy(&value), None, "a blob has the codec raw");
    let present = blob::BlobRef {
        cid: Cid::raw(b""),
        mime: "a/b".into(),
        size: 1,
    };
    assert_eq!(blob::find_legacy(&present.to_value()), []);
}

#[test]
fn record_checks_cover_what_json_cannot_say() {
    let record = |key: &str, value: Value| check_record(&Map::from_iter([(key, value)]).into());
    let path = || "$.a".to_owned();
    assert!(record("a", MAX_INTEGER.into()).is_ok());
    assert_eq!(
        record("a", (MAX_INTEGER + 1).into()),
        Err(DataError::Integer { path: path() })
    );
    assert_eq!(
        record("a", i64::MIN.into()),
        Err(DataError::Integer { path: path() })
    );
    let reserved = Value::Map(Map::from_iter([("$link", "x")]));
    let expected = DataError::ReservedKey {
        path: path(),
        key: "$link",
    };
    assert_eq!(record("a", reserved), Err(expected));
    assert_eq!(
        record("", Value::Null),
        Err(DataError::Key { path: "$".into() })
    );
    assert_eq!(
        record(&"k".repeat(8193), Value::Null),
        Err(DataError::Key { path: "$".into() })
    );
    let long = vec![Value::Null; MAX_CONTAINER_LENGTH + 1];
    assert_eq!(
        record("a", long.into()),
        Err(DataError::ContainerLength { path: path() })
    );
    let deep = |depth| (0..depth).fold(Value::Null, |inner, _| vec![inner].into());
    assert!(record("a", deep(MAX_DEPTH - 1)).is_ok());
    assert!(matches!(
        record("a", deep(MAX_DEPTH)),
        Err(DataError::Depth { .. })
    ));
    let text = |length: usize| record("a", Value::Text("a".repeat(length)));
    assert_eq!(text(MAX_RECORD_BYTES - 8).unwrap().len(), MAX_RECORD_BYTES);
    let bytes = MAX_RECORD_BYTES + 1;
    assert_eq!(
        text(MAX_RECORD_BYTES - 7),
        Err(DataError::TooLong { bytes })
    );
    let escaped = record("a", Value::Text("\u{1}".repeat(400_000)));
    assert!(matches!(escaped, Err(DataError::JsonTooLong { .. })));
}

#[test]
fn blobs_are_found_wherever_they_are() {
    let blob = blob::BlobRef {
        cid: Cid::raw(b"a"),
        mime: "image/png".into(),
        size: 1,
    };
    let list = Value::Array(vec![blob.to_value(), Value::Null, blob.to_value()]);
    let record = Map::from_iter([
        ("z", list),
        ("a", Map::from_iter([("b", blob.to_value())]).into()),
    ]);
    assert_eq!(
        blob::find(&record.into()),
        vec![blob.clone(), blob.clone(), blob]
    );
}

#[test]
fn cids_have_one_text() {
    let cid = Cid::dag_cbor(b"");
    let text = cid.to_string();
    assert_eq!(text.len(), 59);
    assert_eq!(text.parse::<Cid>(), Ok(cid));
    assert!(Cid::raw(b"").to_string().starts_with("bafkrei"));
    assert!(text.starts_with("bafyrei"));
    assert_eq!(text.to_uppercase().parse::<Cid>(), Err(CidError::Multibase));
    assert_eq!("Qm".parse::<Cid>(), Err(CidError::Multibase));
    // 58 digits carry 290 bits, two more than the bytes: they must be zero.
    for (last, allowed) in [('a', true), ('b', false), ('e', true), ('h', false)] {
        let changed = format!("{}{last}", text.strip_suffix(|_: char| true).unwrap());
        let parsed = changed.parse::<Cid>();
        assert_eq!(
            parsed.is_err_and(|error| error == CidError::Base32),
            !allowed,
            "{last}"
        );
    }
    let base58 = "zdj7WWeQ43G6JJvLWQWZpyHuAMq6uYWRjkBXFad11vE2LHhQ7";
    assert!(base58.parse::<Link>().is_ok());
    assert_eq!(
        "z1".repeat(3_000_000).parse::<Link>(),
        Err(CidError::TooLong)
    );
    assert!(Cid::dag_cbor(b"").matches(b"") && !cid.matches(b"x"));
    assert!(Cid::raw(b"") < Cid::dag_cbor(b""), "ordered as their bytes");
}

proptest! {
    #[test]
    fn links_read_back(link in any_link()) {
        prop_assert_eq!(link.to_string().parse::<Link>().unwrap(), link.clone());
        prop_assert_eq!(Link::from_bytes(&link.to_bytes()).unwrap(), link);
    }

    #[test]
    fn bytes_that_are_no_cid_are_refused_without_a_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..120),
        text in "[bz][a-z2-7A-Z]{0,220}",
    ) {
        if let Ok(link) = Link::from_bytes(&bytes) {
            prop_assert_eq!(link.to_bytes(), bytes);
        }
        let _ = text.parse::<Link>();
    }

    #[test]
    fn cbor_and_json_carry_the_same_value(value in any_writable_value()) {
        let through_json = json::parse(json::to_string(&value).as_bytes()).unwrap();
        prop_assert_eq!(cbor::encode(&through_json), cbor::encode(&value));
    }

    #[test]
    fn cbor_becomes_json_without_a_value_in_between(value in any_value()) {
        let mut text = Vec::new();
        json::write_cbor(&cbor::encode(&value), &mut text).unwrap();
        prop_assert_eq!(String::from_utf8(text).unwrap(), json::to_string(&value));
    }
}
