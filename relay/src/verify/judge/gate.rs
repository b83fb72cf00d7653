//! The common gate: does the host have a say over this DID?

use std::sync::Arc;

use super::{Context, Question, Step, Verdict, drop_for};
use crate::verify::account::{Account, Identity, Upstream};
use crate::verify::budget::Rate;
use crate::verify::entry::{Entry, IdentityState};
use crate::verify::event::{DropReason, Pending};

/// The identity of the event's DID.
pub(super) fn identity(entry: &Entry, cx: &Context<'_>) -> Verdict<Arc<Identity>> {
    match &entry.identity {
        IdentityState::Known { identity, .. } => Ok(Arc::clone(identity)),
        IdentityState::Gone { until_ms } if cx.now_ms() < *until_ms => {
            Err(drop_for(DropReason::NoIdentity))
        }
        IdentityState::Unreachable { until_ms } if cx.now_ms() < *until_ms => {
            Err(drop_for(DropReason::IdentityUnreachable))
        }
        IdentityState::Unknown | IdentityState::Gone { .. } | IdentityState::Unreachable { .. } => {
            Err(Step::Ask(Question::Identity))
        }
    }
}

/// Has the identity fetched anew, once per event and within the DID's budget; otherwise the event falls for `reason`.
pub(super) fn refresh_or(
    entry: &mut Entry,
    pending: &Pending,
    cx: &Context<'_>,
    reason: DropReason,
) -> Step {
    if !pending.refreshed && entry.refreshes.take(Rate::REFRESH, cx.now_ms()) {
        return Step::Ask(Question::Refresh);
    }
    drop_for(reason)
}

/// The identity of the event's DID, if the event's host is the one it names.
pub(super) fn authority(
    entry: &mut Entry,
    pending: &Pending,
    cx: &Context<'_>,
) -> Verdict<Arc<Identity>> {
    let known = identity(entry, cx)?;
    if known.host.as_ref() != Some(&pending.event.host.name) {
        return Err(refresh_or(entry, pending, cx, DropReason::WrongHost));
    }
    Ok(known)
}

/// The account at the event's host: moved there, or made, if need be. Call only after [`authority`].
pub(super) fn settle<'a>(
    entry: &'a mut Entry,
    pending: &Pending,
    cx: &Context<'_>,
) -> &'a mut Account {
    let host = &pending.event.host;
    let account = entry.known.account.get_or_insert_with(|| {
        entry.account_changed = true;
        let throttled = host.is_full();
        host.gain_account();
        Account {
            id: cx.new_account_id(),
            host: host.id,
            upstream: Upstream::ACTIVE,
            throttled,
        }
    });
    if account.host != host.id {
        entry.account_changed = true;
        if !account.upstream.is_deleted() {
            if let Some(old) = cx.hosts.by_id(account.host) {
                old.lose_account();
            }
            account.throttled = host.is_full();
            host.gain_account();
        }
        account.host = host.id;
        // What the old host said last is not the new host's word.
        account.upstream = Upstream::ACTIVE;
    }
    account
}
