//! One entry function per fuzz target: what may never happen, whatever the bytes.
//!
//! Each asserts more than the absence of a panic: two ways to read the same bytes agree, and what
//! was accepted can be written and read again. `protocol/tests/fuzz_corpus.rs` runs the same
//! functions over the stored corpus with the ordinary compiler.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a target reports what it finds by panicking"
)]

mod mst_edits;

use std::collections::HashMap;

use bytes::Bytes;
use rochdale_protocol::crypto::PublicKey;
use rochdale_protocol::data::cbor::{self, Decoder};
use rochdale_protocol::data::{self, Cid, Codec, Link, blob, json};
use rochdale_protocol::plc::{
    ChainEntry, DidDocument, Limits, Operation, check_limits, validate_next,
};
use rochdale_protocol::repo::car::{self, CarError, StreamLimits, StreamReader};
use rochdale_protocol::repo::invert::invert;
use rochdale_protocol::repo::{Action, BlockMap, BlockSource, RepoOp, SourceError, Tree};
use rochdale_protocol::sync::{
    self, Event, Frame, FrameTemplate, check_commit_leniently, check_sync,
};
use rochdale_protocol::syntax::Did;
use rochdale_protocol::xrpc::service_auth;

pub use mst_edits::mst_edits;

/// 2026-11-24, so that revisions of recorded frames lie in the past.
const NOW_US: u64 = 1_795_500_000_000_000;

/// DAG-CBOR: what is accepted is canonical, and every reader agrees.
pub fn cbor(bytes: &[u8]) {
    let mut decoder = Decoder::new(bytes);
    let skipped = decoder.skip().and_then(|_| decoder.finish());
    let mut transcoded = Vec::new();
    let written = json::write_cbor(bytes, &mut transcoded);
    assert_eq!(written, skipped);
    let value = match cbor::decode(bytes) {
        Ok(value) => value,
        Err(error) => return assert_eq!(skipped, Err(error)),
    };
    assert_eq!(skipped, Ok(()));
    assert_eq!(cbor::encode(&value), bytes);
    blob::find(&value);
    blob::find_legacy(&value);
    let text = json::to_string(&value);
    assert_eq!(serde_json::to_string(&value).unwrap(), text);
    assert_eq!(transcoded, text.as_bytes());
    if let Ok(checked) = data::check_record(&value) {
        assert_eq!(checked, bytes);
        assert_eq!(json::parse(text.as_bytes()).as_ref(), Ok(&value));
    }
}

/// The JSON form: never laxer than a general reader, and accepted values read back.
pub fn json(bytes: &[u8]) {
    let Ok(value) = json::parse(bytes) else {
        return;
    };
    serde_json::from_slice::<&serde_json::value::RawValue>(bytes).expect("well-formed JSON");
    let text = json::to_string(&value);
    assert_eq!(json::parse(text.as_bytes()).as_ref(), Ok(&value));
    let encoded = cbor::encode(&value);
    assert_eq!(cbor::decode(&encoded), Ok(value.clone()));
    if let Ok(checked) = data::check_record(&value) {
        assert_eq!(checked, encoded);
    }
}

/// CAR files: the reader of a whole file and the reader of pieces agree.
pub fn car(bytes: &[u8]) {
    let file = Bytes::copy_from_slice(bytes);
    let whole = read_whole(bytes);
    assert_eq!(car::read(&file, MAX_BLOCK_BYTES).is_ok(), whole.is_ok());
    for piece_bytes in [1, 7, 1 << 20] {
        let pieces = read_pieces(bytes, piece_bytes);
        match (&whole, &pieces) {
            (Ok(whole), Ok(pieces)) => assert_eq!(whole, pieces),
            (whole, pieces) => assert_eq!(whole.is_err(), pieces.is_err()),
        }
    }
}

const MAX_BLOCK_BYTES: usize = 1 << 16;

type Blocks = Vec<(Option<Cid>, Vec<u8>)>;

fn read_whole(bytes: &[u8]) -> Result<Blocks, CarError> {
    let mut reader = car::Reader::new(bytes, MAX_BLOCK_BYTES)?;
    let mut blocks = Vec::new();
    while let Some(block) = reader.next_block()? {
        blocks.push((block.cid, block.bytes.to_vec()));
    }
    Ok(blocks)
}

fn read_pieces(bytes: &[u8], piece_bytes: usize) -> Result<Blocks, CarError> {
    let limits = StreamLimits {
        block_bytes: MAX_BLOCK_BYTES,
        total_bytes: bytes.len() as u64,
    };
    let mut reader = StreamReader::new(limits);
    let mut blocks = Vec::new();
    for piece in bytes.chunks(piece_bytes) {
        reader.feed(piece)?;
        while let Some((cid, block)) = reader.next_block()? {
            blocks.push((cid, block.to_vec()));
        }
    }
    reader.finish()?;
    Ok(blocks)
}

/// Event frames: a glance, a full reading and a changed sequence number agree.
pub fn frame(bytes: &[u8]) {
    let frame = Bytes::copy_from_slice(bytes);
    let peeked = sync::peek(bytes);
    let decoded = sync::decode_frame(&frame);
    if let Ok(Frame::Message { seq, event }) = &decoded {
        let peeked = peeked.expect("what can be read can be glanced at");
        assert_eq!(peeked.seq, Some(*seq));
        assert_eq!(peeked.did, Some(event.did().as_str()));
        for number in [1, 23, 24, 70_000, sync::MAX_SEQ] {
            let changed = FrameTemplate::from_frame(frame.clone())
                .unwrap()
                .with_seq(number);
            let expected = Frame::Message {
                seq: number,
                event: event.clone(),
            };
            assert_eq!(sync::decode_frame(&changed).unwrap(), expected);
        }
        let written = event.template().with_seq(*seq);
        let again = sync::decode_frame(&written).unwrap();
        assert!(matches!(again, Frame::Message { .. }));
        match event {
            Event::Commit(commit) => {
                let _ = check_commit_leniently(commit, NOW_US);
            }
            Event::Sync(sync) => {
                let _ = check_sync(sync, NOW_US);
            }
            Event::Identity(_) | Event::Account(_) => {}
        }
    } else if let Ok(template) = FrameTemplate::from_frame(frame) {
        let _ = template.with_seq(1);
    }
}

/// Blocks that answer to whatever CID asks, so that hostile trees need no hashes: the last byte of
/// a CID says which block it means.
struct Forged(Vec<Bytes>);

impl BlockSource for Forged {
    fn block(&self, cid: &Cid) -> Result<Option<Bytes>, SourceError> {
        let index = cid.digest().last().copied().unwrap_or_default();
        Ok(self.0.get(usize::from(index)).cloned())
    }
}

/// The most leaves or changes looked at per input.
const MAX_STEPS: usize = 2_000;

/// Merkle search trees: hostile nodes end in an error, and reading never changes a root.
///
/// The input is nodes, each after its length in two bytes; the first is the root.
pub fn mst(bytes: &[u8]) {
    let nodes = split(bytes);
    let keys = [
        "com.example.a/a",
        "com.example.b/3jzfcijpj2z2a",
        "com.example.record/self",
    ];
    let root = Cid::from_digest(Codec::DagCbor, [0; 32]);
    hostile_tree(&Forged(nodes.clone()), root, &keys);

    let honest: BlockMap = nodes
        .iter()
        .map(|node| (Cid::dag_cbor(node), node.clone()))
        .collect();
    let Some(root) = nodes.first().map(|node| Cid::dag_cbor(node)) else {
        return;
    };
    let after = hostile_tree(&honest, root, &keys);
    // All edits were undone or failed, and a failure falls back to the root last committed.
    assert!(after.is_none_or(|after| after == root));
    let ops = keys.iter().enumerate().map(|(index, key)| RepoOp {
        action: [Action::Create, Action::Update, Action::Delete][index % 3],
        path: key.parse().unwrap(),
        cid: (index % 3 < 2).then(|| Cid::raw(b"after")),
        prev: (index % 3 > 0).then(|| Cid::raw(b"before")),
    });
    let _ = invert(&honest, root, &ops.collect::<Vec<_>>());
}

/// Reads and edits a tree, and answers its root if every edit should have been undone.
fn hostile_tree<S: BlockSource>(source: &S, root: Cid, keys: &[&str]) -> Option<Cid> {
    let mut tree = Tree::load(root);
    let leaves: Vec<_> = tree.walk(source, b"").take(MAX_STEPS).collect();
    let found: HashMap<&[u8], &Link> = leaves
        .iter()
        .flatten()
        .map(|(key, value)| (&**key, value))
        .collect();
    let ordered = leaves
        .iter()
        .flatten()
        .map(|(key, _)| key)
        .is_sorted_by(|a, b| a < b);
    assert!(ordered, "a walk is in order");
    let complete = leaves.len() < MAX_STEPS && leaves.iter().all(Result::is_ok);
    for key in keys.iter().map(|key| key.as_bytes()) {
        if let Ok(value) = tree.get(source, key)
            && complete
        {
            assert_eq!(value.as_ref(), found.get(key).copied());
        }
    }
    let wanted: Vec<&[u8]> = keys.iter().map(|key| key.as_bytes()).collect();
    let _ = tree.proof(source, &wanted);
    let before = tree.clone();
    assert_eq!(tree.root(), root, "reading changes nothing");
    for key in &wanted {
        let _ = tree.insert(source, key, Cid::raw(b"new").into());
        let _ = tree.update(source, key, Cid::raw(b"other").into());
        tree.root();
        tree.diff(source, &before).take(MAX_STEPS).for_each(drop);
        let _ = tree.remove(source, key);
    }
    let absent = wanted.iter().all(|key| !found.contains_key(key));
    let after = tree.commit_nodes().root;
    (complete && absent).then_some(after)
}

/// Splits the input into at most 256 blocks, each after its length in two bytes.
fn split(mut rest: &[u8]) -> Vec<Bytes> {
    let mut blocks = Vec::new();
    while let [high, low, after @ ..] = rest
        && blocks.len() < 256
    {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(after.len());
        let (block, after) = after.split_at(length);
        blocks.push(Bytes::copy_from_slice(block));
        rest = after;
    }
    blocks
}

/// did:plc operations and logs of them: accepted ones have one form in JSON and in CBOR.
pub fn plc_operation(bytes: &[u8]) {
    if let Ok(operation) = Operation::from_cbor(bytes) {
        assert_eq!(operation.to_cbor(), bytes);
        check_operation(&operation);
    }
    if let Ok(operation) = Operation::from_json(bytes) {
        check_operation(&operation);
    }
    if let Ok(entries) = serde_json::from_slice::<Vec<LogEntry<'_>>>(bytes) {
        replay(&entries);
    }
}

fn check_operation(operation: &Operation) {
    let json = operation.to_json();
    assert_eq!(&Operation::from_json(json.as_bytes()).unwrap(), operation);
    let encoded = operation.to_cbor();
    // An operation too large or too deep for the data model is written but not read.
    if let Ok(again) = Operation::from_cbor(&encoded) {
        assert_eq!(&again, operation);
    }
    let did = operation.founded_did();
    assert!(did.is_plc());
    for limits in [Limits::strict_submit(), Limits::lenient_ingest()] {
        let _ = check_limits(operation, &limits);
    }
    let _ = validate_next(&did, &[], operation, 0);
    if let Some(data) = operation.data(&did) {
        let document = DidDocument::render(&data);
        serde_json::from_str::<serde_json::Value>(&document).unwrap();
        let _ = DidDocument::parse(document.as_bytes(), &did);
    }
}

/// One line of an audit log, as far as it is needed here.
struct LogEntry<'a> {
    operation: &'a serde_json::value::RawValue,
}

impl<'de: 'a, 'a> serde::Deserialize<'de> for LogEntry<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = HashMap::<&str, &serde_json::value::RawValue>::deserialize(deserializer)?;
        let operation = fields.get("operation").copied();
        let operation = operation.ok_or_else(|| serde::de::Error::missing_field("operation"))?;
        Ok(Self { operation })
    }
}

/// Puts the operations of a log after each other, a second apart.
fn replay(entries: &[LogEntry<'_>]) {
    let mut chain: Vec<ChainEntry> = Vec::new();
    let mut did = None;
    for (index, entry) in entries.iter().take(64).enumerate() {
        let Ok(operation) = Operation::from_json(entry.operation.get().as_bytes()) else {
            return;
        };
        check_operation(&operation);
        let did = did.get_or_insert_with(|| operation.founded_did());
        let created_at_ms = index as i64 * 1000;
        let Ok(accepted) = validate_next(did, &chain, &operation, created_at_ms) else {
            continue;
        };
        chain.drain(accepted.nullifies);
        chain.push(ChainEntry {
            cid: operation.cid(),
            operation,
            created_at_ms,
            signer_key: accepted.signer_key,
        });
    }
}

/// DID documents, of whatever DID they name.
pub fn did_document(bytes: &[u8]) {
    let named = serde_json::from_slice::<serde_json::Value>(bytes).ok();
    let named = named
        .as_ref()
        .and_then(|document| document.get("id")?.as_str()?.parse().ok());
    let did: Did = named.unwrap_or_else(|| "did:web:example.com".parse().unwrap());
    let Ok(document) = DidDocument::parse(bytes, &did) else {
        return;
    };
    assert_eq!(document.did(), &did);
    assert_eq!(document.json().as_bytes(), bytes);
    let _ = document.key("#atproto_label");
    let _ = document.service("#atproto_pds");
    if let Some(origin) = document.pds() {
        assert!(origin.starts_with("http") && !origin.ends_with('/'));
    }
    if let Some(key) = document.signing_key() {
        assert_eq!(PublicKey::from_did_key(&key.to_did_key()).as_ref(), Ok(key));
    }
}

/// Service-auth tokens.
pub fn jwt(bytes: &[u8]) {
    let Ok(token) = std::str::from_utf8(bytes) else {
        return;
    };
    let Ok(unverified) = service_auth::parse(token) else {
        return;
    };
    assert_eq!(unverified.issuer().as_str(), unverified.claims().iss);
    for now in [i64::MIN, 0, 1_795_500_000, i64::MAX] {
        let expected = service_auth::Expected {
            audiences: &["did:web:example.com"],
            method: Some("com.example.method"),
            method_required: true,
            now,
        };
        let _ = unverified.check_claims(&expected);
    }
    for key in KEYS {
        let _ = unverified.verify(&PublicKey::from_did_key(key).unwrap());
    }
}

/// A key of each curve, from the public examples of the did:key method.
const KEYS: [&str; 2] = [
    "did:key:zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme",
    "did:key:zDnaerx9CtbPJ1q36T5Ln5wYt3MQYeGRG5ehnPAmxcf5mDZpv",
];
