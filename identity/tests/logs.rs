//! The audit logs of the did:plc project, submitted at the times they give.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test reports by panicking"
)]

mod support;

use rochdale_protocol::syntax::Datetime;
use serde_json::Value;
use support::World;

/// Accepted from other directories, not as new operations: two of a kind or no rotation keys, and
/// the format of the first days.
const NOT_SUBMITTED: [&str; 4] = [
    "log_duplicate_rotation_keys",
    "log_empty_rotation_keys",
    "log_legacy_dholms",
    "log_nullification",
];

fn logs(kind: &str) -> Vec<(String, Vec<Value>)> {
    let folder = format!(
        "{}/../tests/fixtures/interop/plc/{kind}",
        env!("CARGO_MANIFEST_DIR")
    );
    let mut logs: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (
                name,
                serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap(),
            )
        })
        .collect();
    logs.sort_by(|(a, _), (b, _)| a.cmp(b));
    assert_eq!(logs.len(), 10);
    logs
}

/// Submits an operation of a log at its time; gives status and message.
async fn submit(world: &World, entry: &Value) -> (u16, String) {
    let time: Datetime = entry["createdAt"].as_str().unwrap().parse().unwrap();
    world
        .clock
        .set_us(u64::try_from(time.unix_ms()).unwrap() * 1000);
    let body = entry["operation"].to_string();
    let answer = world.post(entry["did"].as_str().unwrap(), body).await;
    (answer.status, answer.body)
}

#[tokio::test]
async fn valid_logs_come_out_as_they_went_in() {
    let mut submitted = 0;
    for (name, log) in logs("valid") {
        if NOT_SUBMITTED.contains(&name.as_str()) {
            continue;
        }
        submitted += 1;
        let world = World::new().await;
        let mut nullified = 0;
        for entry in &log {
            assert_eq!(
                submit(&world, entry).await,
                (200, "OK".to_owned()),
                "{name}"
            );
            nullified += usize::from(entry["nullified"].as_bool().unwrap());
        }
        let did = log[0]["did"].as_str().unwrap();
        let audit = world.get(&format!("/{did}/log/audit")).await.json();
        assert_eq!(audit, Value::from(log.clone()), "{name}");
        let live = world.get(&format!("/{did}/log")).await.json();
        assert_eq!(
            live.as_array().unwrap().len(),
            log.len() - nullified,
            "{name}"
        );
    }
    assert_eq!(submitted, 6);
}

#[tokio::test]
async fn invalid_logs_are_refused_at_their_last_operation() {
    let mut submitted = 0;
    for (name, log) in logs("invalid") {
        // The second operation of both leaves no rotation key, which is not accepted anew.
        if name.starts_with("log_invalid_nullification_") {
            continue;
        }
        submitted += 1;
        let world = World::new().await;
        let (last, before) = log.split_last().unwrap();
        for entry in before {
            assert_eq!(submit(&world, entry).await.0, 200, "{name}");
        }
        let (status, body) = submit(&world, last).await;
        assert_eq!(status, 400, "{name}");
        let expected = match name.as_str() {
            "log_invalid_update_nullified" | "log_invalid_update_tombstoned" => {
                "Operations not correctly ordered"
            }
            _ => "Invalid signature on op: ",
        };
        assert!(
            body.starts_with(&format!("{{\"message\":\"{expected}")),
            "{name}: {body}"
        );
    }
    assert_eq!(submitted, 8);
}
