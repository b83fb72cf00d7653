//! What every handler and task of the PDS shares.
//!
//! Owns nothing but the composition: each part knows only what it was given. Must hold no rules.

use std::future::Future;
use std::sync::Arc;

use rochdale_protocol::syntax::Did;
use rochdale_resolver::{Lexicons, Resolver};
use rochdale_service::clock::SharedClock;
use rochdale_service::outbound::Outbound;
use rochdale_service::shutdown::Shutdown;
use rochdale_service::sqlite::Database;
use tokio::sync::oneshot;

use crate::account::Accounts;
use crate::account::handle::HandleRules;
use crate::auth::password::PasswordPool;
use crate::auth::replay::ReplayGuard;
use crate::auth::token::TokenSigner;
use crate::blob::Blobs;
use crate::config::Config;
use crate::identity::plc::PlcClient;
use crate::keys::Keyring;
use crate::mail::Mailer;
use crate::repo::Repos;
use crate::sequencer::Sequencer;
use crate::store::Store;

/// Shared state as handlers take it.
pub type Pds = Arc<App>;

/// Everything of a running PDS.
#[derive(Debug)]
pub struct App {
    /// Configuration.
    pub config: Config,
    /// This server's DID.
    pub did: Did,
    /// This server's origin, without a slash at the end.
    pub url: String,
    /// Host of the origin, with the port if it is not the default one.
    pub host: String,
    /// Whether this is a development server: `.test` handles, loopback services, the outbox page.
    pub dev: bool,
    /// Time.
    pub clock: SharedClock,
    /// Owner of every task.
    pub tasks: Shutdown,
    /// The database.
    pub database: Database,
    /// What is kept in it.
    pub store: Store,
    /// Repositories.
    pub repos: Repos,
    /// Blobs.
    pub blobs: Blobs,
    /// The event stream.
    pub sequencer: Sequencer,
    /// Account rows, cached.
    pub accounts: Accounts,
    /// Which handles may be had.
    pub handles: HandleRules,
    /// Secret keys.
    pub keys: Arc<Keyring>,
    /// Session tokens.
    pub tokens: TokenSigner,
    /// Password hashing.
    pub passwords: PasswordPool,
    /// Service tokens that were seen.
    pub replays: ReplayGuard,
    /// Names to documents.
    pub resolver: Resolver,
    /// NSIDs to schemas.
    pub lexicons: Lexicons,
    /// The DID directory.
    pub plc: PlcClient,
    /// Calls to other servers.
    pub outbound: Outbound,
    /// Mail to members.
    pub mailer: Mailer,
}

/// A task that was started for a request died before it answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the task of this request died")]
pub struct TaskLost;

impl App {
    /// Unix time in milliseconds.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        i64::try_from(self.clock.now_ms()).unwrap_or(i64::MAX)
    }

    /// Runs `work` to its end, even when the caller goes away meanwhile.
    ///
    /// # Errors
    /// [`TaskLost`] when the work panicked.
    pub async fn owned<T, W>(&self, name: &'static str, work: W) -> Result<T, TaskLost>
    where
        T: Send + 'static,
        W: Future<Output = T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        self.tasks.spawn(name, async move {
            // Nobody listens any more when the client hung up: the work is done all the same.
            let _unheard = answer.send(work.await);
        });
        answered.await.map_err(|_dropped| TaskLost)
    }
}
