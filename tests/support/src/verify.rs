//! Checks a member's repository as a stranger would: from the export and the public directory.

use bytes::Bytes;
use rochdale_protocol::crypto::PublicKey;
use rochdale_protocol::plc::DidDocument;
use rochdale_protocol::repo::mst::Tree;
use rochdale_protocol::repo::{Commit, car};
use rochdale_protocol::syntax::Did;

use crate::{Member, Stack};

/// Largest block a test expects in an export.
const BLOCK_BYTES: usize = 2_000_000;

/// The signing key that the directory names for `did`.
pub async fn signing_key(stack: &Stack, did: &str) -> PublicKey {
    let answer = stack
        .http
        .get(format!("{}/{did}", stack.identity))
        .send()
        .await;
    let document = answer
        .expect("the directory answers")
        .bytes()
        .await
        .expect("a document");
    let did: Did = did.parse().expect("a DID");
    let document = DidDocument::parse(&document, &did).expect("a DID document");
    document.signing_key().expect("a signing key").clone()
}

/// Verifies the exported repository (block hashes, signature, tree, every record there) and
/// returns the keys of its records.
pub async fn verify_export(stack: &Stack, member: &Member) -> Vec<String> {
    let file = Bytes::from(member.export().await);
    let car = car::read(&file, BLOCK_BYTES).expect("a CAR file whose blocks hash to their CIDs");
    let root = car.roots[0].as_cid().expect("a root");
    let commit = Commit::decode(&car.blocks[&root]).expect("a commit");
    assert_eq!(
        commit.did.as_str(),
        member.did,
        "the commit is the member's"
    );
    commit
        .verify(&signing_key(stack, &member.did).await)
        .expect("signed by the member's key");
    Tree::load(commit.data)
        .walk(&car.blocks, b"")
        .map(|entry| {
            let (key, value) = entry.expect("a whole tree");
            let cid = value.as_cid().expect("a record");
            assert!(
                car.blocks.contains_key(&cid),
                "the record block is in the export"
            );
            String::from_utf8(key.to_vec()).expect("a key")
        })
        .collect()
}
