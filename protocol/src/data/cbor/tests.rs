//! The strict subset: what each rule refuses, and that nothing else does.

use data_encoding::HEXLOWER;
use proptest::prelude::*;

use super::*;
use crate::data::tests::any_value;
use crate::data::{Cid, Link};

fn fault(hex: &str) -> CborFault {
    let bytes = HEXLOWER.decode(hex.replace(' ', "").as_bytes()).unwrap();
    let fault = decode(&bytes).unwrap_err().fault;
    let mut decoder = Decoder::new(&bytes);
    let skipped = decoder.skip().and_then(|_| decoder.finish());
    assert_eq!(
        skipped.unwrap_err().fault,
        fault,
        "skipping and reading agree on {hex}"
    );
    fault
}

#[test]
fn each_deviation_is_refused_for_its_own_reason() {
    let cases = [
        ("", CborFault::Truncated),
        ("18", CborFault::Truncated),
        ("1b 00 00 00 01", CborFault::Truncated),
        ("62 61", CborFault::Truncated),
        ("82 00", CborFault::Truncated),
        ("a1 61 61", CborFault::Truncated),
        ("00 00", CborFault::TrailingBytes),
        ("18 17", CborFault::NotShortest),
        ("19 00 ff", CborFault::NotShortest),
        ("1a 00 00 ff ff", CborFault::NotShortest),
        ("1b 00 00 00 00 ff ff ff ff", CborFault::NotShortest),
        ("38 00", CborFault::NotShortest),
        ("78 01 61", CborFault::NotShortest),
        ("58 01 61", CborFault::NotShortest),
        ("98 01 00", CborFault::NotShortest),
        ("b8 01 61 61 00", CborFault::NotShortest),
        ("9f ff", CborFault::Indefinite),
        ("bf ff", CborFault::Indefinite),
        ("5f ff", CborFault::Indefinite),
        ("7f ff", CborFault::Indefinite),
        ("ff", CborFault::Indefinite),
        ("1c", CborFault::Reserved),
        ("fc", CborFault::Reserved),
        ("f9 3c 00", CborFault::Float),
        ("fa 3f 80 00 00", CborFault::Float),
        ("fb 3f f0 00 00 00 00 00 00", CborFault::Float),
        ("f7", CborFault::Simple),
        ("e0", CborFault::Simple),
        ("f8 20", CborFault::Simple),
        ("c0 60", CborFault::Tag),
        ("d8 2b 41 00", CborFault::Tag),
        ("d9 00 2a 41 00", CborFault::Tag),
        ("d8 2a 60", CborFault::LinkShape),
        ("d8 2a 40", CborFault::LinkShape),
        ("d8 2a 42 01 71", CborFault::LinkShape),
        ("d8 2a 42 00 71", CborFault::Link(CidError::Structure)),
        ("1b 80 00 00 00 00 00 00 00", CborFault::IntegerRange),
        ("3b 80 00 00 00 00 00 00 00", CborFault::IntegerRange),
        ("61 ff", CborFault::Utf8),
        ("63 ed a0 80", CborFault::Utf8),
        ("a1 00 00", CborFault::KeyType),
        ("a1 41 61 00", CborFault::KeyType),
        ("a2 61 62 00 61 61 00", CborFault::KeyOrder),
        ("a2 62 61 61 00 61 62 00", CborFault::KeyOrder),
        ("a2 61 61 00 61 61 00", CborFault::DuplicateKey),
        ("9a ff ff ff ff", CborFault::ContainerLength),
        ("bb 00 00 00 10 00 00 00 00", CborFault::ContainerLength),
        ("9a 00 02 00 00", CborFault::Truncated),
        ("ba 00 02 00 00", CborFault::Truncated),
    ];
    for (hex, expected) in cases {
        assert_eq!(fault(hex), expected, "{hex}");
    }
}

#[test]
fn the_error_says_where() {
    let error = decode(&[0x82, 0x00, 0xf9, 0, 0]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid DAG-CBOR at byte 2: floating point numbers are not allowed"
    );
    let wrong_kind = Decoder::new(&[0x61, 0x61]).int().unwrap_err();
    assert_eq!(
        wrong_kind.to_string(),
        "invalid DAG-CBOR at byte 0: expected an integer, found text"
    );
}

#[test]
fn nesting_ends_at_the_limit() {
    let nested = |depth: usize| [vec![0x81; depth], vec![0x00]].concat();
    assert!(decode(&nested(32)).is_ok());
    assert_eq!(decode(&nested(33)).unwrap_err().fault, CborFault::Depth);
    assert_eq!(
        decode(&nested(1_000_000)).unwrap_err().fault,
        CborFault::Depth
    );
    assert_eq!(
        Decoder::new(&nested(100_000)).skip().unwrap_err().fault,
        CborFault::Depth
    );
}

#[test]
fn limits_of_length_hold() {
    let elements = |count: usize| encode(&Value::Array(vec![Value::Null; count]));
    assert!(decode(&elements(131_072)).is_ok());
    assert_eq!(
        decode(&elements(131_073)).unwrap_err().fault,
        CborFault::ContainerLength
    );
    let key = |length: usize| encode(&Map::from_iter([("k".repeat(length), 1)]).into());
    assert!(decode(&key(8192)).is_ok());
    assert_eq!(decode(&key(8193)).unwrap_err().fault, CborFault::KeyLength);
    let long = vec![0; MAX_CBOR_BYTES + 1];
    assert_eq!(decode(&long).unwrap_err().fault, CborFault::TooLong);
}

#[test]
fn integers_take_their_shortest_form_up_to_the_ends_of_the_range() {
    let cases = [
        (0, "00"),
        (23, "17"),
        (24, "1818"),
        (255, "18ff"),
        (256, "190100"),
        (65_536, "1a00010000"),
        (1 << 32, "1b0000000100000000"),
        (i64::MAX, "1b7fffffffffffffff"),
        (-1, "20"),
        (-24, "37"),
        (-25, "3818"),
        (i64::MIN, "3b7fffffffffffffff"),
    ];
    for (integer, hex) in cases {
        let bytes = encode(&Value::Integer(integer));
        assert_eq!(HEXLOWER.encode(&bytes), hex);
        assert_eq!(decode(&bytes).unwrap(), Value::Integer(integer));
    }
}

#[test]
fn foreign_links_keep_their_bytes() {
    // Version 1, dag-json, identity hash of three bytes.
    let link = Link::from_bytes(&[0x01, 0xa9, 0x02, 0x00, 0x03, 1, 2, 3]).unwrap();
    assert_eq!(link.as_cid(), None);
    let bytes = encode(&Value::Link(link.clone()));
    assert_eq!(decode(&bytes).unwrap(), Value::Link(link));
    let fault = Decoder::new(&bytes).cid().unwrap_err().fault;
    assert_eq!(fault, CborFault::Link(CidError::NotBlessed));
}

#[test]
fn the_decoder_reads_what_the_encoder_wrote_without_copying() {
    let cid = Cid::raw(b"blob");
    let mut encoder = Encoder::new();
    encoder.map(4).text("a").array(2).int(-7).bool(true);
    encoder
        .text("b")
        .bytes(b"bytes")
        .text("c")
        .cid_or_null(None)
        .text("dd")
        .cid(&cid);
    let bytes = encoder.into_bytes();

    let mut decoder = Decoder::new(&bytes);
    let mut keys = decoder.map().unwrap();
    assert_eq!(keys.next(&mut decoder).unwrap(), Some("a"));
    assert_eq!(decoder.array().unwrap(), 2);
    assert_eq!(
        (decoder.int().unwrap(), decoder.bool().unwrap()),
        (-7, true)
    );
    assert_eq!(keys.next(&mut decoder).unwrap(), Some("b"));
    let slice = decoder.bytes().unwrap();
    assert_eq!(slice, b"bytes");
    assert!(bytes.as_ptr_range().contains(&slice.as_ptr()));
    assert_eq!(keys.next(&mut decoder).unwrap(), Some("c"));
    assert_eq!(decoder.cid_or_null().unwrap(), None);
    assert_eq!(keys.next(&mut decoder).unwrap(), Some("dd"));
    assert_eq!(decoder.skip().unwrap(), encode(&cid.into()));
    assert_eq!(keys.next(&mut decoder).unwrap(), None);
    decoder.finish().unwrap();
    assert_eq!(decoder.position(), bytes.len());
}

/// The order of map keys as the specification words it: by the bytes of the encoded key.
fn naive_order(map: &Map) -> bool {
    let keys: Vec<Vec<u8>> = map.keys().map(|key| encode(&key.into())).collect();
    keys.is_sorted_by(|a, b| a < b)
}

proptest! {
    #[test]
    fn a_value_reads_back_and_there_is_one_way_to_write_it(value in any_value()) {
        let bytes = encode(&value);
        prop_assert_eq!(&decode(&bytes).unwrap(), &value);
        let mut decoder = Decoder::new(&bytes);
        prop_assert_eq!(decoder.skip().unwrap(), &bytes[..]);
        if let Value::Map(map) = &value {
            prop_assert!(naive_order(map));
        }
    }

    #[test]
    fn what_is_accepted_is_what_would_be_written(
        value in any_value(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = encode(&value);
        for (place, byte) in edits {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        for bytes in [&bytes[..], &bytes[..cut.index(bytes.len())]] {
            let mut decoder = Decoder::new(bytes);
            let skipped = decoder.skip().and_then(|_| decoder.finish());
            match decode(bytes) {
                Ok(value) => prop_assert_eq!(encode(&value), bytes),
                Err(error) => prop_assert_eq!(skipped, Err(error)),
            }
        }
    }

    #[test]
    fn a_map_answers_as_a_plain_list_would(
        edits in prop::collection::vec(("[a-c]{0,3}", prop::option::of(any::<i64>())), 0..40),
    ) {
        let mut map = Map::new();
        let mut oracle = std::collections::HashMap::new();
        for (key, value) in &edits {
            match value {
                Some(value) => {
                    let previous = oracle.insert(key.clone(), Value::Integer(*value));
                    prop_assert_eq!(map.insert(key.as_str(), *value), previous);
                }
                None => prop_assert_eq!(map.remove(key), oracle.remove(key)),
            }
            prop_assert!(naive_order(&map));
            prop_assert_eq!(map.get(key), oracle.get(key));
        }
        prop_assert_eq!(map.len(), oracle.len());
        prop_assert_eq!(Map::from_iter(oracle), map);
        let kept = edits.iter().filter_map(|(key, value)| value.map(|value| (key.as_str(), value)));
        let one_by_one = kept.clone().fold(Map::new(), |mut map, (key, value)| {
            map.insert(key, value);
            map
        });
        prop_assert_eq!(Map::from_iter(kept), one_by_one);
    }
}
