use crate::repo::testing::{NOW_US, Rig, create, note_path};
use crate::sequencer::EventDraft;
use crate::store::{StoreError, event, node, purge};

#[tokio::test]
async fn events_past_their_time_go_but_never_the_newest_nor_one_whose_nodes_are_unwritten() {
    let rig = Rig::start().await;
    let ada = rig.member("ada").await;
    for n in 0..10 {
        rig.write(&ada, create(&note_path(&format!("n{n}")), "x"))
            .await
            .unwrap();
    }
    let count = || async {
        rig.database
            .read(|conn| event::read_after(conn, 0, 1_000, 1 << 20))
            .await
            .unwrap()
            .len()
    };
    assert_eq!(count().await, 11);
    let later = NOW_US + 3_600_000_000;
    let cut = |checkpoint: u64| {
        rig.database
            .write(move |tx| event::trim(tx, later, checkpoint))
    };
    let written = rig.database.read(node::checkpoint).await.unwrap();
    assert_eq!(cut(written).await.unwrap(), 0, "no nodes are written yet");
    rig.repos.flush().await.unwrap();
    let written = rig.database.read(node::checkpoint).await.unwrap();
    let early = rig
        .database
        .write(move |tx| event::trim(tx, NOW_US, written))
        .await
        .unwrap();
    assert_eq!(early, 0, "nothing is old enough");
    assert_eq!(cut(written).await.unwrap(), 10);
    assert_eq!(count().await, 1);
    let last = rig.published.lock().last().unwrap().seq;
    let trimmed = rig.database.read(event::trimmed_seq).await.unwrap();
    assert_eq!(trimmed, last - 1);
    rig.write(&ada, create(&note_path("later"), "x"))
        .await
        .unwrap();
    assert_eq!(rig.published.lock().last().unwrap().seq, last + 1);
}

#[tokio::test]
async fn a_deleted_account_leaves_one_event_at_once_and_no_row_in_the_end() {
    let rig = Rig::start().await;
    let (ada, ben) = (rig.member("ada").await, rig.member("ben").await);
    rig.notes(&ada, 700).await;
    rig.write(&ben, create(&note_path("a"), "x")).await.unwrap();
    rig.repos.flush().await.unwrap();
    let (id, did) = (ada.id, ada.did.clone());
    rig.database
        .write(move |tx| {
            purge::mark(tx, id)?;
            event::append(tx, &[EventDraft::deleted(id, &did, NOW_US)])
        })
        .await
        .unwrap();
    rig.repos.forget(id);
    let subjects = || async {
        let frames = rig
            .database
            .read(|conn| event::read_after(conn, 0, 1_000, 1 << 20));
        frames
            .await
            .unwrap()
            .iter()
            .map(|frame| frame.subject)
            .collect::<Vec<_>>()
    };
    let (a, b) = (id.0 as u64, ben.id.0 as u64);
    assert_eq!(subjects().await, [b, b, a], "hidden before they are gone");
    assert!(rig.repos.export(id, None).await.is_err());
    rig.repos.purge().await.unwrap();
    assert_eq!(subjects().await, [b, b, a]);
    let left = rig
        .database
        .read(move |conn| {
            let mut left = 0_i64;
            for table in ["record", "node", "repo", "purge", "blob_link", "backlink"] {
                let query = format!("SELECT count(*) FROM {table} WHERE account = ?1");
                left += conn.query_row(&query, [id.0], |row| row.get::<_, i64>(0))?;
            }
            let events = "SELECT count(*) FROM event WHERE account = ?1";
            Ok::<_, StoreError>((
                left,
                conn.query_row(events, [id.0], |row| row.get::<_, i64>(0))?,
            ))
        })
        .await
        .unwrap();
    assert_eq!(left, (0, 1));
    rig.write(&ben, create(&note_path("b"), "x")).await.unwrap();
}

#[tokio::test]
async fn numbers_start_above_the_clock_and_never_go_back() {
    let rig = Rig::start().await;
    for floor in [NOW_US, NOW_US + 50, NOW_US + 10] {
        rig.database
            .write(move |tx| event::raise_floor(tx, floor))
            .await
            .unwrap();
    }
    let last = rig.database.read(event::last_seq).await.unwrap();
    assert_eq!(last, NOW_US + 50);
}
