//! The JSON form: what is read, what is refused and where, and that both writers agree.

use proptest::prelude::*;

use super::*;
use crate::data::tests::any_writable_value;
use crate::data::{Cid, MAX_INTEGER};

fn error(text: &str) -> (String, JsonFault) {
    let error = parse(text.as_bytes()).unwrap_err();
    (error.path, error.fault)
}

fn fault(text: &str) -> JsonFault {
    error(text).1
}

#[test]
fn integers_are_read_however_they_are_written() {
    let cases = [
        ("0", 0),
        ("-0", 0),
        ("-0.0", 0),
        ("0e999999999999999999999", 0),
        ("123.0", 123),
        ("123.000000000000000000000000000", 123),
        ("1e3", 1000),
        ("1.5E+1", 15),
        ("1200e-2", 12),
        ("0.00012e5", 12),
        ("9007199254740991", MAX_INTEGER),
        ("-9007199254740991", -MAX_INTEGER),
        ("9007199254740991.0", MAX_INTEGER),
    ];
    for (text, integer) in cases {
        assert_eq!(
            parse(text.as_bytes()),
            Ok(Value::Integer(integer)),
            "{text}"
        );
    }
}

#[test]
fn other_numbers_are_refused_for_their_own_reason() {
    for text in [
        "123.456",
        "0.1",
        "1e-1",
        "-1.5",
        "1e-400",
        "15e-1",
        "9007199254740991.1",
    ] {
        assert_eq!(fault(text), JsonFault::Float, "{text}");
    }
    let beyond = [
        "1e400",
        "9007199254740992",
        "-9007199254740992",
        "1e16",
        "99999999999999999999",
    ];
    for text in beyond {
        assert_eq!(fault(text), JsonFault::IntegerRange, "{text}");
    }
    for text in [
        "01", "-", "1.", ".5", "1e", "1e+", "+1", "-01", "NaN", "0x10", "1.e1",
    ] {
        let fault = fault(text);
        let syntax = matches!(fault, JsonFault::Expected(_) | JsonFault::TrailingText);
        assert!(syntax, "{text}: {fault}");
    }
}

#[test]
fn what_is_not_json_is_refused_for_its_own_reason() {
    let cases = [
        ("", JsonFault::Truncated),
        (" ", JsonFault::Truncated),
        ("{", JsonFault::Truncated),
        ("[1", JsonFault::Truncated),
        ("{\"a\"", JsonFault::Truncated),
        ("{\"a\":", JsonFault::Truncated),
        ("\"a", JsonFault::Truncated),
        ("\"\\u12", JsonFault::Truncated),
        ("{} {}", JsonFault::TrailingText),
        ("[1,]", JsonFault::Expected("a value")),
        ("[1 2]", JsonFault::Expected("`,` or `]`")),
        ("{\"a\":1,}", JsonFault::Expected("a string as key")),
        ("{a:1}", JsonFault::Expected("a string as key")),
        ("{\"a\" 1}", JsonFault::Expected("`:`")),
        ("{\"a\":1;", JsonFault::Expected("`,` or `}`")),
        ("nul", JsonFault::Expected("true, false or null")),
        ("\u{feff}{}", JsonFault::Expected("a value")),
        ("\"\n\"", JsonFault::ControlCharacter),
        ("\"\\x\"", JsonFault::Escape),
        ("\"\\u12g4\"", JsonFault::Escape),
        ("\"\\ud800\"", JsonFault::Surrogate),
        ("\"\\ud800\\u0041\"", JsonFault::Surrogate),
        ("\"\\udc00\\ud800\"", JsonFault::Surrogate),
        ("{\"a\":1,\"b\":2,\"a\":1}", JsonFault::DuplicateKey),
        ("{\"a\":1,\"\\u0061\":1}", JsonFault::DuplicateKey),
    ];
    for (text, expected) in cases {
        assert_eq!(fault(text), expected, "{text}");
    }
    assert_eq!(parse(b"\"\xff\"").unwrap_err().fault, JsonFault::Utf8);
}

#[test]
fn strings_keep_every_character() {
    let text = r#""a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00é😀\u0000""#;
    let expected = "a\"\\/\u{8}\u{c}\n\r\té😀é😀\0";
    assert_eq!(
        parse(text.as_bytes()).unwrap(),
        Value::Text(expected.into())
    );
}

#[test]
fn links_and_bytes_have_exactly_one_key() {
    let cid = Cid::dag_cbor(b"");
    let link = format!("{{\"$link\":\"{cid}\"}}");
    assert_eq!(parse(link.as_bytes()).unwrap(), cid.into());
    for text in [
        "{\"$link\":1}",
        "{\"$link\":\"x\",\"a\":1}",
        "{\"$link\":{\"$link\":\"\"}}",
    ] {
        let fault = fault(text);
        assert!(
            matches!(fault, JsonFault::LinkShape | JsonFault::Link(_)),
            "{text}: {fault}"
        );
    }
    assert_eq!(
        fault("{\"$link\":\".\"}"),
        JsonFault::Link(CidError::Multibase)
    );
    assert_eq!(fault("{\"$bytes\":[1]}"), JsonFault::BytesShape);
    assert_eq!(fault("{\"$bytes\":\"AA\",\"b\":1}"), JsonFault::BytesShape);
    assert_eq!(fault("{\"$bytes\":\"A-_A\"}"), JsonFault::Base64);
    for (text, bytes) in [
        ("AQ", &[1][..]),
        ("AQ==", &[1]),
        ("123", &[0xd7, 0x6d]),
        ("", &[]),
    ] {
        let json = format!("{{\"$bytes\":\"{text}\"}}");
        assert_eq!(
            parse(json.as_bytes()).unwrap(),
            Value::Bytes(bytes.to_vec()),
            "{text}"
        );
    }
}

#[test]
fn an_error_names_the_place() {
    let (path, fault) = error("{\"embed\":{\"images\":[{},{\"size\":1.5}]}}");
    assert_eq!(
        (path.as_str(), fault),
        ("$.embed.images[1].size", JsonFault::Float)
    );
    assert_eq!(error("{\"a\":{\"b\":1,\"b\":2}}").0, "$.a.b");
    assert_eq!(error("1.5").0, "$");
    let long_key = format!("{{\"{}\":1.5}}", "é".repeat(8000));
    assert!(error(&long_key).0.chars().count() < 80);
}

#[test]
fn limits_hold() {
    let nested = |depth: usize, inner: &str| {
        format!("{}{inner}{}", "[".repeat(depth), "]".repeat(depth)).into_bytes()
    };
    let bytes = "{\"$bytes\":\"AQ\"}";
    assert!(parse(&nested(32, "1")).is_ok());
    assert!(
        parse(&nested(32, bytes)).is_ok(),
        "bytes are no level of the data model"
    );
    for too_deep in [
        nested(33, "1"),
        nested(32, "{}"),
        nested(33, bytes),
        nested(500_000, ""),
    ] {
        assert_eq!(parse(&too_deep).unwrap_err().fault, JsonFault::Depth);
    }
    let array = |count: usize| format!("[{}1]", "1,".repeat(count - 1)).into_bytes();
    assert!(parse(&array(131_072)).is_ok());
    assert_eq!(
        parse(&array(131_073)).unwrap_err().fault,
        JsonFault::ContainerLength
    );
    let object = |count| {
        let keys: Vec<String> = (0..count).rev().map(|key| format!("\"{key}\":1")).collect();
        format!("{{{}}}", keys.join(",")).into_bytes()
    };
    assert!(parse(&object(131_072)).is_ok());
    assert_eq!(
        parse(&object(131_073)).unwrap_err().fault,
        JsonFault::ContainerLength
    );
    let long = format!("\"{}\"", "a".repeat(MAX_RECORD_JSON_BYTES - 1));
    assert_eq!(
        parse(long.as_bytes()).unwrap_err().fault,
        JsonFault::TooLong
    );
}

#[test]
fn a_value_can_be_a_field_of_a_typed_input() {
    #[derive(Debug, serde::Deserialize)]
    struct Input {
        record: Value,
    }
    let read = |text: &str| serde_json::from_str::<Input>(text);
    assert_eq!(
        read("{\"record\": {\"a\": 1.0}}").unwrap().record.get("a"),
        Some(&1.into())
    );
    let error = read("{\"record\":{\"a\":1.5}}").unwrap_err().to_string();
    assert!(
        error.contains("invalid data at $.a (byte 5): floating point"),
        "{error}"
    );
    let error = read("{\"record\":{\"a\":1,\"a\":1}}")
        .unwrap_err()
        .to_string();
    assert!(error.contains("a key occurs twice"), "{error}");
}

proptest! {
    #[test]
    fn a_value_reads_back_and_both_writers_agree(value in any_writable_value()) {
        let text = to_string(&value);
        prop_assert_eq!(&parse(text.as_bytes()).unwrap(), &value);
        prop_assert_eq!(serde_json::to_string(&value).unwrap(), text.clone());
        // A general reader of JSON finds the same text well-formed, and its pretty form reads back.
        let general: serde_json::Value = serde_json::from_str(&text).unwrap();
        let pretty = serde_json::to_string_pretty(&general).unwrap();
        prop_assert_eq!(parse(pretty.as_bytes()).unwrap(), value);
    }

    #[test]
    fn a_damaged_text_is_refused_without_a_panic_or_read_as_general_json_would(
        value in any_writable_value(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut text = to_string(&value).into_bytes();
        for (place, byte) in edits {
            let place = place.index(text.len());
            text[place] = byte;
        }
        if parse(&text).is_ok() {
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&text).is_ok());
        }
    }

    #[test]
    fn numbers_agree_with_exact_arithmetic(
        digits in "(0|[1-9][0-9]{0,17})(\\.[0-9]{1,4})?",
        exponent in -5..6_i32,
    ) {
        let text = format!("{digits}e{exponent}");
        let (whole, fraction) = digits.split_once('.').unwrap_or((&digits, ""));
        let mantissa: i128 = format!("{whole}{fraction}").parse().unwrap();
        let scale = exponent - fraction.len() as i32;
        let power = 10_i128.pow(scale.unsigned_abs());
        let exact = if scale >= 0 {
            Some(mantissa * power)
        } else {
            (mantissa % power == 0).then_some(mantissa / power)
        };
        match exact {
            None => prop_assert_eq!(fault(&text), JsonFault::Float),
            Some(integer) if integer > i128::from(MAX_INTEGER) => {
                prop_assert_eq!(fault(&text), JsonFault::IntegerRange);
            }
            Some(integer) => {
                let value = Value::Integer(integer as i64);
                prop_assert_eq!(parse(text.as_bytes()), Ok(value));
            }
        }
    }
}
