//! One subscriber: a cursor, a connection, and patience that ends.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::time::Instant;

use super::dialect::End;
use super::ring::Found;
use super::socket::{Inbound, Inbox, Outbox, close, encode, ping, pong};
use super::{Frame, LogError, Start, Stream};

/// What one read of the log brings into memory, about.
const COLD_BYTES: usize = 128 << 10;
/// How long saying good-bye may take.
const PARTING: Duration = Duration::from_secs(1);
/// Pings without any answer, and with nothing else to write, after which a subscriber is gone.
const UNANSWERED_PINGS: u32 = 3;

pub(super) struct Subscriber<'a, I> {
    stream: &'a Arc<Stream>,
    head: watch::Receiver<u64>,
    reader: ReadHalf<I>,
    writer: WriteHalf<I>,
    inbox: Inbox,
    outbox: Outbox,
    cursor: u64,
    wrote_at: Instant,
    unanswered_pings: u32,
}

impl<'a, I: AsyncRead + AsyncWrite + Send + Unpin> Subscriber<'a, I> {
    pub(super) fn new(stream: &'a Arc<Stream>, io: I) -> Self {
        let (reader, writer) = tokio::io::split(io);
        Self {
            stream,
            head: stream.head.subscribe(),
            reader,
            writer,
            inbox: Inbox::new(),
            outbox: Outbox::default(),
            cursor: 0,
            wrote_at: Instant::now(),
            unanswered_pings: 0,
        }
    }

    /// Serves until something ends it. May be dropped at any point; then [`Self::part`] still works.
    pub(super) async fn run(&mut self, start: Start) -> End {
        match self.serve(start).await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn serve(&mut self, start: Start) -> Result<std::convert::Infallible, End> {
        self.begin(start).await?;
        loop {
            self.head.mark_unchanged();
            let found = {
                let ring = self.stream.ring.lock();
                ring.after(self.cursor, self.stream.options.visible.as_ref())
            };
            match found {
                Found::Ready(batch, last) => self.send(batch, last).await?,
                Found::Below(floor) => self.cold(floor).await?,
                Found::Nothing => self.idle().await?,
            }
            // Costs nothing while the client is silent.
            while let Some(inbound) = self.inbox.next(&mut self.reader).now_or_never() {
                self.hear(inbound).await?;
            }
        }
    }

    /// Judges the cursor.
    async fn begin(&mut self, start: Start) -> Result<(), End> {
        let stream = self.stream;
        let cursor = match start {
            Start::Live(head) => {
                self.cursor = head;
                return Ok(());
            }
            Start::After(cursor) => cursor,
        };
        self.cursor = cursor;
        let head = stream.log.head().max(stream.ring.lock().head());
        if cursor > head {
            return Err(End::FutureCursor);
        }
        let trimmed = trimmed(stream).await?;
        if cursor < trimmed {
            let info = stream.dialect.outdated().ok_or(End::OutdatedCursor)?;
            self.write(vec![encode(&info)]).await?;
            self.cursor = trimmed;
        }
        Ok(())
    }

    async fn send(&mut self, batch: Vec<bytes::Bytes>, last: u64) -> Result<(), End> {
        let count = batch.len() as u64;
        self.write(batch).await?;
        self.cursor = last;
        self.unanswered_pings = 0;
        self.stream.sent.increment(count);
        Ok(())
    }

    /// Sends what only the log has, up to `floor` or a bit at a time.
    async fn cold(&mut self, floor: u64) -> Result<(), End> {
        let stream = self.stream;
        let frames = {
            // The semaphore is never closed; without a permit the read would only be less polite.
            let _permit = stream.cold_readers.acquire().await;
            let read = stream.log.read(self.cursor, COLD_BYTES).await;
            read.map_err(|cause| failed(stream, &cause))?
        };
        // Asked after reading: what was removed meanwhile would be a gap that nobody tells of.
        if self.cursor < trimmed(stream).await? {
            return Err(End::ConsumerTooSlow);
        }
        let Some(last) = frames.last().map(|frame| frame.seq) else {
            // Numbers that never were events.
            self.cursor = self.cursor.max(floor);
            return Ok(());
        };
        let is_visible = |frame: &&Frame| match &stream.options.visible {
            Some(visible) => visible(frame),
            None => true,
        };
        let batch = frames.iter().filter(is_visible);
        let batch = batch
            .map(|frame| encode(&stream.dialect.wrap(frame)))
            .collect();
        drop(frames);
        self.send(batch, last).await
    }

    /// Waits for an event, a word of the client, or the time for a ping.
    async fn idle(&mut self) -> Result<(), End> {
        let ping_at = self.wrote_at + self.stream.options.ping_interval;
        tokio::select! {
            biased;
            changed = self.head.changed() => changed.map_err(|_| End::Shutdown),
            inbound = self.inbox.next(&mut self.reader) => self.hear(inbound).await,
            () = tokio::time::sleep_until(ping_at) => {
                if self.unanswered_pings >= UNANSWERED_PINGS {
                    return Err(End::Gone);
                }
                self.unanswered_pings += 1;
                self.write(vec![ping()]).await
            }
        }
    }

    async fn hear(&mut self, inbound: Inbound) -> Result<(), End> {
        self.unanswered_pings = 0;
        match inbound {
            Inbound::Ping(payload) => self.write(vec![pong(&payload)]).await,
            Inbound::Pong => Ok(()),
            Inbound::Close => Err(End::Gone),
            Inbound::Bad => Err(End::BadClient),
        }
    }

    async fn write(&mut self, batch: Vec<bytes::Bytes>) -> Result<(), End> {
        self.outbox.fill(batch);
        let written = self
            .outbox
            .write(&mut self.writer, self.stream.options.stall_timeout)
            .await;
        self.wrote_at = Instant::now();
        written.map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => End::ConsumerTooSlow,
            _ => End::Gone,
        })
    }

    /// Says good-bye as far as the client still listens, and closes.
    pub(super) async fn part(mut self, end: End) {
        let farewell = self.stream.dialect.farewell(end);
        self.outbox.keep_begun();
        if let Some(message) = &farewell.message {
            self.outbox.push(encode(message));
        }
        self.outbox.push(close(farewell.code, farewell.reason));
        let said = async {
            self.outbox.write(&mut self.writer, PARTING).await?;
            // The client's own close frame, so that the connection does not end in a reset.
            if end != End::Gone {
                while !matches!(
                    self.inbox.next(&mut self.reader).await,
                    Inbound::Close | Inbound::Bad
                ) {}
            }
            self.writer.shutdown().await
        };
        // Whoever does not listen any more is not waited for.
        let _said = tokio::time::timeout(PARTING, said).await;
    }
}

async fn trimmed(stream: &Stream) -> Result<u64, End> {
    stream
        .log
        .trimmed()
        .await
        .map_err(|cause| failed(stream, &cause))
}

fn failed(stream: &Stream, cause: &LogError) -> End {
    tracing::error!(stream = stream.options.name, %cause, "a subscription failed");
    End::Failed
}
