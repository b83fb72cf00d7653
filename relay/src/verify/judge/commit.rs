//! `#commit` and `#sync`: signed states of a repository.

use rochdale_protocol::data::Cid;
use rochdale_protocol::sync::{CommitFault, Event, check_commit_leniently, check_sync};
use rochdale_protocol::syntax::Tid;

use super::{Context, Question, Step, Verdict, as_received, decode, drop_for, gate, pass};
use crate::log::flags;
use crate::verify::account::RepoState;
use crate::verify::budget::Rate;
use crate::verify::entry::Entry;
use crate::verify::event::{DropReason, Pending};

/// `#commit`: passed on when its signature, its revision and its operations hold. One that does not follow the state the
/// relay had is valid all the same, and only marked.
pub(super) fn commit(entry: &mut Entry, pending: &Pending, cx: &Context<'_>) -> Verdict {
    let identity = gate::authority(entry, pending, cx)?;
    let key = identity
        .key
        .as_ref()
        .ok_or_else(|| drop_for(DropReason::NoSigningKey))?;
    visible(entry, pending, cx)?;
    let Event::Commit(event) = decode(pending)? else {
        return Err(drop_for(DropReason::Unreadable));
    };
    let stored = entry.known.repo;
    newer(stored.as_ref(), event.rev, event.commit)?;
    let forgiven = pending.event.host.is_lenient();
    if event.prev_data.is_none() && stored.is_some() && !forgiven {
        return Err(drop_for(DropReason::MissingPrevData));
    }
    let checked = check_commit_leniently(&event, cx.now_us);
    let checked = checked.map_err(|fault| drop_for(reason_of(&fault)))?;
    if checked.weakness.is_some() && !forgiven {
        return Err(drop_for(DropReason::Invalid));
    }
    if checked.verify(key).is_err() {
        return Err(gate::refresh_or(
            entry,
            pending,
            cx,
            DropReason::BadSignature,
        ));
    }
    let frame = as_received(pending)?;
    let follows = stored.is_none_or(|stored| {
        event.since == Some(stored.rev) && event.prev_data == Some(stored.data)
    });
    gate::settle(entry, pending, cx);
    entry.known.repo = Some(RepoState {
        rev: event.rev,
        commit: event.commit,
        data: checked.data,
    });
    entry.repo_changed = true;
    Ok(pass(
        pending,
        frame,
        if follows { 0 } else { flags::DISCONTINUOUS },
    ))
}

/// `#sync`: the present state without a way there. An old one must not rewind the relay.
pub(super) fn sync(entry: &mut Entry, pending: &Pending, cx: &Context<'_>) -> Verdict {
    let identity = gate::authority(entry, pending, cx)?;
    let key = identity
        .key
        .as_ref()
        .ok_or_else(|| drop_for(DropReason::NoSigningKey))?;
    visible(entry, pending, cx)?;
    let Event::Sync(event) = decode(pending)? else {
        return Err(drop_for(DropReason::Unreadable));
    };
    let checked = check_sync(&event, cx.now_us).map_err(|fault| drop_for(reason_of(&fault)))?;
    let repeated = entry
        .known
        .repo
        .is_some_and(|stored| stored.rev == event.rev && stored.commit == checked.commit_cid);
    if !repeated {
        newer(entry.known.repo.as_ref(), event.rev, checked.commit_cid)?;
    }
    if checked.verify(key).is_err() {
        return Err(gate::refresh_or(
            entry,
            pending,
            cx,
            DropReason::BadSignature,
        ));
    }
    let frame = as_received(pending)?;
    if cx.limits && !entry.syncs.take(Rate::SYNC, cx.now_ms()) {
        return Err(drop_for(DropReason::TooMany));
    }
    gate::settle(entry, pending, cx);
    if !repeated {
        entry.known.repo = Some(RepoState {
            rev: event.rev,
            commit: checked.commit_cid,
            data: checked.data,
        });
        entry.repo_changed = true;
    }
    Ok(pass(pending, frame, 0))
}

/// Only active accounts are passed on. Where the host itself sends a commit for an account it had called inactive, it is
/// asked which of the two it means.
fn visible(entry: &mut Entry, pending: &Pending, cx: &Context<'_>) -> Verdict<()> {
    if entry.known.taken_down {
        return Err(drop_for(DropReason::TakenDown));
    }
    let account = gate::settle(entry, pending, cx);
    if account.throttled {
        return Err(drop_for(DropReason::Throttled));
    }
    if account.upstream.active {
        return Ok(());
    }
    if !pending.asked_status && cx.now_ms() >= entry.ask_status_after_ms {
        return Err(Step::Ask(Question::Status));
    }
    Err(drop_for(DropReason::Inactive))
}

fn newer(stored: Option<&RepoState>, rev: Tid, commit: Cid) -> Verdict<()> {
    match stored {
        Some(stored) if rev == stored.rev && commit != stored.commit => {
            Err(drop_for(DropReason::Fork))
        }
        Some(stored) if rev <= stored.rev => Err(drop_for(DropReason::Replay)),
        Some(_) | None => Ok(()),
    }
}

fn reason_of(fault: &CommitFault) -> DropReason {
    match fault {
        CommitFault::RevInFuture(_) => DropReason::FutureRev,
        _ => DropReason::Invalid,
    }
}
