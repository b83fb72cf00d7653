//! Opening: the lock, the file, the settings of each connection, the migrations, the threads.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, TransactionBehavior};

use super::checkpoint::Keeper;
use super::reader::Pool;
use super::writer::{Queue, Writer};
use super::{Database, Inner, Migration, OpenError, Options};

/// How long one attempt to reset the log waits for readers, and holds the writer up.
const KEEPER_PATIENCE: Duration = Duration::from_millis(50);
/// Statements each connection keeps prepared.
const STATEMENTS: usize = 256;

pub(super) fn open(
    path: &Path,
    migrations: &[Migration],
    options: Options,
) -> Result<Database, OpenError> {
    let lock = Arc::new(lock(path)?);
    let mut writer = connect(path, options.cache_bytes, Access::Write)?;
    migrate(path, &mut writer, migrations)?;

    let points = (0..options.point_readers.max(1))
        .map(|_| connect(path, options.reader_cache_bytes, Access::Read))
        .collect::<Result<Vec<_>, _>>()?;
    let queue = Arc::new(Queue::new(&options));
    let pool = Arc::new(Pool::new(&options, points));
    let keeper = Arc::new(Keeper::new(&options));

    let database = Database {
        inner: Arc::new(Inner {
            path: path.to_owned(),
            writes: Arc::clone(&queue),
            reads: Arc::clone(&pool),
            keeper: Arc::clone(&keeper),
            threads: Mutex::default(),
        }),
    };
    let spawn = |role: &str, work: Box<dyn FnOnce() + Send>| -> Result<(), OpenError> {
        let lock = Arc::clone(&lock);
        let thread = spawn_thread(&format!("{}-{role}", options.name), move || {
            work();
            // Given back when the last thread, and with it the last connection, is gone.
            drop(lock);
        })
        .map_err(|cause| OpenError::NotWritable {
            path: path.to_owned(),
            cause,
        })?;
        database.inner.threads.lock().push(thread);
        Ok(())
    };

    for number in 0..options.readers.max(1) {
        let connection = connect(path, options.reader_cache_bytes, Access::Read)?;
        let pool = Arc::clone(&pool);
        spawn(
            &format!("read{number}"),
            Box::new(move || pool.run(&connection)),
        )?;
    }
    let connection = connect(path, 0, Access::Write)?;
    connection
        .busy_timeout(KEEPER_PATIENCE)
        .map_err(|cause| OpenError::Sqlite {
            path: path.to_owned(),
            cause,
        })?;
    let writer = Writer::new(writer, queue, Arc::clone(&keeper), options.name);
    spawn("keep", Box::new(move || keeper.run(&connection, &pool)))?;
    spawn("write", Box::new(move || writer.run()))?;
    Ok(database)
}

fn spawn_thread(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
}

/// Locks `<path>.lock` for this process.
fn lock(path: &Path) -> Result<File, OpenError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let name = PathBuf::from(name);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&name)
        .map_err(|cause| not_writable(&name, cause))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked {
            path: path.to_owned(),
        }),
        Err(TryLockError::Error(cause)) => Err(not_writable(&name, cause)),
    }
}

fn not_writable(path: &Path, cause: io::Error) -> OpenError {
    match cause.kind() {
        io::ErrorKind::StorageFull => OpenError::DiskFull {
            path: path.to_owned(),
        },
        _ => OpenError::NotWritable {
            path: path.to_owned(),
            cause,
        },
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

fn connect(path: &Path, cache_bytes: u64, access: Access) -> Result<Connection, OpenError> {
    let connect = || {
        let flags = match access {
            Access::Write => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
            // Write access to the shared memory of the log is needed even for reading.
            Access::Read => OpenFlags::SQLITE_OPEN_READ_WRITE,
        } | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        // Only a checkpoint that resets the log or a foreign process ever makes anybody wait.
        connection.busy_timeout(Duration::from_secs(5))?;
        if access == Access::Write {
            connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
            connection.pragma_update(None, "synchronous", "FULL")?;
        }
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.pragma_update(None, "trusted_schema", false)?;
        let kibibytes = i64::try_from(cache_bytes / 1_024).unwrap_or(i64::MAX);
        connection.pragma_update(None, "cache_size", -kibibytes.max(64))?;
        if access == Access::Read {
            connection.pragma_update(None, "query_only", true)?;
        }
        Ok(connection)
    };
    connect().map_err(|cause| open_error(path, cause))
}

fn open_error(path: &Path, cause: rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    match cause.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => OpenError::DiskFull { path },
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            OpenError::NotADatabase { path, cause }
        }
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            OpenError::NotWritable {
                path,
                cause: io::Error::other(cause),
            }
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => OpenError::Locked { path },
        _ => OpenError::Sqlite { path, cause },
    }
}

/// Brings the schema up to date in one transaction.
fn migrate(
    path: &Path,
    connection: &mut Connection,
    migrations: &[Migration],
) -> Result<(), OpenError> {
    let sqlite = |cause| open_error(path, cause);
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(sqlite)?;
    transaction
        .execute_batch(
            "CREATE TABLE IF NOT EXISTS migration (number INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT",
        )
        .map_err(sqlite)?;
    let found = transaction
        .query_row("SELECT max(number) FROM migration", [], |row| {
            row.get::<_, Option<u32>>(0)
        })
        .map_err(sqlite)?
        .unwrap_or(0);
    let known = migrations
        .iter()
        .map(|migration| migration.number)
        .max()
        .unwrap_or(0);
    if found > known {
        return Err(OpenError::NewerVersion {
            path: path.to_owned(),
            found,
            known,
        });
    }
    for migration in migrations {
        let name = transaction
            .query_row(
                "SELECT name FROM migration WHERE number = ?1",
                [migration.number],
                |row| row.get::<_, String>(0),
            )
            .optional()
            .map_err(sqlite)?;
        match name {
            Some(name) if name == migration.name => {}
            Some(name) => {
                return Err(OpenError::OtherHistory {
                    path: path.to_owned(),
                    number: migration.number,
                    found: name,
                    known: migration.name,
                });
            }
            None => apply(&transaction, *migration).map_err(|cause| {
                match cause.sqlite_error_code() {
                    Some(ErrorCode::DiskFull) => OpenError::DiskFull {
                        path: path.to_owned(),
                    },
                    _ => OpenError::Migration {
                        path: path.to_owned(),
                        number: migration.number,
                        name: migration.name,
                        cause,
                    },
                }
            })?,
        }
    }
    transaction.commit().map_err(sqlite)
}

fn apply(connection: &Connection, migration: Migration) -> rusqlite::Result<()> {
    connection.execute_batch(migration.sql)?;
    connection
        .execute(
            "INSERT INTO migration (number, name) VALUES (?1, ?2)",
            (migration.number, migration.name),
        )
        .map(drop)
}
