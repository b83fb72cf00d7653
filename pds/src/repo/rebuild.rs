//! Rebuilding a repository's tree from its records.
//!
//! Owns the last resort: when stored nodes do not lead to the head, the records do, or those that
//! the events still hold, or the repository is closed. Runs under the repository's turn; few at a time, in short reads.

use std::sync::Arc;

use rochdale_protocol::data::{Cid, Link};
use rochdale_protocol::repo::Tree;
use rochdale_protocol::repo::mst::Builder;
use rochdale_protocol::syntax::{Nsid, Tid};

use super::slots::{Open, Slot, Turn};
use super::{Inner, WriteError};
use crate::store::{StoreError, node, read_error, record, write_error};

/// Records read at once.
const RECORDS_PER_READ: usize = 5_000;
/// Nodes written at once.
const NODES_PER_VALUE: usize = 500;

impl Inner {
    /// Builds the tree of the head from the records and stores its nodes.
    ///
    /// # Errors
    /// `Closed` when the records do not lead to the head; the repository stays closed then.
    pub(super) async fn rebuild(
        &self,
        slot: &Arc<Slot>,
        turn: &mut Turn,
    ) -> Result<(), WriteError> {
        let _one_of_few = self
            .rebuilds
            .acquire()
            .await
            .map_err(|_| WriteError::Busy)?;
        let account = slot.account;
        let head = self.stored_head(account)?;
        tracing::warn!(account = account.0, head = %head.cid, "rebuilding a tree from its records");
        metrics::counter!("rochdale_pds_tree_rebuilds_total").increment(1);
        self.slots.drop_tree(slot, turn);
        slot.nodes.lock().reset();
        // Records may come back below, without a commit.
        self.atlas.forget(account);
        self.clear_nodes(slot).await?;
        let mut root = self.build(slot, head.rev).await?;
        if root != head.data && self.restore_records(slot, &head).await? > 0 {
            self.clear_nodes(slot).await?;
            root = self.build(slot, head.rev).await?;
        }
        if root != head.data {
            turn.closed = true;
            metrics::counter!("rochdale_pds_repos_closed_total").increment(1);
            tracing::error!(
                account = account.0,
                head = %head.cid,
                "the records of a repository do not fit its head: closed until restored"
            );
            return Err(WriteError::Closed);
        }
        let (rev, root) = (head.rev, head.data);
        self.database
            .write_background(move |tx| node::mark_complete(tx, account, rev, &root))
            .await
            .map_err(write_error::<StoreError>)?;
        turn.open = Some(Open {
            tree: Tree::load(head.data),
            head,
        });
        Ok(())
    }

    pub(super) async fn clear_nodes(&self, slot: &Slot) -> Result<(), WriteError> {
        let account = slot.account;
        loop {
            let more = self
                .database
                .write_background(move |tx| node::clear_some(tx, account))
                .await
                .map_err(write_error::<StoreError>)?;
            if !more {
                return Ok(());
            }
        }
    }

    /// Builds the tree of the records that are there and stores its nodes as brought by `rev`.
    pub(super) async fn build(&self, slot: &Slot, rev: Tid) -> Result<Cid, WriteError> {
        let account = slot.account;
        let collections: Vec<(i64, Nsid)> = self
            .database
            .read(move |conn| record::collections(conn, account))
            .await
            .map_err(read_error::<StoreError>)?;
        let mut builder = Builder::streaming();
        for (collection, nsid) in collections {
            let mut after = Some(String::new());
            while let Some(from) = after {
                let page = self
                    .database
                    .read(move |conn| {
                        let mut page = Vec::new();
                        let next = record::scan_cids(
                            conn,
                            account,
                            collection,
                            &from,
                            RECORDS_PER_READ,
                            |rkey, cid| page.push((rkey.to_owned(), cid)),
                        )?;
                        Ok::<_, StoreError>((page, next))
                    })
                    .await
                    .map_err(read_error::<StoreError>)?;
                for (rkey, cid) in &page.0 {
                    builder.push(format!("{nsid}/{rkey}").as_bytes(), Link::from(*cid))?;
                }
                after = page.1;
                self.write_nodes(slot, rev, builder.take_closed()).await?;
            }
        }
        let (root, rest) = builder.finish();
        self.write_nodes(slot, rev, rest).await?;
        Ok(root)
    }

    async fn write_nodes(
        &self,
        slot: &Slot,
        rev: Tid,
        nodes: Vec<(Cid, bytes::Bytes)>,
    ) -> Result<(), WriteError> {
        let account = slot.account;
        for part in nodes.chunks(NODES_PER_VALUE) {
            let part = part.to_vec();
            self.database
                .write_background(move |tx| {
                    part.iter()
                        .try_for_each(|(cid, bytes)| node::put(tx, account, cid, rev, bytes))
                })
                .await
                .map_err(write_error::<StoreError>)?;
        }
        Ok(())
    }
}
