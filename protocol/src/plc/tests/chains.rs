//! `validate_next` against a naive oracle that knows who signed what and thinks in trees: every
//! operation holds the list of keys that may still follow it, shortened by each child.

use crate::crypto::{Curve, SigningKey};
use crate::data::Cid;
use crate::plc::{
    ChainEntry, Operation, PlcError, RECOVERY_WINDOW_MS, Tombstone, UnsignedOperation,
    validate_next,
};
use crate::syntax::Did;
use proptest::prelude::*;
use std::{collections::BTreeMap, sync::LazyLock};

static KEYS: LazyLock<Vec<SigningKey>> = LazyLock::new(|| {
    (1..=4)
        .map(|seed| {
            let curve = if seed == 3 { Curve::P256 } else { Curve::K256 };
            SigningKey::from_bytes(curve, &[seed; 32]).unwrap()
        })
        .collect()
});

#[derive(Clone, Debug)]
struct Step {
    /// Which earlier operation is named as `prev`, counted back from the newest attempt.
    back: usize,
    signer: usize,
    keys: Vec<usize>,
    tombstone: bool,
    wait_ms: i64,
}

fn step() -> impl Strategy<Value = Step> {
    let wait_ms = prop_oneof![
        4 => 1_i64..1000,
        2 => Just(RECOVERY_WINDOW_MS / 2),
        1 => Just(0),
        1 => Just(-5),
        3 => (RECOVERY_WINDOW_MS - 2)..=(RECOVERY_WINDOW_MS + 2),
    ];
    (
        prop_oneof![3 => Just(0_usize), 2 => 1_usize..6],
        0_usize..4,
        prop::collection::vec(0_usize..4, 0..4),
        prop::bool::weighted(0.1),
        wait_ms,
    )
        .prop_map(|(back, signer, keys, tombstone, wait_ms)| Step {
            back,
            signer,
            keys,
            tombstone,
            wait_ms,
        })
}

/// What the oracle knows of an accepted operation.
struct Node {
    cid: Cid,
    parent: Option<usize>,
    may_follow: Vec<usize>,
    time: i64,
    nullified: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Accepted { nullified: Vec<Cid> },
    Misordered,
    Signature,
    Late,
}

fn judge(nodes: &mut Vec<Node>, step: &Step, cid: Cid, prev: Cid, time: i64) -> Verdict {
    let Some(parent) = nodes
        .iter()
        .position(|node| node.cid == prev && !node.nullified)
    else {
        return Verdict::Misordered;
    };
    let tombstoned = nodes[parent].may_follow == [usize::MAX];
    if tombstoned {
        return Verdict::Misordered;
    }
    let Some(rank) = nodes[parent]
        .may_follow
        .iter()
        .position(|key| *key == step.signer)
    else {
        return Verdict::Signature;
    };
    let undone: Vec<usize> = (0..nodes.len())
        .filter(|index| !nodes[*index].nullified && descends(nodes, *index, parent))
        .collect();
    // The first of them counts, whatever the others' clocks said.
    if let Some(oldest) = undone.first().map(|index| nodes[*index].time) {
        let newest = undone.iter().map(|index| nodes[*index].time).max().unwrap();
        if time <= newest {
            return Verdict::Misordered;
        }
        if time - oldest > RECOVERY_WINDOW_MS {
            return Verdict::Late;
        }
    }
    let nullified = undone.iter().map(|index| nodes[*index].cid).collect();
    for index in undone {
        nodes[index].nullified = true;
    }
    nodes[parent].may_follow.truncate(rank);
    let may_follow = if step.tombstone {
        vec![usize::MAX]
    } else {
        step.keys.clone()
    };
    nodes.push(Node {
        cid,
        parent: Some(parent),
        may_follow,
        time,
        nullified: false,
    });
    Verdict::Accepted { nullified }
}

fn descends(nodes: &[Node], mut index: usize, ancestor: usize) -> bool {
    while let Some(parent) = nodes[index].parent {
        if parent == ancestor {
            return true;
        }
        index = parent;
    }
    false
}

fn operation(step: &Step, prev: Option<Cid>) -> Operation {
    let key = &KEYS[step.signer];
    if let (true, Some(prev)) = (step.tombstone, prev) {
        return Operation::Tombstone(Tombstone::sign(prev, key));
    }
    let content = UnsignedOperation {
        rotation_keys: step
            .keys
            .iter()
            .map(|key| KEYS[*key].public().to_did_key())
            .collect(),
        verification_methods: BTreeMap::new(),
        also_known_as: Vec::new(),
        services: BTreeMap::new(),
        prev,
    };
    Operation::Plc(content.sign(key))
}

struct Chain {
    did: Did,
    entries: Vec<ChainEntry>,
}

impl Chain {
    fn offer(&mut self, operation: Operation, time: i64) -> Verdict {
        let verdict = validate_next(&self.did, &self.entries, &operation, time);
        // A chain that starts at the parent must be judged like the whole chain.
        if let Some(at) = self
            .entries
            .iter()
            .position(|entry| Some(&entry.cid) == operation.prev())
        {
            let late = validate_next(&self.did, &self.entries[at..], &operation, time);
            let shifted = verdict.clone().map(|mut accepted| {
                accepted.nullifies.start -= at;
                accepted.nullifies.end -= at;
                accepted
            });
            assert_eq!(late, shifted);
        }
        match verdict {
            Ok(accepted) => {
                if let Some(deadline_ms) = accepted.deadline_ms {
                    assert!(
                        validate_next(&self.did, &self.entries, &operation, deadline_ms).is_ok()
                    );
                    let late = validate_next(&self.did, &self.entries, &operation, deadline_ms + 1);
                    assert_eq!(late, Err(PlcError::LateRecovery(RECOVERY_WINDOW_MS + 1)));
                }
                let nullified = self
                    .entries
                    .drain(accepted.nullifies)
                    .map(|entry| entry.cid)
                    .collect();
                let signer_key = accepted.signer_key;
                let cid = operation.cid();
                self.entries.push(ChainEntry {
                    cid,
                    operation,
                    created_at_ms: time,
                    signer_key,
                });
                Verdict::Accepted { nullified }
            }
            Err(PlcError::Misordered) => Verdict::Misordered,
            Err(PlcError::InvalidSignature { .. }) => Verdict::Signature,
            Err(PlcError::LateRecovery(_)) => Verdict::Late,
            Err(other) => panic!("{other}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn random_chains_are_judged_as_the_oracle_judges_them(
        genesis_keys in prop::collection::vec(0_usize..4, 1..4), steps in prop::collection::vec(step(), 1..14),
    ) {
        let mut time = 1_700_000_000_000;
        let genesis = Step { back: 0, signer: genesis_keys[0], keys: genesis_keys, tombstone: false, wait_ms: 0 };
        let first = operation(&genesis, None);
        let mut offered = vec![first.cid()];
        let mut nodes = vec![Node { cid: first.cid(), parent: None, may_follow: genesis.keys, time, nullified: false }];
        let mut chain = Chain { did: first.founded_did(), entries: Vec::new() };
        prop_assert_eq!(chain.offer(first, time), Verdict::Accepted { nullified: vec![] });
        for step in &steps {
            time += step.wait_ms;
            let prev = offered[offered.len().saturating_sub(1 + step.back)];
            let operation = operation(step, Some(prev));
            let cid = operation.cid();
            // An operation that is offered again names a parent that has it as a child already.
            let expected = judge(&mut nodes, step, cid, prev, time);
            prop_assert_eq!(chain.offer(operation, time), expected);
            if nodes.last().is_some_and(|node| node.cid == cid) {
                offered.push(cid);
            }
        }
        let live: Vec<Cid> = nodes.iter().filter(|node| !node.nullified).map(|node| node.cid).collect();
        let kept: Vec<Cid> = chain.entries.iter().map(|entry| entry.cid).collect();
        prop_assert_eq!(kept, live);
    }
}

#[test]
fn a_genesis_must_found_the_did_it_is_offered_for() {
    let step = Step {
        back: 0,
        signer: 0,
        keys: vec![0],
        tombstone: false,
        wait_ms: 0,
    };
    let first = operation(&step, None);
    let other: Did = "did:plc:yk4dd2qkboz2yv6tpubpc6co".parse().unwrap();
    assert_eq!(
        validate_next(&other, &[], &first, 0),
        Err(PlcError::GenesisHash(first.founded_did().to_string()))
    );
    let foreign = operation(
        &Step {
            signer: 1,
            ..step.clone()
        },
        None,
    );
    let refused = validate_next(&foreign.founded_did(), &[], &foreign, 0);
    assert!(matches!(refused, Err(PlcError::InvalidSignature { .. })));
    let follows = operation(&step, Some(first.cid()));
    assert!(matches!(
        validate_next(&other, &[], &follows, 0),
        Err(PlcError::Improper(_))
    ));
    let tombstone = operation(
        &Step {
            tombstone: true,
            ..step
        },
        Some(first.cid()),
    );
    assert_eq!(
        validate_next(&other, &[], &tombstone, 0),
        Err(PlcError::Misordered)
    );
}
