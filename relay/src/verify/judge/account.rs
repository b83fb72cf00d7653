//! `#account`: the host's word on the status of an account, and what subscribers get to see of it.

use rochdale_protocol::sync::{AccountEvent, Event};

use super::{Context, Step, Verdict, as_received, decode, drop_for, gate, pass};
use crate::verify::account::Upstream;
use crate::verify::entry::Entry;
use crate::verify::event::{DropReason, Pending};

pub(super) fn account(entry: &mut Entry, pending: &Pending, cx: &Context<'_>) -> Verdict {
    if let Err(step) = gate::authority(entry, pending, cx) {
        // A host may still delete an account whose identity is gone.
        let own = entry
            .known
            .account
            .as_ref()
            .is_some_and(|account| account.host == pending.event.host.id);
        if !(own && matches!(step, Step::Drop(DropReason::NoIdentity))) {
            return Err(step);
        }
    }
    let Event::Account(event) = decode(pending)? else {
        return Err(drop_for(DropReason::Unreadable));
    };
    let frame = as_received(pending)?;
    let taken_down = entry.known.taken_down;
    let said = Upstream {
        active: event.active,
        status: event.status.clone(),
    };
    let was_new = entry.known.account.is_none();
    let account = gate::settle(entry, pending, cx);
    let shown_before = account.shown(taken_down);
    let changed = account.upstream != said;
    if changed {
        match (account.upstream.is_deleted(), said.is_deleted()) {
            (false, true) => pending.event.host.lose_account(),
            (true, false) => pending.event.host.gain_account(),
            (true, true) | (false, false) => {}
        }
        account.upstream = said;
    }
    let shown = account.shown(taken_down);
    let as_said = shown == account.upstream;
    entry.account_changed |= changed;
    if as_said {
        return Ok(pass(pending, frame, 0));
    }
    if shown == shown_before && !was_new {
        return Err(drop_for(DropReason::Repeated));
    }
    let Upstream { active, status } = shown;
    let event = AccountEvent {
        active,
        status,
        ..event
    };
    Ok(pass(pending, event.template(), 0))
}
