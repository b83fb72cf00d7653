//! Reading single blocks of a repository by CID.
//!
//! Owns where they are looked for: head and nodes by name, records where [`places`] says, and only
//! where that is not known by reading the keys once. Must not write. Follows the atproto sync
//! specification.
//!
//! [`places`]: super::places

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use rochdale_protocol::data::{Cid, Codec};
use rochdale_protocol::repo::{BlockSource, MstError};
use rochdale_protocol::syntax::Nsid;
use rusqlite::Connection;

use super::places::Survey;
use super::shelf::Shelf;
use super::{Inner, Repos, WriteError};
use crate::account::AccountId;
use crate::store::{StoreError, read_error, record};

/// Rows read at once while a repository is searched.
const ROWS_PER_READ: usize = 5_000;
/// Blocks looked up in one read.
const BLOCKS_PER_READ: usize = 50;
/// Rows looked at where a block may lie: more than lay there, since more may have come.
const ROWS_PER_PLACE: usize = 128;
/// Newest rows of each collection looked at before a repository is searched.
const NEWEST: usize = 256;

/// Blocks that are asked for.
struct Sought {
    account: AccountId,
    /// The commit they are looked for in.
    head: Cid,
    found: HashMap<Cid, Bytes>,
    wanted: HashSet<Cid>,
    /// Nothing else can be found.
    settled: bool,
}

impl Repos {
    /// The blocks of the present commit, tree and records among `cids`.
    ///
    /// # Errors
    /// `NoRepo`, `Closed`, `Busy` when too many search, or when the store fails.
    pub async fn blocks(
        &self,
        account: AccountId,
        cids: &[Cid],
    ) -> Result<HashMap<Cid, Bytes>, WriteError> {
        let inner = &self.inner;
        let sought = inner.look_up(account, cids).await?;
        if sought.settled {
            return Ok(sought.found);
        }
        let _place_to_wait = inner
            .searches_waiting
            .try_acquire()
            .map_err(|_| WriteError::Busy)?;
        let _one_of_few = inner
            .searches
            .acquire()
            .await
            .map_err(|_| WriteError::Busy)?;
        // The search before may have been the same one.
        let mut sought = inner.look_up(account, cids).await?;
        if !sought.settled {
            inner.look_at_newest(&mut sought).await?;
        }
        if !sought.settled {
            inner.search(&mut sought).await?;
        }
        Ok(sought.found)
    }
}

impl Inner {
    /// Looks where nothing needs to be searched.
    async fn look_up(&self, account: AccountId, cids: &[Cid]) -> Result<Sought, WriteError> {
        let pinned = self.pin(account).await?;
        let head = &pinned.head;
        let shelf = Shelf {
            database: &self.database,
            slot: &pinned.slot,
        };
        let mut sought = Sought {
            account,
            head: head.cid,
            found: HashMap::new(),
            wanted: HashSet::new(),
            settled: false,
        };
        for cid in cids {
            if *cid == head.cid {
                sought.found.insert(*cid, head.block.clone());
            } else if let Some(block) = shelf.block(cid).map_err(MstError::from)? {
                sought.found.insert(*cid, block);
            } else if cid.codec() == Codec::DagCbor {
                sought.wanted.insert(*cid);
            }
        }
        sought.settled = sought.wanted.is_empty();
        drop(pinned);
        if !sought.settled {
            self.look_at_places(&mut sought).await?;
        }
        Ok(sought)
    }

    async fn look_at_places(&self, sought: &mut Sought) -> Result<(), WriteError> {
        let Some(places) = self.atlas.get(sought.account) else {
            return Ok(());
        };
        let account = sought.account;
        let wanted: Vec<Cid> = sought.wanted.iter().copied().collect();
        for part in wanted.chunks(BLOCKS_PER_READ) {
            let (places, part) = (Arc::clone(&places), part.to_vec());
            let look = move |conn: &Connection| {
                let mut hits = Vec::new();
                for cid in part {
                    for place in places.of(&cid) {
                        let (collection, from) = (place.collection, &place.from);
                        let found = record::block_from(
                            conn,
                            account,
                            collection,
                            from,
                            ROWS_PER_PLACE,
                            &cid,
                        )?;
                        if let Some(block) = found {
                            hits.push((cid, block));
                            break;
                        }
                    }
                }
                Ok::<_, StoreError>(hits)
            };
            let hits = self.database.read(look).await;
            sought.take(hits.map_err(read_error::<StoreError>)?);
        }
        // Complete places have no room for a block that was not found.
        sought.settled |= places.head == Some(sought.head);
        Ok(())
    }

    /// Looks at the newest records: what is asked for is often what was just written.
    async fn look_at_newest(&self, sought: &mut Sought) -> Result<(), WriteError> {
        for (collection, _) in self.collections_of(sought.account).await? {
            let (account, wanted) = (sought.account, sought.wanted.clone());
            let look = move |conn: &Connection| {
                let mut hits = Vec::new();
                record::newest_blocks(conn, account, collection, NEWEST, |cid, block| {
                    if wanted.contains(&cid) {
                        hits.push((cid, Bytes::copy_from_slice(block)));
                    }
                })?;
                Ok::<_, StoreError>(hits)
            };
            let hits = self.database.read(look).await;
            sought.take(hits.map_err(read_error::<StoreError>)?);
            if sought.settled {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Reads the keys of all records, in short reads, and keeps where they lie.
    async fn search(&self, sought: &mut Sought) -> Result<(), WriteError> {
        metrics::counter!("rochdale_pds_block_searches_total").increment(1);
        let account = sought.account;
        let mut survey = Survey::new();
        for (collection, _) in self.collections_of(account).await? {
            let mut after = Some(String::new());
            while let Some(from) = after {
                let wanted = sought.wanted.clone();
                let look = move |conn: &Connection| {
                    let (mut hits, mut keys) = (Vec::new(), Vec::new());
                    let next = record::scan_cids(
                        conn,
                        account,
                        collection,
                        &from,
                        ROWS_PER_READ,
                        |rkey, cid| {
                            survey.push(collection, rkey, &cid);
                            if wanted.contains(&cid) {
                                keys.push((rkey.to_owned(), cid));
                            }
                        },
                    )?;
                    for (rkey, cid) in keys {
                        let found = record::block_from(conn, account, collection, &rkey, 1, &cid)?;
                        hits.extend(found.map(|block| (cid, block)));
                    }
                    Ok::<_, StoreError>((survey, hits, next))
                };
                let read = self.database.read(look).await;
                let hits;
                (survey, hits, after) = read.map_err(read_error::<StoreError>)?;
                sought.take(hits);
            }
        }
        // Revisions only grow: the same head before and after means that nothing was written.
        let still = self.pin(account).await?.head.cid == sought.head;
        if let Some(places) = survey.finish(still.then_some(sought.head)) {
            self.atlas.put(account, places);
        }
        Ok(())
    }

    async fn collections_of(&self, account: AccountId) -> Result<Vec<(i64, Nsid)>, WriteError> {
        let found = self
            .database
            .read(move |conn| record::collections(conn, account))
            .await;
        Ok(found.map_err(read_error::<StoreError>)?)
    }
}

impl Sought {
    fn take(&mut self, hits: Vec<(Cid, Bytes)>) {
        for (cid, block) in hits {
            self.wanted.remove(&cid);
            self.found.insert(cid, block);
        }
        self.settled = self.wanted.is_empty();
    }
}
