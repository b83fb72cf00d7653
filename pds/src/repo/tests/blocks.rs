use std::sync::Arc;

use rochdale_protocol::data::Cid;

use crate::account::Account;
use crate::repo::testing::*;
use crate::repo::{Intent, Write, WriteError};
use crate::store::record;

/// A note in another collection.
fn other(rkey: &str, text: &str) -> Write {
    let path = format!("com.example.other/{rkey}").parse().unwrap();
    intent(&path, Intent::Create(note(&path, text)))
}

async fn has(rig: &Rig, who: &Account, cid: Cid) -> bool {
    let found = rig.repos.blocks(who.id, &[cid]).await.unwrap();
    assert!(found.iter().all(|(cid, block)| cid.matches(block)));
    found.contains_key(&cid)
}

#[tokio::test]
async fn every_block_is_found_by_name_however_old_it_is_and_wherever_it_lies() {
    let rig = Rig::start().await;
    let (ada, ben) = (rig.member("ada").await, rig.member("ben").await);
    rig.notes(&ada, 1_000).await;
    rig.write(&ben, create(&note_path("own"), "of ben alone"))
        .await
        .unwrap();
    for n in 0..300 {
        let write = other(&format!("{n:04}"), &format!("other {n}"));
        rig.write(&ada, write).await.unwrap();
    }
    let head = rig.repos.head(ada.id).unwrap().unwrap();
    let mut wanted: Vec<Cid> = rig.table(&ada).await.into_values().collect();
    wanted.extend([head.cid, head.data]);
    // Twice: by reading the keys, and from the places that were kept.
    for _ in 0..2 {
        let found = rig.repos.blocks(ada.id, &wanted).await.unwrap();
        assert_eq!(found.len(), wanted.len());
        assert!(found.iter().all(|(cid, block)| cid.matches(block)));
    }
    let foreign = rig.table(&ben).await.into_values().next().unwrap();
    assert!(!has(&rig, &ada, foreign).await, "that block is ben's");
    let found = rig.repos.blocks(ada.id, &wanted[..1]).await.unwrap();
    let renamed = Cid::raw(&found[&wanted[0]]);
    assert!(
        !has(&rig, &ada, renamed).await,
        "no block of a repository is raw"
    );
}

#[tokio::test]
async fn a_repository_is_searched_once_until_it_is_written_to() {
    let rig = Rig::start().await;
    let ada = rig.member("ada").await;
    let paths = rig.notes(&ada, 600).await;
    let places = || rig.repos.inner.atlas.get(ada.id).unwrap();
    let nowhere = Cid::dag_cbor(b"nowhere");
    assert!(!has(&rig, &ada, nowhere).await);
    let first = places();
    assert!(!has(&rig, &ada, nowhere).await);
    let old = rig.table(&ada).await[&paths[7].to_string()];
    assert!(has(&rig, &ada, old).await);
    assert!(Arc::ptr_eq(&first, &places()), "nothing was read again");

    rig.write(&ada, put(&paths[7], "changed")).await.unwrap();
    let changed = rig.table(&ada).await[&paths[7].to_string()];
    assert!(has(&rig, &ada, changed).await);
    assert!(!has(&rig, &ada, old).await, "the old one is gone");
    let second = places();
    assert!(!Arc::ptr_eq(&first, &second));
    rig.write(&ada, create(&note_path("zzz"), "new"))
        .await
        .unwrap();
    let newest = rig.table(&ada).await[&note_path("zzz").to_string()];
    assert!(has(&rig, &ada, newest).await);
    assert!(
        Arc::ptr_eq(&second, &places()),
        "the newest are looked at first"
    );
}

#[tokio::test]
async fn a_place_into_which_much_was_written_since_is_read_in_part_and_then_anew() {
    let rig = Rig::start().await;
    let ada = rig.member("ada").await;
    for rkey in ["a", "m", "z"] {
        rig.write(&ada, create(&note_path(rkey), rkey))
            .await
            .unwrap();
    }
    let wanted = rig.table(&ada).await[&note_path("m").to_string()];
    assert!(!has(&rig, &ada, Cid::dag_cbor(b"nowhere")).await);
    for n in 0..600 {
        let (front, back) = (
            note_path(&format!("b{n:04}")),
            note_path(&format!("n{n:04}")),
        );
        rig.write(&ada, create(&front, &format!("front {n}")))
            .await
            .unwrap();
        rig.write(&ada, create(&back, &format!("back {n}")))
            .await
            .unwrap();
    }
    assert!(has(&rig, &ada, wanted).await);
    let rows = rig
        .database
        .read(move |conn| record::block_from(conn, ada.id, 1, "a", 128, &wanted));
    let in_part: Option<bytes::Bytes> = rows.await.unwrap();
    assert!(in_part.is_none(), "one read looks at so many rows at most");
}

#[tokio::test]
async fn searches_beyond_those_that_may_wait_are_turned_away() {
    let rig = Rig::start().await;
    let ada = rig.member("ada").await;
    rig.notes(&ada, 10).await;
    let nowhere = [Cid::dag_cbor(b"nowhere")];
    let all = rig.repos.inner.searches_waiting.available_permits() as u32;
    let taken = rig
        .repos
        .inner
        .searches_waiting
        .acquire_many(all)
        .await
        .unwrap();
    let refused = rig.repos.blocks(ada.id, &nowhere).await;
    assert!(matches!(refused, Err(WriteError::Busy)), "{refused:?}");
    drop(taken);
    assert!(rig.repos.blocks(ada.id, &nowhere).await.unwrap().is_empty());
}
