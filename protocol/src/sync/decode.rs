//! Reading frames. What breaks the framing costs the connection; what breaks one event costs the event.

use std::ops::Range;

use bytes::Bytes;

use super::{
    AccountEvent, CommitEvent, CommitFault, Event, IdentityEvent, InfoEvent, MAX_FRAME_BYTES,
    MAX_OPS, MAX_SEQ, SyncEvent,
};
use crate::data::cbor::{CborError, Decoder, Kind};
use crate::data::{Cid, Codec, Link};
use crate::repo::{Action, RepoOp};

/// Longest text put into an error message, in characters.
const MAX_SHOWN: usize = 100;

/// Why a frame was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// Longer than 5,000,000 bytes.
    #[error("the frame has {0} bytes, more than 5000000")]
    TooLarge(usize),
    /// Not two strict CBOR maps, or a field of the wrong type.
    #[error("the frame is malformed: {0}")]
    Cbor(#[from] CborError),
    /// The header's `op` is neither 1 nor -1, or `t` is missing.
    #[error("the frame's header is not one of a message or an error")]
    Header,
    /// The sequence number is missing or out of range.
    #[error("the frame's sequence number is missing or not from 1 to 2^53 - 1")]
    Seq,
    /// The frame is sound, its event is not.
    #[error("event {seq} is invalid: {fault}")]
    Event {
        /// The event's sequence number.
        seq: u64,
        /// What is wrong with it.
        fault: CommitFault,
    },
}

impl FrameError {
    /// Whether the connection is to be dropped; else the frame is to be skipped.
    #[must_use]
    pub const fn drops_connection(&self) -> bool {
        match self {
            Self::TooLarge(_) | Self::Cbor(_) | Self::Header | Self::Seq => true,
            Self::Event { .. } => false,
        }
    }
}

/// A frame that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// An event.
    Message {
        /// Its sequence number on this connection.
        seq: u64,
        /// What happened.
        event: Event,
    },
    /// A note from the server.
    Info(InfoEvent),
    /// A message of a type this code does not know: skip it.
    Unknown {
        /// The type.
        t: String,
    },
    /// An error; the server closes the connection.
    Error {
        /// Its name, e.g. `FutureCursor`.
        name: String,
        /// Text for people.
        message: Option<String>,
    },
}

/// What a frame says of itself before it is read whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peek<'a> {
    /// The message type; `None` for an error frame.
    pub t: Option<&'a str>,
    /// The sequence number, unless the message has none.
    pub seq: Option<u64>,
    /// The account, not yet checked to be a DID, unless the message has none.
    pub did: Option<&'a str>,
}

/// Reads type, sequence number and account of a frame and nothing past them.
///
/// # Errors
/// [`FrameError`] of the kinds that cost the connection.
pub fn peek(frame: &[u8]) -> Result<Peek<'_>, FrameError> {
    let (mut decoder, t) = open(frame)?;
    let mut found = Peek {
        t,
        seq: None,
        did: None,
    };
    if t.is_none() {
        return Ok(found);
    }
    let mut keys = decoder.map()?;
    while found.seq.is_none() || found.did.is_none() {
        match keys.next(&mut decoder)? {
            None => break,
            Some("seq") => found.seq = Some(read_seq(&mut decoder)?),
            Some("did" | "repo") if decoder.kind()? == Kind::Text => {
                found.did = Some(decoder.text()?);
            }
            Some(_) => {
                decoder.skip()?;
            }
        }
    }
    Ok(found)
}

/// Where the sequence number stands in a frame.
pub(super) fn find_seq(frame: &[u8]) -> Result<Range<usize>, FrameError> {
    let (mut decoder, _) = open(frame)?;
    let mut keys = decoder.map()?;
    while let Some(key) = keys.next(&mut decoder)? {
        let start = decoder.position();
        if key == "seq" {
            decoder.int()?;
            return Ok(start..decoder.position());
        }
        decoder.skip()?;
    }
    Err(FrameError::Seq)
}

/// Reads a whole frame. The event's blocks share the frame's memory.
///
/// # Errors
/// [`FrameError`]; ask it whether the connection is to be dropped.
pub fn decode_frame(frame: &Bytes) -> Result<Frame, FrameError> {
    let (mut decoder, t) = open(frame)?;
    let mut fields = Fields::default();
    let known = matches!(
        t,
        None | Some("#commit" | "#sync" | "#identity" | "#account" | "#info")
    );
    if known {
        fields.read(&mut decoder, t)?;
    } else {
        decoder.skip()?;
    }
    decoder.finish()?;
    let text = |text: &str| text.to_owned();
    let Some(t) = t else {
        let name = fields.error.unwrap_or_default().to_owned();
        return Ok(Frame::Error {
            name,
            message: fields.message.map(text),
        });
    };
    if !known {
        return Ok(Frame::Unknown { t: t.to_owned() });
    }
    if t == "#info" {
        let name = fields.name.unwrap_or_default().to_owned();
        return Ok(Frame::Info(InfoEvent {
            name,
            message: fields.message.map(text),
        }));
    }
    let seq = fields.seq.ok_or(FrameError::Seq)?;
    let event = match t {
        "#commit" => fields.commit_event(frame).map(Event::Commit),
        "#sync" => fields.sync_event(frame).map(Event::Sync),
        "#identity" => fields.identity_event().map(Event::Identity),
        _ => fields.account_event().map(Event::Account),
    };
    match event {
        Ok(event) => Ok(Frame::Message { seq, event }),
        Err(fault) => Err(FrameError::Event { seq, fault }),
    }
}

/// Reads the header: a message's type, or `None` for an error.
fn open(frame: &[u8]) -> Result<(Decoder<'_>, Option<&str>), FrameError> {
    if frame.len() > MAX_FRAME_BYTES {
        return Err(FrameError::TooLarge(frame.len()));
    }
    let mut decoder = Decoder::new(frame);
    let mut keys = decoder.map()?;
    let (mut op, mut t) = (None, None);
    while let Some(key) = keys.next(&mut decoder)? {
        match key {
            "op" => op = Some(decoder.int()?),
            "t" => t = Some(decoder.text()?),
            _ => {
                decoder.skip()?;
            }
        }
    }
    match (op, t) {
        (Some(1), Some(t)) => Ok((decoder, Some(t))),
        (Some(-1), _) => Ok((decoder, None)),
        _ => Err(FrameError::Header),
    }
}

fn read_seq(decoder: &mut Decoder<'_>) -> Result<u64, FrameError> {
    let seq = u64::try_from(decoder.int()?).map_err(|_| FrameError::Seq)?;
    if (1..=MAX_SEQ).contains(&seq) {
        Ok(seq)
    } else {
        Err(FrameError::Seq)
    }
}

/// The fields of all known payloads, as they stand in the frame.
#[derive(Default)]
struct Fields<'a> {
    seq: Option<u64>,
    did: Option<&'a str>,
    repo: Option<&'a str>,
    rev: Option<&'a str>,
    since: Option<&'a str>,
    time: Option<&'a str>,
    handle: Option<&'a str>,
    status: Option<&'a str>,
    name: Option<&'a str>,
    error: Option<&'a str>,
    message: Option<&'a str>,
    blocks: Option<&'a [u8]>,
    commit: Option<Link>,
    prev_data: Option<Link>,
    active: Option<bool>,
    rebase: bool,
    too_big: bool,
    ops: Option<Result<Vec<RepoOp>, CommitFault>>,
}

impl<'a> Fields<'a> {
    fn read(&mut self, decoder: &mut Decoder<'a>, t: Option<&str>) -> Result<(), FrameError> {
        let mut keys = decoder.map()?;
        while let Some(key) = keys.next(decoder)? {
            // A field that belongs to another type is an unknown field here.
            match if is_field(t, key) { key } else { "" } {
                "seq" => self.seq = Some(read_seq(decoder)?),
                "did" => self.did = Some(decoder.text()?),
                "repo" => self.repo = Some(decoder.text()?),
                "rev" => self.rev = Some(decoder.text()?),
                "since" => self.since = text_or_null(decoder)?,
                "time" => self.time = Some(decoder.text()?),
                "handle" => self.handle = text_or_null(decoder)?,
                "status" => self.status = text_or_null(decoder)?,
                "name" => self.name = Some(decoder.text()?),
                "error" => self.error = Some(decoder.text()?),
                "message" => self.message = text_or_null(decoder)?,
                "blocks" => self.blocks = Some(decoder.bytes()?),
                "commit" => self.commit = decoder.link_or_null()?,
                "prevData" => self.prev_data = decoder.link_or_null()?,
                "active" => self.active = Some(decoder.bool()?),
                "rebase" => self.rebase = decoder.bool()?,
                "tooBig" => self.too_big = decoder.bool()?,
                "ops" => self.ops = Some(read_ops(decoder)?),
                _ => {
                    decoder.skip()?;
                }
            }
        }
        Ok(())
    }

    fn commit_event(self, frame: &Bytes) -> Result<CommitEvent, CommitFault> {
        Ok(CommitEvent {
            repo: did(self.repo, "repo")?,
            rev: rev(self.rev.ok_or(CommitFault::MissingField("rev"))?)?,
            since: self.since.map(rev).transpose()?,
            commit: known(
                self.commit.ok_or(CommitFault::MissingField("commit"))?,
                "commit",
            )?,
            prev_data: self
                .prev_data
                .map(|link| known(link, "prevData"))
                .transpose()?,
            blocks: frame.slice_ref(self.blocks.ok_or(CommitFault::MissingField("blocks"))?),
            ops: self.ops.ok_or(CommitFault::MissingField("ops"))??,
            time: time(self.time)?,
            too_big: self.too_big,
            rebase: self.rebase,
        })
    }

    fn sync_event(self, frame: &Bytes) -> Result<SyncEvent, CommitFault> {
        Ok(SyncEvent {
            did: did(self.did, "did")?,
            rev: rev(self.rev.ok_or(CommitFault::MissingField("rev"))?)?,
            blocks: frame.slice_ref(self.blocks.ok_or(CommitFault::MissingField("blocks"))?),
            time: time(self.time)?,
        })
    }

    fn identity_event(self) -> Result<IdentityEvent, CommitFault> {
        Ok(IdentityEvent {
            did: did(self.did, "did")?,
            // A hint only: one that is no handle is as good as none.
            handle: self.handle.and_then(|handle| handle.parse().ok()),
            time: time(self.time)?,
        })
    }

    fn account_event(self) -> Result<AccountEvent, CommitFault> {
        Ok(AccountEvent {
            did: did(self.did, "did")?,
            active: self.active.ok_or(CommitFault::MissingField("active"))?,
            status: self.status.map(shown),
            time: time(self.time)?,
        })
    }
}

/// Whether a message of type `t` (an error, if `None`) has this field.
fn is_field(t: Option<&str>, key: &str) -> bool {
    let fields: &[&str] = match t {
        None => &["error", "message"],
        Some("#info") => &["name", "message"],
        Some("#commit") => &[
            "ops", "rev", "seq", "repo", "time", "since", "blocks", "commit", "rebase", "tooBig",
            "prevData",
        ],
        Some("#sync") => &["did", "rev", "seq", "time", "blocks"],
        Some("#identity") => &["did", "seq", "time", "handle"],
        Some(_) => &["did", "seq", "time", "active", "status"],
    };
    fields.contains(&key)
}

fn read_ops(decoder: &mut Decoder<'_>) -> Result<Result<Vec<RepoOp>, CommitFault>, FrameError> {
    let count = decoder.array()?;
    let mut ops = Vec::with_capacity(count.min(MAX_OPS));
    let mut fault = (count > MAX_OPS).then_some(CommitFault::TooManyOps(count));
    for _ in 0..count {
        // The rest of a bad list is still checked to be sound CBOR.
        if fault.is_some() {
            decoder.skip()?;
            continue;
        }
        match read_op(decoder)? {
            Ok(op) => ops.push(op),
            Err(bad) => fault = Some(bad),
        }
    }
    Ok(fault.map_or(Ok(ops), Err))
}

fn read_op(decoder: &mut Decoder<'_>) -> Result<Result<RepoOp, CommitFault>, FrameError> {
    let (mut action, mut path, mut cid, mut prev) = (None, None, None, None);
    let mut keys = decoder.map()?;
    while let Some(key) = keys.next(decoder)? {
        match key {
            "cid" => cid = decoder.link_or_null()?,
            "path" => path = Some(decoder.text()?),
            "prev" => prev = decoder.link_or_null()?,
            "action" => action = Some(decoder.text()?),
            _ => {
                decoder.skip()?;
            }
        }
    }
    Ok(make_op(action, path, cid, prev))
}

fn make_op(
    action: Option<&str>,
    path: Option<&str>,
    cid: Option<Link>,
    prev: Option<Link>,
) -> Result<RepoOp, CommitFault> {
    let action = match action {
        Some("create") => Action::Create,
        Some("update") => Action::Update,
        Some("delete") => Action::Delete,
        Some(other) => return Err(CommitFault::OpAction(shown(other))),
        None => return Err(CommitFault::MissingField("action")),
    };
    let path = path.ok_or(CommitFault::MissingField("path"))?;
    Ok(RepoOp {
        action,
        path: path.parse().map_err(|_| CommitFault::OpPath(shown(path)))?,
        cid: cid.map(|link| known(link, "cid")).transpose()?,
        prev: prev.map(|link| known(link, "prev")).transpose()?,
    })
}

fn text_or_null<'a>(decoder: &mut Decoder<'a>) -> Result<Option<&'a str>, CborError> {
    if decoder.take_null()? {
        Ok(None)
    } else {
        decoder.text().map(Some)
    }
}

fn did(text: Option<&str>, field: &'static str) -> Result<crate::syntax::Did, CommitFault> {
    let text = text.ok_or(CommitFault::MissingField(field))?;
    text.parse().map_err(|_| CommitFault::Did(shown(text)))
}

fn rev(text: &str) -> Result<crate::syntax::Tid, CommitFault> {
    text.parse().map_err(|_| CommitFault::Rev(shown(text)))
}

fn time(text: Option<&str>) -> Result<crate::syntax::Datetime, CommitFault> {
    let text = text.ok_or(CommitFault::MissingField("time"))?;
    text.parse().map_err(|_| CommitFault::Time(shown(text)))
}

fn known(link: Link, field: &'static str) -> Result<Cid, CommitFault> {
    link.as_cid()
        .filter(|cid| cid.codec() == Codec::DagCbor)
        .ok_or(CommitFault::Link(field))
}

fn shown(text: &str) -> String {
    text.chars().take(MAX_SHOWN).collect()
}
