//! Checkpoints: their one text, and what is none.

use super::{
    Checkpoint, CheckpointError, MAX_EXTENSION_BYTES, MAX_EXTENSION_LINES, Origin, SignedCheckpoint,
};
use crate::merkle::{Hash, MAX_SIZE};
use crate::note::NoteError;

const ROOT: &str = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";

#[test]
fn a_checkpoint_is_read_and_written_as_it_was() {
    let texts = [
        format!("example.com/log\n0\n{ROOT}\n"),
        format!("example.com/log\n4611686018427387904\n{ROOT}\n"),
        // An origin need not be a key name.
        format!("a log+with spaces — é\n12\n{ROOT}\n"),
        format!("example.com/log\n12\n{ROOT}\nextension\n another \n"),
    ];
    for text in texts {
        let checkpoint = Checkpoint::parse(&text).unwrap();
        assert_eq!(checkpoint.to_string(), text);
    }
    let text = format!("example.com/log\n12\n{ROOT}\none\ntwo\n");
    let checkpoint = Checkpoint::parse(&text).unwrap();
    assert_eq!(checkpoint.origin().as_str(), "example.com/log");
    assert_eq!((checkpoint.size(), checkpoint.root()), (12, Hash::empty()));
    assert_eq!(checkpoint.extensions(), ["one", "two"]);
    let origin = checkpoint.origin().clone();
    let made = Checkpoint::new(origin, 12, Hash::empty()).unwrap();
    assert_eq!(made.to_string(), format!("example.com/log\n12\n{ROOT}\n"));
}

#[test]
fn what_is_no_checkpoint_is_refused_for_its_reason() {
    use CheckpointError::{Extensions, Lines, Origin, Root, Size};
    let extensions = "extension\n".repeat(MAX_EXTENSION_LINES + 1);
    let cases = [
        (String::new(), Lines),
        ("\n".to_owned(), Lines),
        ("example.com/log\n".to_owned(), Lines),
        ("example.com/log\n1\n".to_owned(), Lines),
        (format!("example.com/log\n1\n{ROOT}"), Lines),
        (format!("\n1\n{ROOT}\n"), Lines),
        (format!("example.com/log\n\n{ROOT}\n"), Lines),
        (format!("example.com/log\n1\n{ROOT}\n\n"), Lines),
        (format!("example.com/log\n1\n{ROOT}\none\n\ntwo\n"), Lines),
        (format!("example.com/log\n01\n{ROOT}\n"), Size),
        (format!("example.com/log\n-1\n{ROOT}\n"), Size),
        (format!("example.com/log\n+1\n{ROOT}\n"), Size),
        (format!("example.com/log\n1 \n{ROOT}\n"), Size),
        (format!("example.com/log\n{}\n{ROOT}\n", MAX_SIZE + 1), Size),
        (format!("example.com/log\n{ROOT}\n1\n"), Size),
        (format!("example.com/log\n1\n{ROOT}=\n"), Root),
        (
            format!("example.com/log\n1\n{}\n", ROOT.trim_end_matches('=')),
            Root,
        ),
        (format!("example.com/log\n1\n {ROOT}\n"), Root),
        (format!("a\tb\n1\n{ROOT}\n"), Origin),
        (format!("{}\n1\n{ROOT}\n", "a".repeat(256)), Origin),
        (format!("a\n1\n{ROOT}\n{extensions}"), Extensions),
        (
            format!("a\n1\n{ROOT}\n{}\n", "e".repeat(MAX_EXTENSION_BYTES + 1)),
            Extensions,
        ),
    ];
    for (text, fault) in cases {
        assert_eq!(Checkpoint::parse(&text), Err(fault), "{text:?}");
    }
}

#[test]
fn the_longest_parts_are_accepted() {
    let origin: Origin = "o".repeat(255).parse().unwrap();
    let extension = format!("{}\n", "e".repeat(MAX_EXTENSION_BYTES));
    let extensions = extension.repeat(MAX_EXTENSION_LINES);
    let text = format!("{origin}\n{MAX_SIZE}\n{ROOT}\n{extensions}");
    assert_eq!(Checkpoint::parse(&text).unwrap().to_string(), text);
    let larger = Checkpoint::new(origin, MAX_SIZE + 1, Hash::empty());
    assert_eq!(larger, Err(CheckpointError::Size));
}

#[test]
fn a_signed_checkpoint_is_a_note_with_a_checkpoint_in_it() {
    let signature = "— example.com/log AAECAwQ=\n";
    let text = format!("example.com/log\n12\n{ROOT}\n\n{signature}");
    let signed = SignedCheckpoint::parse(text.as_bytes()).unwrap();
    assert_eq!(signed.to_string(), text);
    assert_eq!(signed.checkpoint().size(), 12);
    let unsigned = SignedCheckpoint::parse(format!("a\n12\n{ROOT}\n").as_bytes());
    assert_eq!(
        unsigned,
        Err(CheckpointError::Note(NoteError::NoSignatures))
    );
    let other = SignedCheckpoint::parse(format!("text\n\n{signature}").as_bytes());
    assert_eq!(other, Err(CheckpointError::Lines));
    let mut made = SignedCheckpoint::unsigned(signed.checkpoint().clone()).unwrap();
    assert_eq!(made.note().text(), signed.note().text());
    made.note_mut()
        .add(signed.note().signatures()[0].clone())
        .unwrap();
    assert_eq!(made, signed);
}
