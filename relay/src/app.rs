//! The relay's parts in one place, and what its operator may do with them.

use std::sync::Arc;

use rochdale_protocol::syntax::Did;
use rochdale_resolver::Resolver;
use rochdale_service::clock::SharedClock;
use rochdale_service::config::Secret;
use rochdale_service::stream::Stream;

use crate::hosts::{Host, Hosts, Subscriber};
use crate::log::{Hidden, Log};
use crate::output::Health;
use crate::store::{Store, StoreError};
use crate::verify::{Command, Shards, Stopping};

/// The shared state of all handlers.
pub(crate) type Shared = Arc<Relay>;

/// See the module.
#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) url: String,
    pub(crate) admin_password: Option<Secret>,
    pub(crate) clock: SharedClock,
    pub(crate) store: Store,
    pub(crate) log: Arc<Log>,
    pub(crate) hidden: Arc<Hidden>,
    pub(crate) hosts: Arc<Hosts>,
    pub(crate) shards: Arc<Shards>,
    pub(crate) subscriber: Arc<Subscriber>,
    pub(crate) resolver: Resolver,
    pub(crate) stream: Arc<Stream>,
    pub(crate) health: Arc<Health>,
}

/// Why a decision of the operator was not carried out, or not wholly.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecisionError {
    /// It could not be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The relay stops; what is stored is carried out at the next start.
    #[error(transparent)]
    Stopping(#[from] Stopping),
}

impl Relay {
    /// Takes an account down, seen or not: stores it, hides its past, tells subscribers.
    pub(crate) async fn take_down(&self, did: &Did) -> Result<(), DecisionError> {
        self.store.take_down(did, self.clock.now_ms()).await?;
        self.hidden.hide(did.as_str(), u64::MAX);
        Ok(self.shards.command(did, Command::TakeDown).await?)
    }

    /// Takes a takedown back; answers whether there was one.
    pub(crate) async fn reverse_takedown(&self, did: &Did) -> Result<bool, DecisionError> {
        if !self.store.reverse_takedown(did).await? {
            return Ok(false);
        }
        self.hidden.show(did.as_str());
        let account = self.store.account(did)?.account;
        if account.is_some_and(|account| account.upstream.is_deleted()) {
            self.hidden.hide(did.as_str(), self.log.head());
        }
        self.shards.command(did, Command::Restore).await?;
        Ok(true)
    }

    /// Changes how many accounts a host may have; accounts that were throttled are released as far as there is room now,
    /// the oldest first.
    pub(crate) async fn change_account_limit(
        &self,
        host: &Arc<Host>,
        limit: u64,
    ) -> Result<(), DecisionError> {
        let before = host.limits().accounts;
        self.hosts.set_account_limit(host, limit).await?;
        let more = host.limits().accounts.saturating_sub(before);
        for did in self
            .store
            .throttled_accounts(host.id, more.min(100_000))
            .await?
        {
            self.shards.command(&did, Command::Release).await?;
        }
        Ok(())
    }

    /// Carries out the takedowns that were stored when the relay stopped before it could tell anybody.
    pub(crate) async fn resume_takedowns(&self) -> Result<(), DecisionError> {
        let mut after = 0;
        loop {
            let page = self.store.takedowns(after, 500).await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = last.id;
            for takedown in page.iter().filter(|takedown| !takedown.announced) {
                self.shards
                    .command(&takedown.did, Command::TakeDown)
                    .await?;
            }
        }
    }
}
