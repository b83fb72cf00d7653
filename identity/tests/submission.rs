//! What is accepted and what is refused, over HTTP, with the messages of the reference directory.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test reports by panicking"
)]

mod support;

use futures::future::join_all;
use rochdale_protocol::data::Cid;
use rochdale_protocol::plc::{Operation, Service};
use support::{Holder, World};

const HOUR_MS: u64 = 3_600_000;

#[tokio::test]
async fn an_update_changes_the_document_and_keeps_time_in_order() {
    let world = World::new().await;
    let holder = Holder::registered(&world, 1).await;
    // The clock does not move, and then runs backwards: each operation is later all the same.
    let first = holder.signed(&holder.genesis, "first.test", 2);
    world.accepts(&holder.did, &first).await;
    world.clock.set_us(1_000_000);
    let second = holder.signed(&first, "second.test", 1);
    world.accepts(&holder.did, &second).await;
    assert!(
        world
            .get(&format!("/{}", holder.did))
            .await
            .ok()
            .contains("at://second.test")
    );
    let audit = world
        .get(&format!("/{}/log/audit", holder.did))
        .await
        .json();
    let times: Vec<_> = audit
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["createdAt"].as_str().unwrap())
        .collect();
    let expected = [
        "2026-09-21T14:13:20.000Z",
        "2026-09-21T14:13:20.001Z",
        "2026-09-21T14:13:20.002Z",
    ];
    assert_eq!(times, expected);
}

#[tokio::test]
async fn what_cannot_be_read_as_an_operation_is_refused_with_json() {
    let world = World::new().await;
    let holder = Holder::registered(&world, 1).await;
    let did = &holder.did;
    let good = holder.signed(&holder.genesis, "x.test", 0).to_json();
    let bodies = [
        String::new(),
        "not json".into(),
        "\"a string\"".into(),
        "[]".into(),
        "{}".into(),
        "null".into(),
        "[".repeat(50_000),
        good.replacen('{', r#"{"extra":1,"#, 1),
        good.replacen("plc_operation", "plc_magic", 1),
        good.replacen(r#""prev":""#, r#""prev":"x"#, 1),
        good.replacen(r#""prev":"#, r#""before":"#, 1),
        good.replacen(r#""alsoKnownAs":["#, r#""alsoKnownAs":[1,"#, 1),
        format!("{good}{good}"),
    ];
    for body in bodies {
        let message = world.post(did, body.clone()).await.refused(400);
        assert!(
            message.starts_with("Not a valid operation: "),
            "{body}: {message}"
        );
    }
    let invalid_utf8 = world.post(did, b"{\"type\":\"\xff\"}".to_vec()).await;
    invalid_utf8.refused(400);
    let large = world.post(did, " ".repeat(102_401)).await;
    assert!(large.refused(413).contains("102400"));
    // White space up to the limit is no fault.
    world
        .post(did, format!("{good}{}", " ".repeat(102_400 - good.len())))
        .await
        .ok();
    assert_eq!(
        world
            .get(&format!("/{did}/log/audit"))
            .await
            .json()
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[tokio::test]
async fn limits_are_those_of_the_specification_and_the_reference_together() {
    let world = World::new().await;
    let holder = Holder::registered(&world, 1).await;
    let mut large = holder.update(&holder.genesis, "x.test");
    for n in 0..9 {
        let service = Service {
            kind: "T".into(),
            endpoint: "x".repeat(480),
        };
        large.services.insert(format!("s{n}"), service);
    }
    let large = Operation::Plc(large.sign(&holder.keys[0]));
    let message = world.submit(&holder.did, &large).await.refused(400);
    assert_eq!(
        message,
        "Operation too large (4000 bytes maximum in cbor encoding)"
    );
    let mut twice = holder.update(&holder.genesis, "x.test");
    twice.rotation_keys.push(twice.rotation_keys[0].clone());
    let twice = Operation::Plc(twice.sign(&holder.keys[0]));
    let message = world.submit(&holder.did, &twice).await.refused(400);
    assert!(message.starts_with("Duplicate rotationKey entry: did:key:"));
    let legacy = r#"{"type":"create","signingKey":"a","recoveryKey":"b","handle":"h","service":"s","prev":null,"sig":"x"}"#;
    let message = world.post(&holder.did, legacy).await.refused(400);
    assert!(message.contains("\"create\""));
}

#[tokio::test]
async fn a_wrong_signature_order_or_did_is_refused_by_its_name() {
    let world = World::new().await;
    let (holder, other) = (
        Holder::registered(&world, 1).await,
        Holder::registered(&world, 2).await,
    );
    let did = &holder.did;
    let update = holder.signed(&holder.genesis, "x.test", 0);
    let foreign = Operation::Plc(
        holder
            .update(&holder.genesis, "x.test")
            .sign(&other.keys[0]),
    );
    let message = world.submit(did, &foreign).await.refused(400);
    assert_eq!(
        message,
        format!("Invalid signature on op: {}", foreign.to_json())
    );
    let padded = update.to_json().replacen("\",\"prev\"", "==\",\"prev\"", 1);
    let message = world.post(did, padded.clone()).await.refused(400);
    assert_eq!(message, format!("Invalid signature on op: {padded}"));
    for broken in ["", "AAAA"] {
        let unsigned = update.to_json().replacen(update.sig(), broken, 1);
        let message = world.post(did, unsigned).await.refused(400);
        assert!(message.starts_with("Invalid signature on op: "));
    }
    let unordered = "Operations not correctly ordered";
    let unknown_prev = holder.signed(&other.genesis, "x.test", 0);
    assert_eq!(
        world.submit(did, &unknown_prev).await.refused(400),
        unordered
    );
    assert_eq!(
        world.submit(did, &holder.genesis).await.refused(400),
        unordered
    );
    let orphan = Holder::new(3);
    let first = orphan.signed(&orphan.genesis, "x.test", 0);
    let message = world.submit(&orphan.did, &first).await.refused(400);
    assert!(
        message.starts_with("Improperly formatted operation, "),
        "{message}"
    );
    let tombstone = orphan.tombstone(&orphan.genesis, 0);
    assert_eq!(
        world.submit(&orphan.did, &tombstone).await.refused(400),
        unordered
    );
    let nobody = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";
    let message = world.submit(nobody, &orphan.genesis).await.refused(400);
    let expected = format!(
        "Hash of genesis operation does not match DID identifier: {}",
        orphan.did
    );
    assert_eq!(message, expected);
    let message = world
        .submit("did:web:coop.example", &orphan.genesis)
        .await
        .refused(400);
    assert!(message.contains("did:web:coop.example"));
    assert_eq!(
        world
            .get(&format!("/{did}/log/audit"))
            .await
            .json()
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn a_stronger_key_undoes_a_weaker_ones_work_within_72_hours() {
    for (elapsed_ms, outcome) in [(72 * HOUR_MS, 200), (72 * HOUR_MS + 1, 400)] {
        let world = World::new().await;
        let holder = Holder::registered(&world, 1).await;
        world.wait_ms(1);
        let theft = holder.signed(&holder.genesis, "stolen.test", 2);
        world.accepts(&holder.did, &theft).await;
        let more = holder.signed(&theft, "more.test", 2);
        world.wait_ms(elapsed_ms - HOUR_MS);
        world.accepts(&holder.did, &more).await;
        world.wait_ms(HOUR_MS);
        let same_key = holder.signed(&theft, "same.test", 2);
        let message = world.submit(&holder.did, &same_key).await.refused(400);
        assert!(message.starts_with("Invalid signature"));
        let rescue = holder.signed(&holder.genesis, "rescued.test", 0);
        let answer = world.submit(&holder.did, &rescue).await;
        assert_eq!(answer.status, outcome, "{}", answer.body);
        if outcome == 400 {
            let expected = "Recovery operation occurred outside of the allowed 72 hr recovery \
                            window. Time lapsed: 259200001";
            assert_eq!(answer.refused(400), expected);
            continue;
        }
        let audit = world
            .get(&format!("/{}/log/audit", holder.did))
            .await
            .json();
        let nullified: Vec<_> = audit
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["nullified"].as_bool().unwrap())
            .collect();
        assert_eq!(nullified.first(), Some(&false));
        assert_eq!(nullified.last(), Some(&false));
        assert!(
            nullified[1..nullified.len() - 1]
                .iter()
                .all(|nullified| *nullified)
        );
        let log = world.get(&format!("/{}/log", holder.did)).await;
        assert_eq!(
            log.ok(),
            format!("[{},{}]", holder.genesis.to_json(), rescue.to_json())
        );
        let follows_the_dead = holder.signed(&more, "x.test", 0);
        let message = world
            .submit(&holder.did, &follows_the_dead)
            .await
            .refused(400);
        assert_eq!(message, "Operations not correctly ordered");
    }
}

#[tokio::test]
async fn operations_per_did_are_limited_but_a_recovery_never_is() {
    let world = World::new().await;
    let holder = Holder::registered(&world, 1).await;
    let mut last = holder.genesis.clone();
    for n in 1..10 {
        last = holder.signed(&last, &format!("n{n}.test"), 2);
        world.accepts(&holder.did, &last).await;
    }
    let eleventh = holder.signed(&last, "n10.test", 2);
    let message = world.submit(&holder.did, &eleventh).await.refused(400);
    assert_eq!(message, "To many operations within last hour (max 10)");
    let recovery = holder.signed(&holder.genesis, "recovered.test", 0);
    world.accepts(&holder.did, &recovery).await;
    // What was undone no longer counts.
    let after = holder.signed(&recovery, "after.test", 0);
    world.accepts(&holder.did, &after).await;
    // Others are not affected.
    Holder::registered(&world, 2).await;
}

#[tokio::test]
async fn the_daily_and_weekly_limits_hold_as_well() {
    let world = World::new().await;
    let holder = Holder::registered(&world, 1).await;
    let mut last = holder.genesis.clone();
    let mut accepted = 1;
    let mut refusals = Vec::new();
    for _ in 0..2000 {
        let next = holder.signed(&last, &format!("n{accepted}.test"), 2);
        let answer = world.submit(&holder.did, &next).await;
        if answer.status == 200 {
            last = next;
            accepted += 1;
            continue;
        }
        let message = answer.refused(400);
        let is_new = refusals.last() != Some(&message);
        if is_new {
            refusals.push(message.clone());
        }
        if message.contains("week") {
            break;
        }
        world.wait_ms(HOUR_MS);
    }
    assert_eq!(accepted, 100);
    assert!(refusals.contains(&"To many operations within last day (max 30)".to_owned()));
    assert_eq!(
        refusals.last().unwrap(),
        "To many operations within last week (max 100)"
    );
}

#[tokio::test]
async fn of_many_updates_at_once_exactly_one_is_accepted() {
    let world = World::new().await;
    let holder = Holder::registered(&world, 1).await;
    let rivals: Vec<_> = (0..20)
        .map(|n| holder.signed(&holder.genesis, &format!("rival{n}.test"), 2))
        .collect();
    let answers = join_all(rivals.iter().map(|rival| world.submit(&holder.did, rival))).await;
    let mut won = 0;
    for answer in answers {
        match answer.status {
            200 => won += 1,
            409 => {
                let expected = "Proposed prev does not match the most recent operation";
                assert_eq!(answer.refused(409), expected);
            }
            // Who came after the winner was durable tries to undo it with the same key.
            _ => assert!(answer.refused(400).starts_with("Invalid signature")),
        }
    }
    assert_eq!(won, 1);
    assert_eq!(
        world
            .get(&format!("/{}/log/audit", holder.did))
            .await
            .json()
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[tokio::test]
async fn of_one_genesis_sent_many_times_exactly_one_is_accepted() {
    let world = World::new().await;
    let holder = Holder::new(1);
    let answers = join_all((0..20).map(|_| world.submit(&holder.did, &holder.genesis))).await;
    assert_eq!(
        answers.iter().filter(|answer| answer.status == 200).count(),
        1
    );
    assert!(
        answers
            .iter()
            .all(|answer| [200, 400, 409].contains(&answer.status))
    );
    let audit = world
        .get(&format!("/{}/log/audit", holder.did))
        .await
        .json();
    assert_eq!(audit.as_array().unwrap().len(), 1);
    assert_eq!(audit[0]["cid"], Cid::to_string(&holder.genesis.cid()));
}

#[tokio::test]
async fn an_address_submits_a_thousand_times_in_five_minutes_and_then_waits() {
    let world = World::limited().await;
    for _ in 0..1000 {
        world
            .post("did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", "x")
            .await
            .refused(400);
    }
    let holder = Holder::new(1);
    let answer = world.submit(&holder.did, &holder.genesis).await;
    let message = answer.refused(429);
    assert_eq!(
        message,
        "Too many operations from this address within 300 seconds"
    );
    assert_eq!(answer.header("retry-after"), "300");
    let request = world.http.post(format!("{}/{}", world.url, holder.did));
    let request = request.header("x-ratelimit-bypass", "let me through");
    support::read(request.body(holder.genesis.to_json()))
        .await
        .ok();
    world.get(&format!("/{}", holder.did)).await.ok();
    world.wait_ms(300_000);
    Holder::registered(&world, 2).await;
}
