//! NSIDs to schemas: those at hand, then those that their authority publishes, cached and bounded.
//!
//! Follows "Lexicon publication and resolution" of the atproto Lexicon specification. Owns when a
//! schema is fetched, how long it counts and how long somebody waits for it. Must not decide what
//! becomes of a record that does not fit.
//!
//! A schema at hand (`rochdale_lexicons::Library`) is never fetched. Any other counts as fresh for
//! five minutes; after that it is used for up to a day while it is fetched again behind the
//! caller's back. A failure is remembered for five minutes too.

mod error;
mod fetch;
pub mod folder;
#[cfg(test)]
mod tests;

pub use error::LexiconError;
pub use fetch::Published;

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures::{StreamExt as _, stream};
use parking_lot::Mutex;
use rochdale_lexicons::{Document, Library, LinkError, RecordType};
use rochdale_protocol::syntax::Nsid;
use rochdale_service::{clock::SharedClock, shutdown::Shutdown};
use tokio::{sync::watch, time::Instant};

use crate::{
    Resolver,
    cache::{Answers, Policy},
    resolver::count,
};

const MINUTE_US: u64 = 60_000_000;
const POLICY: Policy = Policy {
    fresh_us: 5 * MINUTE_US,
    stale_us: 24 * 60 * MINUTE_US,
    negative_us: 5 * MINUTE_US,
};
/// Memory for published schemas, and as much again for the record types made of them, bytes.
const CACHE_BYTES: u64 = 8 << 20;
/// Record types that are being fetched at a time.
const FLIGHTS: usize = 32;
/// Documents that one record type is made of, at most.
const DOCUMENTS: usize = 32;
/// Documents of one record type that are fetched at a time.
const AT_ONCE: usize = 4;
const WAITS: Waits = Waits {
    brief: Duration::from_millis(500),
    fetch: Duration::from_secs(5),
};
/// What one definition of a record type takes in memory, roughly.
const DEFINITION_BYTES: u32 = 1024;

/// How long somebody waits for a schema that is not known yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Half a second from the first time anybody asked, and not at all when it was ever asked for
    /// before. The fetch goes on behind the caller's back.
    Brief,
    /// As long as a fetch may take: five seconds.
    Whole,
}

/// How long is waited, at most.
#[derive(Clone, Copy, Debug)]
struct Waits {
    /// [`Patience::Brief`].
    brief: Duration,
    /// For a schema with everything it refers to.
    fetch: Duration,
}

/// Finds schemas. Clones share one cache.
#[derive(Clone, Debug)]
pub struct Lexicons {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    resolver: Resolver,
    library: Library,
    published: Answers<Nsid, Arc<Published>, LexiconError>,
    types: Answers<Nsid, Arc<RecordType>, LexiconError>,
    flights: Mutex<HashMap<Nsid, Flight>>,
    tasks: Shutdown,
    waits: Waits,
}

/// A fetch that runs as a task of its own.
#[derive(Clone, Debug)]
struct Flight {
    since: Instant,
    /// Closed when the fetch has ended.
    ended: watch::Receiver<()>,
}

impl Lexicons {
    /// Finds schemas in `library`, then through `resolver`'s network. Must be called in a runtime
    /// that outlives it.
    #[must_use]
    pub fn new(resolver: Resolver, library: Library, clock: SharedClock, tasks: Shutdown) -> Self {
        Self::waiting(WAITS, resolver, library, clock, tasks)
    }

    fn waiting(
        waits: Waits,
        resolver: Resolver,
        library: Library,
        clock: SharedClock,
        tasks: Shutdown,
    ) -> Self {
        let published = Answers::new(
            CACHE_BYTES,
            POLICY,
            Arc::clone(&clock),
            // The record and, about twice as large again, what was read from it.
            |schema: &Arc<Published>| {
                let bytes = u32::try_from(schema.record.len()).unwrap_or(u32::MAX);
                bytes.saturating_mul(3)
            },
        );
        let types = Answers::new(CACHE_BYTES, POLICY, clock, |kind: &Arc<RecordType>| {
            let definitions = u32::try_from(kind.definitions()).unwrap_or(u32::MAX);
            definitions.saturating_mul(DEFINITION_BYTES)
        });
        let inner = Inner {
            resolver,
            library,
            published,
            types,
            flights: Mutex::default(),
            tasks,
            waits,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// The schemas at hand.
    #[must_use]
    pub fn library(&self) -> &Library {
        &self.inner.library
    }

    /// The schema that the authority of `id` publishes, whatever is at hand.
    ///
    /// # Errors
    /// When it publishes none, or the network fails and none is known from the last day.
    pub async fn published(&self, id: &Nsid) -> Result<Arc<Published>, LexiconError> {
        self.inner.published(id).await
    }

    /// The document `id`: at hand, or published.
    ///
    /// # Errors
    /// As [`Self::published`].
    pub async fn document(&self, id: &Nsid) -> Result<Arc<Document>, LexiconError> {
        match self.inner.library.document(id) {
            Some(document) => Ok(document),
            None => Ok(Arc::clone(&self.published(id).await?.document)),
        }
    }

    /// The records of the collection `id`, if it can be said without waiting.
    #[must_use]
    pub fn known(&self, id: &Nsid) -> Option<Result<Arc<RecordType>, LexiconError>> {
        let library = &self.inner.library;
        if !library.has(id) {
            return self.inner.types.known(id);
        }
        let kind = library.record_type(id);
        Some(kind.ok_or_else(|| LexiconError::NotARecord(id.as_str().into())))
    }

    /// The records of the collection `id`.
    ///
    /// # Errors
    /// When there is no such schema, it defines no records, or it is not known within `patience`.
    pub async fn record_type(
        &self,
        id: &Nsid,
        patience: Patience,
    ) -> Result<Arc<RecordType>, LexiconError> {
        let inner = &self.inner;
        if let Some(known) = self.known(id) {
            return known;
        }
        let last = inner.types.last(id);
        let Some(mut flight) = Inner::flight(inner, id) else {
            return last.unwrap_or_else(|| Err(LexiconError::Busy(id.as_str().into())));
        };
        let end = match (patience, last) {
            (Patience::Brief, Some(last)) => return last,
            (Patience::Brief, None) => flight.since + inner.waits.brief,
            // The fetch has its own limit; this one is for a task that never ran.
            (Patience::Whole, _) => flight.since + 2 * inner.waits.fetch,
        };
        // Nothing is ever sent: the channel closes when the fetch has ended.
        let _closed = tokio::time::timeout_at(end, flight.ended.changed()).await;
        let last = inner.types.last(id);
        last.unwrap_or_else(|| Err(LexiconError::Pending(id.as_str().into())))
    }
}

impl Inner {
    /// The fetch of a record type that is under way, or a new one; `None` when there are too many.
    fn flight(this: &Arc<Self>, id: &Nsid) -> Option<Flight> {
        let mut flights = this.flights.lock();
        if let Some(flight) = flights.get(id) {
            return Some(flight.clone());
        }
        if flights.len() >= FLIGHTS {
            return None;
        }
        let (ending, ended) = watch::channel(());
        let since = Instant::now();
        let flight = Flight { since, ended };
        flights.insert(id.clone(), flight.clone());
        drop(flights);
        let landing = Landing {
            inner: Arc::clone(this),
            id: id.clone(),
            _ending: ending,
        };
        this.tasks.spawn("lexicon", async move {
            let (inner, id) = (&landing.inner, &landing.id);
            let fetch = inner.types.get(id, inner.fetch_type(id));
            tokio::select! {
                fetched = fetch => drop(count("lexicon", fetched)),
                () = inner.tasks.requested() => {}
            }
        });
        Some(flight)
    }

    /// Fetches a record type with everything that its references reach, within the limits.
    async fn fetch_type(&self, id: &Nsid) -> Result<Arc<RecordType>, LexiconError> {
        let fetched = tokio::time::timeout(self.waits.fetch, self.gather(id)).await;
        fetched.unwrap_or_else(|_late| {
            Err(LexiconError::Unreachable {
                nsid: id.as_str().into(),
                cause: "it took too long to be fetched".into(),
            })
        })
    }

    async fn gather(&self, id: &Nsid) -> Result<Arc<RecordType>, LexiconError> {
        let first = Arc::clone(&self.published(id).await?.document);
        let mut fetched: HashMap<Nsid, Option<Arc<Document>>> = HashMap::new();
        loop {
            let at_hand = |id: &Nsid| match fetched.get(id) {
                Some(document) => document.clone(),
                None => self.library.document(id),
            };
            let linked = RecordType::link(&first, at_hand).map_err(|error| match error {
                LinkError::NotARecord(id) => LexiconError::NotARecord(id.as_str().into()),
                error => LexiconError::Invalid {
                    nsid: id.as_str().into(),
                    cause: error.to_string().into(),
                },
            })?;
            let missing = linked
                .missing()
                .iter()
                .filter(|id| !fetched.contains_key(id));
            let wanted: Vec<Nsid> = missing
                .take(DOCUMENTS.saturating_sub(fetched.len() + 1))
                .cloned()
                .collect();
            if wanted.is_empty() {
                return Ok(Arc::new(linked));
            }
            let fetches = stream::iter(wanted).map(|id| async move {
                // One that cannot be had stays missing: only records that use it are affected.
                let document = self.published(&id).await.ok();
                (
                    id,
                    document.map(|published| Arc::clone(&published.document)),
                )
            });
            let found: Vec<_> = fetches.buffer_unordered(AT_ONCE).collect().await;
            fetched.extend(found);
        }
    }

    async fn published(&self, id: &Nsid) -> Result<Arc<Published>, LexiconError> {
        let fetch = async {
            let fetch = fetch::fetch(&self.resolver, id);
            let fetched = tokio::time::timeout(self.waits.fetch, fetch).await;
            fetched.unwrap_or_else(|_late| {
                Err(LexiconError::Unreachable {
                    nsid: id.as_str().into(),
                    cause: "it took too long to be fetched".into(),
                })
            })
        };
        count("lexicon_document", self.published.get(id, fetch).await)
    }
}

/// Takes a flight off the list, however it ends.
struct Landing {
    inner: Arc<Inner>,
    id: Nsid,
    /// Dropped last: whoever wakes up finds the flight gone.
    _ending: watch::Sender<()>,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.inner.flights.lock().remove(&self.id);
    }
}
