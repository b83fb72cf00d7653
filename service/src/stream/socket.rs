//! The server's side of a web socket, as little of it as a stream needs (RFC 6455 section 5): frames out
//! unmasked and in one piece, control frames in, everything else a client sends thrown away.

use std::io::{self, IoSlice};
use std::time::{Duration, Instant};

use bytes::{BufMut as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::dialect::Message;

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// Most slices in one system call.
const SLICES: usize = 64;
/// What a client may send in a minute before it is asked to leave.
const INBOUND_BYTES: u64 = 1 << 20;
const INBOUND_TIME: Duration = Duration::from_secs(60);

/// A message with its header, ready for every subscriber.
pub(super) fn encode(message: &Message) -> Bytes {
    match message {
        Message::Binary(bytes) => frame(BINARY, bytes),
        Message::Text(bytes) => frame(TEXT, bytes),
    }
}

pub(super) fn close(code: u16, reason: &str) -> Bytes {
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend(reason.bytes().take(123));
    frame(CLOSE, &payload)
}

pub(super) fn ping() -> Bytes {
    frame(PING, b"")
}

pub(super) fn pong(payload: &[u8]) -> Bytes {
    frame(PONG, payload)
}

fn frame(opcode: u8, payload: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(payload.len() + 10);
    out.put_u8(0x80 | opcode);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short @ ..126), _) => out.put_u8(short),
        (_, Ok(middle)) => {
            out.put_u8(126);
            out.put_u16(middle);
        }
        _ => {
            out.put_u8(127);
            out.put_u64(payload.len() as u64);
        }
    }
    out.put_slice(payload);
    out.freeze()
}

/// What is left to write. Nothing of it is lost when writing is interrupted between two bytes.
#[derive(Default)]
pub(super) struct Outbox {
    frames: Vec<Bytes>,
    /// Frames written, and bytes of the next one.
    done: usize,
    offset: usize,
}

impl Outbox {
    pub(super) fn fill(&mut self, frames: Vec<Bytes>) {
        *self = Self {
            frames,
            done: 0,
            offset: 0,
        };
    }

    /// Forgets everything but the frame that was begun.
    pub(super) fn keep_begun(&mut self) {
        let begun = if self.offset > 0 {
            self.frames.get(self.done).cloned()
        } else {
            None
        };
        let offset = if begun.is_some() { self.offset } else { 0 };
        *self = Self {
            frames: begun.into_iter().collect(),
            done: 0,
            offset,
        };
    }

    pub(super) fn push(&mut self, frame: Bytes) {
        self.frames.push(frame);
    }

    /// Writes everything. An error of kind `TimedOut` when no byte was accepted for `stall`.
    pub(super) async fn write<W>(&mut self, to: &mut W, stall: Duration) -> io::Result<()>
    where
        W: AsyncWrite + Unpin,
    {
        while self.done < self.frames.len() {
            let written = {
                let mut slices = [IoSlice::new(&[]); SLICES];
                let mut offset = self.offset;
                let mut count = 0;
                for (slice, frame) in slices.iter_mut().zip(self.frames.iter().skip(self.done)) {
                    *slice = IoSlice::new(frame.get(offset..).unwrap_or_default());
                    offset = 0;
                    count += 1;
                }
                let slices = slices.get(..count).unwrap_or_default();
                tokio::time::timeout(stall, to.write_vectored(slices))
                    .await
                    .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??
            };
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.advance(written);
        }
        self.fill(Vec::new());
        // A no-op on plain connections; a buffering one must not keep the tail.
        tokio::time::timeout(stall, to.flush())
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    fn advance(&mut self, mut written: usize) {
        while let Some(frame) = self.frames.get(self.done) {
            let left = frame.len() - self.offset;
            if written < left {
                self.offset += written;
                return;
            }
            written -= left;
            self.done += 1;
            self.offset = 0;
        }
    }
}

/// What a client says that matters.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Inbound {
    Ping(Vec<u8>),
    Pong,
    /// A close frame, or the end of the connection.
    Close,
    /// Not a web socket client, or one that talks too much.
    Bad,
}

/// Reads a client's frames and throws the data away. Reading may be interrupted anywhere.
pub(super) struct Inbox {
    buffer: [u8; 512],
    filled: usize,
    /// Bytes of a data frame that are still to be thrown away.
    skip: u64,
    counted: u64,
    counted_since: Instant,
}

impl Inbox {
    pub(super) fn new() -> Self {
        Self {
            buffer: [0; 512],
            filled: 0,
            skip: 0,
            counted: 0,
            counted_since: Instant::now(),
        }
    }

    /// The next thing that matters.
    pub(super) async fn next<R: AsyncRead + Unpin>(&mut self, from: &mut R) -> Inbound {
        loop {
            if let Some(inbound) = self.parse() {
                return inbound;
            }
            let Some(free) = self.buffer.get_mut(self.filled..) else {
                return Inbound::Bad;
            };
            match from.read(free).await {
                Ok(0) | Err(_) => return Inbound::Close,
                Ok(read) => {
                    self.filled += read;
                    if self.is_too_much(read as u64) {
                        return Inbound::Bad;
                    }
                }
            }
        }
    }

    fn is_too_much(&mut self, read: u64) -> bool {
        if self.counted_since.elapsed() > INBOUND_TIME {
            self.counted = 0;
            self.counted_since = Instant::now();
        }
        self.counted += read;
        self.counted > INBOUND_BYTES
    }

    /// Takes whole frames, and pieces of data, from the buffer.
    fn parse(&mut self) -> Option<Inbound> {
        loop {
            let thrown = self.skip.min(self.filled as u64);
            self.skip -= thrown;
            self.take(usize::try_from(thrown).unwrap_or(self.filled));
            let bytes = self.buffer.get(..self.filled)?;
            let (&first, &second) = (bytes.first()?, bytes.get(1)?);
            let short = second & 0x7f;
            let (length, header) = match short {
                126 => (
                    u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)),
                    4,
                ),
                127 => (u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?), 10),
                _ => (u64::from(short), 2),
            };
            let opcode = first & 0x0f;
            let is_control = opcode >= 8;
            if second & 0x80 == 0 || first & 0x70 != 0 {
                return Some(Inbound::Bad);
            }
            if !is_control {
                // The mask goes with the data. Lengths near the largest are refused when they come.
                self.take(header);
                self.skip = length.saturating_add(4);
                continue;
            }
            if first & 0x80 == 0 || short > 125 {
                return Some(Inbound::Bad);
            }
            let mask: [u8; 4] = bytes.get(header..header + 4)?.try_into().ok()?;
            let payload = bytes.get(header + 4..header + 4 + usize::from(short))?;
            let payload: Vec<u8> = payload
                .iter()
                .zip(mask.iter().cycle())
                .map(|(byte, mask)| byte ^ mask)
                .collect();
            self.take(header + 4 + payload.len());
            return Some(match opcode {
                CLOSE => Inbound::Close,
                PING => Inbound::Ping(payload),
                PONG => Inbound::Pong,
                _ => Inbound::Bad,
            });
        }
    }

    fn take(&mut self, count: usize) {
        self.buffer.copy_within(count..self.filled, 0);
        self.filled -= count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![
            first,
            0x80 | u8::try_from(payload.len()).unwrap(),
            1,
            2,
            3,
            4,
        ];
        out.extend(
            payload
                .iter()
                .zip([1, 2, 3, 4].iter().cycle())
                .map(|(byte, mask)| byte ^ mask),
        );
        out
    }

    async fn said(bytes: &[u8]) -> Vec<Inbound> {
        let (mut from, mut inbox, mut all) = (bytes, Inbox::new(), Vec::new());
        loop {
            let inbound = inbox.next(&mut from).await;
            let over = matches!(inbound, Inbound::Close | Inbound::Bad);
            all.push(inbound);
            if over {
                return all;
            }
        }
    }

    #[test]
    fn headers_are_as_short_as_the_length_allows() {
        let header = |length: usize| {
            let wire = encode(&Message::Binary(vec![0; length].into()));
            wire[..wire.len() - length].to_vec()
        };
        assert_eq!(header(125), [0x82, 125]);
        assert_eq!(header(126), [0x82, 126, 0, 126]);
        assert_eq!(header(65_535), [0x82, 126, 255, 255]);
        assert_eq!(header(65_536), [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
        assert_eq!(&encode(&Message::Text("hi".into()))[..], b"\x81\x02hi");
        assert_eq!(&close(1000, "bye")[..], b"\x88\x05\x03\xe8bye");
    }

    #[tokio::test]
    async fn pings_are_unmasked_and_data_is_thrown_away() {
        let mut bytes = masked(0x89, b"ping");
        bytes.extend(masked(0x81, &[b'x'; 100]));
        // Longer than the buffer.
        bytes.extend([0x82, 0x80 | 126, 3, 0xe8, 9, 9, 9, 9]);
        bytes.extend(vec![b'y'; 1_000]);
        bytes.extend(masked(0x8a, b""));
        bytes.extend(masked(0x88, b"\x03\xe8"));
        let expected = [
            Inbound::Ping(b"ping".to_vec()),
            Inbound::Pong,
            Inbound::Close,
        ];
        assert_eq!(said(&bytes).await, expected);
    }

    #[tokio::test]
    async fn broken_clients_are_bad() {
        let unmasked = [0x89, 0];
        let reserved = masked(0xc9, b"");
        let split_control = masked(0x09, b"");
        let long_control = [0x89, 0x80 | 126, 0, 126, 0, 0, 0, 0];
        let unknown = masked(0x8b, b"");
        for bytes in [
            &unmasked[..],
            &reserved,
            &split_control,
            &long_control,
            &unknown,
        ] {
            assert_eq!(said(bytes).await, [Inbound::Bad], "{bytes:?}");
        }
    }

    #[tokio::test]
    async fn a_client_that_talks_too_much_is_bad() {
        let mut bytes = vec![0x82, 0x80 | 127, 0, 0, 0, 0, 0, 0x20, 0, 0];
        bytes.extend(vec![0; 2 << 20]);
        assert_eq!(said(&bytes).await, [Inbound::Bad]);
    }

    #[tokio::test]
    async fn an_interrupted_write_goes_on_where_it_stopped() {
        let (mut near, mut far) = tokio::io::duplex(10);
        let mut outbox = Outbox::default();
        outbox.fill(vec!["0123456".into(), "789abcde".into(), "never".into()]);
        let stall = Duration::from_millis(20);
        let error = outbox.write(&mut near, stall).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        outbox.keep_begun();
        outbox.push("!".into());
        let mut read = vec![0; 16];
        let (written, ()) = tokio::join!(outbox.write(&mut near, stall), async {
            far.read_exact(&mut read).await.unwrap();
        });
        written.unwrap();
        assert_eq!(read, b"0123456789abcde!");
    }
}
