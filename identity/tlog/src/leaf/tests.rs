//! Leaves: one encoding each, and nothing else is read.

mod governance;

use proptest::prelude::*;
use rochdale_protocol::crypto::{Curve, SigningKey};
use rochdale_protocol::data::{Cid, Map, Value, cbor};
use rochdale_protocol::plc::{Operation, Tombstone, UnsignedOperation};

use super::{Leaf, LeafError, MAX_TIME_MS, OperationLeaf, Source};
use crate::merkle::Hash;
use crate::tile::MAX_ENTRY_BYTES;

/// 2026-11-24.
const AT_MS: i64 = 1_795_500_000_000;

fn key() -> SigningKey {
    SigningKey::from_bytes(Curve::K256, &[7; 32]).unwrap()
}

fn operation(prev: Option<Cid>, handles: usize) -> Operation {
    let unsigned = UnsignedOperation {
        rotation_keys: vec![key().public().to_did_key()],
        verification_methods: [("atproto".to_owned(), key().public().to_did_key())].into(),
        also_known_as: (0..handles).map(|n| format!("at://m{n}.example")).collect(),
        services: [].into(),
        prev,
    };
    Operation::Plc(unsigned.sign(&key()))
}

fn genesis() -> OperationLeaf {
    let operation = operation(None, 1);
    OperationLeaf {
        did: operation.founded_did(),
        operation,
        at_ms: AT_MS,
        source: Source::Local,
    }
}

fn upstream(seq: Option<u64>) -> Source {
    let origin = "plc.directory".parse().unwrap();
    Source::Upstream { origin, seq }
}

/// The fields of a leaf's entry, to change them.
fn fields(leaf: &Leaf) -> Map {
    match cbor::decode(&leaf.encode().unwrap()).unwrap() {
        Value::Map(map) => map,
        other => panic!("{other:?}"),
    }
}

/// The error of a leaf after a change to its fields.
fn refusal(leaf: &Leaf, change: impl FnOnce(&mut Map)) -> LeafError {
    let mut map = fields(leaf);
    change(&mut map);
    Leaf::decode(&cbor::encode(&map.into())).unwrap_err()
}

fn field(field: &'static str, expected: &'static str) -> LeafError {
    LeafError::Field { field, expected }
}

#[test]
fn an_operation_leaf_has_the_fields_of_the_design_in_canonical_order() {
    let leaf = Leaf::Operation(OperationLeaf {
        source: upstream(Some(77)),
        ..genesis()
    });
    let map = fields(&leaf);
    let keys: Vec<&str> = map.keys().collect();
    assert_eq!(keys, ["t", "v", "at", "op", "cid", "did", "src", "useq"]);
    let Leaf::Operation(OperationLeaf { did, operation, .. }) = &leaf else {
        panic!("{leaf:?}");
    };
    assert_eq!(map.get("v"), Some(&Value::Integer(1)));
    assert_eq!(map.get("t"), Some(&"op".into()));
    assert_eq!(map.get("did"), Some(&did.as_str().into()));
    assert_eq!(map.get("cid"), Some(&operation.cid().to_string().into()));
    assert_eq!(map.get("op"), Some(&Value::Bytes(operation.to_cbor())));
    assert_eq!(map.get("at"), Some(&Value::Integer(AT_MS)));
    assert_eq!(map.get("src"), Some(&"plc.directory".into()));
    assert_eq!(map.get("useq"), Some(&Value::Integer(77)));
    assert_eq!(leaf.at_ms(), AT_MS);
    let entry = leaf.encode().unwrap();
    assert_eq!(leaf.hash(), Ok(Hash::leaf(&entry)));
}

#[test]
fn operation_leaves_are_read_as_they_were_written() {
    let genesis = genesis();
    let did = genesis.did.clone();
    let prev = genesis.operation.cid();
    let after = |operation, source, at_ms| OperationLeaf {
        did: did.clone(),
        operation,
        at_ms,
        source,
    };
    let tombstone = Operation::Tombstone(Tombstone::sign(prev, &key()));
    let leaves = [
        genesis.clone(),
        after(operation(Some(prev), 0), upstream(None), 0),
        after(tombstone, upstream(Some(0)), MAX_TIME_MS),
        after(
            operation(Some(prev), 3),
            upstream(Some(MAX_TIME_MS as u64)),
            1,
        ),
    ];
    for leaf in leaves.map(Leaf::Operation) {
        assert_eq!(Leaf::decode(&leaf.encode().unwrap()), Ok(leaf));
    }
}

#[test]
fn every_other_operation_leaf_is_refused_for_its_reason() {
    let leaf = Leaf::Operation(genesis());
    let refused = |change: fn(&mut Map)| refusal(&leaf, change);
    for name in ["t", "v", "at", "op", "cid", "did", "src"] {
        let missing = refusal(&leaf, |map| drop(map.remove(name)));
        assert_eq!(missing, LeafError::Missing(name));
        let null = refusal(&leaf, |map| drop(map.insert(name, Value::Null)));
        assert!(
            matches!(null, LeafError::Field { field, .. } if field == name),
            "{null}"
        );
    }
    let more = refused(|map| drop(map.insert("nullified", false)));
    assert_eq!(more, LeafError::Unexpected("nullified".to_owned()));
    let newer = refused(|map| drop(map.insert("v", 2)));
    assert_eq!(newer, LeafError::Version(2));
    let other = refused(|map| drop(map.insert("t", "vote")));
    assert_eq!(other, LeafError::Type("vote".to_owned()));
    let early = refused(|map| drop(map.insert("at", -1)));
    let time = "a time in Unix milliseconds, from 0 to 2^53 - 1";
    assert_eq!(early, field("at", time));
    let late = refused(|map| drop(map.insert("at", MAX_TIME_MS + 1)));
    assert_eq!(late, field("at", time));
    let cid = refused(|map| drop(map.insert("cid", Cid::dag_cbor(b"other").to_string())));
    assert_eq!(cid, field("cid", "the CID of the operation"));
    let web = refused(|map| drop(map.insert("did", "did:web:example.com")));
    assert_eq!(web, field("did", "a did:plc"));
    let upper = refused(|map| drop(map.insert("did", "DID:PLC:AAAAAAAAAAAAAAAAAAAAAAAA")));
    assert_eq!(upper, field("did", "a did:plc"));
    let other = refused(|map| drop(map.insert("did", "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa")));
    let founds = "the DID that the genesis operation founds";
    assert_eq!(other, field("did", founds));
    let operation = refused(|map| drop(map.insert("op", Value::Bytes(b"\xa0".to_vec()))));
    assert_eq!(
        operation,
        field("op", "a signed operation in canonical DAG-CBOR")
    );
    let local = refused(|map| drop(map.insert("useq", 1)));
    assert_eq!(local, LeafError::Unexpected("useq".to_owned()));
    let source = refused(|map| drop(map.insert("src", "")));
    assert_eq!(source, field("src", "\"local\" or the name of a directory"));
    let foreign = Leaf::Operation(OperationLeaf {
        source: upstream(Some(1)),
        ..genesis()
    });
    for seq in [-1, MAX_TIME_MS + 1] {
        let refused = refusal(&foreign, |map| drop(map.insert("useq", seq)));
        assert_eq!(
            refused,
            field("useq", "a sequence number from 0 to 2^53 - 1")
        );
    }
}

#[test]
fn bytes_that_are_no_map_in_strict_dag_cbor_are_refused() {
    let entry = Leaf::Operation(genesis()).encode().unwrap();
    for end in 0..entry.len() {
        let cut = Leaf::decode(&entry[..end]);
        assert!(matches!(cut, Err(LeafError::Cbor(_))), "{end}: {cut:?}");
    }
    let more = [entry.as_slice(), &[0]].concat();
    assert!(matches!(Leaf::decode(&more), Err(LeafError::Cbor(_))));
    assert_eq!(Leaf::decode(&[0x80]), Err(LeafError::NotAMap));
    let long = vec![0; MAX_ENTRY_BYTES + 1];
    assert_eq!(
        Leaf::decode(&long),
        Err(LeafError::TooLong(MAX_ENTRY_BYTES + 1))
    );
}

#[test]
fn nothing_is_written_that_would_not_be_read() {
    let encode = |leaf| Leaf::Operation(leaf).encode().unwrap_err();
    for at_ms in [-1, MAX_TIME_MS + 1] {
        let time = "a time in Unix milliseconds, from 0 to 2^53 - 1";
        assert_eq!(
            encode(OperationLeaf { at_ms, ..genesis() }),
            field("at", time)
        );
    }
    let did = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa".parse().unwrap();
    let founds = "the DID that the genesis operation founds";
    assert_eq!(
        encode(OperationLeaf { did, ..genesis() }),
        field("did", founds)
    );
    let source = upstream(Some(MAX_TIME_MS as u64 + 1));
    let seq = "a sequence number from 0 to 2^53 - 1";
    assert_eq!(
        encode(OperationLeaf {
            source,
            ..genesis()
        }),
        field("useq", seq)
    );
    let origin = "local".parse().unwrap();
    let source = Source::Upstream { origin, seq: None };
    let src = "\"local\" or the name of a directory";
    assert_eq!(
        encode(OperationLeaf {
            source,
            ..genesis()
        }),
        field("src", src)
    );
    // Around the longest entry, handle by handle.
    let sized = |handles| {
        let operation = operation(None, handles);
        let did = operation.founded_did();
        Leaf::Operation(OperationLeaf {
            did,
            operation,
            ..genesis()
        })
        .encode()
    };
    let (mut fits, mut over) = (0_usize, 10_000);
    while over - fits > 1 {
        let middle = fits.midpoint(over);
        match sized(middle) {
            Ok(_) => fits = middle,
            Err(LeafError::TooLong(bytes)) if bytes > MAX_ENTRY_BYTES => over = middle,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(sized(fits).unwrap().len() > MAX_ENTRY_BYTES - 100);
}

proptest! {
    #[test]
    fn what_is_accepted_is_written_the_same(place: usize, byte: u8) {
        let mut entry = Leaf::Operation(genesis()).encode().unwrap();
        let place = place % entry.len();
        entry[place] = byte;
        if let Ok(leaf) = Leaf::decode(&entry) {
            prop_assert_eq!(leaf.encode(), Ok(entry));
        }
    }
}
