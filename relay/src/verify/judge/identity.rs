//! `#identity`: a hint that something changed. The identity is fetched anew before anything else; the handle is passed on
//! only as far as the account's own host and its document agree on it.

use rochdale_protocol::sync::{Event, IdentityEvent};

use super::{Context, Question, Step, Verdict, as_received, decode, drop_for, gate, pass};
use crate::verify::budget::Rate;
use crate::verify::entry::Entry;
use crate::verify::event::{DropReason, Pending};

/// Further `#identity` events of one account within this time, with the same handle, say nothing new.
const COALESCE_MS: u64 = 1_000;
/// The key `handle` in CBOR. A frame without these bytes has no handle, good or bad.
const HANDLE_KEY: &[u8] = b"\x66handle";

pub(super) fn identity(entry: &mut Entry, pending: &Pending, cx: &Context<'_>) -> Verdict {
    if entry.known.taken_down {
        return Err(drop_for(DropReason::TakenDown));
    }
    let Event::Identity(event) = decode(pending)? else {
        return Err(drop_for(DropReason::Unreadable));
    };
    let now_ms = cx.now_ms();
    let repeats = |last: &(u64, Option<_>)| {
        now_ms.saturating_sub(last.0) < COALESCE_MS && last.1 == event.handle
    };
    if entry.last_identity.as_ref().is_some_and(repeats) && !pending.refreshed {
        return Err(drop_for(DropReason::TooMany));
    }
    if !pending.refreshed && entry.refreshes.take(Rate::REFRESH, now_ms) {
        return Err(Step::Ask(Question::Refresh));
    }
    let known = gate::identity(entry, cx)?;
    let is_host = known.host.as_ref() == Some(&pending.event.host.name);
    let was_right = pending.identity_changed && entry.known.account.is_some();
    if !is_host && !was_right {
        return Err(drop_for(DropReason::Unchanged));
    }
    let agreed = is_host && event.handle.is_some() && event.handle == known.handle;
    let names_handle = pending
        .event
        .frame
        .windows(HANDLE_KEY.len())
        .any(|bytes| bytes == HANDLE_KEY);
    let frame = if agreed || !names_handle {
        as_received(pending)?
    } else {
        IdentityEvent {
            handle: None,
            ..event.clone()
        }
        .template()
    };
    if is_host {
        gate::settle(entry, pending, cx);
    }
    entry.last_identity = Some((now_ms, event.handle));
    Ok(pass(pending, frame, 0))
}
