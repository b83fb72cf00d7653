use super::*;
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use proptest::prelude::*;
use serde_json::Value;

fn fixture(name: &str) -> Vec<Value> {
    let path = format!(
        concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/fixtures/interop/crypto/{}"
        ),
        name
    );
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn field<'a>(case: &'a Value, name: &str) -> &'a str {
    case[name].as_str().unwrap()
}

#[test]
fn the_signature_fixtures_are_judged_as_they_are_marked() {
    let cases = fixture("signature-fixtures.json");
    assert_eq!(cases.len(), 6);
    let mut outcomes = Vec::new();
    for case in &cases {
        let message = STANDARD_NO_PAD
            .decode(field(case, "messageBase64"))
            .unwrap();
        let key = PublicKey::from_did_key(field(case, "publicKeyDid")).unwrap();
        assert_eq!(key.curve().jwt_algorithm(), field(case, "algorithm"));
        assert_eq!(key.to_did_key(), field(case, "publicKeyDid"));
        let legacy =
            PublicKey::from_legacy_multibase(key.curve(), field(case, "publicKeyMultibase"));
        assert_eq!(legacy.as_ref(), Ok(&key));
        let bytes = STANDARD_NO_PAD
            .decode(field(case, "signatureBase64"))
            .unwrap();
        let outcome = Signature::from_bytes(&bytes).and_then(|signature| {
            let digest = {
                use sha2::Digest as _;
                sha2::Sha256::digest(&message).into()
            };
            assert_eq!(
                key.verify_digest(digest, &signature),
                key.verify(&message, &signature)
            );
            assert_eq!(key.verify_malleable(&message, &signature), Ok(()));
            key.verify(&message, &signature)
        });
        assert_eq!(outcome.is_ok(), case["validSignature"].as_bool().unwrap());
        outcomes.push((
            case["tags"][0].as_str().unwrap_or("valid").to_owned(),
            outcome,
        ));
    }
    for (tag, outcome) in outcomes {
        match tag.as_str() {
            "valid" => assert_eq!(outcome, Ok(())),
            "high-s" => assert_eq!(outcome, Err(CryptoError::HighS)),
            "der-encoded" => assert!(matches!(outcome, Err(CryptoError::SignatureLength(_)))),
            other => panic!("unknown tag {other}"),
        }
    }
}

#[test]
fn secret_keys_derive_the_did_keys_of_the_fixtures() {
    let k256 = fixture("w3c_didkey_K256.json");
    assert_eq!(k256.len(), 5);
    for case in &k256 {
        let secret = data_encoding::HEXLOWER
            .decode(field(case, "privateKeyBytesHex").as_bytes())
            .unwrap();
        let key = SigningKey::from_bytes(Curve::K256, &secret.try_into().unwrap()).unwrap();
        assert_eq!(key.public().to_did_key(), field(case, "publicDidKey"));
    }
    let p256 = fixture("w3c_didkey_P256.json");
    assert_eq!(p256.len(), 1);
    for case in &p256 {
        let secret = bs58::decode(field(case, "privateKeyBytesBase58"))
            .into_vec()
            .unwrap();
        let key = SigningKey::from_bytes(Curve::P256, &secret.try_into().unwrap()).unwrap();
        assert_eq!(key.public().to_did_key(), field(case, "publicDidKey"));
    }
}

#[test]
fn strings_that_are_no_key_are_refused_for_their_own_reason() {
    let good = "did:key:zQ3shqwJEJyMBsBXCWyCBpUBMqxcon9oHB7mCvx4sSpMdLJwc";
    assert!(PublicKey::from_did_key(good).is_ok());
    assert!(matches!(
        PublicKey::from_did_key("zQ3shqw"),
        Err(CryptoError::NotDidKey(_))
    ));
    assert!(matches!(
        PublicKey::from_did_key("did:key:Q3shq"),
        Err(CryptoError::Multibase(_))
    ));
    assert!(matches!(
        PublicKey::from_did_key("did:key:z0OIl"),
        Err(CryptoError::Multibase(_))
    ));
    let long = format!("did:key:z{}", "1".repeat(4000));
    assert!(matches!(
        PublicKey::from_did_key(&long),
        Err(CryptoError::Multibase(_))
    ));
    let ed25519 = format!(
        "did:key:z{}",
        bs58::encode([&[0xed, 0x01][..], &[9; 32]].concat()).into_string()
    );
    assert_eq!(
        PublicKey::from_did_key(&ed25519),
        Err(CryptoError::UnknownKeyType)
    );
    assert_eq!(
        PublicKey::from_did_key("did:key:z"),
        Err(CryptoError::UnknownKeyType)
    );
    for curve in [Curve::K256, Curve::P256] {
        let encode = |point: &[u8]| {
            format!(
                "z{}",
                bs58::encode([&curve.multicodec()[..], point].concat()).into_string()
            )
        };
        let off_curve = [&[2][..], &[0xff; 32]].concat();
        assert_eq!(
            PublicKey::from_multibase(&encode(&off_curve)),
            Err(CryptoError::NotAPoint(curve))
        );
        let odd_tag = [&[5][..], &[1; 32]].concat();
        assert_eq!(
            PublicKey::from_multibase(&encode(&odd_tag)),
            Err(CryptoError::NotAPoint(curve))
        );
        assert_eq!(
            PublicKey::from_multibase(&encode(&[2; 32])),
            Err(CryptoError::KeyLength(32))
        );
        // A multikey is always compressed; the long form belongs to the legacy types only.
        assert_eq!(
            PublicKey::from_multibase(&encode(&[4; 65])),
            Err(CryptoError::KeyLength(65))
        );
    }
}

#[test]
fn legacy_keys_may_be_uncompressed() {
    let secret = [3; 32];
    let p256 = p256::ecdsa::SigningKey::from_slice(&secret).unwrap();
    let uncompressed = p256.verifying_key().to_sec1_point(false);
    let text = format!("z{}", bs58::encode(uncompressed.as_bytes()).into_string());
    let key = SigningKey::from_bytes(Curve::P256, &secret).unwrap();
    assert_eq!(
        PublicKey::from_legacy_multibase(Curve::P256, &text).as_ref(),
        Ok(key.public())
    );
    assert_eq!(
        PublicKey::from_legacy_multibase(Curve::K256, &text),
        Err(CryptoError::NotAPoint(Curve::K256))
    );
}

#[test]
fn secrets_outside_the_scalar_range_are_refused() {
    for curve in [Curve::K256, Curve::P256] {
        for bytes in [[0; 32], [0xff; 32]] {
            assert_eq!(
                SigningKey::from_bytes(curve, &bytes).unwrap_err(),
                CryptoError::SecretOutOfRange(curve)
            );
        }
    }
}

#[test]
fn zero_and_oversized_scalars_are_no_signature() {
    for curve in [Curve::K256, Curve::P256] {
        let key = SigningKey::from_bytes(curve, &[9; 32]).unwrap();
        let good = *key.sign(b"message").as_bytes();
        for (part, fill) in [(0, 0), (32, 0), (0, 0xff)] {
            let mut bytes = good;
            bytes[part..part + 32].fill(fill);
            let signature = Signature::from(bytes);
            assert_eq!(
                key.public().verify(b"message", &signature),
                Err(CryptoError::BadSignature)
            );
            assert_eq!(
                key.public().verify_malleable(b"message", &signature),
                Err(CryptoError::BadSignature)
            );
        }
    }
}

#[test]
fn the_debug_form_of_a_secret_key_does_not_show_it() {
    let key = SigningKey::from_bytes(Curve::K256, &[0x42; 32]).unwrap();
    assert!(!format!("{key:?}").contains("4242"));
}

#[test]
fn the_low_s_bound_is_half_of_the_order_on_both_curves() {
    // n - 1 halved is the bound itself: bound + bound + 1 == n.
    let orders = [
        (
            Curve::K256,
            "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141",
        ),
        (
            Curve::P256,
            "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
        ),
    ];
    for (curve, order) in orders {
        let mut half = data_encoding::HEXLOWER.decode(order.as_bytes()).unwrap();
        let mut carry = 0;
        for byte in &mut half {
            let value = *byte;
            *byte = value >> 1 | carry;
            carry = value << 7;
        }
        let at = |s: &[u8]| Signature::from_bytes(&[&[1; 32][..], s].concat()).unwrap();
        assert!(at(&half).is_low_s(curve));
        *half.last_mut().unwrap() += 1;
        assert!(!at(&half).is_low_s(curve));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn signatures_verify_and_agree_with_a_second_implementation(
        secret in prop::array::uniform32(1_u8..), message in prop::collection::vec(any::<u8>(), 0..200), flip in 0_usize..512,
    ) {
        use k256::ecdsa::signature::Signer as _;
        for curve in [Curve::K256, Curve::P256] {
            let key = SigningKey::from_bytes(curve, &secret).unwrap();
            let signature = key.sign(&message);
            prop_assert!(signature.is_low_s(curve));
            prop_assert_eq!(key.public().verify(&message, &signature), Ok(()));
            prop_assert_eq!(key.sign(&message), signature);
            let again = SigningKey::from_bytes(curve, &key.to_bytes()).unwrap();
            prop_assert_eq!(again.public(), key.public());
            let reparsed = PublicKey::from_did_key(&key.public().to_did_key()).unwrap();
            prop_assert_eq!(&reparsed, key.public());
            let mut broken = *signature.as_bytes();
            broken[flip / 8] ^= 1 << (flip % 8);
            prop_assert!(reparsed.verify(&message, &Signature::from(broken)).is_err());
            if curve == Curve::K256 {
                let other: k256::ecdsa::Signature = k256::ecdsa::SigningKey::from_slice(&secret).unwrap().sign(&message);
                let other: [u8; 64] = other.to_bytes().into();
                prop_assert_eq!(&other, signature.as_bytes());
            }
        }
    }
}
