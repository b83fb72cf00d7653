use bytes::Bytes;
use futures::stream;
use rochdale_protocol::sync::{Event, Frame, decode_frame};

use crate::repo::testing::*;
use crate::repo::{ImportError, Intent, WriteError};
use crate::store::repo as store;

const LIMIT: u64 = 64 << 20;

fn body(file: &Bytes) -> impl futures::Stream<Item = Result<Bytes, String>> + Unpin {
    let pieces: Vec<_> = file
        .chunks(777)
        .map(|piece| Ok(Bytes::copy_from_slice(piece)))
        .collect();
    stream::iter(pieces)
}

async fn file_of(rig: &Rig, who: &std::sync::Arc<crate::account::Account>) -> Bytes {
    collect(rig.repos.export(who.id, None).await.unwrap())
        .await
        .unwrap()
}

#[tokio::test]
async fn an_imported_repository_has_the_same_records_and_a_commit_of_ours() {
    let (old, new) = (Rig::start().await, Rig::start().await);
    let there = old.member("ada").await;
    let paths = old.notes(&there, 450).await;
    let json = r#"{"subject":"did:plc:ewvi7nxzyoun6zhxrhs64oiz"}"#;
    let follow = "app.bsky.graph.follow/one".parse().unwrap();
    old.write(
        &there,
        intent(&follow, Intent::Create(record(&follow, json))),
    )
    .await
    .unwrap();
    let file = file_of(&old, &there).await;

    let here = new.member("ada").await;
    new.notes(&here, 120).await;
    let made = new.repos.import(&here, LIMIT, body(&file)).await.unwrap();
    let (head, records) = new.export(&here).await;
    assert_eq!(head.cid, made.cid);
    assert_eq!(records, old.table(&there).await);
    assert_eq!(records, new.table(&here).await);
    assert_eq!(head.data, old.repos.head(there.id).unwrap().unwrap().data);
    let frame = new.published.lock().last().unwrap().bytes.clone();
    assert!(matches!(
        decode_frame(&frame),
        Ok(Frame::Message {
            event: Event::Sync(_),
            ..
        })
    ));

    // Goes on as any other, and a second import of a newer copy catches up.
    new.write(&here, create(&note_path("here"), "x"))
        .await
        .unwrap()
        .unwrap();
    old.write(&there, intent(&paths[3], Intent::Delete))
        .await
        .unwrap();
    old.write(&there, put(&paths[4], "changed")).await.unwrap();
    let file = file_of(&old, &there).await;
    let again = new.repos.import(&here, LIMIT, body(&file)).await.unwrap();
    assert!(again.rev > made.rev);
    assert_eq!(new.export(&here).await.1, old.table(&there).await);
    let new = new.crash().await;
    assert_eq!(new.export(&here).await.1, old.table(&there).await);
}

#[tokio::test]
async fn an_import_cut_off_by_a_crash_leaves_a_valid_repository_and_can_be_repeated() {
    let (old, new) = (Rig::start().await, Rig::start().await);
    let there = old.member("ada").await;
    old.notes(&there, 300).await;
    let file = file_of(&old, &there).await;
    let here = new.member("ada").await;
    let kept = new.notes(&here, 10).await;
    // The state in the middle: some records changed, the head did not.
    let (id, gone) = (here.id, kept[0].rkey.to_string());
    new.database
        .write(move |tx| {
            store::begin_import(tx, id)?;
            tx.execute(
                "DELETE FROM record WHERE account = ?1 AND rkey = ?2",
                (id.0, gone),
            )?;
            Ok::<_, crate::store::StoreError>(())
        })
        .await
        .unwrap();
    let new = new.crash().await;
    let refused = new.repos.export(here.id, None).await;
    assert!(matches!(refused, Err(WriteError::ImportUnfinished)));
    assert_eq!(new.repos.interrupted_imports().await.unwrap(), [here.id]);
    new.repos.finish_import(&here).await.unwrap();
    assert_eq!(new.export(&here).await.1, new.table(&here).await);
    assert_eq!(new.repos.interrupted_imports().await.unwrap(), []);
    new.write(&here, create(&note_path("later"), "x"))
        .await
        .unwrap();
    assert_eq!(new.export(&here).await.1, new.table(&here).await);
    assert_eq!(new.table(&here).await.len(), 10);
    new.repos.import(&here, LIMIT, body(&file)).await.unwrap();
    assert_eq!(new.export(&here).await.1, old.table(&there).await);
}

#[tokio::test]
async fn files_that_are_no_repository_of_the_account_change_nothing() {
    let rig = Rig::start().await;
    let (ada, ben) = (rig.member("ada").await, rig.member("ben").await);
    rig.notes(&ada, 30).await;
    rig.notes(&ben, 30).await;
    let before = rig.export(&ada).await;
    let (own, other) = (file_of(&rig, &ada).await, file_of(&rig, &ben).await);
    let import = |file: Bytes, limit| {
        let (repos, ada) = (rig.repos.clone(), ada.clone());
        async move { repos.import(&ada, limit, body(&file)).await.unwrap_err() }
    };
    assert!(matches!(
        import(other, LIMIT).await,
        ImportError::OtherAccount { .. }
    ));
    assert!(matches!(
        import(own.clone(), 500).await,
        ImportError::TooLarge { limit_bytes: 500 }
    ));
    assert!(matches!(
        import(own.slice(..own.len() - 3), LIMIT).await,
        ImportError::Car(_)
    ));
    assert!(matches!(
        import(Bytes::from_static(b"no car"), LIMIT).await,
        ImportError::Car(_)
    ));

    // A record's block is missing: taken from the file of a repository with one more.
    rig.write(&ada, create(&note_path("zz"), "missing"))
        .await
        .unwrap();
    let newer = file_of(&rig, &ada).await;
    rig.write(&ada, intent(&note_path("zz"), Intent::Delete))
        .await
        .unwrap();
    let cid = note(&note_path("zz"), "missing").cid;
    let car = rochdale_protocol::repo::car::read(&newer, 1 << 20).unwrap();
    let root = car.roots[0].as_cid().unwrap();
    let mut cut = rochdale_protocol::repo::car::Writer::new(&[root]);
    for (block_cid, block) in car
        .blocks
        .iter()
        .filter(|(block_cid, _)| **block_cid != cid)
    {
        cut.block(block_cid, block);
    }
    let missing = import(cut.into_bytes().into(), LIMIT).await;
    assert!(matches!(missing, ImportError::Missing { .. }), "{missing}");
    assert_eq!(rig.export(&ada).await.1, before.1);
}

#[tokio::test]
async fn a_repository_from_a_clock_far_ahead_is_taken_in_under_our_own_time() {
    let (old, new) = (Rig::start().await, Rig::start().await);
    let there = old.member("ada").await;
    old.clock
        .advance(std::time::Duration::from_secs(400 * 24 * 60 * 60));
    old.notes(&there, 5).await;
    let file = file_of(&old, &there).await;
    let here = new.member("ada").await;
    let made = new.repos.import(&here, LIMIT, body(&file)).await.unwrap();
    assert!(made.rev.micros() < NOW_US + 60_000_000, "relays take it");
    assert_eq!(new.export(&here).await.1, old.table(&there).await);
}
