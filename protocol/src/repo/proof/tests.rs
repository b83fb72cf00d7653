use super::*;
use crate::crypto::{Curve, SigningKey};
use crate::repo::{NoBlocks, UnsignedCommit};
use crate::syntax::Tid;

fn key() -> SigningKey {
    SigningKey::from_bytes(Curve::P256, &[9; 32]).unwrap()
}

fn did() -> Did {
    "did:web:example.com".parse().unwrap()
}

fn path(number: usize) -> RecordPath {
    format!("com.example.record/{number:04}").parse().unwrap()
}

fn record(number: usize) -> Bytes {
    let value = crate::data::Value::Integer(number as i64);
    let map = crate::data::Map::from_iter([("n".to_owned(), value)]);
    crate::data::cbor::encode(&crate::data::Value::Map(map)).into()
}

/// A repository of the records with even numbers.
fn repository() -> (Tree, Commit) {
    let leaves = (0..200)
        .step_by(2)
        .map(|i| (path(i).to_string(), Cid::dag_cbor(&record(i))));
    let mut tree = Tree::from_sorted(leaves.map(|(key, cid)| (key, cid.into()))).unwrap();
    let rev = Tid::next(None, 1_700_000_000_000_000, 0);
    let commit = UnsignedCommit {
        did: did(),
        rev,
        data: tree.root(),
    }
    .sign(&key());
    (tree, commit)
}

fn proof(number: usize) -> Bytes {
    let (mut tree, commit) = repository();
    let block = record(number);
    let cid = Cid::dag_cbor(&block);
    let present = number.is_multiple_of(2).then_some((&cid, &*block));
    let root = commit.cid();
    write(
        &mut tree,
        &NoBlocks,
        (&root, &commit.encode()),
        &path(number),
        present,
    )
    .unwrap()
    .into()
}

#[test]
fn a_proof_shows_a_record_or_its_absence() {
    for number in 0..200 {
        let proven = verify(&proof(number), &did(), &path(number), key().public()).unwrap();
        let expected = number.is_multiple_of(2).then(|| record(number));
        assert_eq!(proven.record.map(|record| record.1), expected, "{number}");
    }
}

#[test]
fn a_proof_of_something_else_proves_nothing() {
    let file = proof(8);
    let stranger = SigningKey::from_bytes(Curve::P256, &[3; 32]).unwrap();
    let check = |file: &Bytes, did: &Did, number, key: &SigningKey| {
        verify(file, did, &path(number), key.public()).unwrap_err()
    };
    assert!(matches!(
        check(&file, &did(), 8, &stranger),
        ProofError::Signature(_)
    ));
    let other = "did:web:other.example".parse().unwrap();
    assert!(matches!(
        check(&file, &other, 8, &key()),
        ProofError::OtherRepository(_)
    ));
    assert!(matches!(
        check(&file, &did(), 150, &key()),
        ProofError::Tree(_)
    ));
    let (mut tree, commit) = repository();
    let root = commit.cid();
    let bare = write(
        &mut tree,
        &NoBlocks,
        (&root, &commit.encode()),
        &path(8),
        None,
    )
    .unwrap();
    assert!(matches!(
        check(&bare.into(), &did(), 8, &key()),
        ProofError::RecordMissing(_)
    ));
    let empty = Writer::new(&[root]).into_bytes().into();
    assert!(matches!(
        check(&empty, &did(), 8, &key()),
        ProofError::NoCommit
    ));
    let long = vec![0; MAX_PROOF_BYTES + 1].into();
    assert!(matches!(
        check(&long, &did(), 8, &key()),
        ProofError::TooLarge(_)
    ));
}
