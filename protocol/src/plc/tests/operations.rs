use crate::crypto::{Curve, SigningKey};
use crate::data::Cid;
use crate::plc::{
    LimitError, Limits, Operation, PlcError, Service, Tombstone, UnsignedOperation, append_json,
    check_limits,
};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(Curve::K256, &[seed; 32]).unwrap()
}

fn content() -> UnsignedOperation {
    let did_key = key(1).public().to_did_key();
    let pds = Service {
        kind: "AtprotoPersonalDataServer".into(),
        endpoint: "https://pds.example.com".into(),
    };
    UnsignedOperation {
        rotation_keys: vec![did_key.clone()],
        verification_methods: BTreeMap::from([("atproto".into(), did_key)]),
        also_known_as: vec!["at://alice.example.com".into()],
        services: BTreeMap::from([("atproto_pds".into(), pds)]),
        prev: None,
    }
}

fn signed(content: UnsignedOperation) -> Operation {
    Operation::Plc(content.sign(&key(1)))
}

fn limit(change: impl FnOnce(&mut UnsignedOperation)) -> Option<LimitError> {
    let mut content = content();
    change(&mut content);
    check_limits(&signed(content), &Limits::strict_submit()).err()
}

#[test]
fn json_comes_out_in_canonical_key_order() {
    let operation = signed(content());
    let did_key = key(1).public().to_did_key();
    let expected = format!(
        concat!(
            r#"{{"sig":"{}","prev":null,"type":"plc_operation","#,
            r#""services":{{"atproto_pds":{{"type":"AtprotoPersonalDataServer","endpoint":"https://pds.example.com"}}}},"#,
            r#""alsoKnownAs":["at://alice.example.com"],"rotationKeys":["{}"],"verificationMethods":{{"atproto":"{}"}}}}"#
        ),
        operation.sig(),
        did_key,
        did_key
    );
    assert_eq!(operation.to_json(), expected);
    let mut two = content();
    two.verification_methods.insert("b".into(), did_key.clone());
    two.verification_methods
        .insert("\"quoted\"".into(), did_key);
    let json = signed(two).to_json();
    let place = |name: &str| json.find(name).unwrap();
    assert!(place("\"b\":") < place("\"atproto\":"));
    assert!(place("\"atproto\":") < place("\"\\\"quoted\\\"\":"));
}

fn refusal(json: &str) -> String {
    match Operation::from_json(json.as_bytes()) {
        Err(PlcError::NotAnOperation(reason)) => reason,
        other => panic!("{json}: {other:?}"),
    }
}

#[test]
fn json_with_anything_missing_added_or_doubled_is_refused() {
    let good = signed(content()).to_json();
    assert!(Operation::from_json(good.as_bytes()).is_ok());
    let changed = |from: &str, to: &str| {
        let json = good.replacen(from, to, 1);
        assert_ne!(json, good);
        refusal(&json)
    };
    assert!(changed(r#""prev":null,"#, "").contains("\"prev\" is missing"));
    assert!(changed(r#""prev":null"#, r#""prev":"bafy""#).contains("not a CID"));
    assert!(changed(r#""prev":null"#, r#""prev":7"#).contains("invalid type"));
    assert!(changed(r#""prev":null"#, r#""prev":null,"extra":1"#).contains("unknown field"));
    assert!(changed(r#""prev":null"#, r#""prev":null,"prev":null"#).contains("duplicate field"));
    assert!(changed(r#""prev":null"#, r#""prev":null,"handle":"a.b""#).contains("belong"));
    assert!(changed("plc_operation", "plc_opera").contains("unknown type"));
    assert!(changed("plc_operation", "plc_tombstone").contains("null"));
    assert!(changed("plc_operation", "create").contains("missing"));
    assert!(changed(r#""atproto":"#, r#""atproto":"x","atproto":"#).contains("duplicate key"));
    assert!(changed(r#""endpoint":"#, r#""endpoint":"x","endpoint":"#).contains("duplicate field"));
    assert!(changed(r#""endpoint":"#, r#""more":"x","endpoint":"#).contains("unknown field"));
    assert!(changed(r#""alsoKnownAs":["#, r#""alsoKnownAs":[1,"#).contains("invalid type"));
    assert!(refusal(&format!("{good} x")).contains("trailing"));
    assert!(!refusal("\"text\"").is_empty());
    assert!(!refusal("").is_empty());
    assert!(!refusal(&"[".repeat(5000)).is_empty());
}

#[test]
fn a_prev_in_another_spelling_is_refused() {
    let cid = Cid::dag_cbor(b"x").to_string();
    let json = Operation::Tombstone(Tombstone::sign(Cid::dag_cbor(b"x"), &key(1))).to_json();
    assert!(Operation::from_json(json.as_bytes()).is_ok());
    assert!(refusal(&json.replace(&cid, &cid.to_uppercase())).contains("not a CID"));
    let raw = Cid::raw(b"x").to_string();
    let outcome = Operation::from_json(json.replace(&cid, &raw).as_bytes());
    assert!(outcome.is_err() || outcome.unwrap().cid() != Cid::dag_cbor(b"x"));
}

#[test]
fn only_the_canonical_cbor_of_an_operation_is_read() {
    let operation = signed(content());
    let bytes = operation.to_cbor();
    assert_eq!(Operation::from_cbor(&bytes).as_ref(), Ok(&operation));
    assert!(Operation::from_cbor(&[&bytes[..], &[0]].concat()).is_err());
    assert!(Operation::from_cbor(&bytes[..bytes.len() - 1]).is_err());
    assert!(Operation::from_cbor(&operation.unsigned_bytes()).is_err());
    assert!(Operation::from_cbor(&[0xf6]).is_err());
}

#[test]
fn every_limit_is_allowed_at_its_edge_and_refused_beyond() {
    assert_eq!(limit(|_| ()), None);
    let keys = |count: u8| -> Vec<String> {
        (1..=count)
            .map(|seed| key(seed).public().to_did_key())
            .collect()
    };
    assert_eq!(limit(|c| c.rotation_keys = keys(5)), None);
    assert_eq!(
        limit(|c| c.rotation_keys = keys(6)),
        Some(LimitError::TooManyRotationKeys(5))
    );
    assert_eq!(
        limit(|c| c.rotation_keys.clear()),
        Some(LimitError::NoRotationKey)
    );
    assert!(matches!(
        limit(|c| c.rotation_keys.push(c.rotation_keys[0].clone())),
        Some(LimitError::DuplicateRotationKey(_))
    ));
    let ed25519 = "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK";
    assert_eq!(
        limit(|c| c.rotation_keys = vec![ed25519.into()]),
        Some(LimitError::RotationKey(ed25519.into()))
    );
    assert_eq!(
        limit(|c| drop(c.verification_methods.insert("x".into(), ed25519.into()))),
        None
    );
    for bad in ["did:key:x", "did:key:z", "did:key:z0", "zQ3sh", ""] {
        let error = limit(|c| drop(c.verification_methods.insert("x".into(), bad.into())));
        assert_eq!(error, Some(LimitError::VerificationMethodKey(bad.into())));
    }
    let long_key = |n: usize| format!("did:key:z{}", "2".repeat(n - 9));
    assert_eq!(
        limit(|c| drop(c.verification_methods.insert("x".into(), long_key(256)))),
        None
    );
    assert!(matches!(
        limit(|c| drop(c.verification_methods.insert("x".into(), long_key(257)))),
        Some(LimitError::VerificationMethodKeyLength { .. })
    ));
    // Lengths are UTF-16 units: a pillar of 🦀 counts double.
    let names = [
        ("x".repeat(32), true),
        ("x".repeat(33), false),
        ("🦀".repeat(17), false),
    ];
    for (name, allowed) in names {
        let in_methods =
            limit(|c| drop(c.verification_methods.insert(name.clone(), ed25519.into())));
        assert_eq!(in_methods.is_none(), allowed, "{name}");
        let service = Service {
            kind: "T".into(),
            endpoint: "https://x".into(),
        };
        let in_services = limit(|c| drop(c.services.insert(name.clone(), service)));
        assert_eq!(in_services.is_none(), allowed, "{name}");
    }
}

#[test]
fn counts_and_text_lengths_are_bounded() {
    let many = |count: usize| {
        (0..count)
            .map(|n| format!("at://h{n}.example.com"))
            .collect()
    };
    assert_eq!(limit(|c| c.also_known_as = many(10)), None);
    assert_eq!(
        limit(|c| c.also_known_as = many(11)),
        Some(LimitError::TooManyAlsoKnownAs(10))
    );
    assert_eq!(limit(|c| c.also_known_as = vec!["a".repeat(258)]), None);
    assert!(matches!(
        limit(|c| c.also_known_as = vec!["a".repeat(259)]),
        Some(LimitError::AlsoKnownAsLength { .. })
    ));
    assert!(matches!(
        limit(|c| c.also_known_as = vec!["a".into(), "a".into()]),
        Some(LimitError::DuplicateAlsoKnownAs(_))
    ));
    let service = |kind: usize, endpoint: usize| Service {
        kind: "k".repeat(kind),
        endpoint: "e".repeat(endpoint),
    };
    assert_eq!(
        limit(|c| drop(c.services.insert("x".into(), service(256, 512)))),
        None
    );
    assert!(matches!(
        limit(|c| drop(c.services.insert("x".into(), service(257, 1)))),
        Some(LimitError::ServiceType { .. })
    ));
    assert!(matches!(
        limit(|c| drop(c.services.insert("x".into(), service(1, 513)))),
        Some(LimitError::ServiceEndpoint { .. })
    ));
    let fill_services = |c: &mut UnsignedOperation, count: usize| {
        c.services = (0..count)
            .map(|n| (format!("s{n}"), service(1, 1)))
            .collect();
    };
    assert_eq!(limit(|c| fill_services(c, 10)), None);
    assert_eq!(
        limit(|c| fill_services(c, 11)),
        Some(LimitError::TooManyServices(10))
    );
    let fill_methods = |c: &mut UnsignedOperation, count: usize| {
        c.verification_methods = (0..count)
            .map(|n| (format!("m{n}"), "did:key:z6M".into()))
            .collect();
    };
    assert_eq!(limit(|c| fill_methods(c, 10)), None);
    assert_eq!(
        limit(|c| fill_methods(c, 11)),
        Some(LimitError::TooManyVerificationMethods(10))
    );
    let large = |c: &mut UnsignedOperation, bytes: usize| {
        c.also_known_as = (0..10).map(|n| format!("{n}{}", "ü".repeat(257))).collect();
        c.services = BTreeMap::new();
        let used = signed(c.clone()).to_cbor().len();
        assert!(used > bytes, "{used}");
    };
    assert_eq!(limit(|c| large(c, 4000)), Some(LimitError::TooLarge(4000)));
}

proptest! {
    #[test]
    fn any_operation_survives_both_encodings(
        aliases in prop::collection::vec(".{0,12}", 0..3),
        names in prop::collection::btree_map(".{0,6}", (".{0,6}", ".{0,6}"), 0..4),
        methods in prop::collection::btree_map("[a-z\\\\\"\u{1}é🦀]{0,5}", ".{0,8}", 0..4),
        after in prop::option::of(any::<[u8; 4]>()),
    ) {
        let services =
            names.into_iter().map(|(id, (kind, endpoint))| (id, Service { kind, endpoint })).collect();
        let operation = signed(UnsignedOperation {
            rotation_keys: vec![],
            verification_methods: methods,
            also_known_as: aliases,
            services,
            prev: after.map(|bytes| Cid::dag_cbor(&bytes)),
        });
        prop_assert_eq!(Operation::from_json(operation.to_json().as_bytes()), Ok(operation.clone()));
        prop_assert_eq!(Operation::from_cbor(&operation.to_cbor()), Ok(operation.clone()));
        let mut transcoded = String::from("before ");
        append_json(&operation.to_cbor(), &mut transcoded).unwrap();
        prop_assert_eq!(transcoded, format!("before {}", operation.to_json()));
        let value: serde_json::Value = serde_json::from_str(&operation.to_json()).unwrap();
        prop_assert_eq!(value["type"].as_str(), Some("plc_operation"));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = Operation::from_cbor(&bytes);
        let _ = Operation::from_json(&bytes);
        let _ = append_json(&bytes, &mut String::new());
    }
}
