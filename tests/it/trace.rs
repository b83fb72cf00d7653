//! Durability by a system-call trace: between a write's request and its answer an `fdatasync`
//! has ended.

use std::time::Duration;

use rochdale_testing::{Member, Stack, Strace};

use crate::BINARY;

/// One line of the trace that matters here.
#[derive(Debug, PartialEq, Eq)]
enum Call {
    Request,
    SyncDone,
    Answer,
}

/// Reads `strace -f -s 96` output in the order in which calls ended.
fn calls(trace: &str, request: &str) -> Vec<Call> {
    trace
        .lines()
        .filter_map(|line| {
            if line.contains("fdatasync") || line.contains("fsync") {
                // "unfinished" lines are only the beginning of the call.
                (!line.contains("unfinished") && line.contains("= 0")).then_some(Call::SyncDone)
            } else if line.contains(request) {
                Some(Call::Request)
            } else if line.contains("HTTP/1.1 200") {
                Some(Call::Answer)
            } else {
                None
            }
        })
        .collect()
}

fn every_answer_has_a_sync_since_its_request(calls: &[Call]) -> usize {
    let (mut open, mut synced, mut answers) = (false, false, 0);
    for call in calls {
        match call {
            Call::Request => (open, synced) = (true, false),
            Call::SyncDone => synced = true,
            Call::Answer if open => {
                assert!(synced, "an answer left before any sync had ended");
                (open, answers) = (false, answers + 1);
            }
            Call::Answer => {}
        }
    }
    answers
}

/// Between the last answer and the end of the trace: its write call ends a little later.
const LAST_CALLS: Duration = Duration::from_millis(300);

fn trace(stack: &Stack) -> Strace {
    Strace::record(
        stack,
        "fdatasync,fsync,read,recvfrom,write,writev,sendto,sendmsg",
    )
}

async fn finish(trace: Strace) -> String {
    tokio::time::sleep(LAST_CALLS).await;
    trace.finish()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_is_synced_before_it_is_acknowledged() {
    let stack = Stack::start(BINARY);
    let ada = stack.member("ada").await;
    let trace = trace(&stack);
    for n in 0..20 {
        ada.posts(&format!("durable {n}")).await;
    }
    let trace = finish(trace).await;
    let answers = every_answer_has_a_sync_since_its_request(&calls(
        &trace,
        "POST /xrpc/com.atproto.repo.createRecord",
    ));
    assert_eq!(answers, 20, "the trace shows each write");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_identity_operation_is_synced_before_it_is_acknowledged() {
    let stack = Stack::start(BINARY);
    let trace = trace(&stack);
    for name in ["ada", "bob", "cyd"] {
        stack.member(name).await;
    }
    let trace = finish(trace).await;
    let answers = every_answer_has_a_sync_since_its_request(&calls(&trace, "POST /did"));
    assert_eq!(answers, 3, "the trace shows each operation");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_relay_syncs_an_event_before_it_sends_it_on() {
    let stack = Stack::start(BINARY);
    let ada: Member = stack.member("ada").await;
    let mut reader = rochdale_testing::Firehose::live(&stack.relay).await;
    let trace = trace(&stack);
    for n in 0..10 {
        ada.posts(&format!("relayed {n}")).await;
        reader.next_commit_of(&ada.did).await;
    }
    let trace = finish(trace).await;
    // Each post costs one sync of the PDS and one of the relay's log before the reader sees it.
    let syncs = calls(&trace, "POST /xrpc/com.atproto.repo.createRecord")
        .iter()
        .filter(|call| **call == Call::SyncDone)
        .count();
    assert!(
        syncs >= 20,
        "only {syncs} syncs for 10 posts through PDS and relay"
    );
}
