mod interop;

use super::*;
use crate::crypto::{Curve, SigningKey};
use crate::data::cbor::Encoder;
use crate::data::{Link, Value};
use crate::repo::car::Writer;
use crate::repo::{Action, NoBlocks, Tree, UnsignedCommit};

const NOW_US: u64 = 1_700_000_000_000_000;

fn did() -> Did {
    "did:plc:44ybard66vv44zksje25o7dz".parse().unwrap()
}

fn time() -> Datetime {
    Datetime::from_unix_ms(1_700_000_000_000)
}

fn key() -> SigningKey {
    SigningKey::from_bytes(Curve::K256, &[7; 32]).unwrap()
}

fn record(text: &str) -> (Cid, Vec<u8>) {
    let mut out = Encoder::new();
    out.map(1).text("text").text(text);
    let block = out.into_bytes();
    (Cid::dag_cbor(&block), block)
}

/// A repository that writes commits.
struct Host {
    tree: Tree,
    rev: Option<Tid>,
}

enum Write<'a> {
    Create(&'a str, &'a str),
    /// Creates a record of these bytes.
    Raw(&'a str, Vec<u8>),
    Update(&'a str, &'a str),
    Delete(&'a str),
}

impl Host {
    fn new() -> Self {
        Self {
            tree: Tree::empty(),
            rev: None,
        }
    }

    fn with_records(count: usize) -> Self {
        let mut host = Self::new();
        for i in 0..count {
            let (cid, _) = record(&i.to_string());
            let key = format!("com.example.record/{i:05}");
            host.tree
                .insert(&NoBlocks, key.as_bytes(), cid.into())
                .unwrap();
        }
        host.rev = Some(Tid::next(None, NOW_US - 1_000_000, 1));
        host
    }

    fn commit(&mut self, writes: &[Write<'_>]) -> CommitEvent {
        let before = self.tree.root();
        let (mut ops, mut records) = (Vec::new(), Vec::new());
        for write in writes {
            let (action, path, new) = match write {
                Write::Create(path, text) => (Action::Create, path, Some(record(text))),
                Write::Raw(path, block) => (
                    Action::Create,
                    path,
                    Some((Cid::dag_cbor(block), block.clone())),
                ),
                Write::Update(path, text) => (Action::Update, path, Some(record(text))),
                Write::Delete(path) => (Action::Delete, path, None),
            };
            let cid = new.as_ref().map(|new| new.0);
            let key = path.as_bytes();
            let prev = match (action, cid) {
                (Action::Create, Some(cid)) => self.tree.insert(&NoBlocks, key, cid.into()),
                (Action::Update, Some(cid)) => self.tree.update(&NoBlocks, key, cid.into()),
                _ => self.tree.remove(&NoBlocks, key),
            };
            let prev = prev.unwrap().and_then(|link| link.as_cid());
            ops.push(RepoOp {
                action,
                path: path.parse().unwrap(),
                cid,
                prev,
            });
            records.extend(new);
        }
        let rev = Tid::next(self.rev, NOW_US, 1);
        let keys: Vec<String> = ops.iter().map(|op| op.path.to_string()).collect();
        let keys: Vec<&[u8]> = keys.iter().map(|key| key.as_bytes()).collect();
        let proof = self.tree.proof(&NoBlocks, &keys).unwrap();
        let commit = UnsignedCommit {
            did: did(),
            rev,
            data: self.tree.root(),
        }
        .sign(&key());
        let mut car = Writer::new(&[commit.cid()]);
        car.block(&commit.cid(), &commit.encode());
        for (cid, block) in &proof {
            car.block(cid, block);
        }
        for (cid, block) in &records {
            car.block(cid, block);
        }
        let since = self.rev.replace(rev);
        CommitEvent {
            repo: did(),
            rev,
            since,
            commit: commit.cid(),
            prev_data: since.is_some().then_some(before),
            blocks: car.into_bytes().into(),
            ops,
            time: time(),
            too_big: false,
            rebase: false,
        }
    }
}

const NEW: &str = "com.example.record/00100x";

#[test]
fn every_kind_of_event_survives_its_frame() {
    let events = [
        Event::Commit(Host::new().commit(&[Write::Create(NEW, "hello")])),
        Event::Commit(Host::with_records(50).commit(&[
            Write::Create(NEW, "hello"),
            Write::Update("com.example.record/00007", "new"),
            Write::Delete("com.example.record/00008"),
        ])),
        Event::Sync(SyncEvent {
            did: did(),
            rev: Tid::next(None, NOW_US, 1),
            blocks: Bytes::from_static(b"blocks"),
            time: time(),
        }),
        Event::Identity(IdentityEvent {
            did: did(),
            handle: None,
            time: time(),
        }),
        Event::Identity(IdentityEvent {
            did: did(),
            handle: Some("alice.example.com".parse().unwrap()),
            time: time(),
        }),
        Event::Account(AccountEvent {
            did: did(),
            active: true,
            status: None,
            time: time(),
        }),
        Event::Account(AccountEvent {
            did: did(),
            active: false,
            status: Some("takendown".to_owned()),
            time: time(),
        }),
    ];
    for event in events {
        let template = event.template();
        for seq in [1, 23, 24, 255, 256, 65_536, 1 << 32, MAX_SEQ] {
            let frame = template.with_seq(seq);
            let message = Frame::Message {
                seq,
                event: event.clone(),
            };
            assert_eq!(decode_frame(&frame).unwrap(), message);
            let peeked = peek(&frame).unwrap();
            assert_eq!(peeked.t, Some(event.kind()));
            assert_eq!((peeked.seq, peeked.did), (Some(seq), Some(did().as_str())));
            let again = FrameTemplate::from_frame(frame.clone()).unwrap();
            assert_eq!(again.with_seq(seq), frame);
            assert_eq!(again.with_seq(7), template.with_seq(7));
        }
        let stored = FrameTemplate::from_frame(template.as_bytes().clone()).unwrap();
        assert_eq!(stored.with_seq(99), template.with_seq(99));
    }
}

#[test]
fn info_and_error_frames_have_no_sequence_number() {
    let info = info_frame("OutdatedCursor", Some("too old"));
    let expected = InfoEvent {
        name: "OutdatedCursor".into(),
        message: Some("too old".into()),
    };
    assert_eq!(decode_frame(&info).unwrap(), Frame::Info(expected));
    let error = error_frame("FutureCursor", None);
    let expected = Frame::Error {
        name: "FutureCursor".into(),
        message: None,
    };
    assert_eq!(decode_frame(&error).unwrap(), expected);
    assert_eq!(peek(&error).unwrap().t, None);
    assert!(FrameTemplate::from_frame(error).is_err());
}

#[test]
fn a_replaced_number_leaves_unknown_fields_alone() {
    let frame = |seq: i64| {
        let mut out = Encoder::new();
        out.map(2).text("t").text("#future").text("op").int(1);
        out.map(3)
            .text("seq")
            .int(seq)
            .text("when")
            .null()
            .text("extra")
            .int(3);
        Bytes::from(out.into_bytes())
    };
    let template = FrameTemplate::from_frame(frame(70_000)).unwrap();
    assert_eq!(template.with_seq(5), frame(5));
    assert_eq!(
        decode_frame(&frame(5)).unwrap(),
        Frame::Unknown {
            t: "#future".into()
        }
    );
}

#[test]
fn a_sound_commit_passes_every_check() {
    let mut host = Host::with_records(300);
    for writes in [
        &[][..],
        &[Write::Create(NEW, "hello")],
        &[
            Write::Update(NEW, "other"),
            Write::Delete("com.example.record/00010"),
        ],
        &[Write::Delete(NEW)],
    ] {
        let event = host.commit(writes);
        let checked = check_commit(&event, NOW_US).unwrap();
        assert_eq!(checked.prev_data, event.prev_data);
        checked.verify(key().public()).unwrap();
        let stranger = SigningKey::from_bytes(Curve::K256, &[8; 32]).unwrap();
        let refused = checked.verify(stranger.public()).unwrap_err();
        assert_eq!(refused.reason(), "signature");
    }
}

#[test]
fn a_first_commit_needs_no_root_before_it() {
    let event = Host::new().commit(&[Write::Create(NEW, "hello")]);
    assert_eq!(event.prev_data, None);
    assert_eq!(check_commit(&event, NOW_US).unwrap().prev_data, None);
    let mut host = Host::with_records(20);
    let mut event = host.commit(&[Write::Create(NEW, "hello")]);
    event.prev_data = None;
    assert_eq!(
        check_commit(&event, NOW_US).unwrap_err().reason(),
        "prev_data_missing"
    );
}

#[test]
fn deleting_the_last_record_leads_to_the_empty_root() {
    let mut host = Host::new();
    host.commit(&[Write::Create(NEW, "hello")]);
    let event = host.commit(&[Write::Delete(NEW)]);
    let checked = check_commit(&event, NOW_US).unwrap();
    assert_eq!(checked.data, crate::repo::mst::empty_root());
}

/// The reason a changed event is refused for.
fn refused(change: impl FnOnce(&mut CommitEvent)) -> &'static str {
    let mut event = Host::with_records(40).commit(&[
        Write::Create(NEW, "hello"),
        Write::Update("com.example.record/00007", "new"),
        Write::Delete("com.example.record/00008"),
    ]);
    change(&mut event);
    check_commit(&event, NOW_US).unwrap_err().reason()
}

#[test]
fn each_rule_on_the_blocks_is_enforced_under_its_own_name() {
    let other = record("other").0;
    let bare = Writer::new(&[]).into_bytes();
    let rootless = Writer::new(&[other]).into_bytes();
    let blocks = |blocks: Vec<u8>| refused(|event| event.blocks = blocks.into());
    assert_eq!(blocks(vec![0; 2_000_001]), "blocks_too_large");
    assert_eq!(blocks(Vec::new()), "no_blocks");
    assert_eq!(blocks(bare), "no_root");
    assert_eq!(blocks(rootless), "commit_missing");
    assert_eq!(refused(|event| event.blocks.truncate(300)), "car");
    for (block, reason) in [
        (vec![0x80], "record_malformed"),
        (
            vec![0xa1, 0x61, b'a', 0xfb, 0, 0, 0, 0, 0, 0, 0, 0],
            "record_malformed",
        ),
        (vec![0; 1_000_001], "record_too_large"),
    ] {
        let event = Host::with_records(9).commit(&[Write::Raw(NEW, block)]);
        assert_eq!(check_commit(&event, NOW_US).unwrap_err().reason(), reason);
    }
}

#[test]
fn each_rule_on_the_commit_is_enforced_under_its_own_name() {
    let rev = |us| Tid::next(None, us, 1);
    let stranger: Did = "did:plc:aaaa".parse().unwrap();
    let other = record("other").0;
    assert_eq!(
        refused(|event| event.rev = rev(NOW_US + 360_000_000)),
        "rev_in_future"
    );
    assert_eq!(
        refused(|event| event.rev = rev(NOW_US + 240_000_000)),
        "rev_mismatch"
    );
    assert_eq!(refused(|event| event.repo = stranger), "did_mismatch");
    assert_eq!(refused(|event| event.commit = other), "root_mismatch");
    assert_eq!(refused(|event| event.rebase = true), "rebase");
    assert_eq!(
        refused(|event| event.prev_data = Some(other)),
        "prev_data_mismatch"
    );
    assert_eq!(refused(|event| event.prev_data = None), "prev_data_missing");
}

#[test]
fn each_rule_on_operations_is_enforced_under_its_own_name() {
    let other = record("other").0;
    let ops = |change: &dyn Fn(&mut Vec<RepoOp>)| refused(|event| change(&mut event.ops));
    assert_eq!(ops(&|ops| *ops = vec![ops[0].clone(); 201]), "too_many_ops");
    assert_eq!(ops(&|ops| ops[0].prev = Some(other)), "op_shape");
    assert_eq!(ops(&|ops| ops[0].cid = None), "op_shape");
    assert_eq!(ops(&|ops| ops[2].cid = Some(other)), "op_shape");
    assert_eq!(ops(&|ops| ops[1].prev = None), "op_prev_missing");
    assert_eq!(ops(&|ops| ops[2].prev = None), "op_prev_missing");
    assert_eq!(ops(&|ops| ops.push(ops[0].clone())), "duplicate_path");
    assert_eq!(ops(&|ops| ops[0].cid = Some(other)), "record_missing");
    assert_eq!(ops(&|ops| ops[1].prev = Some(other)), "prev_data_mismatch");
    assert_eq!(ops(&|ops| drop(ops.remove(1))), "prev_data_mismatch");
    let incomplete = refused(|event| {
        event.ops[0].cid = Some(other);
        event.too_big = true;
    });
    assert_eq!(incomplete, "too_big");
    let wrong = check_commit(&event_op_swapped(), NOW_US).unwrap_err();
    assert_eq!(wrong.reason(), "inversion");
}

/// A create that names the record of another operation.
fn event_op_swapped() -> CommitEvent {
    let mut event = Host::with_records(40).commit(&[
        Write::Create(NEW, "hello"),
        Write::Update("com.example.record/00007", "new"),
    ]);
    event.ops[0].cid = event.ops[1].cid;
    event
}

#[test]
fn a_commit_at_its_limits_passes() {
    let path = |i: usize| format!("com.example.other/{i:05}");
    let paths: Vec<String> = (0..MAX_OPS).map(path).collect();
    let writes: Vec<Write<'_>> = paths.iter().map(|path| Write::Create(path, path)).collect();
    let event = Host::with_records(400).commit(&writes);
    check_commit(&event, NOW_US).unwrap();
    let frame = event.template().with_seq(1);
    assert!(matches!(
        decode_frame(&frame).unwrap(),
        Frame::Message { .. }
    ));
    let mut out = Encoder::new();
    out.map(1).text("a").bytes(&[0; MAX_RECORD_BYTES - 8]);
    assert_eq!(out.position(), MAX_RECORD_BYTES);
    let event = Host::with_records(9).commit(&[Write::Raw(NEW, out.into_bytes())]);
    check_commit(&event, NOW_US).unwrap();
}

#[test]
fn a_commit_marked_too_big_passes_when_nothing_is_missing() {
    let mut event = Host::with_records(40).commit(&[Write::Create(NEW, "hello")]);
    event.too_big = true;
    check_commit(&event, NOW_US).unwrap();
}

#[test]
fn an_old_host_is_forgiven_what_it_cannot_know() {
    let mut event =
        Host::with_records(40).commit(&[Write::Update("com.example.record/00007", "a")]);
    event.ops[0].prev = None;
    event.prev_data = None;
    let checked = check_commit_leniently(&event, NOW_US).unwrap();
    assert_eq!(checked.weakness.unwrap().reason(), "op_prev_missing");
    event.commit = record("other").0;
    assert!(check_commit_leniently(&event, NOW_US).is_err());
}

#[test]
fn a_sync_is_checked_against_its_commit() {
    let commit = Host::with_records(9).commit(&[]);
    let car = crate::repo::car::read(&commit.blocks, 10_000).unwrap();
    let block = &car.blocks[&commit.commit];
    let mut file = Writer::new(&[commit.commit]);
    file.block(&commit.commit, block);
    let event = SyncEvent {
        did: did(),
        rev: commit.rev,
        blocks: file.into_bytes().into(),
        time: time(),
    };
    let checked = check_sync(&event, NOW_US).unwrap();
    assert_eq!(checked.commit_cid, commit.commit);
    checked.verify(key().public()).unwrap();
    let refused = |event: SyncEvent| check_sync(&event, NOW_US).unwrap_err().reason();
    let stranger = "did:plc:aaaa".parse().unwrap();
    assert_eq!(
        refused(SyncEvent {
            did: stranger,
            ..event.clone()
        }),
        "did_mismatch"
    );
    assert_eq!(
        refused(SyncEvent {
            blocks: vec![0; 10_001].into(),
            ..event.clone()
        }),
        "blocks_too_large"
    );
    let rev = Tid::next(Some(event.rev), NOW_US, 1);
    assert_eq!(refused(SyncEvent { rev, ..event }), "rev_mismatch");
}

/// A frame with a header of the caller's and the payload of an `#identity`.
fn framed(header: impl FnOnce(&mut Encoder), tail: &[u8]) -> Bytes {
    let mut out = Encoder::new();
    header(&mut out);
    out.map(3)
        .text("did")
        .text(did().as_str())
        .text("seq")
        .int(5)
        .text("time");
    out.text(time().as_str()).raw(tail);
    out.into_bytes().into()
}

#[test]
fn broken_framing_costs_the_connection_and_a_bad_event_only_the_event() {
    let good = |out: &mut Encoder| {
        out.map(2).text("t").text("#identity").text("op").int(1);
    };
    assert!(decode_frame(&framed(good, b"")).is_ok());
    let drops = |frame: Bytes| decode_frame(&frame).unwrap_err().drops_connection();
    assert!(drops(framed(good, b"\x00")));
    assert!(drops(framed(
        |out| {
            out.map(2).text("t").text("#identity").text("op").int(2);
        },
        b""
    )));
    assert!(drops(framed(
        |out| {
            out.map(1).text("op").int(1);
        },
        b""
    )));
    assert!(drops(vec![0; MAX_FRAME_BYTES + 1].into()));
    assert!(drops(Bytes::from_static(b"\xff")));
    let identity = IdentityEvent {
        did: did(),
        handle: None,
        time: time(),
    }
    .template();
    assert!(drops(identity.with_seq(0)));
    assert!(drops(identity.with_seq(1 << 53)));

    let mut out = Encoder::new();
    good(&mut out);
    out.map(3)
        .text("did")
        .text("did:PLC:44ybard66vv44zksje25o7dz")
        .text("seq")
        .int(5);
    out.text("time").text(time().as_str());
    let error = decode_frame(&out.into_bytes().into()).unwrap_err();
    assert!(!error.drops_connection());
    assert!(matches!(
        error,
        FrameError::Event {
            seq: 5,
            fault: CommitFault::Did(_)
        }
    ));
}

#[test]
fn operations_are_read_strictly() {
    let faults = [
        ("wipe", NEW, "op_action"),
        ("create", "no-slash", "op_path"),
        ("create", "com.example.record/a/b", "op_path"),
    ];
    let event = Host::new().commit(&[Write::Create(NEW, "hello")]);
    let frame = event.template().with_seq(1);
    for (action, path, reason) in faults {
        let mut decoder = crate::data::cbor::Decoder::new(&frame);
        decoder.skip().unwrap();
        let head = frame.slice(..decoder.position());
        let mut payload = crate::data::cbor::decode(decoder.rest()).unwrap();
        let op = crate::data::Map::from_iter([
            ("action".to_owned(), Value::Text(action.to_owned())),
            ("path".to_owned(), Value::Text(path.to_owned())),
            ("cid".to_owned(), Value::Link(Link::Known(event.commit))),
        ]);
        let ops = Value::Array(vec![Value::Map(op)]);
        payload.as_map_mut().unwrap().insert("ops", ops);
        let bytes = [&head[..], &crate::data::cbor::encode(&payload)].concat();
        match decode_frame(&bytes.into()).unwrap_err() {
            FrameError::Event { fault, .. } => assert_eq!(fault.reason(), reason),
            other => panic!("{other}"),
        }
    }
}
