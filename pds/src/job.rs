//! Work that no request asks for: accounts whose deletion date has come, suspensions that end,
//! tree nodes and blobs to be written or removed, events past their time, mail to be sent.

use std::sync::Arc;
use std::time::Duration;

use crate::account::lifecycle::{self, Verdict};
use crate::app::{App, Pds};
use crate::mail;
use crate::repo::WriteError;
use crate::store::StoreError;

/// How long a signing key is kept for an account that does not come, in milliseconds.
const RESERVED_KEY_MS: i64 = 30 * 24 * 60 * 60 * 1000;

const EVERY: Duration = Duration::from_secs(10 * 60);

/// Starts the jobs of a server.
pub(crate) fn spawn(pds: &Pds) {
    let repos = pds.repos.clone();
    pds.tasks
        .spawn_critical("tree nodes", async move { repos.run().await });
    let blobs = pds.blobs.clone();
    pds.tasks
        .spawn_critical("blob sweeper", async move { blobs.run().await });
    let sequencer = pds.sequencer.clone();
    pds.tasks
        .spawn_critical("event log keeper", async move { sequencer.run().await });
    let own = Arc::clone(pds);
    pds.tasks
        .spawn_critical("mail", async move { mail::run(&own).await });
    let own = Arc::clone(pds);
    pds.tasks.spawn("interrupted imports", async move {
        if let Err(error) = finish_imports(&own).await {
            tracing::warn!(%error, "interrupted imports are finished by the next write instead");
        }
    });
    let own = Arc::clone(pds);
    pds.tasks.spawn("abandoned accounts", async move {
        loop {
            if let Err(error) = delete_abandoned(&own).await {
                tracing::warn!(%error, "abandoned accounts could not be looked up");
            }
            if let Err(error) = lift_suspensions(&own).await {
                tracing::warn!(%error, "suspensions that ended were not lifted");
            }
            if let Err(error) = prune(&own).await {
                tracing::warn!(%error, "expired sessions and promised keys were not removed");
            }
            tokio::select! {
                () = own.tasks.requested() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    });
}

/// Makes valid repositories of what imports left that a crash interrupted.
async fn finish_imports(pds: &App) -> Result<(), WriteError> {
    for id in pds.repos.interrupted_imports().await? {
        if let Some(account) = pds.accounts.by_id(id).await? {
            pds.repos.finish_import(&account).await?;
        }
    }
    Ok(())
}

/// Removes refresh tokens past their end, mails that were given up and keys that nobody came for, in
/// small values.
async fn prune(pds: &App) -> Result<(), StoreError> {
    while pds.store.sessions.prune(pds.now_ms()).await? > 0 {}
    mail::forget_old(pds).await?;
    pds.store
        .accounts
        .forget_reserved_keys(pds.now_ms() - RESERVED_KEY_MS)
        .await
}

/// Lifts suspensions whose end has come.
async fn lift_suspensions(pds: &Arc<App>) -> Result<(), StoreError> {
    for account in pds.store.accounts.served(pds.now_ms()).await? {
        let did = account.did.clone();
        let lifted = Verdict {
            takedown: Some(None),
            ..Verdict::default()
        };
        if let Err(error) = lifecycle::judge(Arc::clone(pds), Arc::new(account), lifted).await {
            tracing::warn!(%did, %error, "a suspension could not be lifted");
        }
    }
    Ok(())
}

/// Deletes accounts that were deactivated with a date, or brought here and never activated.
async fn delete_abandoned(pds: &Arc<App>) -> Result<(), StoreError> {
    for account in pds.store.accounts.abandoned(pds.now_ms()).await? {
        let did = account.did.clone();
        if let Err(error) = lifecycle::delete_abandoned(pds, account).await {
            tracing::warn!(%did, %error, "an abandoned account could not be deleted");
        }
    }
    Ok(())
}
