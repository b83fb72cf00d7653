//! The scenarios of the reference relay (`tests/fixtures/interop/indigo/relay`), frame by frame.
//!
//! They were recorded while hosts without Sync 1.1 were still let through. This relay is strict: a commit must prove where it
//! comes from. Where that makes a difference, [`STRICTER`] names the frame and the reason.

use std::collections::BTreeMap;

use rochdale_protocol::crypto::PublicKey;
use rochdale_protocol::data::{Value, cbor, json};
use rochdale_protocol::sync::{
    CommitFault, Event, Frame, FrameTemplate, check_commit_leniently, decode_frame, peek,
};

use super::*;
use crate::hosts::Numbers;

/// Frames the reference relay passes and this one does not, by scenario.
///
/// All of them are commits from before Sync 1.1, without `prevData` or with operations that lack `prev`: where they come from
/// cannot be proven.
const STRICTER: [(&str, &[usize]); 4] = [
    ("deactivation", &[0, 4, 5, 6, 7]),
    ("legacy", &[2]),
    ("post_lifecycle_legacy", &[0, 1, 2, 3, 4, 5]),
    ("seq_ordering", &[3]),
];

const SCENARIOS: [&str; 7] = [
    "account_lifecycle",
    "deactivation",
    "legacy",
    "post_lifecycle",
    "post_lifecycle_legacy",
    "rev_ordering",
    "seq_ordering",
];

fn load(name: &str) -> Value {
    let path = format!(
        "{}/../tests/fixtures/interop/indigo/relay/{name}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    json::parse(&std::fs::read(path).expect("fixture")).expect("JSON")
}

fn field<'a>(value: &'a Value, path: &[&str]) -> &'a Value {
    path.iter().fold(value, |value, key| {
        value.get(key).unwrap_or_else(|| panic!("{path:?}"))
    })
}

fn frame(message: &Value) -> FrameTemplate {
    let mut bytes = cbor::encode(field(message, &["frame", "header"]));
    bytes.extend(cbor::encode(field(message, &["frame", "body"])));
    FrameTemplate::from_frame(bytes.into()).expect("a frame")
}

#[tokio::test]
async fn scenarios_of_the_reference_relay_are_judged_as_there_or_more_strictly() {
    let mut frames = 0;
    let mut tally: BTreeMap<String, usize> = BTreeMap::new();
    for name in SCENARIOS {
        let scenario = load(name);
        let identity = field(&scenario, &["accounts"])
            .as_array()
            .expect("accounts")[0]
            .get("identity")
            .expect("identity");
        let key = field(identity, &["keys", "atproto", "publicKeyMultibase"])
            .as_text()
            .expect("a key");
        let url = field(identity, &["services", "atproto_pds", "url"])
            .as_text()
            .expect("a URL");
        let host = HostName::of_endpoint(url, NameRules::default()).expect("a host");
        let mut world = World::new(true).await;
        let pds = world.hosts.add(host.clone(), None, 0).await.expect("host");
        world.identify(
            &PublicKey::from_multibase(key).expect("a key"),
            host.as_str(),
        );
        let mut numbers = Numbers::default();
        for (number, message) in field(&scenario, &["messages"])
            .as_array()
            .expect("messages")
            .iter()
            .enumerate()
        {
            frames += 1;
            let template = frame(message);
            let envelope = peek(template.as_bytes()).expect("an envelope");
            let kind = Kind::ALL
                .into_iter()
                .find(|kind| envelope.t == Some(format!("#{}", kind.name()).as_str()))
                .expect("a kind");
            let did: Did = envelope.did.expect("a DID").parse().expect("a DID");
            let before = world.entry.known.account.clone();
            let verdict = if numbers.take(envelope.seq.expect("a number")) {
                world
                    .offer(&pds, kind, &did, &template)
                    .await
                    .map(drop)
                    .map_err(|reason| reason.name())
            } else {
                Err("repeated_seq")
            };
            let flag = |key| field(message, &[key]).as_bool().expect("a flag");
            let stricter = STRICTER
                .iter()
                .any(|(scenario, frames)| *scenario == name && frames.contains(&number));
            if stricter {
                assert!(!flag("drop") && !flag("invalid"));
                assert_eq!(verdict, Err(DropReason::Invalid.name()), "{name} {number}");
                assert_eq!(weakness(&template), "before Sync 1.1", "{name} {number}");
            } else {
                assert_eq!(
                    verdict.is_err(),
                    flag("drop") || flag("invalid"),
                    "{name} {number}: {verdict:?}"
                );
            }
            let was_active = before.is_none_or(|account| account.upstream.active);
            let is_active = world
                .entry
                .known
                .account
                .as_ref()
                .is_none_or(|account| account.upstream.active);
            assert_eq!(
                flag("update"),
                was_active != is_active,
                "{name} {number}: status"
            );
            *tally
                .entry(verdict.err().unwrap_or("passed").to_owned())
                .or_default() += 1;
        }
    }
    assert_eq!((SCENARIOS.len(), frames), (7, 35));
    let expected = [
        ("fork", 1),
        ("inactive", 1),
        ("invalid", 14),
        ("passed", 17),
        ("repeated_seq", 2),
    ];
    assert_eq!(
        tally,
        expected
            .map(|(name, count)| (name.to_owned(), count))
            .into()
    );
}

/// What alone is wrong with a commit.
fn weakness(template: &FrameTemplate) -> &'static str {
    let Ok(Frame::Message {
        event: Event::Commit(event),
        ..
    }) = decode_frame(template.as_bytes())
    else {
        return "not a commit";
    };
    match check_commit_leniently(&event, NOW_US) {
        Ok(checked) => match checked.weakness {
            Some(CommitFault::PrevDataMissing | CommitFault::OpPrevMissing(_)) => "before Sync 1.1",
            Some(_) | None => "something else",
        },
        Err(_) => "invalid everywhere",
    }
}
