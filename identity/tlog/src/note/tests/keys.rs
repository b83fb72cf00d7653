//! Keys: their texts, their names, and what is no key.

use super::signer;
use crate::note::{KeyId, KeyKind, KeyName, NoteError, NoteSigner, VerifierKey, Verifiers};

#[test]
fn a_key_has_one_text_and_every_other_is_refused_for_its_reason() {
    let key = signer("example.com/a", 1).public().clone();
    let text = key.to_string();
    assert_eq!(text.parse(), Ok(key.clone()));
    let id = key.id().to_string();
    let [name, encoded] = [key.name().as_str(), text.rsplit_once('+').unwrap().1];
    let malformed = [
        String::new(),
        name.to_owned(),
        format!("{name}+{id}"),
        format!("{name}+{id}+"),
        format!("{name}+{}+{encoded}", id.to_uppercase()),
        format!("{name}+{}+{encoded}", id.get(..6).unwrap()),
        format!("{name}+{id}00+{encoded}"),
        format!("{name}+{id}+{encoded}+"),
        format!("{name}+{id}+{encoded}\n"),
        format!("{name}+{id}+{}", encoded.trim_end_matches('=')),
        format!("{name}+{id}+{}", encoded.replace('=', "")),
    ];
    for text in malformed.iter().filter(|malformed| **malformed != text) {
        assert_eq!(
            text.parse::<VerifierKey>(),
            Err(NoteError::VerifierKey),
            "{text}"
        );
    }
    let expected = key.id();
    let found = KeyId::from_bytes([0; 4]);
    let other_id = format!("{name}+00000000+{encoded}").parse::<VerifierKey>();
    assert_eq!(other_id, Err(NoteError::KeyId { expected, found }));
    let nameless = format!("+{id}+{encoded}").parse::<VerifierKey>();
    assert_eq!(nameless, Err(NoteError::KeyName));
}

#[test]
fn keys_of_other_types_and_bytes_that_are_no_key_are_refused() {
    let text = |bytes: &[u8]| {
        let encoded = crate::base64::encode(bytes);
        format!("example.com/a+00000000+{encoded}").parse::<VerifierKey>()
    };
    for kind in [0, 2, 3, 5, 7, 0xff] {
        let bytes = [&[kind], [1; 32].as_slice()].concat();
        assert_eq!(text(&bytes), Err(NoteError::KeyType(kind)));
    }
    let no_point = [0x02; 32];
    // The neutral element: it verifies one signature over every message.
    let mut neutral = [0; 32];
    neutral[0] = 1;
    for kind in [1, 4] {
        let refused = Err(NoteError::PublicKey(kind));
        for public in [&no_point[..], &neutral, &[1; 31], &[1; 33], &[]] {
            assert_eq!(text(&[&[kind], public].concat()), refused, "{public:?}");
        }
    }
    let short = [&[6], [1; 1311].as_slice()].concat();
    assert_eq!(text(&short), Err(NoteError::PublicKey(6)));
}

#[test]
fn a_secret_is_read_as_it_was_written_and_never_shown() {
    let signer = signer("example.com/a", 7);
    let text = signer.to_secret_text();
    let again: NoteSigner = text.parse().unwrap();
    assert_eq!(again.public(), signer.public());
    let shown = format!("{signer:?}");
    assert!(
        !shown.contains("BwcH") && shown.contains("example.com/a"),
        "{shown}"
    );
    let id = signer.public().id().to_string();
    let damaged = text.replace("BwcH", "BwcI").parse::<NoteSigner>();
    assert!(
        matches!(damaged, Err(NoteError::KeyId { .. })),
        "{damaged:?}"
    );
    let cosigner = text.replace("+AQcH", "+BAcH").parse::<NoteSigner>();
    assert_eq!(cosigner.unwrap_err(), NoteError::KeyType(4));
    let malformed = [
        text.replace("PRIVATE", "PUBLIC"),
        text.replace(&id, &id.to_uppercase()),
        text.replace("BwcH", ""),
        text.to_string() + "\n",
        "PRIVATE+KEY+example.com/a".to_owned(),
    ];
    for text in malformed {
        let refused = text.parse::<NoteSigner>().unwrap_err();
        assert_eq!(refused, NoteError::SignerKey);
        assert!(!refused.to_string().contains("BwcH"));
    }
}

#[test]
fn key_names_are_limited() {
    let longest = "a".repeat(255);
    assert!(longest.parse::<KeyName>().is_ok());
    let space = [
        "",
        " ",
        "a b",
        "a+b",
        "a\u{2003}b",
        "a\u{85}",
        "a\nb",
        "a\0b",
    ];
    for name in space.into_iter().chain([&*"a".repeat(256)]) {
        assert_eq!(name.parse::<KeyName>(), Err(NoteError::KeyName), "{name:?}");
    }
}

#[test]
fn two_keys_that_a_line_cannot_tell_apart_are_no_set() {
    // Two seeds whose keys have one ID: an ID is four bytes, so they are found in a minute.
    let [one, other] = [11505_u32, 37465].map(|number| {
        let mut seed = [0; 32];
        seed[..4].copy_from_slice(&number.to_le_bytes());
        let signer = NoteSigner::from_seed("example.com/a".parse().unwrap(), &seed).unwrap();
        signer.public().clone()
    });
    assert_ne!(one, other);
    let (name, id) = (one.name().clone(), one.id());
    let refused = Verifiers::new([one.clone(), other]).unwrap_err();
    assert_eq!(refused, NoteError::AmbiguousKey(name, id));
    // The same key twice is fine, and so is the same public key of two kinds.
    let cosigner = KeyKind::Cosigner;
    let cosigner = VerifierKey::new(one.name().clone(), cosigner, one.public_bytes()).unwrap();
    let known = Verifiers::new([one.clone(), one.clone(), cosigner.clone()]).unwrap();
    assert_eq!(known.get(one.name(), one.id()), Some(&one));
    assert_eq!(known.get(one.name(), cosigner.id()), Some(&cosigner));
    assert_eq!(known.get(one.name(), KeyId::from_bytes([0; 4])), None);
}
