//! Policies: their form, and whom they trust.

mod form;

use proptest::prelude::*;

use super::{Policy, Untrusted};
use crate::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::cosignature::Cosigner;
use crate::merkle::Hash;
use crate::note::{KeyKind, NoteError, NoteSigner};

fn log(name: &str, seed: u8) -> NoteSigner {
    NoteSigner::from_seed(name.parse().unwrap(), &[seed; 32]).unwrap()
}

/// A witness whose key name and seed follow from a number.
fn witness(number: u8) -> Cosigner {
    let name = format!("witness.example/{number}").parse().unwrap();
    Cosigner::from_seed(name, KeyKind::Cosigner, &[100 + number; 32]).unwrap()
}

fn log_line(log: &NoteSigner) -> String {
    format!("log {}\n", log.public())
}

fn witness_line(number: u8) -> String {
    format!("witness w{number} {}\n", witness(number).public())
}

fn witness_lines(count: u8) -> String {
    (0..count).map(witness_line).collect()
}

fn policy(text: &str) -> Policy {
    Policy::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// A checkpoint of an origin, signed by a log and cosigned by witnesses a minute after each other.
fn checkpoint(origin: &str, by: &NoteSigner, witnesses: &[u8]) -> SignedCheckpoint {
    let checkpoint = Checkpoint::new(origin.parse().unwrap(), 7, Hash::leaf(b"root")).unwrap();
    let mut signed = SignedCheckpoint::unsigned(checkpoint.clone()).unwrap();
    let signature = by.sign(signed.note());
    signed.note_mut().add(signature).unwrap();
    for number in witnesses {
        let time_s = 1000 + 60 * u64::from(*number);
        let cosignature = witness(*number).cosign(&checkpoint, time_s).unwrap();
        signed.note_mut().add(cosignature).unwrap();
    }
    signed
}

#[test]
fn the_example_of_two_levels_asks_for_two_of_three_and_any_of_three() {
    let log = log("example.com/log", 1);
    let text = format!(
        "# Two organisations.\n{}\n{}group X-witnesses 2 w0 w1 w2\n\
         \tgroup  Y-witnesses\tany w3 w4 w5 \ngroup X-and-Y all X-witnesses Y-witnesses\n\
         \n   # what counts\nquorum X-and-Y\n",
        log_line(&log),
        witness_lines(6),
    );
    let policy = policy(&text);
    let count = (policy.logs().len(), policy.witnesses().len());
    assert_eq!(count, (1, 6));
    for chosen in 0..64_u8 {
        let witnesses: Vec<u8> = (0..6).filter(|number| chosen >> number & 1 == 1).collect();
        let x = witnesses.iter().filter(|number| **number < 3).count();
        let y = witnesses.len() - x;
        let signed = checkpoint("example.com/log", &log, &witnesses);
        let trusted = policy.trust(&signed);
        if x >= 2 && y >= 1 {
            let trusted = trusted.unwrap();
            let names: Vec<_> = trusted
                .witnessed
                .iter()
                .map(|seen| (seen.witness.name.clone(), seen.time_s))
                .collect();
            let expected: Vec<_> = witnesses
                .iter()
                .map(|number| {
                    let time_s = 1000 + 60 * u64::from(*number);
                    (format!("w{number}").into_bytes(), time_s)
                })
                .collect();
            assert_eq!(names, expected);
            let last = witnesses
                .last()
                .map(|number| 1000 + 60 * u64::from(*number));
            assert_eq!(trusted.latest_s(), last);
            assert_eq!(trusted.checkpoint, signed.checkpoint());
        } else {
            let found = witnesses.len();
            assert_eq!(trusted, Err(Untrusted::Quorum { found }), "{witnesses:?}");
        }
    }
}

#[test]
fn a_quorum_can_be_one_witness_or_nobody() {
    let log = log("example.com/log", 1);
    let lines = format!("{}{}", log_line(&log), witness_lines(2));
    let one = policy(&format!("{lines}quorum w1\n"));
    let signed = |witnesses: &[u8]| checkpoint("example.com/log", &log, witnesses);
    assert!(one.trust(&signed(&[1])).is_ok());
    let other = signed(&[0]);
    assert_eq!(one.trust(&other), Err(Untrusted::Quorum { found: 1 }));
    let none = policy(&format!("{}quorum none\n", log_line(&log)));
    let alone = signed(&[]);
    let trusted = none.trust(&alone).unwrap();
    assert_eq!((trusted.witnessed.len(), trusted.latest_s()), (0, None));
    // A witness that is known is told of even if nobody asked for it.
    let none = policy(&format!("{lines}quorum none\n"));
    assert_eq!(none.trust(&signed(&[0])).unwrap().witnessed.len(), 1);
}

#[test]
fn a_log_must_sign_under_its_own_name() {
    let (one, two) = (log("example.com/one", 1), log("example.com/two", 2));
    let policy = policy(&format!(
        "{}{}quorum none\n",
        log_line(&one),
        log_line(&two)
    ));
    for log in [&one, &two] {
        let own = log.public().name().as_str();
        assert!(policy.trust(&checkpoint(own, log, &[])).is_ok());
    }
    let under_another = checkpoint("example.com/two", &one, &[]);
    let refused = Err(Untrusted::Log("example.com/two".parse().unwrap()));
    assert_eq!(policy.trust(&under_another), refused);
    let stranger = checkpoint("example.com/two", &log("example.com/two", 3), &[]);
    let unknown = Err(Untrusted::Note(NoteError::UnknownSigners));
    assert_eq!(policy.trust(&stranger), unknown);
}

#[test]
fn witnesses_alone_are_no_log() {
    let log = log("example.com/log", 1);
    let text = format!("{}{}quorum w0\n", log_line(&log), witness_lines(1));
    let policy = policy(&text);
    let stranger = log_with_other_key();
    let signed = checkpoint("example.com/log", &stranger, &[0]);
    let refused = Err(Untrusted::Log("example.com/log".parse().unwrap()));
    assert_eq!(policy.trust(&signed), refused);
}

fn log_with_other_key() -> NoteSigner {
    log("example.com/log", 9)
}

#[test]
fn a_witness_that_is_known_and_forged_spoils_the_checkpoint() {
    let log = log("example.com/log", 1);
    let text = format!("{}{}quorum w0\n", log_line(&log), witness_lines(2));
    let policy = policy(&text);
    let mut signed = checkpoint("example.com/log", &log, &[0]);
    let other = Checkpoint::new("example.com/log".parse().unwrap(), 8, Hash::empty()).unwrap();
    let forged = witness(1).cosign(&other, 0).unwrap();
    signed.note_mut().add(forged).unwrap();
    let refused = policy.trust(&signed);
    let is_forged = matches!(&refused, Err(Untrusted::Note(NoteError::BadSignature(..))));
    assert!(is_forged, "{refused:?}");
}

#[test]
fn a_log_known_from_elsewhere_can_be_accepted() {
    let log = log("example.com/log", 1);
    let without = policy(&format!("{}quorum w0\n", witness_lines(1)));
    let signed = checkpoint("example.com/log", &log, &[0]);
    let refused = Err(Untrusted::Log("example.com/log".parse().unwrap()));
    assert_eq!(without.trust(&signed), refused);
    let with = without.with_log(log.public().clone()).unwrap();
    assert!(with.trust(&signed).is_ok());
}

proptest! {
    /// A group of k of n, against counting.
    #[test]
    fn a_threshold_counts_its_members(k in 1..=8_u8, chosen: u8) {
        let log = log("example.com/log", 1);
        let text = format!(
            "{}{}group g {k} w0 w1 w2 w3 w4 w5 w6 w7\nquorum g\n",
            log_line(&log),
            witness_lines(8),
        );
        let witnesses: Vec<u8> = (0..8).filter(|number| chosen >> number & 1 == 1).collect();
        let signed = checkpoint("example.com/log", &log, &witnesses);
        let is_trusted = policy(&text).trust(&signed).is_ok();
        prop_assert_eq!(is_trusted, chosen.count_ones() >= u32::from(k));
    }
}
