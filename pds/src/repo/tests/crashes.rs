use rochdale_protocol::syntax::RecordPath;

use crate::account::AccountId;
use crate::repo::testing::*;
use crate::repo::{Intent, Truth, WriteError};
use crate::store::{StoreError, node, repo as store};

async fn nodes(rig: &Rig, account: AccountId) -> u64 {
    rig.database
        .read(move |conn| node::count(conn, account))
        .await
        .unwrap()
}

async fn is_complete(rig: &Rig, account: AccountId) -> bool {
    rig.database
        .read(move |conn| {
            let (_, root) = store::nodes_at(conn, account)?.unwrap();
            Ok::<_, StoreError>(root == store::head(conn, account)?.unwrap().data)
        })
        .await
        .unwrap()
}

#[tokio::test]
async fn nodes_lost_in_a_crash_come_back_from_the_events() {
    let rig = Rig::start().await;
    let ada = rig.member("ada").await;
    let paths = rig.notes(&ada, 300).await;
    rig.repos.flush().await.unwrap();
    assert!(is_complete(&rig, ada.id).await);
    for path in &paths[..20] {
        rig.write(&ada, intent(path, Intent::Delete)).await.unwrap();
    }
    rig.write(&ada, put(&paths[50], "changed")).await.unwrap();
    let before = rig.export(&ada).await;

    let rig = rig.crash().await;
    assert!(
        !is_complete(&rig, ada.id).await,
        "the test is about unwritten nodes"
    );
    assert_eq!(rig.export(&ada).await, before);
    rig.write(&ada, create(&note_path("later"), "x"))
        .await
        .unwrap();
    assert_eq!(rig.export(&ada).await.1, rig.table(&ada).await);

    // What is written in the end is the tree and nothing else.
    rig.repos.flush().await.unwrap();
    let written = nodes(&rig, ada.id).await;
    rig.database
        .write(|tx| tx.execute("UPDATE repo SET nodes_root = zeroblob(32)", []))
        .await
        .unwrap();
    let rig = rig.crash().await;
    rig.export(&ada).await;
    assert_eq!(
        nodes(&rig, ada.id).await,
        written,
        "as many as a rebuild makes"
    );
}

#[tokio::test]
async fn a_crash_between_two_flushes_of_a_round_is_made_up_at_start() {
    let rig = Rig::start().await;
    let (ada, ben) = (rig.member("ada").await, rig.member("ben").await);
    rig.notes(&ada, 120).await;
    rig.notes(&ben, 120).await;
    rig.repos.flush().await.unwrap();
    rig.notes(&ada, 40).await;
    rig.notes(&ben, 40).await;
    // Ada's nodes reach the disk, the checkpoint does not move.
    let checkpoint = rig.database.read(node::checkpoint).await.unwrap();
    rig.repos.flush().await.unwrap();
    rig.database
        .write(move |tx| tx.execute("UPDATE node_checkpoint SET seq = ?1", [checkpoint as i64]))
        .await
        .unwrap();
    let rig = rig.crash().await;
    for who in [&ada, &ben] {
        rig.write(who, create(&note_path("later"), "x"))
            .await
            .unwrap();
        assert_eq!(rig.export(who).await.1, rig.table(who).await);
    }
}

#[tokio::test]
async fn a_round_that_fails_is_made_up_by_the_next_one() {
    let rig = Rig::start().await;
    let (ada, ben) = (rig.member("ada").await, rig.member("ben").await);
    rig.notes(&ada, 2_500).await;
    rig.notes(&ben, 20).await;
    let rename = |from: &'static str, to: &'static str| {
        rig.database
            .write(move |tx| tx.execute_batch(&format!("ALTER TABLE {from} RENAME TO {to}")))
    };
    rename("node", "node_away").await.unwrap();
    assert!(rig.repos.flush().await.is_err());
    rename("node_away", "node").await.unwrap();
    assert_eq!(rig.database.read(node::checkpoint).await.unwrap(), 0);
    rig.write(&ada, create(&note_path("later"), "x"))
        .await
        .unwrap();
    rig.repos.flush().await.unwrap();
    let through = rig.published.lock().last().unwrap().seq;
    assert_eq!(rig.database.read(node::checkpoint).await.unwrap(), through);
    assert!(is_complete(&rig, ada.id).await && is_complete(&rig, ben.id).await);
    let rig = rig.crash().await;
    for who in [&ada, &ben] {
        assert_eq!(rig.export(who).await.1, rig.table(who).await);
    }
}

#[tokio::test]
async fn without_the_events_the_tree_is_rebuilt_from_its_records() {
    let rig = Rig::start().await;
    let ada = rig.member("ada").await;
    rig.notes(&ada, 200).await;
    // Collections whose order differs as names and as bytes of paths.
    for path in [
        "com.example.note.sub/a",
        "com.example.note-x/a",
        "com.example.a/a",
    ] {
        if let Ok(path) = path.parse::<RecordPath>() {
            rig.write(&ada, create(&path, "x")).await.unwrap();
        }
    }
    let before = rig.export(&ada).await;
    rig.database
        .write(|tx| tx.execute("DELETE FROM event", []))
        .await
        .unwrap();
    let rig = rig.crash().await;
    assert_eq!(rig.export(&ada).await, before);
    assert!(is_complete(&rig, ada.id).await);
    rig.write(&ada, create(&note_path("later"), "x"))
        .await
        .unwrap();
    assert_eq!(rig.export(&ada).await.1, rig.table(&ada).await);
}

#[tokio::test]
async fn a_node_lost_from_the_table_is_rebuilt_during_the_write_that_needs_it() {
    let rig = Rig::start().await;
    let ada = rig.member("ada").await;
    rig.notes(&ada, 300).await;
    rig.repos.flush().await.unwrap();
    let rig = rig.crash().await;
    let id = ada.id.0;
    rig.database
        .write(move |tx| {
            tx.execute(
                "DELETE FROM node WHERE account = ?1 AND cid != (SELECT data FROM repo)",
                [id],
            )
        })
        .await
        .unwrap();
    rig.write(&ada, create(&note_path("later"), "x"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(rig.export(&ada).await.1, rig.table(&ada).await);
}

#[tokio::test]
async fn records_that_do_not_add_up_to_the_head_close_the_repository() {
    let rig = Rig::start().await;
    let (ada, ben) = (rig.member("ada").await, rig.member("ben").await);
    let paths = rig.notes(&ada, 50).await;
    rig.notes(&ben, 5).await;
    let (id, rkey) = (ada.id.0, paths[7].rkey.to_string());
    rig.database
        .write(move |tx| {
            tx.execute("DELETE FROM event", [])?;
            tx.execute(
                "DELETE FROM record WHERE account = ?1 AND rkey = ?2",
                (id, rkey),
            )
        })
        .await
        .unwrap();
    let rig = rig.crash().await;
    for _ in 0..2 {
        let refused = rig.write(&ada, create(&note_path("later"), "x")).await;
        assert!(matches!(refused, Err(WriteError::Closed)));
    }
    assert!(matches!(
        rig.repos.export(ada.id, None).await,
        Err(WriteError::Closed)
    ));
    rig.write(&ben, create(&note_path("later"), "x"))
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn sequence_numbers_go_on_after_a_restart_and_after_a_restore_of_older_data() {
    let rig = Rig::start().await;
    let ada = rig.member("ada").await;
    rig.write(&ada, create(&note_path("a"), "a")).await.unwrap();
    let last = rig.published.lock().last().unwrap().seq;
    let rig = rig.crash().await;
    rig.database
        .write(|tx| crate::store::event::raise_floor(tx, NOW_US + 5))
        .await
        .unwrap();
    rig.write(&ada, create(&note_path("b"), "b")).await.unwrap();
    let next = rig.published.lock().last().unwrap().seq;
    assert!(next > last && next > NOW_US);
}

#[tokio::test]
async fn a_repository_that_came_back_from_the_future_survives_a_crash() {
    let rig = Rig::start().await;
    let ada = rig.member("ada").await;
    let day = 24 * 3_600 * 1_000_000;
    rig.clock.set_us(NOW_US + day);
    rig.notes(&ada, 30).await;
    rig.repos.flush().await.unwrap();
    rig.clock.set_us(NOW_US);
    let refused = rig.write(&ada, create(&note_path("a"), "x")).await;
    assert!(matches!(refused, Err(WriteError::FutureRevision { .. })));
    let commit = rig.repos.recommit(&ada, Truth::Head).await.unwrap();
    assert_eq!(commit.rev.micros(), NOW_US);
    rig.write(&ada, create(&note_path("a"), "x")).await.unwrap();
    let before = rig.export(&ada).await;
    assert!(before.0.rev > commit.rev);
    let rig = rig.crash().await;
    assert_eq!(rig.export(&ada).await, before);
    rig.write(&ada, create(&note_path("b"), "x")).await.unwrap();
    assert_eq!(rig.export(&ada).await.1, rig.table(&ada).await);
}
