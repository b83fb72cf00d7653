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

/// A scenario under way: its account's world, and the host its frames come from.
struct Scenario {
    name: &'static str,
    world: World,
    pds: Arc<Host>,
    numbers: Numbers,
}

impl Scenario {
    async fn new(name: &'static str, json: &Value) -> Self {
        let account = &field(json, &["accounts"]).as_array().expect("accounts")[0];
        let text = |path: &[&str]| field(account, path).as_text().expect("text").to_owned();
        let key = text(&["identity", "keys", "atproto", "publicKeyMultibase"]);
        let url = text(&["identity", "services", "atproto_pds", "url"]);
        let host = HostName::of_endpoint(&url, NameRules::default()).expect("a host");
        let mut world = World::new(true).await;
        let pds = world.hosts.add(host.clone(), None, 0).await.expect("host");
        world.identify(
            &PublicKey::from_multibase(&key).expect("a key"),
            host.as_str(),
        );
        Self {
            name,
            world,
            pds,
            numbers: Numbers::default(),
        }
    }

    fn is_active(&self) -> bool {
        let account = self.world.entry.known.account.as_ref();
        account.is_none_or(|account| account.upstream.active)
    }

    /// What becomes of a frame: `passed`, or the reason why not.
    async fn verdict(&mut self, template: &FrameTemplate) -> &'static str {
        let envelope = peek(template.as_bytes()).expect("an envelope");
        let named = |kind: &Kind| envelope.t == Some(format!("#{}", kind.name()).as_str());
        let kind = Kind::ALL.into_iter().find(named).expect("a kind");
        let did: Did = envelope.did.expect("a DID").parse().expect("a DID");
        if !self.numbers.take(envelope.seq.expect("a number")) {
            return "repeated_seq";
        }
        let pds = Arc::clone(&self.pds);
        match self.world.offer(&pds, kind, &did, template).await {
            Ok(_) => "passed",
            Err(reason) => reason.name(),
        }
    }

    /// Judges one message and compares with what the reference relay does.
    async fn check(&mut self, number: usize, message: &Value) -> &'static str {
        let at = format!("{} {number}", self.name);
        let flag = |key| field(message, &[key]).as_bool().expect("a flag");
        let template = frame(message);
        let was_active = self.is_active();
        let verdict = self.verdict(&template).await;
        let named =
            |(name, frames): &(&str, &[usize])| *name == self.name && frames.contains(&number);
        if STRICTER.iter().any(named) {
            assert!(!flag("drop") && !flag("invalid"), "{at}");
            assert_eq!(verdict, DropReason::Invalid.name(), "{at}");
            assert_eq!(weakness(&template), "before Sync 1.1", "{at}");
        } else {
            assert_eq!(
                verdict != "passed",
                flag("drop") || flag("invalid"),
                "{at}: {verdict}"
            );
        }
        assert_eq!(
            flag("update"),
            was_active != self.is_active(),
            "{at}: status"
        );
        verdict
    }
}

#[tokio::test]
async fn scenarios_of_the_reference_relay_are_judged_as_there_or_more_strictly() {
    let mut tally: BTreeMap<&str, usize> = BTreeMap::new();
    for name in SCENARIOS {
        let json = load(name);
        let mut scenario = Scenario::new(name, &json).await;
        let messages = field(&json, &["messages"]).as_array().expect("messages");
        for (number, message) in messages.iter().enumerate() {
            *tally
                .entry(scenario.check(number, message).await)
                .or_default() += 1;
        }
    }
    assert_eq!((SCENARIOS.len(), tally.values().sum::<usize>()), (7, 35));
    let expected = [
        ("fork", 1),
        ("inactive", 1),
        ("invalid", 14),
        ("passed", 17),
        ("repeated_seq", 2),
    ];
    assert_eq!(tally, expected.into());
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
