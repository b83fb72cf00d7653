//! Cosignatures: against vectors made by another implementation, and refused once changed.
//!
//! `tests/vectors` was made with the Python package `cryptography` from seeds of 32 equal bytes
//! (1, 2, 3): a checkpoint signed by a log and cosigned in both ways, and the six keys.

use super::{Cosigner, MAX_TIME_S};
use crate::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::note::{KeyKind, Note, NoteError, NoteSigner, Signature, VerifierKey, Verifiers};

const CHECKPOINT: &str = include_str!("../../tests/vectors/checkpoint");
const VERIFIER_KEYS: &str = include_str!("../../tests/vectors/verifier-keys");
const SIGNER_KEYS: &str = include_str!("../../tests/vectors/signer-keys");

/// When the vectors were signed.
const TIME_S: u64 = 1_795_500_000;

fn keys() -> Vec<VerifierKey> {
    let keys = VERIFIER_KEYS.lines();
    keys.map(|key| key.parse().unwrap()).collect()
}

fn checkpoint() -> SignedCheckpoint {
    SignedCheckpoint::parse(CHECKPOINT.as_bytes()).unwrap()
}

fn cosigners() -> [Cosigner; 2] {
    let [_, ed25519, ml_dsa] =
        <[&str; 3]>::try_from(SIGNER_KEYS.lines().collect::<Vec<_>>()).unwrap();
    [ed25519, ml_dsa].map(|key| key.parse().unwrap())
}

#[test]
fn signatures_of_another_implementation_verify_with_their_times() {
    let known = Verifiers::new(keys()).unwrap();
    let signed = checkpoint();
    assert_eq!(signed.to_string(), CHECKPOINT);
    let verified = signed.note().verify(&known).unwrap();
    let found: Vec<_> = verified
        .iter()
        .map(|one| (one.key.kind(), one.time_s))
        .collect();
    let expected = [
        (KeyKind::Ed25519, None),
        (KeyKind::Cosigner, Some(TIME_S)),
        (KeyKind::MlDsaCosigner, Some(TIME_S)),
    ];
    assert_eq!(found, expected);
}

#[test]
fn the_same_seeds_make_the_same_keys_and_signatures() {
    for (key, text) in keys().iter().zip(VERIFIER_KEYS.lines()) {
        assert_eq!(key.to_string(), text);
    }
    let [log, ..] = SIGNER_KEYS.lines().collect::<Vec<_>>()[..] else {
        panic!("no keys");
    };
    let log: NoteSigner = log.parse().unwrap();
    let signed = checkpoint();
    assert_eq!(log.public(), &keys()[0]);
    assert_eq!(log.sign(signed.note()), signed.note().signatures()[0]);

    let known = Verifiers::new(keys()).unwrap();
    for (index, cosigner) in cosigners().iter().enumerate() {
        assert_eq!(cosigner.public(), &keys()[index + 1]);
        let text = SIGNER_KEYS.lines().nth(index + 1).unwrap();
        assert_eq!(*cosigner.to_secret_text(), text);
        let signature = cosigner.cosign(signed.checkpoint(), TIME_S).unwrap();
        // The vector's ML-DSA signature is a randomised one; ours never is.
        if cosigner.public().kind() == KeyKind::Cosigner {
            assert_eq!(signature, signed.note().signatures()[1]);
        }
        let mut note = Note::unsigned(signed.note().text()).unwrap();
        note.add(signature.clone()).unwrap();
        assert_eq!(note.verify(&known).unwrap()[0].time_s, Some(TIME_S));
        assert_eq!(cosigner.cosign(signed.checkpoint(), TIME_S), Ok(signature));
    }
}

/// Whether a cosigner's signature, changed by a function, holds over a text.
fn holds(cosigner: &Cosigner, over: &str, text: &str, change: fn(&mut Vec<u8>)) -> bool {
    let checkpoint = Checkpoint::parse(over).unwrap();
    let signature = cosigner.cosign(&checkpoint, TIME_S).unwrap();
    let mut bytes = signature.bytes().to_vec();
    change(&mut bytes);
    let mut note = Note::unsigned(text).unwrap();
    note.add(Signature::new(
        signature.name().clone(),
        signature.id(),
        bytes,
    ))
    .unwrap();
    let known = Verifiers::new([cosigner.public().clone()]).unwrap();
    match note.verify(&known) {
        Ok(_) => true,
        Err(NoteError::BadSignature(..)) => false,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn nothing_that_was_cosigned_can_be_changed() {
    let signed = checkpoint();
    let text = signed.note().text();
    for cosigner in cosigners() {
        let same = |text: &str, other: &str| holds(&cosigner, text, other, |_| {});
        assert!(same(text, text));
        assert!(!same(text, &text.replace("1234", "1235")));
        assert!(!same(text, &text.replace("coop", "co-op")));
        let other_root = text.replace(
            &signed.checkpoint().root().to_string(),
            &crate::merkle::Hash::empty().to_string(),
        );
        assert!(!same(text, &other_root));
        let changed = |change| holds(&cosigner, text, text, change);
        // The time, the signature, and the length of either.
        assert!(!changed(|bytes| bytes[7] ^= 1));
        assert!(!changed(|bytes| bytes[8] ^= 1));
        assert!(!changed(|bytes| bytes[0] ^= 0x80));
        assert!(!changed(|bytes| bytes.push(0)));
        assert!(!changed(|bytes| bytes.truncate(bytes.len() - 1)));
        assert!(!changed(|bytes| bytes.truncate(7)));
    }
}

#[test]
fn extension_lines_are_cosigned_with_ed25519_and_not_with_ml_dsa() {
    let signed = checkpoint();
    let text = signed.note().text();
    let extended = format!("{text}extension\n");
    let [ed25519, ml_dsa] = cosigners();
    assert!(!holds(&ed25519, text, &extended, |_| {}));
    assert!(holds(&ed25519, &extended, &extended, |_| {}));
    assert!(holds(&ml_dsa, text, &extended, |_| {}));
}

#[test]
fn a_text_that_is_no_checkpoint_has_no_cosignature() {
    let signed = checkpoint();
    let text = signed.note().text();
    for cosigner in cosigners() {
        assert!(!holds(&cosigner, text, "text\n", |_| {}));
    }
    // Not even one that was made over exactly that text.
    let seed = [9; 32];
    let name: crate::note::KeyName = "witness.example/w".parse().unwrap();
    let cosigner = Cosigner::from_seed(name.clone(), KeyKind::Cosigner, &seed).unwrap();
    let log = NoteSigner::from_seed(name.clone(), &seed).unwrap();
    let message = Note::unsigned("cosignature/v1\ntime 0\ntext\n").unwrap();
    let bytes = [&[0; 8], log.sign(&message).bytes()].concat();
    let mut note = Note::unsigned("text\n").unwrap();
    note.add(Signature::new(name, cosigner.public().id(), bytes))
        .unwrap();
    let known = Verifiers::new([cosigner.public().clone()]).unwrap();
    assert!(matches!(
        note.verify(&known),
        Err(NoteError::BadSignature(..))
    ));
}

#[test]
fn the_ml_dsa_message_names_the_cosigner() {
    let signed = checkpoint();
    let seed = [3; 32];
    let one = Cosigner::from_seed("a.example".parse().unwrap(), KeyKind::MlDsaCosigner, &seed);
    let other = Cosigner::from_seed("b.example".parse().unwrap(), KeyKind::MlDsaCosigner, &seed);
    let [one, other] = [one, other].map(Result::unwrap);
    let signature = one.cosign(signed.checkpoint(), TIME_S).unwrap();
    let (name, id) = (other.public().name().clone(), other.public().id());
    let mut note = Note::unsigned(signed.note().text()).unwrap();
    note.add(Signature::new(name, id, signature.bytes().to_vec()))
        .unwrap();
    let known = Verifiers::new([other.public().clone()]).unwrap();
    assert!(matches!(
        note.verify(&known),
        Err(NoteError::BadSignature(..))
    ));
}

#[test]
fn times_that_a_cosignature_cannot_carry_are_refused() {
    let signed = checkpoint();
    for cosigner in cosigners() {
        assert!(cosigner.cosign(signed.checkpoint(), MAX_TIME_S).is_ok());
        let late = cosigner.cosign(signed.checkpoint(), MAX_TIME_S + 1);
        assert_eq!(late, Err(NoteError::Timestamp(MAX_TIME_S + 1)));
    }
}

#[test]
fn a_key_that_names_no_time_does_not_cosign() {
    let name: crate::note::KeyName = "witness.example/w".parse().unwrap();
    let refused = Cosigner::from_seed(name, KeyKind::Ed25519, &[1; 32]);
    assert_eq!(refused.unwrap_err(), NoteError::KeyType(1));
    let log = SIGNER_KEYS.lines().next().unwrap();
    assert_eq!(log.parse::<Cosigner>().unwrap_err(), NoteError::KeyType(1));
}

#[test]
fn a_secret_is_never_shown() {
    for cosigner in cosigners() {
        let shown = format!("{cosigner:?}");
        assert!(shown.contains("witness.example"), "{shown}");
        assert!(
            !shown.contains("AgIC") && !shown.contains("AwMD"),
            "{shown}"
        );
    }
}
