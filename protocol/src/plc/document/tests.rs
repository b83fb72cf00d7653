use super::*;
use crate::crypto::{Curve, SigningKey};
use crate::plc::{DidData, Service};
use crate::syntax::Did;
use std::collections::BTreeMap;

fn fixture(name: &str) -> Vec<u8> {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/fixtures/interop/indigo/identity"
    );
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 3);
    std::fs::read(format!("{folder}/{name}")).unwrap()
}

fn did(text: &str) -> Did {
    text.parse().unwrap()
}

#[test]
fn todays_and_the_legacy_form_of_a_document_say_the_same() {
    let did = did("did:plc:ewvi7nxzyoun6zhxrhs64oiz");
    for name in ["did_plc_doc.json", "did_plc_doc_legacy.json"] {
        let document = DidDocument::parse(&fixture(name), &did).unwrap();
        assert_eq!(document.did(), &did);
        assert_eq!(document.handle().unwrap().as_str(), "atproto.com");
        assert_eq!(document.pds(), Some("https://bsky.social"));
        assert_eq!(
            document.signing_key().unwrap().curve(),
            Curve::K256,
            "{name}"
        );
        assert_eq!(document.key("#atproto").as_ref(), document.signing_key());
        assert_eq!(document.json().as_bytes(), fixture(name));
    }
}

#[test]
fn a_document_without_key_and_pds_is_a_broken_account_and_no_error() {
    let bytes = fixture("did_web_doc.json");
    let document = DidDocument::parse(&bytes, &did("did:web:discover.bsky.social")).unwrap();
    assert!(document.handle().is_none() && document.signing_key().is_none());
    assert_eq!(document.pds(), None);
    let generator = document.service("#bsky_fg").unwrap();
    assert_eq!(generator.kind, "BskyFeedGenerator");
    assert_eq!(generator.endpoint, "https://discover.bsky.social");
    assert!(document.verification_methods().is_empty());
}

#[test]
fn a_document_of_another_did_is_refused() {
    let error = DidDocument::parse(&fixture("did_plc_doc.json"), &did("did:web:example.com"));
    assert!(matches!(error, Err(DocumentError::WrongId { .. })));
    for bad in [&b"[]"[..], b"", b"{", b"\xff"] {
        let error = DidDocument::parse(bad, &did("did:web:example.com"));
        assert!(matches!(error, Err(DocumentError::NotJson(_))));
    }
    let large = vec![b' '; 70_000];
    let error = DidDocument::parse(&large, &did("did:web:example.com"));
    assert_eq!(error.unwrap_err(), DocumentError::TooLarge(70_000));
}

fn parse(body: &str) -> DidDocument {
    let json = format!(r#"{{"id":"did:web:example.com",{body}}}"#);
    DidDocument::parse(json.as_bytes(), &did("did:web:example.com")).unwrap()
}

#[test]
fn the_first_well_formed_handle_counts() {
    let document = parse(
        r#""alsoKnownAs":["https://x.example.com","at://bad","at://a.example.com/path",7,
        "at://Second.Example.com","at://third.example.com"]"#,
    );
    assert_eq!(document.handle().unwrap().as_str(), "second.example.com");
}

#[test]
fn only_the_first_method_named_atproto_counts_and_the_did_must_control_it() {
    let key = SigningKey::from_bytes(Curve::P256, &[5; 32]).unwrap();
    let multikey = key.public().to_multibase();
    let method = |id: &str, controller: &str, key: &str| {
        format!(
            r#"{{"id":"{id}","type":"Multikey","controller":"{controller}","publicKeyMultibase":"{key}"}}"#
        )
    };
    let with = |methods: &[String]| {
        parse(&format!(
            r#""verificationMethod":[null,"x",{}]"#,
            methods.join(",")
        ))
    };
    let ours = "did:web:example.com";
    for id in ["#atproto", "did:web:example.com#atproto"] {
        let document = with(&[method("#other", ours, "zx"), method(id, ours, &multikey)]);
        assert_eq!(document.signing_key(), Some(key.public()));
    }
    let broken_first = [
        method("#atproto", ours, "zx"),
        method("#atproto", ours, &multikey),
    ];
    assert_eq!(with(&broken_first).signing_key(), None);
    assert_eq!(
        with(&[method("#atproto", "did:web:b.com", &multikey)]).signing_key(),
        None
    );
    assert_eq!(
        with(&[method("did:web:b.com#atproto", ours, &multikey)]).signing_key(),
        None
    );
    let unknown_type = method("#atproto", ours, &multikey).replace("Multikey", "JsonWebKey2020");
    assert_eq!(with(&[unknown_type]).signing_key(), None);
}

#[test]
fn a_pds_is_an_origin_of_the_right_type() {
    let with = |kind: &str, endpoint: &str| {
        let json = format!(
            r##""service":[{{"id":"#atproto_pds","type":"{kind}","serviceEndpoint":{endpoint}}}]"##
        );
        parse(&json).pds().map(str::to_owned)
    };
    let pds = "AtprotoPersonalDataServer";
    assert_eq!(
        with(pds, r#""https://a.example""#).as_deref(),
        Some("https://a.example")
    );
    assert_eq!(
        with(pds, r#""https://a.example/""#).as_deref(),
        Some("https://a.example")
    );
    let local = with(pds, r#""http://localhost:2583""#);
    assert_eq!(local.as_deref(), Some("http://localhost:2583"));
    for bad in [
        r#""https://a.example/path""#,
        r#""https://user@a.example""#,
        r#""https://a.example?x""#,
        r#""ftp://a.example""#,
        r#""https://""#,
        r#"["https://a.example"]"#,
    ] {
        assert_eq!(with(pds, bad), None, "{bad}");
    }
    assert_eq!(with("Other", r#""https://a.example""#), None);
}

#[test]
fn the_rendered_document_has_the_reference_shape_and_reads_back() {
    let did = did("did:plc:yk4dd2qkboz2yv6tpubpc6co");
    let key = |curve| SigningKey::from_bytes(curve, &[5; 32]).unwrap();
    let (k256, p256) = (key(Curve::K256), key(Curve::P256));
    let ed25519 = "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK".to_owned();
    let pds = Service {
        kind: "AtprotoPersonalDataServer".into(),
        endpoint: "https://pds.example.com".into(),
    };
    let data = DidData {
        did: did.clone(),
        rotation_keys: vec![k256.public().to_did_key()],
        verification_methods: BTreeMap::from([
            ("atproto".into(), p256.public().to_did_key()),
            ("b".into(), ed25519),
            ("z".into(), k256.public().to_did_key()),
        ]),
        also_known_as: vec!["at://alice.example.com".into()],
        services: BTreeMap::from([("atproto_pds".into(), pds)]),
    };
    let json = DidDocument::render(&data);
    let expected = format!(
        concat!(
            r#"{{"@context":["https://www.w3.org/ns/did/v1","https://w3id.org/security/multikey/v1","#,
            r#""https://w3id.org/security/suites/secp256k1-2019/v1","https://w3id.org/security/suites/ecdsa-2019/v1"],"#,
            r#""id":"{did}","alsoKnownAs":["at://alice.example.com"],"verificationMethod":["#,
            r#"{{"id":"{did}#b","type":"Multikey","controller":"{did}","publicKeyMultibase":"z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK"}},"#,
            r#"{{"id":"{did}#z","type":"Multikey","controller":"{did}","publicKeyMultibase":"{z}"}},"#,
            r#"{{"id":"{did}#atproto","type":"Multikey","controller":"{did}","publicKeyMultibase":"{atproto}"}}],"#,
            r##""service":[{{"id":"#atproto_pds","type":"AtprotoPersonalDataServer","serviceEndpoint":"https://pds.example.com"}}]}}"##
        ),
        did = did,
        z = k256.public().to_multibase(),
        atproto = p256.public().to_multibase(),
    );
    assert_eq!(json, expected);
    let document = DidDocument::parse(json.as_bytes(), &did).unwrap();
    assert_eq!(document.signing_key(), Some(p256.public()));
    assert_eq!(document.pds(), Some("https://pds.example.com"));
}

#[test]
fn rendering_reproduces_the_fixture_of_the_reference_directory() {
    let data = DidData {
        did: did("did:plc:ewvi7nxzyoun6zhxrhs64oiz"),
        rotation_keys: vec![],
        verification_methods: BTreeMap::from([(
            "atproto".into(),
            "did:key:zQ3shXjHeiBuRCKmM36cuYnm7YEMzhGnCmCyW92sRJ9pribSF".into(),
        )]),
        also_known_as: vec!["at://atproto.com".into()],
        services: BTreeMap::from([(
            "atproto_pds".into(),
            Service {
                kind: "AtprotoPersonalDataServer".into(),
                endpoint: "https://bsky.social".into(),
            },
        )]),
    };
    let fixture = String::from_utf8(fixture("did_plc_doc.json")).unwrap();
    assert_eq!(
        DidDocument::render(&data),
        fixture.split_whitespace().collect::<String>()
    );
}
