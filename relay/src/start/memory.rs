//! Opening what is on disk: the database, the log, and the state that must follow from it.

use std::sync::Arc;

use rochdale_service::Env;
use rochdale_service::start::make_folder;

use super::StartError;
use crate::config::Config;
use crate::log::{Hidden, Log};
use crate::store::{Store, StoreError};
use crate::verify::replay;

/// What is on disk, in agreement with itself.
pub(super) struct Memory {
    pub(super) store: Store,
    pub(super) log: Arc<Log>,
    pub(super) hidden: Arc<Hidden>,
    /// The first number that has certainly never been given out.
    pub(super) next_seq: u64,
    /// Numbers up to here may have been given out.
    pub(super) reserved_seq: u64,
}

impl Memory {
    /// Opens all of it; the state catches up with the log.
    pub(super) async fn open(config: &Config, env: &Env) -> Result<Self, StartError> {
        make_folder(&config.data_dir)?;
        let store = Store::open(&config.data_dir.join("relay.sqlite"))?;
        let hidden = Arc::new(Hidden::default());
        let log = Log::open(
            &config.data_dir.join("relay-log"),
            config.log,
            Arc::clone(&hidden),
        )?;
        let replayed = replay(&log, &store, env.clock.now_ms()).await?;
        if replayed > 0 {
            tracing::info!(
                events = replayed,
                "caught up with the log after a stop that was not clean"
            );
        }
        let oldest = log.oldest().unwrap_or(u64::MAX);
        for (did, until_seq) in store.deleted_since(oldest).await? {
            hidden.hide(&did, until_seq);
        }
        hide_takedowns(&store, &hidden).await?;
        let reserved_seq = store.progress().await?.reserved_seq;
        // Above everything that may have been given out: what the log holds, what was reserved outside of it, and, should both
        // be lost or restored from an old copy, what the clock says, which no number ever overtakes.
        if log.last_stored().is_none() {
            // Whatever there was is gone with the log.
            log.note_trimmed(reserved_seq);
        }
        let next_seq = (log.head() + 1)
            .max(reserved_seq + 1)
            .max(env.clock.now_us());
        Ok(Self {
            store,
            log,
            hidden,
            next_seq,
            reserved_seq,
        })
    }
}

/// Before anybody can read: what was taken down is in no replay.
async fn hide_takedowns(store: &Store, hidden: &Hidden) -> Result<(), StoreError> {
    let mut after = 0;
    loop {
        let page = store.takedowns(after, 500).await?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        after = last.id;
        for takedown in &page {
            hidden.hide(takedown.did.as_str(), u64::MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Kind;

    #[tokio::test]
    async fn takedowns_of_earlier_runs_are_hidden_before_anybody_reads() {
        let folder = tempfile::TempDir::new().expect("folder");
        let store = Store::open(&folder.path().join("relay.sqlite")).expect("store");
        let did = |number: usize| format!("did:web:a{number}.example.org");
        for number in 0..501 {
            let did = did(number).parse().expect("a DID");
            store.take_down(&did, 0).await.expect("stored");
        }
        let hidden = Hidden::default();
        hide_takedowns(&store, &hidden).await.expect("read");
        for number in 0..501 {
            assert!(!hidden.shows(hidden.subject(Kind::Commit, &did(number)), 7));
        }
    }
}
