use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::StreamExt;
use rochdale_protocol::repo::{car, proof};

use crate::repo::Intent;
use crate::repo::testing::*;

#[tokio::test]
async fn an_export_is_in_the_streamable_order() {
    let rig = Rig::start().await;
    let ada = rig.member("ada").await;
    rig.notes(&ada, 500).await;
    let export = rig.repos.export(ada.id, None).await.unwrap();
    let head = export.head.clone();
    let file = collect(export).await.unwrap();
    let mut reader = car::Reader::new(&file, 1_000_000).unwrap();
    let mut order = Vec::new();
    while let Some(block) = reader.next_block().unwrap() {
        order.push(block.cid.unwrap());
    }
    // The same walk over memory.
    let blocks = car::read(&file, 1_000_000).unwrap().blocks;
    let mut wanted = vec![head.cid];
    let mut walker = rochdale_protocol::repo::export::Exporter::new(head.data);
    use rochdale_protocol::repo::export::Step;
    while let Some(step) = walker.next_step() {
        match step {
            Step::Node(cid) => {
                walker.provide(cid, &blocks[&cid]).unwrap();
                wanted.push(cid);
            }
            Step::LoadedNode(cid, _) => wanted.push(cid),
            Step::Record { cid, .. } => wanted.push(cid.as_cid().unwrap()),
        }
    }
    assert_eq!(order, wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn exports_under_constant_writes_and_flushes_verify_against_their_own_head() {
    let rig = Arc::new(Rig::start().await);
    let ada = rig.member("ada").await;
    let paths = rig.notes(&ada, 1_500).await;
    rig.repos.flush().await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let writer = {
        let (rig, ada, stop) = (Arc::clone(&rig), Arc::clone(&ada), Arc::clone(&stop));
        tokio::spawn(async move {
            let mut n = 0;
            while !stop.load(Ordering::Relaxed) {
                let path = &paths[(n * 7) % paths.len()];
                let write = match n % 3 {
                    0 => put(path, &format!("changed {n}")),
                    1 => intent(path, Intent::Ensure),
                    _ => create(&note_path(&format!("new{n}")), "x"),
                };
                rig.write(&ada, write).await.unwrap();
                if n % 10 == 0 {
                    rig.repos.flush().await.unwrap();
                }
                n += 1;
            }
            n
        })
    };
    for _ in 0..8 {
        let mut export = rig.repos.export(ada.id, None).await.unwrap();
        let head = export.head.clone();
        let mut file = Vec::new();
        while let Some(piece) = export.next().await {
            file.extend_from_slice(&piece.unwrap());
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        rig.verified(&ada, &head, &file.into());
    }
    stop.store(true, Ordering::Relaxed);
    assert!(writer.await.unwrap() > 10, "there were writes meanwhile");
    rig.repos.flush().await.unwrap();
    rig.repos.flush().await.unwrap();
    assert_eq!(rig.export(&ada).await.1, rig.table(&ada).await);
}

#[tokio::test]
async fn what_came_since_a_revision_completes_an_older_copy() {
    let rig = Rig::start().await;
    let ada = rig.member("ada").await;
    let paths = rig.notes(&ada, 400).await;
    let old = rig.repos.export(ada.id, None).await.unwrap();
    let since = old.head.rev;
    let old = collect(old).await.unwrap();
    rig.repos.flush().await.unwrap();
    rig.write(&ada, put(&paths[10], "changed")).await.unwrap();
    rig.write(&ada, intent(&paths[20], Intent::Delete))
        .await
        .unwrap();
    for flushed in [false, true] {
        if flushed {
            rig.repos.flush().await.unwrap();
        }
        rig.write(&ada, create(&note_path(&format!("new{flushed}")), "x"))
            .await
            .unwrap();
        let export = rig.repos.export(ada.id, Some(since)).await.unwrap();
        let head = export.head.clone();
        let diff = collect(export).await.unwrap();
        assert!(
            diff.len() < old.len() / 4,
            "{} of {}",
            diff.len(),
            old.len()
        );
        let mut blocks = car::read(&old, 1_000_000).unwrap().blocks;
        blocks.extend(car::read(&diff, 1_000_000).unwrap().blocks);
        let records = walk(&blocks, head.data);
        assert_eq!(records, rig.table(&ada).await);
        assert!(records.values().all(|cid| blocks.contains_key(cid)));
    }
}

#[tokio::test]
async fn presence_and_absence_of_records_are_proven_and_blocks_are_found_by_name() {
    let rig = Rig::start().await;
    let ada = rig.member("ada").await;
    let paths = rig.notes(&ada, 100).await;
    let key = rig.keys.signing_key(&ada).unwrap();
    for (path, there) in [(paths[3].clone(), true), (note_path("zzz"), false)] {
        let file = rig.repos.prove(ada.id, &path).await.unwrap();
        let proven = proof::verify(&file.into(), &ada.did, &path, key.public()).unwrap();
        assert_eq!(proven.record.is_some(), there);
    }
    let head = rig.repos.head(ada.id).unwrap().unwrap();
    let record = rig.table(&ada).await[&paths[42].to_string()];
    let unknown = rochdale_protocol::data::Cid::dag_cbor(b"nowhere");
    let wanted = [head.cid, head.data, record, unknown];
    let found = rig.repos.blocks(ada.id, &wanted).await.unwrap();
    assert_eq!(found.len(), 3);
    assert!(found.iter().all(|(cid, block)| cid.matches(block)));
}

#[tokio::test]
async fn an_export_nobody_reads_ends_its_pin() {
    let rig = Rig::start().await;
    let ada = rig.member("ada").await;
    rig.notes(&ada, 50).await;
    let slot = rig.repos.inner.slots.get(ada.id);
    let export = rig.repos.export(ada.id, None).await.unwrap();
    assert!(slot.nodes.lock().is_pinned());
    drop(export);
    while slot.nodes.lock().is_pinned() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}
