//! Notes: form, limits, and whose signatures count.

mod keys;

use proptest::prelude::*;

use super::{
    KeyId, MAX_NOTE_BYTES, MAX_SIGNATURES, Note, NoteError, NoteSigner, Signature, Verifiers,
};

fn signer(name: &str, seed: u8) -> NoteSigner {
    NoteSigner::from_seed(name.parse().unwrap(), &[seed; 32]).unwrap()
}

fn signed(text: &str, signers: &[&NoteSigner]) -> Note {
    let mut note = Note::unsigned(text).unwrap();
    for signer in signers {
        note.add(signer.sign(&note)).unwrap();
    }
    note
}

fn verifiers(signers: &[&NoteSigner]) -> Verifiers {
    Verifiers::new(signers.iter().map(|signer| signer.public().clone())).unwrap()
}

/// A signature line of a key that nobody knows.
const LINE: &str = "— example.com/a AAECAwQ=\n";

#[test]
fn a_note_is_read_and_written_as_it_was() {
    let lines = "— example.com/b AAECAwQFBgc=\n";
    let notes = [
        format!("text\n\n{LINE}"),
        format!("two\nlines\n\n{LINE}{lines}"),
        // The last empty line is the one that counts.
        format!("with\n\nempty\n\n\nlines\n\n{LINE}"),
        format!("— like a signature\n\n{LINE}"),
        format!("ends empty\n\n\n{LINE}"),
        format!("\n\n{LINE}"),
        format!("wide — é 語 \u{7f} \u{85}\n\n{LINE}"),
    ];
    for text in notes {
        let note = Note::parse(text.as_bytes()).unwrap();
        assert_eq!(note.to_string(), text);
    }
    let note = Note::parse(format!("a\n\nb\n\n{LINE}{lines}").as_bytes()).unwrap();
    assert_eq!(note.text(), "a\n\nb\n");
    let [first, second] = note.signatures() else {
        panic!("{note:?}");
    };
    assert_eq!(first.name().as_str(), "example.com/a");
    assert_eq!(first.id(), KeyId::from_bytes([0, 1, 2, 3]));
    assert_eq!(first.bytes(), [4]);
    assert_eq!(second.to_string(), lines);
}

#[test]
fn what_is_no_note_is_refused_for_its_reason() {
    use NoteError::{Control, NoSignatures, SignatureLine, Utf8};
    let cases = [
        ("", NoSignatures),
        ("text\n", NoSignatures),
        ("text\n\n", NoSignatures),
        (&format!("text\n{LINE}"), NoSignatures),
        (&format!("\n{LINE}"), NoSignatures),
        (&format!("{LINE}\n\n"), NoSignatures),
        (&format!("text\r\n\r\n{LINE}"), Control(4)),
        (&format!("te\txt\n\n{LINE}"), Control(2)),
        (&format!("text\0\n\n{LINE}"), Control(4)),
        (&format!("text\n\n{}", LINE.trim_end()), SignatureLine(1)),
        (&format!("text\n\n{LINE}text\n"), SignatureLine(2)),
        (&format!("text\n\n{LINE} {LINE}"), SignatureLine(2)),
        ("text\n\n- example.com/a AAECAwQ=\n", SignatureLine(1)),
        ("text\n\n—example.com/a AAECAwQ=\n", SignatureLine(1)),
        ("text\n\n—  example.com/a AAECAwQ=\n", SignatureLine(1)),
        ("text\n\n— example.com/a  AAECAwQ=\n", SignatureLine(1)),
        ("text\n\n— example.com/a AAECAwQ= \n", SignatureLine(1)),
        ("text\n\n— example.com/a\n", SignatureLine(1)),
        ("text\n\n— AAECAwQ=\n", SignatureLine(1)),
        ("text\n\n—  AAECAwQ=\n", SignatureLine(1)),
        ("text\n\n— example.com+a AAECAwQ=\n", SignatureLine(1)),
        ("text\n\n— example.com\u{a0}a AAECAwQ=\n", SignatureLine(1)),
        // An ID alone, no padding, stray bits, the other alphabet.
        ("text\n\n— example.com/a AAECAw==\n", SignatureLine(1)),
        ("text\n\n— example.com/a AAECAwQ\n", SignatureLine(1)),
        ("text\n\n— example.com/a AAECAwR=\n", SignatureLine(1)),
        ("text\n\n— example.com/a AAECAw-_\n", SignatureLine(1)),
        (
            "text\n\n— example.com/a AAECAwQ=AAECAwQ=\n",
            SignatureLine(1),
        ),
    ];
    for (text, fault) in cases {
        assert_eq!(Note::parse(text.as_bytes()), Err(fault), "{text:?}");
    }
    let latin = [b"caf\xe9\n\n", LINE.as_bytes()].concat();
    assert_eq!(Note::parse(&latin), Err(Utf8));
}

#[test]
fn notes_and_their_signatures_are_limited() {
    let with = |count: usize| format!("text\n\n{}", LINE.repeat(count));
    let most = Note::parse(with(MAX_SIGNATURES).as_bytes()).unwrap();
    assert_eq!(most.signatures().len(), MAX_SIGNATURES);
    let more = Note::parse(with(MAX_SIGNATURES + 1).as_bytes());
    assert_eq!(more, Err(NoteError::TooManySignatures));

    let long = |bytes: usize| {
        let end = format!("\n\n{LINE}");
        format!("{}{end}", "a".repeat(bytes - end.len()))
    };
    assert!(Note::parse(long(MAX_NOTE_BYTES).as_bytes()).is_ok());
    let longer = Note::parse(long(MAX_NOTE_BYTES + 1).as_bytes());
    assert_eq!(longer, Err(NoteError::TooLong(MAX_NOTE_BYTES + 1)));
}

#[test]
fn no_signature_is_added_that_would_make_the_note_unreadable() {
    let mut note = Note::unsigned("text\n").unwrap();
    let line = |index: usize, bytes: usize| {
        let name = format!("example.com/{index}").parse().unwrap();
        Signature::new(name, KeyId::from_bytes([0; 4]), vec![0; bytes])
    };
    for index in 0..MAX_SIGNATURES {
        note.add(line(index, 1)).unwrap();
    }
    let full = note.clone();
    let one_more = note.add(line(MAX_SIGNATURES, 1));
    assert_eq!(one_more, Err(NoteError::TooManySignatures));
    let too_long = note.add(line(0, MAX_NOTE_BYTES));
    assert!(
        matches!(too_long, Err(NoteError::TooLong(_))),
        "{too_long:?}"
    );
    assert_eq!(note, full);
    // As long as a note may be, to the byte.
    let mut note = Note::unsigned("text\n").unwrap();
    note.add(line(0, 1)).unwrap();
    let room = MAX_NOTE_BYTES - note.to_string().len();
    let text = format!("{}text\n", "a".repeat(room));
    let mut note = Note::unsigned(text).unwrap();
    note.add(line(0, 1)).unwrap();
    assert!(Note::parse(note.to_string().as_bytes()).is_ok());
    assert!(note.add(line(1, 1)).is_err());
}

#[test]
fn a_text_to_sign_ends_its_last_line_and_has_no_control_characters() {
    for text in ["", "text"] {
        assert_eq!(Note::unsigned(text), Err(NoteError::Unterminated));
    }
    assert_eq!(Note::unsigned("a\tb\n"), Err(NoteError::Control(1)));
}

#[test]
fn a_key_that_signs_again_replaces_its_signature() {
    let (a, b) = (signer("example.com/a", 1), signer("example.com/b", 2));
    let mut note = signed("text\n", &[&a, &b]);
    note.add(a.sign(&note)).unwrap();
    let names = note.signatures().iter().map(|line| line.name().as_str());
    assert_eq!(
        names.collect::<Vec<_>>(),
        ["example.com/b", "example.com/a"]
    );
}

#[test]
fn known_keys_must_have_signed_and_unknown_ones_are_ignored() {
    let (a, b) = (signer("example.com/a", 1), signer("example.com/b", 2));
    let note = signed("text\n", &[&a, &b]);
    let keys = |known: &Verifiers| -> Result<Vec<String>, NoteError> {
        let verified = note.verify(known)?;
        assert!(verified.iter().all(|one| one.time_s.is_none()));
        Ok(verified
            .iter()
            .map(|one| one.key.name().to_string())
            .collect())
    };
    assert_eq!(keys(&verifiers(&[&a])).unwrap(), ["example.com/a"]);
    let both = keys(&verifiers(&[&b, &a])).unwrap();
    assert_eq!(both, ["example.com/a", "example.com/b"]);
    let nobody = Err(NoteError::UnknownSigners);
    assert_eq!(keys(&Verifiers::default()), nobody);
    // The same name with another key, and the same key under another name.
    assert_eq!(keys(&verifiers(&[&signer("example.com/a", 3)])), nobody);
    assert_eq!(keys(&verifiers(&[&signer("example.com/c", 1)])), nobody);
}

#[test]
fn one_bad_signature_of_a_known_key_spoils_the_note() {
    let (a, b) = (signer("example.com/a", 1), signer("example.com/b", 2));
    let other = signed("other\n", &[&a]);
    let mut note = signed("text\n", &[&b]);
    note.add(other.signatures()[0].clone()).unwrap();
    assert!(note.verify(&verifiers(&[&b])).is_ok());
    let bad = NoteError::BadSignature(a.public().name().clone(), a.public().id());
    assert_eq!(note.verify(&verifiers(&[&a, &b])), Err(bad.clone()));
    // A second line of the same key is not passed over because the first one holds.
    let good = signed("text\n", &[&a]).to_string();
    let twice = format!("{good}{}", other.signatures()[0]);
    let twice = Note::parse(twice.as_bytes()).unwrap();
    assert_eq!(twice.verify(&verifiers(&[&a])), Err(bad));
}

#[test]
fn a_signature_of_another_length_does_not_verify() {
    let a = signer("example.com/a", 1);
    let note = signed("text\n", &[&a]);
    let whole = note.signatures()[0].bytes();
    for bytes in [&whole[..63], &[whole, &[0]].concat(), &[0; 64]] {
        let (name, id) = (a.public().name().clone(), a.public().id());
        let mut other = Note::unsigned("text\n").unwrap();
        other
            .add(Signature::new(name.clone(), id, bytes.to_vec()))
            .unwrap();
        let known = verifiers(&[&a]);
        let refused = other.verify(&known);
        assert_eq!(refused, Err(NoteError::BadSignature(name, id)));
    }
}

proptest! {
    #[test]
    fn what_is_accepted_is_written_the_same(note in "[ab\n —]{0,20}\n\n(— [ab+ ]{1,3} [AB=]{4,8}\n){1,3}") {
        if let Ok(parsed) = Note::parse(note.as_bytes()) {
            prop_assert_eq!(parsed.to_string(), note);
        }
    }

    #[test]
    fn whatever_is_signed_verifies_and_nothing_else_does(
        text in "[ -~\n]{0,80}\n", seed: [u8; 32], bit in 0..512_usize
    ) {
        let signer = NoteSigner::from_seed("example.com/a".parse().unwrap(), &seed).unwrap();
        let note = signed(&text, &[&signer]);
        let known = verifiers(&[&signer]);
        let read = Note::parse(note.to_string().as_bytes()).unwrap();
        prop_assert_eq!(&read, &note);
        prop_assert!(read.verify(&known).is_ok());
        let mut bytes = note.signatures()[0].bytes().to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let (name, id) = (signer.public().name().clone(), signer.public().id());
        let mut other = Note::unsigned(text).unwrap();
        other.add(Signature::new(name, id, bytes)).unwrap();
        let refused = matches!(other.verify(&known), Err(NoteError::BadSignature(..)));
        prop_assert!(refused);
    }
}
