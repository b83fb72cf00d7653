//! Behaviour of the database on real files.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::StreamExt;
use parking_lot::Mutex;
use tempfile::TempDir;

use super::*;

const SCHEMA: &[Migration] = &[Migration {
    number: 1,
    name: "items",
    sql: "CREATE TABLE item (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT",
}];

#[derive(Debug, thiserror::Error)]
enum StoreError {
    #[error("refused")]
    Refused,
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

fn open(folder: &TempDir, options: Options) -> Database {
    Database::open(folder.path().join("t.sqlite"), SCHEMA, options).unwrap()
}

fn insert(tx: &Transaction, text: &str) -> Result<i64, StoreError> {
    tx.prepare_cached("INSERT INTO item (text) VALUES (?1)")?
        .execute([text])?;
    Ok(tx.last_insert_rowid())
}

fn texts(database: &Database) -> Vec<String> {
    database
        .read_point(|connection| {
            let mut statement = connection.prepare_cached("SELECT text FROM item ORDER BY id")?;
            let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
            rows.collect::<Result<Vec<_>, rusqlite::Error>>()
        })
        .unwrap()
}

#[tokio::test]
async fn db_a_refused_or_panicking_value_takes_only_itself_back() {
    let folder = TempDir::new().unwrap();
    let database = open(&folder, Options::default());
    let first = database.write(|tx| insert(tx, "first"));
    let refused = database.write(|tx| {
        insert(tx, "refused")?;
        Err::<(), _>(StoreError::Refused)
    });
    let panicked = database.write(|tx| -> Result<(), StoreError> {
        insert(tx, "panicked")?;
        panic!("planted")
    });
    let last = database.write(|tx| insert(tx, "last"));
    assert_eq!(first.await.unwrap(), 1);
    assert!(matches!(
        refused.await,
        Err(WriteError::Value(StoreError::Refused))
    ));
    assert!(matches!(panicked.await, Err(WriteError::Panicked)));
    last.await.unwrap();
    assert_eq!(texts(&database), ["first", "last"]);
    assert_eq!((database.stats().values, database.stats().refused), (2, 2));
}

#[tokio::test]
async fn then_runs_in_commit_order_before_the_answer() {
    let folder = TempDir::new().unwrap();
    let database = open(&folder, Options::default());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let mut answers = Vec::new();
    for number in 0..200 {
        let seen = Arc::clone(&seen);
        answers.push(database.write_then(
            move |tx| insert(tx, &number.to_string()),
            move |id| seen.lock().push(*id),
        ));
    }
    for answer in answers {
        let id = answer.await.unwrap();
        assert!(seen.lock().contains(&id));
    }
    assert_eq!(*seen.lock(), (1..=200).collect::<Vec<_>>());
    assert!(
        database.stats().commits < 200,
        "values that queue share a commit"
    );
}

#[tokio::test]
async fn a_write_whose_caller_goes_away_is_applied() {
    let folder = TempDir::new().unwrap();
    let database = open(&folder, Options::default());
    drop(database.write(|tx| insert(tx, "orphan")));
    database.write(|tx| insert(tx, "next")).await.unwrap();
    assert_eq!(texts(&database), ["orphan", "next"]);
}

#[tokio::test]
async fn a_panic_after_the_commit_changes_nothing_for_the_caller() {
    let folder = TempDir::new().unwrap();
    let database = open(&folder, Options::default());
    let answer = database
        .write_then(|tx| insert(tx, "kept"), |_| panic!("planted"))
        .await;
    assert_eq!(answer.unwrap(), 1);
    assert_eq!(texts(&database), ["kept"]);
}

#[tokio::test]
async fn a_full_queue_answers_busy_and_loses_nothing() {
    let folder = TempDir::new().unwrap();
    let database = open(
        &folder,
        Options {
            write_queue: 4,
            ..Options::default()
        },
    );
    let (open_gate, gate) = std::sync::mpsc::channel::<()>();
    let blocker = database.write(move |tx| {
        gate.recv().ok();
        insert(tx, "blocker")
    });
    while database.stats().queued > 0 {
        tokio::task::yield_now().await;
    }
    let queued: Vec<_> = (0..6)
        .map(|_| database.write(|tx| insert(tx, "queued")))
        .collect();
    open_gate.send(()).unwrap();
    blocker.await.unwrap();
    let answers = futures::future::join_all(queued).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 4);
    assert_eq!(
        answers
            .iter()
            .filter(|a| matches!(a, Err(WriteError::Busy)))
            .count(),
        2
    );
    assert_eq!(texts(&database).len(), 5);
}

#[tokio::test]
async fn interactive_writes_go_first_and_background_ones_are_not_starved() {
    let folder = TempDir::new().unwrap();
    let database = open(&folder, Options::default());
    let (open_gate, gate) = std::sync::mpsc::channel::<()>();
    let blocker = database.write_background(move |_| -> Result<(), StoreError> {
        gate.recv().ok();
        // Past a batch's time, so that everything below is another batch.
        let began = std::time::Instant::now();
        while began.elapsed() < Duration::from_millis(6) {
            std::thread::yield_now();
        }
        Ok(())
    });
    while database.stats().queued > 0 {
        tokio::task::yield_now().await;
    }
    let order = Arc::new(Mutex::new(Vec::new()));
    let ran = |name: &'static str| {
        let order = Arc::clone(&order);
        move |_: &Transaction| -> Result<(), StoreError> {
            order.lock().push(name);
            Ok(())
        }
    };
    let background: Vec<_> = (0..3)
        .map(|_| database.write_background(ran("background")))
        .collect();
    let interactive: Vec<_> = (0..600)
        .map(|_| database.write(ran("interactive")))
        .collect();
    open_gate.send(()).unwrap();
    blocker.await.unwrap();
    futures::future::join_all(background).await;
    futures::future::join_all(interactive).await;
    let order = order.lock();
    assert_eq!(order.len(), 603);
    let first = order.iter().position(|name| *name == "background").unwrap();
    assert!(first > 0, "an interactive value goes first");
    assert!(
        first < 600,
        "a background value gets into a commit of a busy writer"
    );
    assert_eq!(
        order[first + 1],
        "interactive",
        "and only one: the next commit begins with those that wait"
    );
}

#[tokio::test]
async fn writes_that_are_announced_share_the_commit_of_those_before_them() {
    let folder = TempDir::new().unwrap();
    let database = open(&folder, Options::default());
    // A machine that is busy elsewhere may spend the writer's patience between two lines of this test.
    let shared = futures::stream::iter(0..100).any(async |_| {
        let before = database.stats().commits;
        let announced = database.announce();
        let first = database.write(|tx| insert(tx, "first"));
        while database.stats().queued > 0 {
            tokio::task::yield_now().await;
        }
        let second = database.write(|tx| insert(tx, "second"));
        drop(announced);
        let (first, second) = (first.await, second.await);
        assert_eq!(first.unwrap() + 1, second.unwrap());
        database.stats().commits == before + 1
    });
    assert!(shared.await, "the second never shared a commit");
}

#[tokio::test]
async fn an_announced_write_that_does_not_come_holds_a_commit_back_only_so_long() {
    let folder = TempDir::new().unwrap();
    let database = open(&folder, Options::default());
    let began = std::time::Instant::now();
    let _forgotten = database.announce();
    database.write(|tx| insert(tx, "first")).await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(2));
    assert_eq!(texts(&database), ["first"]);
}

#[tokio::test]
async fn a_full_disk_answers_those_values_and_the_database_goes_on() {
    let folder = TempDir::new().unwrap();
    let database = open(&folder, Options::default());
    database
        .write(|tx| {
            let pages = tx.query_row("PRAGMA page_count", [], |row| row.get::<_, i64>(0))?;
            tx.pragma_update(None, "max_page_count", pages + 4)?;
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
    let large = database.write(|tx| insert(tx, &"x".repeat(100_000))).await;
    assert!(matches!(large, Err(WriteError::DiskFull)), "{large:?}");
    database.write(|tx| insert(tx, "small")).await.unwrap();
    assert_eq!(texts(&database), ["small"]);
}

#[tokio::test]
async fn reads_see_one_snapshot_and_cannot_write() {
    let folder = TempDir::new().unwrap();
    let database = open(&folder, Options::default());
    let (tell, told) = std::sync::mpsc::channel::<()>();
    let (started, has_started) = tokio::sync::oneshot::channel();
    let count = "SELECT count(*) FROM item";
    let read = database.read(move |connection| {
        let before = connection.query_row(count, [], |row| row.get::<_, i64>(0))?;
        started.send(()).ok();
        told.recv().ok();
        let after = connection.query_row(count, [], |row| row.get::<_, i64>(0))?;
        Ok::<_, rusqlite::Error>((before, after))
    });
    has_started.await.unwrap();
    database.write(|tx| insert(tx, "meanwhile")).await.unwrap();
    tell.send(()).unwrap();
    assert_eq!(read.await.unwrap(), (0, 0));
    let written = database.read_point(|connection| connection.execute("DELETE FROM item", []));
    assert!(matches!(written, Err(ReadError::Value(_))));
    assert_eq!(texts(&database).len(), 1);
}

#[tokio::test]
async fn a_read_past_its_limit_is_interrupted_and_the_next_one_is_not() {
    let folder = TempDir::new().unwrap();
    let options = Options {
        readers: 1,
        read_limit: Duration::from_millis(50),
        ..Options::default()
    };
    let database = open(&folder, options);
    let endless =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    let read = database.read(move |c| c.query_row(endless, [], |row| row.get::<_, i64>(0)));
    let next = database.read(|c| c.query_row("SELECT 7", [], |row| row.get::<_, i64>(0)));
    assert!(matches!(read.await, Err(ReadError::TooLong)));
    assert_eq!(next.await.unwrap(), 7);
}

#[tokio::test]
async fn a_panicking_read_leaves_the_reader_usable() {
    let folder = TempDir::new().unwrap();
    let database = open(
        &folder,
        Options {
            readers: 1,
            ..Options::default()
        },
    );
    let read = database.read(|_| -> Result<(), rusqlite::Error> { panic!("planted") });
    assert!(matches!(read.await, Err(ReadError::Panicked)));
    let next = database.read(|c| c.query_row("SELECT 7", [], |row| row.get::<_, i64>(0)));
    assert_eq!(next.await.unwrap(), 7);
}

#[tokio::test]
async fn a_full_read_queue_answers_busy() {
    let folder = TempDir::new().unwrap();
    let database = open(
        &folder,
        Options {
            readers: 1,
            read_queue: 1,
            ..Options::default()
        },
    );
    let (open_gate, gate) = std::sync::mpsc::channel::<()>();
    let (started, has_started) = tokio::sync::oneshot::channel();
    let blocker = database.read(move |_| {
        started.send(()).ok();
        gate.recv().ok();
        Ok::<_, rusqlite::Error>(())
    });
    has_started.await.unwrap();
    let waits = database.read(|_| Ok::<_, rusqlite::Error>(()));
    let refused = database.read(|_| Ok::<_, rusqlite::Error>(())).await;
    assert!(matches!(refused, Err(ReadError::Busy)));
    open_gate.send(()).unwrap();
    blocker.await.unwrap();
    waits.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_stays_bounded_while_a_reader_stalls() {
    let folder = TempDir::new().unwrap();
    let options = Options {
        wal_limit_bytes: 2 << 20,
        checkpoint_bytes: 256 << 10,
        read_limit: Duration::from_millis(100),
        ..Options::default()
    };
    let database = open(&folder, options);
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
                   SELECT count(*) FROM n, (SELECT count(*) FROM item)";
    let stalled = database.read(move |c| c.query_row(endless, [], |row| row.get::<_, i64>(0)));
    let most = Arc::new(AtomicUsize::new(0));
    for _ in 0..200 {
        let batch = (0..8).map(|_| database.write(|tx| insert(tx, &"x".repeat(8_000))));
        for answer in futures::future::join_all(batch).await {
            answer.unwrap();
        }
        let wal = std::fs::metadata(folder.path().join("t.sqlite-wal"))
            .unwrap()
            .len();
        most.fetch_max(usize::try_from(wal).unwrap(), Ordering::Relaxed);
    }
    let stalled = stalled.await;
    assert!(matches!(stalled, Err(ReadError::TooLong)), "{stalled:?}");
    let most = most.load(Ordering::Relaxed);
    // 12.8 MB were written; what queued before the keeper looked comes on top of the limit.
    assert!(most < 6 << 20, "the log grew to {most} bytes");
    assert!(database.stats().checkpoints > 0);
}

#[tokio::test]
async fn the_log_is_emptied_when_nobody_writes() {
    let folder = TempDir::new().unwrap();
    let database = open(&folder, Options::default());
    database.write(|tx| insert(tx, "text")).await.unwrap();
    let wal = || {
        std::fs::metadata(folder.path().join("t.sqlite-wal"))
            .unwrap()
            .len()
    };
    assert!(wal() > 0);
    for _ in 0..100 {
        if wal() == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!((wal(), database.stats().wal_bytes), (0, 0));
}

#[tokio::test]
async fn everything_is_there_after_reopening_and_close_refuses_new_work() {
    let folder = TempDir::new().unwrap();
    let database = open(&folder, Options::default());
    let queued = database.write(|tx| insert(tx, "queued"));
    database.close().await;
    queued.await.unwrap();
    assert!(matches!(
        database.write(|tx| insert(tx, "late")).await,
        Err(WriteError::Closed)
    ));
    assert!(matches!(
        database.read(|_| Ok::<_, rusqlite::Error>(())).await,
        Err(ReadError::Closed)
    ));
    drop(database);
    assert_eq!(texts(&open(&folder, Options::default())), ["queued"]);
}

#[test]
fn a_database_that_is_open_is_locked_for_others() {
    let folder = TempDir::new().unwrap();
    let database = open(&folder, Options::default());
    let path = folder.path().join("t.sqlite");
    let second = Database::open(&path, SCHEMA, Options::default());
    assert!(
        matches!(second, Err(OpenError::Locked { .. })),
        "{second:?}"
    );
    drop(database);
    Database::open(&path, SCHEMA, Options::default()).unwrap();
}

#[test]
fn a_database_of_a_newer_version_is_refused_with_both_versions() {
    let folder = TempDir::new().unwrap();
    let newer = [
        SCHEMA[0],
        Migration {
            number: 2,
            name: "more",
            sql: "CREATE TABLE more (id INTEGER)",
        },
    ];
    let path = folder.path().join("t.sqlite");
    drop(Database::open(&path, &newer, Options::default()).unwrap());
    let error = Database::open(&path, SCHEMA, Options::default()).unwrap_err();
    assert!(matches!(
        error,
        OpenError::NewerVersion {
            found: 2,
            known: 1,
            ..
        }
    ));
    let text = error.to_string();
    assert!(text.contains("version 2") && text.contains("up to 1") && text.contains("backup"));
}

#[test]
fn migrations_are_applied_once_and_all_or_none() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("t.sqlite");
    let broken = [
        SCHEMA[0],
        Migration {
            number: 2,
            name: "broken",
            sql: "CREATE TABLE more (id INTEGER); CREATE NONSENSE",
        },
    ];
    let error = Database::open(&path, &broken, Options::default()).unwrap_err();
    assert!(
        matches!(error, OpenError::Migration { number: 2, .. }),
        "{error}"
    );
    let database = open(&folder, Options::default());
    assert!(
        texts(&database).is_empty(),
        "the first migration runs again after the failed try"
    );
    drop(database);
    drop(open(&folder, Options::default()));
    let renamed = [Migration {
        name: "others",
        ..SCHEMA[0]
    }];
    let error = Database::open(&path, &renamed, Options::default()).unwrap_err();
    assert!(
        matches!(error, OpenError::OtherHistory { number: 1, .. }),
        "{error}"
    );
}

#[test]
fn a_missing_folder_and_a_foreign_file_are_named() {
    let folder = TempDir::new().unwrap();
    let missing = folder.path().join("nowhere").join("t.sqlite");
    let error = Database::open(&missing, SCHEMA, Options::default()).unwrap_err();
    assert!(matches!(error, OpenError::NotWritable { .. }), "{error}");
    assert!(error.to_string().contains("nowhere"));
    let foreign = folder.path().join("foreign.sqlite");
    std::fs::write(
        &foreign,
        "this is a letter to my aunt and certainly not a database ".repeat(20),
    )
    .unwrap();
    let error = Database::open(&foreign, SCHEMA, Options::default()).unwrap_err();
    assert!(matches!(error, OpenError::NotADatabase { .. }), "{error}");
}
