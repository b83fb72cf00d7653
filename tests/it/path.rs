//! The whole path: sign-up, signed repository, firehose, relay, reader, with the DID from our own
//! directory.

use rochdale_testing::{Firehose, Stack, verify_export};

use crate::BINARY;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_reaches_a_reader_of_the_relay_signed_by_the_key_in_the_directory() {
    let stack = Stack::start(BINARY);
    let mut reader = Firehose::live(&stack.relay).await;
    let ada = stack.member("ada").await;
    let post = ada.posts("hello, co-operators").await;

    let seen = reader.commit_with(&ada.did, &post.rev).await;
    assert_eq!(seen.ops, 1);
    let key = rochdale_testing::signing_key(&stack, &ada.did).await;
    seen.verify(&key);
    assert_eq!(verify_export(&stack, &ada).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_relay_tells_the_same_story_as_the_pds() {
    let stack = Stack::start(BINARY);
    let ada = stack.member("ada").await;
    for n in 0..20 {
        ada.posts(&format!("post {n}")).await;
    }
    let last = ada.posts("last").await;
    let mut reader = Firehose::from(&stack.relay, 0).await;
    reader.commit_with(&ada.did, &last.rev).await;

    let of_ada = |frames: Vec<rochdale_testing::Seen>| -> Vec<(String, Option<String>)> {
        let frames = frames.into_iter().filter(|seen| seen.did == ada.did);
        frames.map(|seen| (seen.kind, seen.rev)).collect()
    };
    let pds = of_ada(Firehose::replay(&stack.pds, 0).await);
    let relay = of_ada(Firehose::replay(&stack.relay, 0).await);
    assert_eq!(pds, relay, "kinds and revisions, in order");
    assert_eq!(pds[0].0, "#identity", "an account begins with its identity");

    let head = ada.head().await;
    let at_relay = stack
        .get(
            &stack.relay,
            &format!("/xrpc/com.atproto.sync.getLatestCommit?did={}", ada.did),
        )
        .await
        .unwrap();
    assert_eq!(at_relay["cid"], head.0.as_str());
    let repos = stack
        .get(&stack.relay, "/xrpc/com.atproto.sync.listRepos")
        .await
        .unwrap();
    assert_eq!(repos["repos"][0]["did"], ada.did.as_str());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_take_down_at_the_relay_hides_the_backlog_and_its_reversal_restores_it() {
    let stack = Stack::start(BINARY);
    let ada = stack.member("ada").await;
    let bob = stack.member("bob").await;
    let post = ada.posts("soon hidden").await;
    let other = bob.posts("still here").await;
    let mut reader = Firehose::from(&stack.relay, 0).await;
    reader.commit_with(&ada.did, &post.rev).await;
    let mut reader = Firehose::from(&stack.relay, 0).await;
    reader.commit_with(&bob.did, &other.rev).await;

    let admin = |action: &str| {
        let request = stack
            .http
            .post(format!("{}/admin/repo/{action}", stack.relay));
        request
            .basic_auth("admin", Some(&stack.admin_password))
            .json(&serde_json::json!({ "did": ada.did }))
            .send()
    };
    assert!(admin("takeDown").await.unwrap().status().is_success());
    let frames = Firehose::replay(&stack.relay, 0).await;
    assert!(
        !frames
            .iter()
            .any(|seen| seen.did == ada.did && seen.kind == "#commit")
    );
    assert!(
        frames
            .iter()
            .any(|seen| seen.did == bob.did && seen.kind == "#commit")
    );
    let refused = stack
        .get(
            &stack.relay,
            &format!("/xrpc/com.atproto.sync.getLatestCommit?did={}", ada.did),
        )
        .await
        .unwrap_err();
    assert_eq!(refused.name, "RepoTakendown");

    assert!(
        admin("reverseTakedown")
            .await
            .unwrap()
            .status()
            .is_success()
    );
    let frames = Firehose::replay(&stack.relay, 0).await;
    assert!(
        frames
            .iter()
            .any(|seen| seen.did == ada.did && seen.kind == "#commit")
    );
}
