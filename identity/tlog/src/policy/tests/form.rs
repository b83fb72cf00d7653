//! The form of a policy file.

use super::{log, log_line, policy, witness, witness_line, witness_lines};
use crate::cosignature::Cosigner;
use crate::note::{KeyKind, NoteError, VerifierKey};
use crate::policy::{LineFault, MAX_ENTRIES, MAX_POLICY_BYTES, Policy, PolicyError};

fn fault(text: impl AsRef<[u8]>) -> PolicyError {
    Policy::parse(text.as_ref()).unwrap_err()
}

/// The fault of the last line of a text.
fn last(text: impl AsRef<[u8]>) -> LineFault {
    let text = text.as_ref();
    let lines = text.split_inclusive(|byte| *byte == b'\n').count();
    match fault(text) {
        PolicyError::Line { line, fault } if line == lines => fault,
        other => panic!("{other:?}"),
    }
}

#[test]
fn urls_and_names_are_kept_as_they_are() {
    let log = log("example.com/log", 1);
    let text = [
        format!("log {} https://log.example/\n", log.public()).into_bytes(),
        b"witness \xff\xfe ".to_vec(),
        format!("{} https://w.example/\n", witness(0).public()).into_bytes(),
        "witness K\u{212a}\u{a0}none ".as_bytes().to_vec(),
        format!("{}\n", witness(1).public()).into_bytes(),
        b"group # any \xff\xfe\nquorum #\n# comment \xff\n".to_vec(),
    ]
    .concat();
    let policy = Policy::parse(&text).unwrap();
    assert_eq!(policy.logs()[0].key, *log.public());
    assert_eq!(
        policy.logs()[0].url.as_deref(),
        Some(&b"https://log.example/"[..])
    );
    let [first, second] = policy.witnesses() else {
        panic!("{policy:?}");
    };
    assert_eq!(first.name, b"\xff\xfe");
    assert_eq!(first.url.as_deref(), Some(&b"https://w.example/"[..]));
    assert_eq!(first.key, *witness(0).public());
    assert_eq!(second.name, "K\u{212a}\u{a0}none".as_bytes());
    assert_eq!(second.url, None);
}

#[test]
fn a_line_of_another_form_is_refused_for_its_reason() {
    use LineFault::{Control, Keyword, Unterminated, Words};
    let log = log("example.com/log", 1).public().to_string();
    let cosigner = witness(0).public().to_string();
    let as_log = Words("log <key> [<url>]");
    let as_witness = Words("witness <name> <key> [<url>]");
    let as_group = Words("group <name> <any|all|number> <member>…");
    let no_key = LineFault::Key(NoteError::VerifierKey);
    let cases = [
        ("quorum none", Unterminated),
        ("quorum none\n#", Unterminated),
        ("quorum\u{b}none\n", Control),
        ("quorum none\r\n", Control),
        ("# \u{7f}\n", Control),
        ("\0\n", Control),
        ("Quorum none\n", Keyword),
        ("quorum\u{a0}none\n", Keyword),
        ("logs\n", Keyword),
        ("log\n", as_log.clone()),
        (&format!("log {log} a b\n"), as_log),
        ("witness w0\n", as_witness.clone()),
        (&format!("witness w0 {cosigner} a b\n"), as_witness),
        ("group\n", as_group.clone()),
        (&format!("{}group g any\n", witness_lines(2)), as_group),
        ("quorum\n", Words("quorum <name>")),
        ("quorum none none\n", Words("quorum <name>")),
        ("log example.com/log\n", no_key.clone()),
        (&format!("witness w0 {log}\n"), LineFault::NotACosigner),
    ];
    for (text, expected) in cases {
        assert_eq!(last(text), expected, "{text}");
    }
    assert_eq!(last(b"log \xff+00000000+AQ==\n"), no_key);
    for text in ["", "\n", "# quorum none\n", &format!("log {log}\n")] {
        assert_eq!(fault(text), PolicyError::NoQuorum, "{text:?}");
    }
}

#[test]
fn a_line_that_does_not_fit_the_ones_above_is_refused_for_its_reason() {
    use LineFault::{DuplicateMember, DuplicateName, None, SecondQuorum, Threshold, Unknown};
    let third = witness(2).public().to_string();
    let unknown = |name: &str| Unknown(name.to_owned());
    let twice = |name: &str| DuplicateMember(name.to_owned());
    let cases = [
        (&*format!("witness none {third}"), None),
        ("group none any w0", None),
        ("group g any none", None),
        ("group w0 any w1", DuplicateName),
        (&*format!("witness w1 {third}"), DuplicateName),
        ("group g any w2", unknown("w2")),
        ("group g any g", unknown("g")),
        ("quorum g", unknown("g")),
        ("group g any w0 w0", twice("w0")),
        ("group g any w0\ngroup h any w0", twice("w0")),
        (
            "group g any w0\ngroup h all g w1\ngroup i any g",
            twice("g"),
        ),
        ("group g 0 w0", Threshold(1)),
        ("group g 3 w0 w1", Threshold(2)),
        ("group g 02 w0 w1", Threshold(2)),
        ("group g -1 w0 w1", Threshold(2)),
        ("group g ANY w0 w1", Threshold(2)),
        ("group g 18446744073709551616 w0", Threshold(1)),
        ("quorum w0\nquorum w1", SecondQuorum),
    ];
    for (text, expected) in cases {
        let text = format!("{}{text}\n", witness_lines(2));
        assert_eq!(last(&text), expected, "{text}");
    }
}

#[test]
fn a_public_key_stands_for_one_log_and_for_one_witness() {
    let log = log("example.com/log", 1);
    let renamed = |key: &VerifierKey| {
        let name = "example.com/other".parse().unwrap();
        VerifierKey::new(name, key.kind(), key.public_bytes()).unwrap()
    };
    let logs = format!("{}log {}\n", log_line(&log), renamed(log.public()));
    assert_eq!(last(logs), LineFault::DuplicateKey(1));
    let other = renamed(witness(0).public());
    let witnesses = format!("\n{}witness other {other}\n", witness_line(0));
    assert_eq!(last(witnesses), LineFault::DuplicateKey(2));
    // A log may be a witness of others as well.
    let key = witness(0);
    let both = format!("log {}\n{}quorum none\n", key.public(), witness_line(0));
    assert_eq!(policy(&both).logs()[0].key, *key.public());
}

#[test]
fn policies_are_limited() {
    let many: String = (0..MAX_ENTRIES as u8 + 1).map(witness_line).collect();
    assert_eq!(last(&many), LineFault::TooMany);
    let most = witness_lines(MAX_ENTRIES as u8);
    let groups: String = (0..MAX_ENTRIES)
        .map(|n| format!("group g{n} any w{n}\n"))
        .collect();
    let logs: String = (0..MAX_ENTRIES as u8)
        .map(|n| log_line(&log("example.com/log", n)))
        .collect();
    let full = format!("{logs}{most}{groups}quorum g0\n");
    assert_eq!(policy(&full).witnesses().len(), MAX_ENTRIES);
    let one_more = log("example.com/log", 200);
    assert_eq!(
        last(format!("{logs}{}", log_line(&one_more))),
        LineFault::TooMany
    );
    let one_more = format!("{most}{groups}group one-more any g0\n");
    assert_eq!(last(one_more), LineFault::TooMany);

    let quorum = "quorum none\n";
    let longest = format!(
        "#{}\n{quorum}",
        "-".repeat(MAX_POLICY_BYTES - quorum.len() - 2)
    );
    assert!(Policy::parse(longest.as_bytes()).is_ok());
    let longer = fault(format!("#{longest}"));
    assert_eq!(longer, PolicyError::TooLong(MAX_POLICY_BYTES + 1));
}

#[test]
fn keys_of_both_kinds_of_cosigners_are_witnesses() {
    let name = "witness.example/ml".parse().unwrap();
    let ml_dsa = Cosigner::from_seed(name, KeyKind::MlDsaCosigner, &[1; 32]).unwrap();
    let text = format!(
        "witness ml {}\n{}quorum ml\n",
        ml_dsa.public(),
        witness_line(0)
    );
    let kinds = policy(&text)
        .witnesses()
        .iter()
        .map(|one| one.key.kind())
        .collect::<Vec<_>>();
    assert_eq!(kinds, [KeyKind::MlDsaCosigner, KeyKind::Cosigner]);
}
