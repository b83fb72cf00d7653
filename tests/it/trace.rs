//! Durability and order by a system-call trace: what is on disk when something is said.

use std::collections::HashMap;
use std::time::Duration;

use rochdale_testing::{Firehose, Member, Stack, Strace};

use crate::BINARY;

/// One system call: a read or a sync when it had ended, a write when it began.
#[derive(Debug)]
struct Call {
    name: String,
    /// The file or socket, as `strace -yy` shows it.
    on: String,
    /// The line, with what was read or written.
    line: String,
}

impl Call {
    fn begun(line: &str) -> Option<Self> {
        let (name, rest) = line.split_once('(')?;
        let (_, rest) = rest.split_once('<')?;
        let end = if rest.starts_with("TCP") { "]>" } else { ">" };
        let (on, _) = rest.split_once(end)?;
        Some(Self {
            name: name.to_owned(),
            on: on.to_owned(),
            line: line.to_owned(),
        })
    }

    fn is_sync(&self) -> bool {
        matches!(self.name.as_str(), "fdatasync" | "fsync")
    }

    fn is_read(&self) -> bool {
        matches!(self.name.as_str(), "read" | "recvfrom")
    }
}

/// The calls of a trace, in their order.
fn calls(trace: &str) -> Vec<Call> {
    let mut unfinished: HashMap<&str, Call> = HashMap::new();
    let mut calls = Vec::new();
    for line in trace.lines() {
        let Some((thread, line)) = line.split_once(' ') else {
            continue;
        };
        let line = line.trim_start();
        if line.starts_with("<... ") {
            let Some(call) = unfinished.remove(thread) else {
                continue;
            };
            let line = line.to_owned();
            if !call.is_sync() || line.ends_with("= 0") {
                calls.push(Call { line, ..call });
            }
            continue;
        }
        let Some(call) = Call::begun(line) else {
            continue;
        };
        if line.ends_with("<unfinished ...>") && (call.is_sync() || call.is_read()) {
            unfinished.insert(thread, call);
        } else if !call.is_sync() || line.ends_with("= 0") {
            calls.push(call);
        }
    }
    calls
}

/// Goes through the answers to `request`; how many there were, each with a sync since it was asked.
fn synced_answers<'a>(calls: impl IntoIterator<Item = &'a Call>, request: &str) -> usize {
    let (mut open, mut synced, mut answers) = (false, false, 0);
    for call in calls {
        if call.is_sync() {
            synced = true;
        } else if call.line.contains(request) {
            (open, synced) = (true, false);
        } else if open && call.line.contains("HTTP/1.1 200") {
            assert!(synced, "an answer left before any sync had ended");
            (open, answers) = (false, answers + 1);
        }
    }
    answers
}

/// The way of an event through the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Logged,
    Synced,
    Shown,
    CursorSaved,
}

/// What the relay does for a reader at port `reader`, with a host of that name. The host's cursor is in the one table that
/// has the host's name in it and changes with every event.
fn steps(calls: &[Call], reader: u16, host: &str) -> Vec<Step> {
    let reader = format!(":{reader}");
    let step = |call: &Call| {
        let in_log = call.on.contains("/relay-log/seg-");
        if in_log && call.is_sync() {
            Some(Step::Synced)
        } else if in_log && call.name == "pwrite64" {
            Some(Step::Logged)
        } else if call.on.ends_with("/relay.sqlite-wal") && call.line.contains(host) {
            Some(Step::CursorSaved)
        } else if call.on.ends_with(&reader) && !call.is_read() {
            Some(Step::Shown)
        } else {
            None
        }
    };
    let mut steps: Vec<Step> = calls.iter().filter_map(step).collect();
    steps.dedup();
    steps
}

/// Between the last answer and the end of the trace: its write call ends a little later.
const LAST_CALLS: Duration = Duration::from_millis(300);

fn trace(stack: &Stack) -> Strace {
    let calls = "fdatasync,fsync,read,recvfrom,write,writev,sendto,sendmsg,pwrite64";
    Strace::record(stack, calls)
}

async fn finish(trace: Strace) -> Vec<Call> {
    tokio::time::sleep(LAST_CALLS).await;
    calls(&trace.finish())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_is_synced_before_it_is_acknowledged() {
    let stack = Stack::start(BINARY);
    let ada = stack.member("ada").await;
    let trace = trace(&stack);
    for n in 0..20 {
        ada.posts(&format!("durable {n}")).await;
    }
    let calls = finish(trace).await;
    let answers = synced_answers(&calls, "POST /xrpc/com.atproto.repo.createRecord");
    assert_eq!(answers, 20, "the trace shows each write");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_synced_before_its_upload_is_acknowledged() {
    let stack = Stack::start(BINARY);
    let ada = stack.member("ada").await;
    let trace = trace(&stack);
    for n in 0..10 {
        let request = ada
            .http
            .post(format!("{}/xrpc/com.atproto.repo.uploadBlob", ada.pds))
            .bearer_auth(&ada.access)
            .body(format!("durable {n}"));
        assert!(request.send().await.unwrap().status().is_success());
    }
    let calls = finish(trace).await;
    let request = "POST /xrpc/com.atproto.repo.uploadBlob";
    // The bytes under their first name, the folder with their last one, and the row.
    for place in ["/blobs/temp/", "/blobs/0", "/pds.sqlite-wal"] {
        let other = |call: &&Call| call.is_sync() && !call.on.contains(place);
        let seen = calls.iter().filter(|call| !other(call));
        assert_eq!(synced_answers(seen, request), 10, "{place}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_identity_operation_is_synced_before_it_is_acknowledged() {
    let stack = Stack::start(BINARY);
    let trace = trace(&stack);
    for name in ["ada", "bob", "cyd"] {
        stack.member(name).await;
    }
    let calls = finish(trace).await;
    let answers = synced_answers(&calls, "POST /did");
    assert_eq!(answers, 3, "the trace shows each operation");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_relay_syncs_an_event_before_it_sends_it_on() {
    /// The relay saves cursors once a second.
    const CURSOR: Duration = Duration::from_millis(2_500);
    let stack = Stack::start(BINARY);
    let ada: Member = stack.member("ada").await;
    let mut reader = Firehose::live(&stack.relay).await;
    tokio::time::sleep(CURSOR).await;
    let trace = trace(&stack);
    for n in 0..4 {
        ada.posts(&format!("relayed {n}")).await;
        reader.next_commit_of(&ada.did).await;
        tokio::time::sleep(CURSOR).await;
    }
    let calls = finish(trace).await;
    let host = stack.pds.trim_start_matches("http://");
    let way = [Step::Logged, Step::Synced, Step::Shown, Step::CursorSaved];
    assert_eq!(
        steps(&calls, reader.local_port(), host),
        [way; 4].concat(),
        "each event is in the log and synced, then shown, then done with at its host"
    );
}
