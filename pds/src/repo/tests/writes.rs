use std::sync::Arc;

use rochdale_protocol::data::Cid;
use rochdale_protocol::repo::Action;

use crate::account::Account;
use crate::keys::Keyring;
use crate::repo::testing::*;
use crate::repo::{Batch, Intent, Write, WriteError};
use crate::store::repo::ApplyError;

#[tokio::test]
async fn every_kind_of_write_shows_in_records_tree_and_an_event_that_proves_itself() {
    let rig = Rig::start().await;
    let ada = rig.member("ada").await;
    let (one, two) = (note_path("one"), note_path("two"));
    rig.write(&ada, create(&one, "first"))
        .await
        .unwrap()
        .unwrap();
    rig.write(&ada, put(&two, "second")).await.unwrap().unwrap();
    rig.write(&ada, put(&one, "changed"))
        .await
        .unwrap()
        .unwrap();
    rig.write(&ada, intent(&two, Intent::Delete))
        .await
        .unwrap()
        .unwrap();
    let last = rig
        .write(&ada, create(&two, "again"))
        .await
        .unwrap()
        .unwrap();

    let commits = rig.checked_commits(&ada);
    let actions: Vec<Action> = commits
        .iter()
        .flat_map(|commit| &commit.ops)
        .map(|op| op.action)
        .collect();
    use Action::{Create, Delete, Update};
    assert_eq!(actions, [Create, Create, Update, Delete, Create]);
    let (head, records) = rig.export(&ada).await;
    assert_eq!((head.cid, head.rev), (last.cid, last.rev));
    assert_eq!(records, rig.table(&ada).await);
    assert_eq!(records.len(), 2);
}

#[tokio::test]
async fn writes_without_effect_make_no_commit() {
    let rig = Rig::start().await;
    let ada = rig.member("ada").await;
    let path = note_path("one");
    rig.write(&ada, put(&path, "x")).await.unwrap().unwrap();
    assert_eq!(rig.write(&ada, put(&path, "x")).await.unwrap(), None);
    assert_eq!(
        rig.write(&ada, intent(&note_path("no"), Intent::Ensure))
            .await
            .unwrap(),
        None
    );
    assert_eq!(rig.checked_commits(&ada).len(), 2);
}

#[tokio::test]
async fn writes_that_do_not_fit_are_refused_by_name_and_change_nothing() {
    let rig = Rig::start().await;
    let ada = rig.member("ada").await;
    let (path, gone) = (note_path("one"), note_path("gone"));
    let first = rig.write(&ada, create(&path, "x")).await.unwrap().unwrap();

    let exists = rig.write(&ada, create(&path, "y")).await;
    assert!(matches!(exists, Err(WriteError::RecordExists { .. })));
    let missing = rig.write(&ada, intent(&gone, Intent::Delete)).await;
    assert!(matches!(missing, Err(WriteError::RecordMissing { .. })));
    let missing = rig
        .write(&ada, intent(&gone, Intent::Update(note(&gone, "z"))))
        .await;
    assert!(matches!(missing, Err(WriteError::RecordMissing { .. })));

    let twice = vec![create(&gone, "a"), intent(&gone, Intent::Delete)];
    let twice = rig
        .repos
        .write(
            &ada,
            Batch {
                writes: twice,
                ..Batch::default()
            },
        )
        .await;
    assert!(matches!(twice, Err(WriteError::DuplicatePath { .. })));

    let many = (0..201)
        .map(|n| create(&note_path(&n.to_string()), "n"))
        .collect();
    let many = rig
        .repos
        .write(
            &ada,
            Batch {
                writes: many,
                ..Batch::default()
            },
        )
        .await;
    assert!(matches!(
        many,
        Err(WriteError::TooManyWrites { writes: 201 })
    ));

    let wrong = Cid::dag_cbor(b"other");
    let batch = Batch {
        swap_commit: Some(wrong),
        ..Batch::one(create(&gone, "a"))
    };
    let refused = rig.repos.write(&ada, batch).await;
    assert!(matches!(refused, Err(WriteError::CommitSwap { present }) if present == first.cid));
    for swap in [Some(wrong), None] {
        let write = Write {
            swap_record: Some(swap),
            ..put(&path, "b")
        };
        let refused = rig.write(&ada, write).await;
        assert!(matches!(refused, Err(WriteError::RecordSwap { .. })));
    }
    assert_eq!(rig.checked_commits(&ada).len(), 2);
    assert_eq!(rig.export(&ada).await.0.cid, first.cid);
}

#[tokio::test]
async fn writes_whose_preconditions_hold_go_through() {
    let rig = Rig::start().await;
    let ada = rig.member("ada").await;
    let (path, gone) = (note_path("one"), note_path("gone"));
    let first = rig.write(&ada, create(&path, "x")).await.unwrap().unwrap();
    let batch = Batch {
        swap_commit: Some(first.cid),
        ..Batch::one(Write {
            swap_record: Some(Some(note(&path, "x").cid)),
            ..put(&path, "b")
        })
    };
    rig.repos.write(&ada, batch).await.unwrap().unwrap();
    let none_there = Write {
        swap_record: Some(None),
        ..put(&gone, "new")
    };
    rig.write(&ada, none_there).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_batch_with_one_bad_operation_changes_nothing() {
    let rig = Rig::start().await;
    let ada = rig.member("ada").await;
    let writes = vec![
        create(&note_path("a"), "a"),
        intent(&note_path("b"), Intent::Delete),
    ];
    let refused = rig
        .repos
        .write(
            &ada,
            Batch {
                writes,
                ..Batch::default()
            },
        )
        .await;
    assert!(matches!(refused, Err(WriteError::RecordMissing { .. })));
    assert!(rig.table(&ada).await.is_empty());
    rig.write(&ada, create(&note_path("a"), "a"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(rig.checked_commits(&ada).len(), 2);
}

#[tokio::test]
async fn a_full_batch_of_creates_updates_and_deletes_inverts() {
    let rig = Rig::start().await;
    let ada = rig.member("ada").await;
    let paths = rig.notes(&ada, 150).await;
    let mut writes: Vec<Write> = paths[..60].iter().map(|p| put(p, "changed")).collect();
    writes.extend(paths[60..120].iter().map(|p| intent(p, Intent::Delete)));
    writes.extend((0..80).map(|n| create(&note_path(&format!("n{n}")), "new")));
    rig.repos
        .write(
            &ada,
            Batch {
                writes,
                ..Batch::default()
            },
        )
        .await
        .unwrap()
        .unwrap();
    assert_eq!(rig.checked_commits(&ada).last().unwrap().ops.len(), 200);
    let (_, records) = rig.export(&ada).await;
    assert_eq!(records, rig.table(&ada).await);
    assert_eq!(records.len(), 170);
}

#[tokio::test]
async fn liking_the_same_post_again_removes_the_older_like_in_the_same_commit() {
    let rig = Rig::start().await;
    let ada = rig.member("ada").await;
    let like = |rkey: &str, uri: &str| {
        let path = format!("app.bsky.feed.like/{rkey}").parse().unwrap();
        let json = format!(r#"{{"subject":{{"uri":"{uri}","cid":"x"}}}}"#);
        let write = intent(&path, Intent::Create(record(&path, &json)));
        Batch {
            replace_same_subject: true,
            ..Batch::one(write)
        }
    };
    rig.repos
        .write(&ada, like("one", "at://a/b/c"))
        .await
        .unwrap();
    rig.repos
        .write(&ada, like("two", "at://a/b/other"))
        .await
        .unwrap();
    rig.repos
        .write(&ada, like("three", "at://a/b/c"))
        .await
        .unwrap();
    let keys: Vec<String> = rig.table(&ada).await.into_keys().collect();
    assert_eq!(keys, ["app.bsky.feed.like/three", "app.bsky.feed.like/two"]);
    assert_eq!(rig.checked_commits(&ada).last().unwrap().ops.len(), 2);
    // Nothing is left of the removed one: a third like removes exactly one again.
    rig.repos
        .write(&ada, like("four", "at://a/b/c"))
        .await
        .unwrap();
    assert_eq!(rig.checked_commits(&ada).last().unwrap().ops.len(), 2);
}

#[tokio::test]
async fn concurrent_writers_on_one_repository_stay_linear() {
    let rig = Arc::new(Rig::start().await);
    let ada = rig.member("ada").await;
    let tasks: Vec<_> = (0..60)
        .map(|n| {
            let (rig, ada) = (Arc::clone(&rig), Arc::clone(&ada));
            tokio::spawn(async move {
                let path = note_path(&format!("k{}", n % 20));
                let write = match n % 3 {
                    0 => create(&path, &format!("{n}")),
                    1 => put(&path, &format!("{n}")),
                    _ => intent(&path, Intent::Ensure),
                };
                match rig.write(&ada, write).await {
                    Ok(made) => usize::from(made.is_some()),
                    Err(WriteError::RecordExists { .. }) => 0,
                    Err(other) => panic!("{other}"),
                }
            })
        })
        .collect();
    let mut made = 0;
    for task in tasks {
        made += task.await.unwrap();
    }
    assert_eq!(
        rig.checked_commits(&ada).len(),
        made + 1,
        "one event per commit"
    );
    let (_, records) = rig.export(&ada).await;
    assert_eq!(records, rig.table(&ada).await);
}

#[tokio::test]
async fn an_account_that_was_deactivated_meanwhile_gets_no_commit() {
    let rig = Rig::start().await;
    let ada = rig.member("ada").await;
    rig.write(&ada, create(&note_path("a"), "a")).await.unwrap();
    rig.database
        .write(|tx| tx.execute("UPDATE account SET deactivated_at_ms = 1", []))
        .await
        .unwrap();
    let refused = rig.write(&ada, create(&note_path("b"), "b")).await;
    assert!(matches!(
        refused,
        Err(WriteError::Refused(ApplyError::Inactive))
    ));
    assert_eq!(rig.table(&ada).await.len(), 1);
    assert_eq!(rig.checked_commits(&ada).len(), 2);
}

#[tokio::test]
async fn resigning_keeps_the_tree_raises_the_revision_and_says_sync() {
    let rig = Rig::start().await;
    let ada = rig.member("ada").await;
    let before = rig
        .write(&ada, create(&note_path("a"), "a"))
        .await
        .unwrap()
        .unwrap();
    let after = rig.repos.resign(&ada, |_| Ok(Vec::new())).await.unwrap();
    assert!(after.rev > before.rev);
    let (head, records) = rig.export(&ada).await;
    assert_eq!(head.cid, after.cid);
    assert_eq!(records.len(), 1);
    let frame = rig.published.lock().last().unwrap().bytes.clone();
    let rochdale_protocol::sync::Frame::Message { event, .. } =
        rochdale_protocol::sync::decode_frame(&frame).unwrap()
    else {
        panic!("a message");
    };
    assert_eq!(event.kind(), "#sync");
}

#[tokio::test]
async fn a_caller_that_hangs_up_cancels_nothing() {
    let rig = Rig::start().await;
    let ada = rig.member("ada").await;
    {
        let write = rig.write(&ada, create(&note_path("a"), "a"));
        tokio::pin!(write);
        // Polled once: the task runs, the caller goes.
        assert!(futures::poll!(write.as_mut()).is_pending());
    }
    while rig.table(&ada).await.is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    rig.write(&ada, create(&note_path("b"), "b")).await.unwrap();
    assert_eq!(rig.checked_commits(&ada).len(), 3);
}

#[tokio::test]
async fn a_write_prepared_with_a_key_that_was_replaced_meanwhile_is_refused() {
    let rig = Rig::start().await;
    let ada = rig.member("ada").await;
    let path = note_path("a");
    let sealed = rig.keys.seal(&ada.did, &Keyring::generate()).unwrap();
    let (id, stored) = (ada.id.0, sealed.as_bytes().to_vec());
    rig.database
        .write(move |tx| {
            let set = "UPDATE account SET signing_key = ?2 WHERE id = ?1";
            tx.execute(set, rusqlite::params![id, stored])
        })
        .await
        .unwrap();
    let refused = rig.write(&ada, create(&path, "x")).await;
    assert!(matches!(
        refused,
        Err(WriteError::Refused(ApplyError::KeyChanged))
    ));
    let now = Arc::new(Account {
        signing_key: sealed,
        ..Account::clone(&ada)
    });
    rig.write(&now, create(&path, "x")).await.unwrap().unwrap();
    assert_eq!(rig.export(&now).await.1, rig.table(&now).await);
}
