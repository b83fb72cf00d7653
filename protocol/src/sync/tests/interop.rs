//! Recorded events of the live network.

use bytes::Bytes;

use crate::data::{Value, cbor, json};
use crate::sync::{
    CommitEvent, Event, Frame, FrameTemplate, check_commit, check_commit_leniently, check_sync,
    decode_frame, peek,
};

fn read(path: &str) -> Vec<u8> {
    let root = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/fixtures/interop/indigo/"
    );
    std::fs::read(format!("{root}{path}")).unwrap()
}

fn frame(header: &Value, body: &Value) -> Bytes {
    [cbor::encode(header), cbor::encode(body)].concat().into()
}

fn message(frame: &Bytes) -> (u64, Event) {
    match decode_frame(frame).unwrap() {
        Frame::Message { seq, event } => (seq, event),
        other => panic!("{other:?}"),
    }
}

/// Checked at the moment it was made.
fn lenient(event: &CommitEvent) -> Option<&'static str> {
    let checked = check_commit_leniently(event, event.rev.micros()).unwrap();
    assert_eq!(checked.commit_cid, event.commit);
    checked.weakness.map(|fault| fault.reason())
}

#[test]
fn recorded_commits_of_before_inductive_proofs_are_sound_but_weak() {
    let header = json::parse(br##"{"op": 1, "t": "#commit"}"##).unwrap();
    let cases = [
        ("4621317030", "inversion"),
        ("4621317332", "inversion"),
        ("4621332152", "prev_data_missing"),
        ("4623075231", "prev_data_missing"),
    ];
    for (number, weakness) in cases {
        let body = json::parse(&read(&format!("repo/firehose_commit_{number}.json"))).unwrap();
        let frame = frame(&header, &body);
        let (seq, event) = message(&frame);
        assert_eq!(seq.to_string(), number);
        let Event::Commit(event) = event else {
            panic!("not a commit")
        };
        assert_eq!(lenient(&event), Some(weakness), "{number}");
    }
}

#[test]
fn the_frames_of_the_relay_scenarios_are_read() {
    let scenarios = [
        ("account_lifecycle", 4),
        ("deactivation", 8),
        ("legacy", 3),
        ("post_lifecycle", 6),
        ("post_lifecycle_legacy", 6),
        ("rev_ordering", 4),
        ("seq_ordering", 4),
    ];
    let mut frames = 0;
    for (name, count) in scenarios {
        let script = json::parse(&read(&format!("relay/{name}.json"))).unwrap();
        let strict = script.get("lenient").and_then(Value::as_bool) == Some(false);
        let messages = script.get("messages").unwrap().as_array().unwrap();
        assert_eq!(messages.len(), count, "{name}");
        for message in messages {
            frames += 1;
            let parts = message.get("frame").unwrap();
            let (header, body) = (parts.get("header").unwrap(), parts.get("body").unwrap());
            let dropped = message.get("drop").and_then(Value::as_bool) == Some(true);
            check_frame(&frame(header, body), strict, dropped);
        }
    }
    assert_eq!(frames, 35);
}

fn check_frame(frame: &Bytes, strict: bool, dropped: bool) {
    let peeked = peek(frame).unwrap();
    let (seq, event) = match decode_frame(frame) {
        Ok(Frame::Message { seq, event }) => (seq, event),
        // One scenario has a revision that is no TID, to be dropped.
        Err(error) if dropped => {
            assert!(!error.drops_connection(), "{error}");
            return;
        }
        other => panic!("{other:?}"),
    };
    assert_eq!((peeked.t, peeked.seq), (Some(event.kind()), Some(seq)));
    assert_eq!(peeked.did, Some(event.did().as_str()));
    let template = FrameTemplate::from_frame(frame.clone()).unwrap();
    assert_eq!(message(&template.with_seq(9)), (9, event.clone()));
    match &event {
        Event::Commit(commit) if strict => {
            let checked = check_commit(commit, commit.rev.micros());
            // The dropped ones carry a revision that is not the signed one.
            assert_eq!(
                checked.map_err(|fault| fault.reason()).err(),
                dropped.then_some("rev_mismatch")
            );
        }
        Event::Commit(commit) => {
            lenient(commit);
        }
        Event::Sync(sync) => {
            check_sync(sync, sync.rev.micros()).unwrap();
        }
        Event::Identity(_) | Event::Account(_) => {}
    }
}
