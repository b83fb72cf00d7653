//! The rules: one event against what is known of its account.
//!
//! Pure but for the counters of the hosts: time comes in the context, everything that needs the network is asked for in the
//! answer. The order of the checks is cheap before dear, and state changes only when the event passes.

mod account;
mod commit;
mod gate;
mod identity;

use rochdale_protocol::sync::{Event, Frame, FrameError, FrameTemplate, decode_frame};

use super::account::AccountId;
use super::entry::Entry;
use super::event::{DropReason, Pending};
use crate::hosts::Hosts;
use crate::log::{Draft, Kind};

/// What the rules need besides the entry.
#[derive(Debug)]
pub(super) struct Context<'a> {
    /// Now, µs since 1970.
    pub(super) now_us: u64,
    /// The host table, for moving accounts between hosts.
    pub(super) hosts: &'a Hosts,
    /// Whether per-account limits apply.
    pub(super) limits: bool,
    /// The number of the next account.
    pub(super) next_account: &'a std::sync::atomic::AtomicI64,
}

impl Context<'_> {
    fn now_ms(&self) -> u64 {
        self.now_us / 1_000
    }

    fn new_account_id(&self) -> AccountId {
        AccountId(
            self.next_account
                .fetch_add(1, std::sync::atomic::Ordering::Relaxed),
        )
    }
}

/// What must be known before an event can be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    /// The identity, as cached by the resolver.
    Identity,
    /// The identity, fetched anew.
    Refresh,
    /// The identity once more, while the known one is used on.
    Renewal,
    /// The account's status, from its host.
    Status,
}

/// The verdict.
#[derive(Debug)]
pub(super) enum Step {
    /// Pass this on.
    Pass(Draft),
    /// Do not pass it on.
    Drop(DropReason),
    /// Ask, then judge again.
    Ask(Question),
}

/// Judges one event.
pub(super) fn judge(entry: &mut Entry, pending: &Pending, cx: &Context<'_>) -> Step {
    let verdict = match pending.event.kind {
        Kind::Commit => commit::commit(entry, pending, cx),
        Kind::Sync => commit::sync(entry, pending, cx),
        Kind::Identity => identity::identity(entry, pending, cx),
        Kind::Account => account::account(entry, pending, cx),
    };
    verdict.unwrap_or_else(|step| step)
}

/// Ends a judgement early.
type Verdict<T = Step> = Result<T, Step>;

fn drop_for(reason: DropReason) -> Step {
    Step::Drop(reason)
}

/// The payload of the event's frame.
fn decode(pending: &Pending) -> Verdict<Event> {
    match decode_frame(&pending.event.frame) {
        Ok(Frame::Message { event, .. }) if event.did() == &pending.event.did => Ok(event),
        Ok(Frame::Message { .. }) | Err(FrameError::Event { .. }) => {
            Err(drop_for(DropReason::Invalid))
        }
        Ok(Frame::Info(_) | Frame::Unknown { .. } | Frame::Error { .. }) | Err(_) => {
            Err(drop_for(DropReason::Unreadable))
        }
    }
}

/// The event's frame as it came, ready for another number.
fn as_received(pending: &Pending) -> Verdict<FrameTemplate> {
    FrameTemplate::from_frame(pending.event.frame.clone())
        .map_err(|_| drop_for(DropReason::Unreadable))
}

fn pass(pending: &Pending, frame: FrameTemplate, flags: u8) -> Step {
    let event = &pending.event;
    let (arrival_us, kind, host, did) = (
        event.arrival_us,
        event.kind,
        event.host.id.0,
        event.did.clone(),
    );
    Step::Pass(Draft {
        arrival_us,
        kind,
        flags,
        host,
        did,
        frame,
    })
}
