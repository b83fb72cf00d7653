//! How the stores ask the database: answers are boxed, as their traits want them, and failures are the
//! store's own or those of the value.

use std::error::Error;

use futures::FutureExt;
use futures::future::BoxFuture;
use rochdale_service::sqlite::{Database, Transaction};
use rusqlite::Connection;

use super::{StoreError, read_error, write_error};

/// The database as one store sees it.
#[derive(Debug, Clone)]
pub(super) struct Access {
    database: Database,
}

impl Access {
    pub(super) fn new(database: Database) -> Self {
        Self { database }
    }

    /// Runs a query on a reader thread, against one snapshot.
    pub(super) fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, StoreError>> {
        let query = move |db: &Connection| query(db).map_err(StoreError::from);
        async move { self.database.read(query).await.map_err(read_error) }.boxed()
    }

    /// Runs a query of a few microseconds here and now, on the caller's thread.
    pub(super) fn point<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> BoxFuture<'_, Result<T, StoreError>> {
        let query = |db: &Connection| query(db).map_err(StoreError::from);
        let found = self.database.read_point(query).map_err(read_error);
        std::future::ready(found).boxed()
    }

    /// Applies a value that nothing but the store can refuse; durable when it answers.
    pub(super) fn write<T: Send + 'static>(
        &self,
        value: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, StoreError>> {
        self.apply(move |db| value(db).map_err(StoreError::from))
    }

    /// As [`Access::write`], behind every write that somebody waits for.
    pub(super) fn write_background<T: Send + 'static>(
        &self,
        value: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, StoreError>> {
        let value = move |tx: &Transaction| value(tx).map_err(StoreError::from);
        async move {
            let done = self.database.write_background(value).await;
            done.map_err(write_error)
        }
        .boxed()
    }

    /// Applies a value that has preconditions of its own; durable when it answers.
    pub(super) fn apply<T, E>(
        &self,
        value: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, E>>
    where
        T: Send + 'static,
        E: Error + From<StoreError> + Send + 'static,
    {
        self.apply_then(value, |_: &T| {})
    }

    /// As [`Access::apply`]; `then` runs in commit order, before the answer.
    pub(super) fn apply_then<T, E>(
        &self,
        value: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
        then: impl FnOnce(&T) + Send + 'static,
    ) -> BoxFuture<'_, Result<T, E>>
    where
        T: Send + 'static,
        E: Error + From<StoreError> + Send + 'static,
    {
        let value = move |tx: &Transaction| value(tx);
        async move {
            let done = self.database.write_then(value, then).await;
            done.map_err(write_error)
        }
        .boxed()
    }
}
