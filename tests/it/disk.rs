//! A disk that fails under the running stack: after a failed sync nothing is answered on it and the
//! process ends; a full disk refuses writes by name, and reads go on.

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::time::Duration;

use rochdale_testing::{Firehose, Member, Refused, Stack, Strace, verify_export};
use serde_json::json;

use crate::BINARY;

const SIGABRT: i32 = 6;
/// After this time without writes the databases have emptied their logs and sync nothing by themselves.
const AT_REST: Duration = Duration::from_millis(2_500);

/// The status that an attempt to post is answered with, or nothing when the connection breaks off.
async fn attempt(member: &Member, text: &str) -> Option<u16> {
    let body = json!({
        "repo": member.did, "collection": "app.bsky.feed.post", "record": Member::post(text),
    });
    let request = member
        .http
        .post(format!("{}/xrpc/com.atproto.repo.createRecord", member.pds))
        .bearer_auth(&member.access)
        .json(&body);
    Some(request.send().await.ok()?.status().as_u16())
}

/// A stack with a member whose posts are kept, and nothing left to do.
async fn stack_at_rest() -> (Stack, Member) {
    let stack = Stack::start(BINARY);
    let ada = stack.member("ada").await;
    ada.posts("before").await;
    tokio::time::sleep(AT_REST).await;
    (stack, ada)
}

/// The process aborts with `words` in its log; after a start on a good disk all is as acknowledged.
async fn aborts_and_recovers(mut stack: Stack, ada: &Member, words: &str, acknowledged: usize) {
    let status = stack.ended().await;
    assert_eq!(status.signal(), Some(SIGABRT), "{status}");
    assert!(stack.log().contains(words), "{}", stack.log());
    stack.start_again();
    let after = ada.posts("after").await;
    let texts: Vec<_> = ada.records("app.bsky.feed.post").await;
    let has = |text: &str| texts.iter().any(|post| post["value"]["text"] == text);
    assert!(has("before") && has("after"));
    assert!(texts.len() > acknowledged);
    assert_eq!(verify_export(&stack, ada).await.len(), texts.len());
    let mut reader = Firehose::from(&stack.relay, 0).await;
    reader.commit_with(&ada.did, &after.rev).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_whose_sync_failed_is_not_acknowledged_and_the_process_ends() {
    let (stack, ada) = stack_at_rest().await;
    let _disk = Strace::fail_syncs(&stack, &stack.data().join("pds.sqlite-wal"));
    let attempts = (0..8).map(|n| {
        let (ada, text) = (ada.clone(), format!("during {n}"));
        tokio::spawn(async move { attempt(&ada, &text).await })
    });
    for answer in futures::future::join_all(attempts).await {
        assert_eq!(answer.unwrap(), None, "nothing is answered");
    }
    aborts_and_recovers(stack, &ada, "a commit failed in the storage", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_identity_whose_sync_failed_is_not_acknowledged_and_the_process_ends() {
    let (stack, ada) = stack_at_rest().await;
    let _disk = Strace::fail_syncs(&stack, &stack.data().join("identity.sqlite-wal"));
    let sign_up = stack
        .http
        .post(format!(
            "{}/xrpc/com.atproto.server.createAccount",
            stack.pds
        ))
        .json(&json!({
            "handle": "bob.test", "email": "bob@coop.example", "password": Member::PASSWORD,
        }));
    assert!(sign_up.send().await.is_err(), "nothing is answered");
    aborts_and_recovers(stack, &ada, "a commit failed in the storage", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_whose_sync_failed_is_not_sent_on_and_the_process_ends() {
    let (stack, ada) = stack_at_rest().await;
    let mut reader = Firehose::live(&stack.relay).await;
    let segments: Vec<PathBuf> = std::fs::read_dir(stack.data().join("relay-log"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    let _disk = Strace::fail_syncs(&stack, segments.iter().max().unwrap());
    // The PDS has it safely, so it may say so before the relay ends the process for both.
    let answer = attempt(&ada, "during").await;
    assert!(matches!(answer, None | Some(200)), "{answer:?}");
    assert_eq!(reader.rest().await.len(), 0, "no event leaves the relay");
    let acknowledged = 1 + usize::from(answer.is_some());
    aborts_and_recovers(
        stack,
        &ada,
        "the disk failed to store the log",
        acknowledged,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_writes_by_name_and_reads_go_on() {
    let (stack, ada) = stack_at_rest().await;
    let file = |name| stack.data().join(name);
    let [pds, identity] = [file("pds.sqlite-wal"), file("identity.sqlite-wal")];
    let disk = Strace::fill_disk(&stack, &[&pds, &identity]);
    for n in 0..5 {
        let refused = ada
            .creates("app.bsky.feed.post", &Member::post(&format!("full {n}")))
            .await
            .unwrap_err();
        no_space(&refused);
        assert_eq!(ada.records("app.bsky.feed.post").await.len(), 1);
        assert_eq!(verify_export(&stack, &ada).await.len(), 1);
    }
    // The directory refuses its part in the same way, and the PDS says whose part it was.
    let refused = stack.sign_up("bob").await.unwrap_err();
    assert_eq!(
        (refused.status, refused.name.as_str()),
        (502, "UpstreamFailure")
    );
    assert!(refused.message.contains("503"), "{}", refused.message);
    assert!(stack.log().contains("the directory has no space left"));
    let did = stack.get(&stack.identity, &format!("/{}", ada.did)).await;
    assert_eq!(did.unwrap()["id"], ada.did);

    // Space again: nothing has to be started anew.
    drop(disk);
    let after = ada.posts("after").await;
    stack.member("bob").await;
    assert_eq!(ada.records("app.bsky.feed.post").await.len(), 2);
    assert_eq!(verify_export(&stack, &ada).await.len(), 2);
    for base in [&stack.pds, &stack.relay] {
        let mut reader = Firehose::from(base, 0).await;
        let before = reader.next_commit_of(&ada.did).await;
        reader.commit_with(&ada.did, &after.rev).await;
        assert!(before.rev < Some(after.rev.clone()));
    }
}

fn no_space(refused: &Refused) {
    assert_eq!(
        (refused.status, refused.name.as_str()),
        (503, "NotEnoughResources")
    );
    assert!(refused.message.contains("no space"), "{}", refused.message);
}
