//! Writing frames: a header and a payload, two CBOR maps one after the other.
//!
//! An event is encoded once, before its sequence number is known, and the number is put in later.

use bytes::Bytes;

use super::decode::{FrameError, find_seq};
use super::{AccountEvent, CommitEvent, IdentityEvent, SyncEvent};
use crate::data::cbor::Encoder;
use crate::repo::RepoOp;

/// The number that stands in a template until the real one is known.
const NO_SEQ: i64 = 0;

/// An encoded frame and the place of its sequence number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameTemplate {
    frame: Bytes,
    /// Where the number starts.
    seq_at: usize,
    /// How many bytes it takes now.
    seq_bytes: usize,
}

impl FrameTemplate {
    /// A template of somebody else's frame: its number can be replaced, every other byte stays.
    ///
    /// # Errors
    /// [`FrameError`] when it is not a frame with a sequence number. The payload is read as far as
    /// the number only.
    pub fn from_frame(frame: Bytes) -> Result<Self, FrameError> {
        let place = find_seq(&frame)?;
        Ok(Self {
            frame,
            seq_at: place.start,
            seq_bytes: place.len(),
        })
    }

    /// The frame with this number.
    #[must_use]
    pub fn with_seq(&self, seq: u64) -> Bytes {
        let mut out = Vec::with_capacity(self.frame.len() + 9);
        self.write_with_seq(seq, &mut out);
        Bytes::from(out)
    }

    /// Appends the frame with this number.
    pub fn write_with_seq(&self, seq: u64, out: &mut Vec<u8>) {
        let (head, rest) = self.frame.split_at_checked(self.seq_at).unwrap_or_default();
        out.extend_from_slice(head);
        let mut number = Encoder::with_capacity(9);
        number.int(i64::try_from(seq).unwrap_or(i64::MAX));
        out.extend_from_slice(number.as_bytes());
        out.extend_from_slice(rest.get(self.seq_bytes..).unwrap_or_default());
    }

    /// The frame as it stands: its own number, or 0 for an event not yet numbered.
    /// [`FrameTemplate::from_frame`] makes it a template again.
    #[must_use]
    pub fn as_bytes(&self) -> &Bytes {
        &self.frame
    }
}

/// A payload under way, after the header of an event.
struct Payload {
    out: Encoder,
    seq_at: usize,
}

impl Payload {
    fn new(kind: &str, fields: usize, bytes: usize) -> Self {
        let mut out = Encoder::with_capacity(bytes + 256);
        out.map(2)
            .text("t")
            .text(kind)
            .text("op")
            .int(1)
            .map(fields);
        Self { out, seq_at: 0 }
    }

    fn seq(&mut self) -> &mut Encoder {
        self.out.text("seq");
        self.seq_at = self.out.position();
        self.out.int(NO_SEQ)
    }

    fn finish(self) -> FrameTemplate {
        FrameTemplate {
            frame: self.out.into_bytes().into(),
            seq_at: self.seq_at,
            seq_bytes: 1,
        }
    }
}

impl CommitEvent {
    /// The frame, without its sequence number.
    #[must_use]
    pub fn template(&self) -> FrameTemplate {
        let fields = 11 + usize::from(self.prev_data.is_some());
        let bytes = self.blocks.len() + self.ops.len() * 192;
        let mut payload = Payload::new("#commit", fields, bytes);
        payload.out.text("ops").array(self.ops.len());
        for op in &self.ops {
            write_op(&mut payload.out, op);
        }
        payload.out.text("rev").text(self.rev.text().as_str());
        let out = payload.seq();
        out.text("repo").text(self.repo.as_str());
        out.text("time").text(self.time.as_str());
        out.text("blobs").array(0).text("since");
        match self.since {
            None => out.null(),
            Some(since) => out.text(since.text().as_str()),
        };
        out.text("blocks").bytes(&self.blocks);
        out.text("commit").cid(&self.commit);
        out.text("rebase").bool(self.rebase);
        out.text("tooBig").bool(self.too_big);
        if let Some(prev_data) = &self.prev_data {
            out.text("prevData").cid(prev_data);
        }
        payload.finish()
    }
}

fn write_op(out: &mut Encoder, op: &RepoOp) {
    out.map(3 + usize::from(op.prev.is_some()));
    out.text("cid").cid_or_null(op.cid.as_ref());
    out.text("path").text(&op.path.to_string());
    if let Some(prev) = &op.prev {
        out.text("prev").cid(prev);
    }
    out.text("action").text(op.action.as_str());
}

impl SyncEvent {
    /// The frame, without its sequence number.
    #[must_use]
    pub fn template(&self) -> FrameTemplate {
        let mut payload = Payload::new("#sync", 5, self.blocks.len());
        payload.out.text("did").text(self.did.as_str());
        payload.out.text("rev").text(self.rev.text().as_str());
        let out = payload.seq();
        out.text("time").text(self.time.as_str());
        out.text("blocks").bytes(&self.blocks);
        payload.finish()
    }
}

impl IdentityEvent {
    /// The frame, without its sequence number.
    #[must_use]
    pub fn template(&self) -> FrameTemplate {
        let mut payload = Payload::new("#identity", 3 + usize::from(self.handle.is_some()), 0);
        payload.out.text("did").text(self.did.as_str());
        let out = payload.seq();
        out.text("time").text(self.time.as_str());
        if let Some(handle) = &self.handle {
            out.text("handle").text(handle.as_str());
        }
        payload.finish()
    }
}

impl AccountEvent {
    /// The frame, without its sequence number.
    #[must_use]
    pub fn template(&self) -> FrameTemplate {
        let mut payload = Payload::new("#account", 4 + usize::from(self.status.is_some()), 0);
        payload.out.text("did").text(self.did.as_str());
        let out = payload.seq();
        out.text("time").text(self.time.as_str());
        out.text("active").bool(self.active);
        if let Some(status) = &self.status {
            out.text("status").text(status);
        }
        payload.finish()
    }
}

/// The frame of an `#info`.
#[must_use]
pub fn info_frame(name: &str, message: Option<&str>) -> Bytes {
    let mut out = Encoder::with_capacity(128);
    out.map(2).text("t").text("#info").text("op").int(1);
    out.map(1 + usize::from(message.is_some()))
        .text("name")
        .text(name);
    if let Some(message) = message {
        out.text("message").text(message);
    }
    out.into_bytes().into()
}

/// The frame of an error; the connection is closed after it.
#[must_use]
pub fn error_frame(name: &str, message: Option<&str>) -> Bytes {
    let mut out = Encoder::with_capacity(128);
    out.map(1).text("op").int(-1);
    out.map(1 + usize::from(message.is_some()))
        .text("error")
        .text(name);
    if let Some(message) = message {
        out.text("message").text(message);
    }
    out.into_bytes().into()
}
