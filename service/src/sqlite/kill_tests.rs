//! What a killed process leaves behind.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::*;

const SCHEMA: &[Migration] = &[Migration {
    number: 1,
    name: "halves",
    sql: "CREATE TABLE one (writer INTEGER, number INTEGER, PRIMARY KEY (writer, number)) WITHOUT ROWID;
          CREATE TABLE two (writer INTEGER, number INTEGER, PRIMARY KEY (writer, number)) WITHOUT ROWID;",
}];

/// Tells the process that is to be killed where to write.
const FOLDER: &str = "ROCHDALE_KILL_TEST_FOLDER";
const WRITERS: i64 = 8;

fn open(path: &Path) -> Database {
    // Small limits, so that checkpoints are killed as well.
    let options = Options {
        checkpoint_bytes: 64 << 10,
        wal_limit_bytes: 256 << 10,
        ..Options::default()
    };
    Database::open(path, SCHEMA, options).unwrap()
}

/// Writes pairs for ever and says which ones were acknowledged.
fn write_until_killed(path: &Path) {
    let database = open(path);
    let first: i64 = database
        .read_point(|c| {
            c.query_row("SELECT coalesce(max(number), 0) + 1 FROM one", [], |row| {
                row.get(0)
            })
        })
        .unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    runtime.block_on(async {
        let writers = (0..WRITERS).map(|writer| {
            let database = database.clone();
            tokio::spawn(async move {
                for number in first.. {
                    let write = database.write(move |tx| {
                        for table in ["one", "two"] {
                            tx.prepare_cached(&format!("INSERT INTO {table} VALUES (?1, ?2)"))?
                                .execute((writer, number))?;
                        }
                        Ok::<_, rusqlite::Error>(())
                    });
                    write.await.unwrap();
                    let line = format!("acknowledged {writer} {number}\n");
                    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
                }
            })
        });
        futures::future::join_all(writers).await;
    });
}

/// Starts this test again as the process to be killed, and kills it after some acknowledgements.
fn kill_after(acknowledgements: usize, folder: &Path) -> Vec<(i64, i64)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "sqlite::kill_tests::a_killed_process_keeps_what_it_acknowledged",
            "--nocapture",
        ])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = Vec::new();
    let mut parse = |line: std::io::Result<String>| {
        let line = line.ok()?;
        let (writer, number) = line.strip_prefix("acknowledged ")?.split_once(' ')?;
        acknowledged.push((writer.parse().ok()?, number.parse().ok()?));
        Some(())
    };
    let mut seen = 0;
    while seen < acknowledgements {
        seen += usize::from(parse(lines.next().expect("the process is alive")).is_some());
    }
    child.kill().unwrap();
    // What stands in the pipe was acknowledged as well; the last line may be cut off.
    for line in lines {
        parse(line);
    }
    child.wait().unwrap();
    acknowledged
}

fn all(database: &Database, table: &str) -> Vec<(i64, i64)> {
    database
        .read_point(|connection| {
            let sql = format!("SELECT writer, number FROM {table} ORDER BY 1, 2");
            let mut statement = connection.prepare(&sql)?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<Result<Vec<_>, rusqlite::Error>>()
        })
        .unwrap()
}

#[test]
fn a_killed_process_keeps_what_it_acknowledged() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        write_until_killed(&PathBuf::from(folder).join("k.sqlite"));
        panic!("it is killed before it ends");
    }
    let folder = TempDir::new().unwrap();
    let mut acknowledged = Vec::new();
    for round in 0..6 {
        acknowledged.extend(kill_after(1 + round * 67, folder.path()));
        let database = open(&folder.path().join("k.sqlite"));
        let kept = all(&database, "one");
        assert_eq!(
            kept,
            all(&database, "two"),
            "a value is kept whole or not at all"
        );
        let lost: Vec<_> = acknowledged
            .iter()
            .filter(|pair| kept.binary_search(pair).is_err())
            .collect();
        assert!(lost.is_empty(), "round {round} lost {lost:?}");
    }
    assert!(acknowledged.len() > 1_000, "{}", acknowledged.len());
}
