//! The export in both modes, and across a restart.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test reports by panicking"
)]

mod support;

use futures::future::join_all;
use serde_json::Value;
use std::collections::BTreeSet;
use support::{Holder, World};

async fn page(world: &World, query: &str) -> Vec<Value> {
    let answer = world.get(&format!("/export?{query}")).await;
    assert_eq!(answer.header("content-type"), "application/jsonlines");
    let text = answer.ok();
    assert!(!text.ends_with('\n'));
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn the_lines_of_both_modes_have_their_exact_form() {
    let world = World::new().await;
    assert_eq!(world.get("/export").await.ok(), "");
    assert_eq!(world.get("/export?after=0").await.ok(), "");
    let holder = Holder::registered(&world, 1).await;
    let (did, cid, operation) = (&holder.did, holder.genesis.cid(), holder.genesis.to_json());
    let time = "2026-09-21T14:13:20.000Z";
    let numbered = format!(
        r#"{{"did":"{did}","cid":"{cid}","seq":1,"createdAt":"{time}","operation":{operation},"type":"sequenced_op"}}"#
    );
    assert_eq!(world.get("/export?after=0").await.ok(), numbered);
    let timed = format!(
        r#"{{"did":"{did}","operation":{operation},"cid":"{cid}","nullified":false,"createdAt":"{time}"}}"#
    );
    assert_eq!(world.get("/export").await.ok(), timed);
    assert_eq!(world.get("/export?after=1").await.ok(), "");
    assert_eq!(world.get(&format!("/export?after={time}")).await.ok(), "");
    let before = "2026-09-21T14:13:19.999Z";
    assert_eq!(
        world.get(&format!("/export?after={before}")).await.ok(),
        timed
    );
}

#[tokio::test]
async fn pages_by_number_give_every_operation_once_nullified_ones_too() {
    let world = World::new().await;
    let holders = join_all((0..20).map(|seed| Holder::registered(&world, seed))).await;
    let theft = holders[0].signed(&holders[0].genesis, "stolen.test", 2);
    world.accepts(&holders[0].did, &theft).await;
    world.wait_ms(1);
    let rescue = holders[0].signed(&holders[0].genesis, "rescued.test", 0);
    world.accepts(&holders[0].did, &rescue).await;
    let (mut after, mut cids) = (0, Vec::new());
    loop {
        let lines = page(&world, &format!("after={after}&count=7")).await;
        assert!(lines.len() <= 7);
        let Some(last) = lines.last() else { break };
        after = last["seq"].as_i64().unwrap();
        cids.extend(
            lines
                .iter()
                .map(|line| line["cid"].as_str().unwrap().to_owned()),
        );
    }
    assert_eq!(after, 22);
    let mut expected: BTreeSet<_> = holders
        .iter()
        .map(|h| h.genesis.cid().to_string())
        .collect();
    expected.extend([theft.cid().to_string(), rescue.cid().to_string()]);
    assert_eq!(cids.len(), 22);
    assert_eq!(cids.into_iter().collect::<BTreeSet<_>>(), expected);
    let nullified: Vec<_> = page(&world, "")
        .await
        .into_iter()
        .filter(|line| line["nullified"] == true)
        .collect();
    assert_eq!(nullified.len(), 1);
    assert_eq!(nullified[0]["cid"], theft.cid().to_string());
}

#[tokio::test]
async fn pages_by_time_never_split_a_time_that_operations_share() {
    let world = World::new().await;
    let mut expected = BTreeSet::new();
    // The clock stands still within a round, so each round shares one millisecond.
    for (round, size) in [5_u64, 1, 12, 3, 1, 1].into_iter().enumerate() {
        let seeds = (0..size).map(|n| round as u64 * 100 + n);
        let holders = join_all(seeds.map(|seed| Holder::registered(&world, seed))).await;
        expected.extend(
            holders
                .iter()
                .map(|holder| holder.genesis.cid().to_string()),
        );
        world.wait_ms(1);
    }
    for count in 1..30 {
        let (mut query, mut seen) = (String::new(), Vec::new());
        let mut sizes = Vec::new();
        loop {
            let lines = page(&world, &format!("count={count}{query}")).await;
            let Some(last) = lines.last() else { break };
            query = format!("&after={}", last["createdAt"].as_str().unwrap());
            sizes.push(lines.len());
            let keys: Vec<_> = lines
                .iter()
                .map(|line| (line["createdAt"].to_string(), line["cid"].to_string()))
                .collect();
            assert!(keys.is_sorted_by(|(a, _), (b, _)| a <= b));
            seen.extend(
                lines
                    .iter()
                    .map(|line| line["cid"].as_str().unwrap().to_owned()),
            );
        }
        assert_eq!(seen.len(), 23, "{count}: {sizes:?}");
        assert_eq!(
            seen.into_iter().collect::<BTreeSet<_>>(),
            expected,
            "{count}"
        );
        assert!(
            sizes.iter().all(|size| *size <= count.max(12)),
            "{count}: {sizes:?}"
        );
    }
}

#[tokio::test]
async fn bad_parameters_are_refused_by_name() {
    let world = World::new().await;
    for query in ["count=0", "count=-1", "count=many"] {
        let message = world.get(&format!("/export?{query}")).await.refused(400);
        assert_eq!(message, "Invalid count parameter");
    }
    for query in ["after=yesterday", "after=-1", "after=2026"] {
        let answer = world.get(&format!("/export?{query}")).await;
        if query == "after=2026" {
            assert_eq!(answer.ok(), "", "digits are a number");
            continue;
        }
        assert_eq!(answer.refused(400), "Invalid after parameter");
    }
}

#[tokio::test]
async fn a_restart_changes_no_answer_and_numbering_goes_on() {
    let mut world = World::new().await;
    let holder = Holder::registered(&world, 1).await;
    let update = holder.signed(&holder.genesis, "x.test", 0);
    world.accepts(&holder.did, &update).await;
    let paths =
        ["", "/data", "/log", "/log/audit", "/log/last"].map(|p| format!("/{}{p}", holder.did));
    let mut before = Vec::new();
    for path in paths
        .iter()
        .map(String::as_str)
        .chain(["/export", "/export?after=0"])
    {
        before.push((path.to_owned(), world.get(path).await.ok().to_owned()));
    }
    world.restart().await;
    for (path, body) in before {
        assert_eq!(world.get(&path).await.ok(), body);
    }
    Holder::registered(&world, 2).await;
    let lines = page(&world, "after=2").await;
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["seq"], 3);
    // The clock did not move, but a time of the earlier run is never given out again.
    assert_eq!(lines[0]["createdAt"], "2026-09-21T14:13:20.002Z");
}
