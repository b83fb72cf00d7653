//! The subscriber's side of a WebSocket, as lean as it goes: frames are cut out of one read buffer and
//! looked at in place.

use crate::Failure;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use url::Url;

const READ_BYTES: usize = 256 * 1024;
/// A pong without payload, masked with zeros.
const PONG: [u8; 6] = [0x8a, 0x80, 0, 0, 0, 0];

/// An open subscription.
#[derive(Debug)]
pub(crate) struct Subscription {
    socket: TcpStream,
    buffer: Vec<u8>,
    start: usize,
}

impl Subscription {
    /// Opens `path` (with its query) at `base`.
    pub(crate) async fn open(base: &Url, path: &str) -> Result<Self, Failure> {
        let name = base.host_str().ok_or("the URL has no host")?;
        let port = base.port_or_known_default().ok_or("the URL has no port")?;
        let mut socket = TcpStream::connect((name, port)).await?;
        socket.set_nodelay(true)?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {name}:{port}\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).await?;
        let mut buffer = Vec::with_capacity(READ_BYTES);
        loop {
            if let Some(end) = find(&buffer, b"\r\n\r\n") {
                if !buffer.starts_with(b"HTTP/1.1 101") {
                    return Err(String::from_utf8_lossy(&buffer).into_owned().into());
                }
                return Ok(Self {
                    socket,
                    buffer,
                    start: end + 4,
                });
            }
            if socket.read_buf(&mut buffer).await? == 0 {
                return Err("the server closed the socket during the handshake".into());
            }
        }
    }

    /// Waits for data and gives every whole frame that has come to `look`.
    pub(crate) async fn read(&mut self, mut look: impl FnMut(&[u8])) -> Result<(), Failure> {
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.reserve(READ_BYTES);
        if self.socket.read_buf(&mut self.buffer).await? == 0 {
            return Err("the server closed the socket".into());
        }
        let mut pings = 0;
        while let Some((kind, payload, end)) = next_frame(&self.buffer, self.start) {
            match kind {
                1 | 2 => look(self.buffer.get(payload..end).unwrap_or_default()),
                8 => return Err("the server sent a close frame".into()),
                9 => pings += 1,
                _ => {}
            }
            self.start = end;
        }
        for _ in 0..pings {
            self.socket.write_all(&PONG).await?;
        }
        Ok(())
    }
}

/// Opcode, start of the payload and its end, of the frame at `start` if it is whole.
fn next_frame(buffer: &[u8], start: usize) -> Option<(u8, usize, usize)> {
    let head = buffer.get(start..)?;
    let kind = head.first()? & 0x0f;
    let (header, length) = match head.get(1)? & 0x7f {
        126 => (
            4,
            usize::from(u16::from_be_bytes(head.get(2..4)?.try_into().ok()?)),
        ),
        127 => {
            let length = u64::from_be_bytes(head.get(2..10)?.try_into().ok()?);
            (10, usize::try_from(length).ok()?)
        }
        short => (2, usize::from(short)),
    };
    let payload = start + header;
    let end = payload.checked_add(length)?;
    (end <= buffer.len()).then_some((kind, payload, end))
}

/// Where `needle` stands first.
pub(crate) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

/// The `rev` of a `#commit` frame, found by its bytes without decoding the rest.
pub(crate) fn revision(frame: &[u8]) -> Option<&str> {
    /// The key `rev` followed by a text of 13 bytes.
    const REV: &[u8] = b"\x63rev\x6d";
    let start = find(frame, REV)? + REV.len();
    std::str::from_utf8(frame.get(start..start + 13)?).ok()
}

/// Appends `payload` to `out` as one binary frame of a server.
pub(crate) fn push_frame(out: &mut Vec<u8>, payload: &[u8]) {
    out.push(0x82);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length), _) if length < 126 => out.push(length),
        (_, Ok(length)) => {
            out.push(126);
            out.extend(length.to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend((payload.len() as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}
