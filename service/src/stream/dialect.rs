//! How a stream speaks: what a frame looks like as a message, and how it says that something is wrong.

use bytes::Bytes;
use rochdale_protocol::sync::{error_frame, info_frame};
use rochdale_protocol::xrpc::names;

use super::Frame;

/// A message of a web socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Bytes.
    Binary(Bytes),
    /// UTF-8 text.
    Text(Bytes),
}

/// Why the server ends a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The cursor is ahead of the stream.
    FutureCursor,
    /// The cursor is older than what is kept, in a dialect that does not go on then.
    OutdatedCursor,
    /// The subscriber accepts nothing, or fell behind what is kept.
    ConsumerTooSlow,
    /// The subscriber broke the rules of web sockets, or sent more than it may.
    BadClient,
    /// The log cannot be read.
    Failed,
    /// The process stops.
    Shutdown,
    /// The subscriber closed, or is gone.
    Gone,
}

impl End {
    /// Short name for metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::FutureCursor => "future_cursor",
            Self::OutdatedCursor => "outdated_cursor",
            Self::ConsumerTooSlow => "too_slow",
            Self::BadClient => "bad_client",
            Self::Failed => "failed",
            Self::Shutdown => "shutdown",
            Self::Gone => "gone",
        }
    }

    /// The protocol's name, for ends that have one.
    fn name(self) -> Option<&'static str> {
        match self {
            Self::FutureCursor => Some(names::FUTURE_CURSOR),
            Self::OutdatedCursor => Some(names::OUTDATED_CURSOR),
            Self::ConsumerTooSlow => Some(names::CONSUMER_TOO_SLOW),
            Self::BadClient | Self::Failed | Self::Shutdown | Self::Gone => None,
        }
    }

    /// What a close frame says when the dialect has no opinion.
    fn close(self) -> (u16, &'static str) {
        match self {
            Self::BadClient => (1002, "protocol error"),
            Self::Failed => (1011, "internal error"),
            Self::Shutdown => (1001, "going away"),
            Self::Gone | Self::FutureCursor | Self::OutdatedCursor | Self::ConsumerTooSlow => {
                (1000, self.name().unwrap_or(""))
            }
        }
    }
}

/// The last things a subscriber is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Farewell {
    /// A message before the close frame.
    pub message: Option<Message>,
    /// The code of the close frame.
    pub code: u16,
    /// Its reason, at most 123 bytes.
    pub reason: &'static str,
}

/// How a stream speaks.
pub trait Dialect: Send + Sync + 'static {
    /// A frame as a message. Called once per frame.
    fn wrap(&self, frame: &Frame) -> Message;

    /// What a subscriber with a cursor that is too old is told before the oldest events; with `None`
    /// the subscription ends by [`End::OutdatedCursor`] instead.
    fn outdated(&self) -> Option<Message>;

    /// How a subscription ends.
    fn farewell(&self, end: End) -> Farewell;
}

/// The framing of `com.atproto.sync.subscribeRepos`: frames are sent as they are, errors as error
/// frames, and the close frame repeats the error's name (atproto event stream spec).
#[derive(Debug, Clone, Copy, Default)]
pub struct XrpcV0;

impl Dialect for XrpcV0 {
    fn wrap(&self, frame: &Frame) -> Message {
        Message::Binary(frame.bytes.clone())
    }

    fn outdated(&self) -> Option<Message> {
        let text = "the cursor is older than what is kept; some events are missing";
        Some(Message::Binary(info_frame(
            names::OUTDATED_CURSOR,
            Some(text),
        )))
    }

    fn farewell(&self, end: End) -> Farewell {
        let (code, reason) = end.close();
        let Some(name) = end.name() else {
            return Farewell {
                message: None,
                code,
                reason,
            };
        };
        let text = match end {
            End::FutureCursor => "the cursor is ahead of the stream",
            _ => "the consumer does not keep up with the stream",
        };
        let message = Some(Message::Binary(error_frame(name, Some(text))));
        Farewell {
            message,
            code: 1008,
            reason: name,
        }
    }
}

/// Text messages as they are, and a close frame with the name of what was wrong as its reason, as the
/// export stream of the did:plc directory has it.
#[derive(Debug, Clone, Copy, Default)]
pub struct PlainText;

impl Dialect for PlainText {
    fn wrap(&self, frame: &Frame) -> Message {
        Message::Text(frame.bytes.clone())
    }

    fn outdated(&self) -> Option<Message> {
        None
    }

    fn farewell(&self, end: End) -> Farewell {
        let (code, reason) = end.close();
        Farewell {
            message: None,
            code,
            reason,
        }
    }
}
