//! Acts of governance and the bodies that are read.

use rochdale_protocol::data::{Cid, Map, Value, cbor};

use super::{AT_MS, field, fields, refusal};
use crate::leaf::{
    Approval, Governance, GovernanceKind, Leaf, LeafError, MAX_SIGNATURE_BYTES, MAX_SIGNATURES,
    MapRoot, Signature,
};
use crate::merkle::Hash;

const STEWARD_KEY: &str = "did:key:zDnaerx9CtbPJ1q36T5Ln5wYt3MQYeGRG5ehnPAmxcf5mDZpv";

fn approval() -> Approval {
    Approval {
        case: "case-7".to_owned(),
        did: "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa".parse().unwrap(),
        prev: Cid::dag_cbor(b"before"),
        unsigned_hash: [1; 32],
        policy_hash: [2; 32],
        steward: "did:plc:bbbbbbbbbbbbbbbbbbbbbbbb".parse().unwrap(),
        role: "steward".to_owned(),
        expires_ms: AT_MS + 1,
        nonce: vec![3; 16],
    }
}

fn map_root() -> MapRoot {
    MapRoot {
        tree_size: 70_000,
        root: Hash::leaf(b"map"),
    }
}

/// A body that fits the kind.
fn body(kind: GovernanceKind) -> Vec<u8> {
    match kind {
        GovernanceKind::Approval => approval().encode().unwrap(),
        GovernanceKind::MapRoot => map_root().encode().unwrap(),
        _ => cbor::encode(&Map::from_iter([("note", "anything")]).into()),
    }
}

fn act(kind: GovernanceKind) -> Governance {
    let signature = Signature {
        key: STEWARD_KEY.to_owned(),
        bytes: vec![4; 64],
    };
    Governance {
        kind,
        body: body(kind),
        at_ms: AT_MS,
        signatures: vec![signature],
    }
}

fn encode(act: Governance) -> Result<Vec<u8>, LeafError> {
    Leaf::Governance(act).encode()
}

#[test]
fn every_kind_of_act_is_read_as_it_was_written() {
    let names: Vec<&str> = GovernanceKind::ALL.iter().map(|kind| kind.name()).collect();
    let expected = [
        "policy",
        "steward-set",
        "approval",
        "recovery-pending",
        "issuance",
        "membership-root",
        "ballot",
        "tally",
        "invalidate",
        "web-doc",
        "mapRoot",
    ];
    assert_eq!(names, expected);
    for kind in GovernanceKind::ALL {
        for signatures in [vec![], act(*kind).signatures] {
            let act = Governance {
                signatures,
                ..act(*kind)
            };
            let leaf = Leaf::Governance(act);
            let map = fields(&leaf);
            let keys: Vec<&str> = map.keys().collect();
            assert_eq!(keys, ["t", "v", "at", "body", "sigs", "type"]);
            assert_eq!(map.get("type"), Some(&kind.name().into()));
            assert_eq!(Leaf::decode(&leaf.encode().unwrap()), Ok(leaf));
        }
    }
}

#[test]
fn every_other_act_is_refused_for_its_reason() {
    let leaf = Leaf::Governance(act(GovernanceKind::Ballot));
    let refused = |change: &dyn Fn(&mut Map)| refusal(&leaf, change);
    for name in ["at", "body", "sigs", "type"] {
        let missing = refused(&|map| drop(map.remove(name)));
        assert_eq!(missing, LeafError::Missing(name));
    }
    let more = refused(&|map| drop(map.insert("did", "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa")));
    assert_eq!(more, LeafError::Unexpected("did".to_owned()));
    let other = refused(&|map| drop(map.insert("type", "Ballot")));
    assert_eq!(other, LeafError::Type("Ballot".to_owned()));
    let is_map = field("body", "one map in canonical DAG-CBOR");
    for body in [&b""[..], b"\x80", b"\xa0\xa0", b"\xa1", b"\xbf\xff"] {
        let body = Value::Bytes(body.to_vec());
        let refused = refused(&|map| drop(map.insert("body", body.clone())));
        assert_eq!(refused, is_map);
    }
    let plain = refused(&|map| drop(map.insert("body", "{}")));
    assert_eq!(plain, field("body", "bytes"));
    let sigs = |value: Value| refused(&|map| drop(map.insert("sigs", value.clone())));
    assert_eq!(sigs(Value::Null), field("sigs", "an array"));
    assert_eq!(sigs(vec![Value::Null].into()), LeafError::NotAMap);
    let keyless = Map::from_iter([("sig", Value::Bytes(vec![1]))]);
    assert_eq!(sigs(vec![keyless.into()].into()), LeafError::Missing("key"));
    let mut more = Map::new();
    more.insert("key", STEWARD_KEY);
    more.insert("sig", Value::Bytes(vec![1]));
    more.insert("alg", "p256");
    let unexpected = LeafError::Unexpected("alg".to_owned());
    assert_eq!(sigs(vec![more.into()].into()), unexpected);
}

#[test]
fn signatures_are_limited_in_number_and_length() {
    let with = |signatures| {
        encode(Governance {
            signatures,
            ..act(GovernanceKind::Tally)
        })
    };
    let signature = |key: &str, bytes: usize| Signature {
        key: key.to_owned(),
        bytes: vec![1; bytes],
    };
    assert!(with(vec![signature(STEWARD_KEY, 64); MAX_SIGNATURES]).is_ok());
    let many = with(vec![signature(STEWARD_KEY, 64); MAX_SIGNATURES + 1]);
    assert_eq!(
        many,
        Err(field("sigs", "an array of at most 64 signatures"))
    );
    assert!(with(vec![signature(STEWARD_KEY, MAX_SIGNATURE_BYTES)]).is_ok());
    for bytes in [0, MAX_SIGNATURE_BYTES + 1] {
        let refused = with(vec![signature(STEWARD_KEY, bytes)]);
        assert_eq!(refused, Err(field("sig", "1 to 2048 bytes")));
    }
    let longest = format!("did:key:z{}", "1".repeat(247));
    assert!(with(vec![signature(&longest, 64)]).is_ok());
    let no_keys = ["", "did:web:example.com", "did:key:f00", "did:key:z1 2"];
    for key in no_keys.into_iter().chain([&*format!("{longest}1")]) {
        let refused = with(vec![signature(key, 64)]);
        let is_key = field("key", "a did:key of at most 256 bytes");
        assert_eq!(refused, Err(is_key), "{key}");
    }
}

#[test]
fn what_is_signed_binds_the_kind_and_the_body_and_not_the_time() {
    let signed = Governance::signed_bytes(GovernanceKind::Policy, b"\xa0");
    let map = cbor::decode(&signed).unwrap();
    let keys: Vec<&str> = map.as_map().unwrap().keys().collect();
    assert_eq!(keys, ["t", "v", "body", "type"]);
    let others = [
        Governance::signed_bytes(GovernanceKind::Tally, b"\xa0"),
        Governance::signed_bytes(GovernanceKind::Policy, b"\xa1"),
    ];
    assert!(!others.contains(&signed));
    // It is no leaf itself.
    assert_eq!(Leaf::decode(&signed), Err(LeafError::Missing("at")));
}

#[test]
fn an_approval_is_read_as_it_was_written_and_no_other_way() {
    let bytes = approval().encode().unwrap();
    assert_eq!(Approval::decode(&bytes), Ok(approval()));
    let map = cbor::decode(&bytes).unwrap();
    let keys: Vec<&str> = map.as_map().unwrap().keys().collect();
    let expected = [
        "v",
        "did",
        "case",
        "prev",
        "role",
        "nonce",
        "expires",
        "steward",
        "policyHash",
        "opUnsignedHash",
    ];
    assert_eq!(keys, expected);
    let changed = |change: &dyn Fn(&mut Map)| {
        let mut map = map.as_map().unwrap().clone();
        change(&mut map);
        Approval::decode(&cbor::encode(&map.into())).unwrap_err()
    };
    for name in expected {
        let missing = changed(&|map| drop(map.remove(name)));
        assert_eq!(missing, LeafError::Missing(name));
    }
    assert_eq!(
        changed(&|map| drop(map.insert("v", 2))),
        LeafError::Version(2)
    );
    let more = changed(&|map| drop(map.insert("why", "")));
    assert_eq!(more, LeafError::Unexpected("why".to_owned()));
    let short = changed(&|map| drop(map.insert("policyHash", Value::Bytes(vec![2; 31]))));
    assert_eq!(short, field("policyHash", "32 bytes"));
    let prev = changed(&|map| drop(map.insert("prev", "")));
    assert_eq!(prev, field("prev", "a CID"));
    let early = changed(&|map| drop(map.insert("expires", -1)));
    assert!(matches!(
        early,
        LeafError::Field {
            field: "expires",
            ..
        }
    ));
    for (name, text) in [("case", ""), ("role", ""), ("role", &*"r".repeat(257))] {
        let refused = changed(&|map| drop(map.insert(name, text)));
        assert_eq!(refused, field(name, "1 to 256 bytes"));
    }
}

#[test]
fn a_map_root_is_read_as_it_was_written_and_no_other_way() {
    let bytes = map_root().encode().unwrap();
    assert_eq!(MapRoot::decode(&bytes), Ok(map_root()));
    let changed = |name: &str, value: Value| {
        let mut map = cbor::decode(&bytes).unwrap().as_map().unwrap().clone();
        map.insert(name, value);
        MapRoot::decode(&cbor::encode(&map.into())).unwrap_err()
    };
    let size = field("tree_size", "the size of a tree, at most 2^53 - 1");
    for other in [-1, 1 << 53] {
        assert_eq!(changed("tree_size", Value::Integer(other)), size);
    }
    let long = changed("root", Value::Bytes(vec![0; 33]));
    assert_eq!(long, field("root", "32 bytes"));
    let more = changed("v", Value::Integer(1));
    assert_eq!(more, LeafError::Unexpected("v".to_owned()));
    let too_large = MapRoot {
        tree_size: 1 << 53,
        ..map_root()
    };
    assert_eq!(too_large.encode(), Err(size));
}

#[test]
fn an_act_whose_body_is_read_must_have_that_body() {
    for kind in [GovernanceKind::Approval, GovernanceKind::MapRoot] {
        let body = body(GovernanceKind::Policy);
        let refused = encode(Governance { body, ..act(kind) });
        assert!(matches!(refused, Err(LeafError::Missing(_))), "{refused:?}");
    }
}
