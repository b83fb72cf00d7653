//! Requests to witnesses: their one text, and every answer in its order.

use super::{AddCheckpoint, Latest, MAX_REQUEST_BYTES, Refusal, RequestError};
use crate::checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint};
use crate::merkle::{Hash, MAX_SIZE, MerkleError, Peaks};
use crate::note::{NoteError, NoteSigner, Verifiers};

const ORIGIN: &str = "example.com/log";

fn log(seed: u8) -> NoteSigner {
    NoteSigner::from_seed(ORIGIN.parse().unwrap(), &[seed; 32]).unwrap()
}

fn keys() -> Verifiers {
    Verifiers::new([log(1).public().clone()]).unwrap()
}

fn leaf(index: u64) -> Hash {
    Hash::leaf(&index.to_be_bytes())
}

fn root(size: u64) -> Hash {
    let mut peaks = Peaks::new();
    for index in 0..size {
        peaks.append(leaf(index)).unwrap();
    }
    peaks.root()
}

fn latest(size: u64) -> Latest {
    let root = root(size);
    Latest { size, root }
}

fn signed(size: u64, root: Hash, by: &NoteSigner) -> SignedCheckpoint {
    let checkpoint = Checkpoint::new(ORIGIN.parse().unwrap(), size, root).unwrap();
    let mut signed = SignedCheckpoint::unsigned(checkpoint).unwrap();
    let signature = by.sign(signed.note());
    signed.note_mut().add(signature).unwrap();
    signed
}

fn request(old: u64, proof: &[Hash], new: u64) -> AddCheckpoint {
    AddCheckpoint::new(old, proof.to_vec(), signed(new, root(new), &log(1))).unwrap()
}

/// The proof from 2 leaves to 3.
fn from_2_to_3() -> Vec<Hash> {
    vec![leaf(2)]
}

#[test]
fn a_request_is_read_and_written_as_it_was() {
    let checkpoint = signed(3, root(3), &log(1));
    for (old, proof) in [
        (0, vec![]),
        (2, from_2_to_3()),
        (MAX_SIZE, vec![leaf(0); 63]),
    ] {
        let request = AddCheckpoint::new(old, proof.clone(), checkpoint.clone()).unwrap();
        let text = request.to_string();
        let lines: String = proof.iter().map(|hash| format!("{hash}\n")).collect();
        assert_eq!(text, format!("old {old}\n{lines}\n{checkpoint}"));
        assert_eq!(AddCheckpoint::parse(text.as_bytes()), Ok(request));
    }
}

#[test]
fn what_is_no_request_is_refused_for_its_reason() {
    use RequestError::{OldSize, Proof};
    let checkpoint = signed(3, root(3), &log(1)).to_string();
    let hash = Hash::empty();
    let cases = [
        (String::new(), OldSize),
        (checkpoint.clone(), OldSize),
        (format!("Old 1\n\n{checkpoint}"), OldSize),
        (format!("old  1\n\n{checkpoint}"), OldSize),
        (format!("old 01\n\n{checkpoint}"), OldSize),
        (format!("old -1\n\n{checkpoint}"), OldSize),
        (format!("old 1 \n\n{checkpoint}"), OldSize),
        (format!("old \n\n{checkpoint}"), OldSize),
        (format!("old 1\r\n\n{checkpoint}"), OldSize),
        ("old 1".to_owned(), OldSize),
        (format!("old {}\n\n{checkpoint}", MAX_SIZE + 1), OldSize),
        ("old 1\n".to_owned(), Proof),
        (format!("old 1\n{hash}\n"), Proof),
        (format!("old 1\n{checkpoint}"), Proof),
        (format!("old 1\n{hash}\n{checkpoint}"), Proof),
        (format!("old 1\n {hash}\n\n{checkpoint}"), Proof),
        (
            format!(
                "old 1\n{}\n\n{checkpoint}",
                hash.to_string().trim_end_matches('=')
            ),
            Proof,
        ),
        (
            format!("old 1\n{}\n{checkpoint}", format!("{hash}\n").repeat(64)),
            Proof,
        ),
    ];
    for (text, fault) in cases {
        assert_eq!(
            AddCheckpoint::parse(text.as_bytes()),
            Err(fault),
            "{text:?}"
        );
    }
    let unsigned = AddCheckpoint::parse(format!("old 1\n\n{ORIGIN}\n3\n{hash}\n").as_bytes());
    let fault = CheckpointError::Note(NoteError::NoSignatures);
    assert_eq!(unsigned, Err(RequestError::Checkpoint(fault)));
    let not_utf8 = AddCheckpoint::parse(b"old 1\n\xff\n");
    assert_eq!(not_utf8, Err(OldSize));
    let long = vec![b'a'; MAX_REQUEST_BYTES + 1];
    let fault = RequestError::TooLong(MAX_REQUEST_BYTES + 1);
    assert_eq!(AddCheckpoint::parse(&long), Err(fault));
    let many = AddCheckpoint::new(1, vec![hash; 64], signed(3, hash, &log(1)));
    assert_eq!(many, Err(Proof));
    let large = AddCheckpoint::new(MAX_SIZE + 1, vec![], signed(3, hash, &log(1)));
    assert_eq!(large, Err(OldSize));
}

#[test]
fn a_log_that_grew_is_cosigned() {
    let check = |request: AddCheckpoint, latest| request.check(&keys(), &latest);
    assert_eq!(check(request(0, &[], 3), Latest::never()), Ok(()));
    assert_eq!(check(request(0, &[], 0), Latest::never()), Ok(()));
    assert_eq!(check(request(2, &from_2_to_3(), 3), latest(2)), Ok(()));
    assert_eq!(check(request(3, &[], 3), latest(3)), Ok(()));
    // Signatures of strangers, cosignatures among them, are ignored.
    let mut checkpoint = signed(3, root(3), &log(1));
    let stranger = log(2).sign(checkpoint.note());
    checkpoint.note_mut().add(stranger).unwrap();
    let request = AddCheckpoint::new(2, from_2_to_3(), checkpoint).unwrap();
    assert_eq!(request.check(&keys(), &latest(2)), Ok(()));
}

#[test]
fn every_refusal_has_its_reason_and_the_first_one_counts() {
    let other = leaf(9);
    let by_stranger = AddCheckpoint::new(9, vec![], signed(3, other, &log(2))).unwrap();
    let refused = by_stranger.check(&keys(), &latest(2));
    assert_eq!(refused, Err(Refusal::Signature(NoteError::UnknownSigners)));

    let mut forged = signed(3, other, &log(1));
    let of_another = signed(3, root(3), &log(1)).note().signatures()[0].clone();
    forged.note_mut().add(of_another).unwrap();
    let forged = AddCheckpoint::new(9, vec![], forged).unwrap();
    let refused = forged.check(&keys(), &latest(2));
    let is_forged = matches!(
        &refused,
        Err(Refusal::Signature(NoteError::BadSignature(..)))
    );
    assert!(is_forged, "{refused:?}");

    let check = |request: AddCheckpoint, latest| request.check(&keys(), &latest);
    // The witness knows 2, which is neither.
    let shrinks = check(request(4, &[], 3), latest(2));
    assert_eq!(shrinks, Err(Refusal::Shrinks { old: 4, new: 3 }));
    // The proof is of no use either.
    let stale = check(request(1, &[other], 3), latest(2));
    assert_eq!(stale, Err(Refusal::Stale { known: 2 }));

    let length = |expected, found| {
        Err(Refusal::Inconsistent(MerkleError::ProofLength {
            expected,
            found,
        }))
    };
    assert_eq!(
        check(request(0, &[other], 3), Latest::never()),
        length(0, 1)
    );
    assert_eq!(check(request(2, &[], 3), latest(2)), length(1, 0));
    assert_eq!(check(request(3, &[other], 3), latest(3)), length(0, 1));
    let wrong = check(request(2, &[other], 3), latest(2));
    assert_eq!(wrong, Err(Refusal::Inconsistent(MerkleError::Root)));
    // The old root is the one that the witness has stored, whatever the log says now.
    let stored = Latest {
        size: 2,
        root: other,
    };
    let forked = check(request(2, &from_2_to_3(), 3), stored);
    assert_eq!(forked, Err(Refusal::Inconsistent(MerkleError::Root)));
    let same_size = AddCheckpoint::new(3, vec![], signed(3, other, &log(1))).unwrap();
    let refused = same_size.check(&keys(), &latest(3));
    assert_eq!(refused, Err(Refusal::Inconsistent(MerkleError::Root)));
    let empty = AddCheckpoint::new(0, vec![], signed(0, other, &log(1))).unwrap();
    let refused = empty.check(&keys(), &Latest::never());
    assert_eq!(refused, Err(Refusal::Inconsistent(MerkleError::Root)));
}
