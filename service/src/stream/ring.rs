//! The newest frames, ready to be written.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{Frame, Visible};

/// Most frames, and about most bytes, that are written together.
const BATCH_FRAMES: usize = 128;
const BATCH_BYTES: usize = 256 << 10;

struct Ready {
    frame: Frame,
    wire: Bytes,
}

/// A window over the end of the log: every frame above `floor` is in it.
pub(super) struct Ring {
    frames: VecDeque<Ready>,
    bytes: usize,
    limit_bytes: usize,
    floor: u64,
    head: u64,
}

/// What a cursor finds.
pub(super) enum Found {
    /// Messages to write, and the cursor after them.
    Ready(Vec<Bytes>, u64),
    /// The cursor is below the ring: what is above it, up to this number, is in the log only.
    Below(u64),
    /// Nothing is after the cursor.
    Nothing,
}

impl Ring {
    pub(super) fn new(limit_bytes: usize, head: u64) -> Self {
        Self {
            frames: VecDeque::new(),
            bytes: 0,
            limit_bytes,
            floor: head,
            head,
        }
    }

    pub(super) fn head(&self) -> u64 {
        self.head
    }

    /// Adds a frame; false when it is not the newest.
    pub(super) fn push(&mut self, frame: Frame, wire: Bytes) -> bool {
        if frame.seq <= self.head {
            return false;
        }
        self.head = frame.seq;
        self.bytes += weight(&wire);
        self.frames.push_back(Ready { frame, wire });
        while self.bytes > self.limit_bytes {
            let Some(oldest) = self.frames.pop_front() else {
                break;
            };
            self.bytes -= weight(&oldest.wire);
            self.floor = oldest.frame.seq;
        }
        true
    }

    pub(super) fn after(&self, cursor: u64, visible: Option<&Visible>) -> Found {
        if cursor >= self.head {
            return Found::Nothing;
        }
        if cursor < self.floor {
            return Found::Below(self.floor);
        }
        let first = self
            .frames
            .partition_point(|ready| ready.frame.seq <= cursor);
        let (mut batch, mut bytes, mut last) = (Vec::new(), 0, cursor);
        for ready in self.frames.range(first..).take(BATCH_FRAMES) {
            last = ready.frame.seq;
            if visible.is_none_or(|visible| visible(&ready.frame)) {
                bytes += ready.wire.len();
                batch.push(ready.wire.clone());
            }
            if bytes >= BATCH_BYTES {
                break;
            }
        }
        Found::Ready(batch, last)
    }
}

/// A frame that is kept costs its bytes, twice when it was copied to get its header, and its entry.
fn weight(wire: &Bytes) -> usize {
    wire.len() + 128
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn ring(limit_bytes: usize, seqs: std::ops::RangeInclusive<u64>) -> Ring {
        let mut ring = Ring::new(limit_bytes, 0);
        for seq in seqs {
            let bytes = Bytes::from(seq.to_string());
            assert!(ring.push(
                Frame {
                    seq,
                    bytes: bytes.clone(),
                    subject: seq % 2
                },
                bytes
            ));
        }
        ring
    }

    fn found(ring: &Ring, cursor: u64) -> String {
        match ring.after(cursor, None) {
            Found::Ready(batch, last) => format!("{} up to {last}", batch.len()),
            Found::Below(floor) => format!("below {floor}"),
            Found::Nothing => "nothing".to_owned(),
        }
    }

    #[test]
    fn a_cursor_finds_what_is_after_it() {
        let ring = ring(1 << 20, 1..=300);
        assert_eq!(found(&ring, 0), "128 up to 128");
        assert_eq!(found(&ring, 298), "2 up to 300");
        assert_eq!(found(&ring, 300), "nothing");
        assert_eq!(found(&ring, 999), "nothing");
    }

    #[test]
    fn old_frames_leave_when_the_ring_is_full() {
        // One-digit frames weigh 129 bytes.
        let ring = ring(129 * 3, 1..=9);
        assert_eq!(found(&ring, 5), "below 6");
        assert_eq!(found(&ring, 6), "3 up to 9");
    }

    #[test]
    fn hidden_frames_are_skipped_and_move_the_cursor() {
        let even: Visible = Arc::new(|frame| frame.subject == 0);
        let ring = ring(1 << 20, 1..=9);
        let Found::Ready(batch, last) = ring.after(0, Some(&even)) else {
            panic!("nothing")
        };
        assert_eq!(
            (batch, last),
            (["2", "4", "6", "8"].map(Bytes::from).to_vec(), 9)
        );
    }

    #[test]
    fn a_frame_out_of_order_is_refused() {
        let mut ring = ring(1 << 20, 1..=3);
        let frame = Frame {
            seq: 3,
            bytes: Bytes::new(),
            subject: 0,
        };
        assert!(!ring.push(frame, Bytes::new()));
    }
}
