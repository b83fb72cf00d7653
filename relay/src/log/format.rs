//! The bytes of a segment file: header, records, footer. Pure; all integers are little-endian.
//!
//! Header, 64 bytes: magic, version u16, zero u16, first seq u64, created µs u64, footer offset u64 (0 until sealed),
//! SHA-256 of the previous sealed segment. Record: length u32, crc32c u32, then (covered by both) seq u64, arrival µs u64,
//! kind u8, flags u8, DID length u16, host id u32, DID, frame. Footer: magic, counts, the sparse index, the SHA-256 of
//! everything before it.
//!
//! Whether a segment is sealed stands in its header, which no stranger's bytes can reach; a frame that imitates a footer is
//! still a frame.

use bytes::Bytes;

/// Size of a segment's header.
pub(super) const HEADER_BYTES: usize = 64;
/// Where the footer's offset stands in the header.
pub(super) const FOOTER_OFFSET_AT: u64 = 24;
/// Fixed part of a record: length, checksum, and the fields before the DID.
pub(super) const RECORD_PREFIX_BYTES: usize = 8 + RECORD_FIELDS_BYTES;
const RECORD_FIELDS_BYTES: usize = 8 + 8 + 1 + 1 + 2 + 4;
/// No record is larger: a frame of 5 MB, a DID of 2 KiB, and room.
pub(super) const RECORD_BYTES_MAX: usize = 6 * 1024 * 1024;
/// The format this program writes.
pub(super) const VERSION: u16 = 1;
const MAGIC: &[u8; 4] = b"RLOG";
const FOOTER_MAGIC: &[u8; 4] = b"RFTR";

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A repository commit.
    Commit = 1,
    /// The present state of a repository.
    Sync = 2,
    /// A changed identity.
    Identity = 3,
    /// A changed hosting status.
    Account = 4,
}

impl Kind {
    /// All kinds, in the order of their codes.
    pub const ALL: [Self; 4] = [Self::Commit, Self::Sync, Self::Identity, Self::Account];

    /// The name used in metrics, without the `#` of the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Sync => "sync",
            Self::Identity => "identity",
            Self::Account => "account",
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == code)
    }
}

/// Bits of [`Record::flags`].
pub mod flags {
    /// The commit did not follow the state the relay had.
    pub const DISCONTINUOUS: u8 = 1;
    /// An `#account` that says the relay itself took the account down.
    pub const TAKEN_DOWN: u8 = 2;
    /// An `#account` that says the relay took a takedown back.
    pub const RESTORED: u8 = 4;
}

/// One event of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its number in the output stream.
    pub seq: u64,
    /// When the relay received it, µs since 1970.
    pub arrival_us: u64,
    /// What it is about.
    pub kind: Kind,
    /// See [`flags`].
    pub flags: u8,
    /// The host it came from; 0 for the relay itself.
    pub host: u32,
    /// The DID it is about.
    pub did: String,
    /// The frame exactly as subscribers get it.
    pub frame: Bytes,
}

/// The parsed header of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) version: u16,
    pub(super) first_seq: u64,
    pub(super) created_us: u64,
    pub(super) footer_offset: u64,
    pub(super) previous: [u8; 32],
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let fields: [&[u8]; 6] = [
            MAGIC,
            &u32::from(self.version).to_le_bytes(),
            &self.first_seq.to_le_bytes(),
            &self.created_us.to_le_bytes(),
            &self.footer_offset.to_le_bytes(),
            &self.previous,
        ];
        for (to, from) in bytes.iter_mut().zip(fields.concat()) {
            *to = from;
        }
        bytes
    }

    /// Reads a header; `None` if these bytes are none.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        if fields.take(4)? != MAGIC {
            return None;
        }
        Some(Self {
            version: u16::try_from(fields.u32()?).ok()?,
            first_seq: fields.u64()?,
            created_us: fields.u64()?,
            footer_offset: fields.u64()?,
            previous: fields.take(32)?.try_into().ok()?,
        })
    }
}

/// What is known about a record before its frame is laid down.
#[derive(Debug, Clone, Copy)]
pub(super) struct RecordHead<'a> {
    pub(super) seq: u64,
    pub(super) arrival_us: u64,
    pub(super) kind: Kind,
    pub(super) flags: u8,
    pub(super) host: u32,
    pub(super) did: &'a str,
}

/// Appends one record to `out`.
pub(super) fn encode_record(head: &RecordHead<'_>, frame: &[u8], out: &mut Vec<u8>) {
    let did_len = u16::try_from(head.did.len()).unwrap_or(u16::MAX);
    let did = head
        .did
        .as_bytes()
        .get(..usize::from(did_len))
        .unwrap_or_default();
    let length = RECORD_FIELDS_BYTES + did.len() + frame.len();
    let start = out.len();
    out.reserve(8 + length);
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&head.seq.to_le_bytes());
    out.extend_from_slice(&head.arrival_us.to_le_bytes());
    out.push(head.kind as u8);
    out.push(head.flags);
    out.extend_from_slice(&did_len.to_le_bytes());
    out.extend_from_slice(&head.host.to_le_bytes());
    out.extend_from_slice(did);
    out.extend_from_slice(frame);
    let crc = crc32c::crc32c(out.get(start + 8..).unwrap_or_default()).to_le_bytes();
    if let Some(place) = out.get_mut(start + 4..start + 8) {
        place.copy_from_slice(&crc);
    }
}

/// The outcome of reading one record.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// A whole record and the bytes it took.
    Record(Record, usize),
    /// The bytes end inside a record that may be whole in the file; it takes this many.
    Short(usize),
    /// Not a record.
    Bad(&'static str),
}

/// Reads the record at the start of `bytes` without copying its frame.
pub(super) fn decode_record(bytes: &Bytes) -> Parsed {
    let mut fields = Fields(bytes);
    let (Some(length), Some(crc)) = (fields.u32(), fields.u32()) else {
        return Parsed::Short(RECORD_PREFIX_BYTES);
    };
    let length = length as usize;
    if !(RECORD_FIELDS_BYTES..=RECORD_BYTES_MAX).contains(&length) {
        return Parsed::Bad("impossible record length");
    }
    let Some(body) = fields.0.get(..length) else {
        return Parsed::Short(8 + length);
    };
    if crc32c::crc32c(body) != crc {
        return Parsed::Bad("checksum mismatch");
    }
    match decode_body(body) {
        Some((record, did_len)) => {
            let frame = bytes.slice(RECORD_PREFIX_BYTES + did_len..8 + length);
            Parsed::Record(Record { frame, ..record }, 8 + length)
        }
        None => Parsed::Bad("unknown kind or malformed fields"),
    }
}

fn decode_body(body: &[u8]) -> Option<(Record, usize)> {
    let mut fields = Fields(body);
    let (seq, arrival_us) = (fields.u64()?, fields.u64()?);
    let kind = Kind::from_code(*fields.take(1)?.first()?)?;
    let flags = *fields.take(1)?.first()?;
    let did_len = usize::from(u16::from_le_bytes(fields.take(2)?.try_into().ok()?));
    let host = fields.u32()?;
    let did = std::str::from_utf8(fields.take(did_len)?).ok()?.to_owned();
    Some((
        Record {
            seq,
            arrival_us,
            kind,
            flags,
            host,
            did,
            frame: Bytes::new(),
        },
        did_len,
    ))
}

/// A place to start reading from: no record with a smaller seq begins at or after `offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IndexEntry {
    pub(super) seq: u64,
    pub(super) arrival_us: u64,
    pub(super) offset: u64,
}

/// The summary at the end of a sealed segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Footer {
    pub(super) last_seq: u64,
    pub(super) last_us: u64,
    pub(super) events: u64,
    pub(super) hash: [u8; 32],
    pub(super) index: Vec<IndexEntry>,
}

impl Footer {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(72 + self.index.len() * 24);
        out.extend_from_slice(FOOTER_MAGIC);
        out.extend_from_slice(
            &u32::try_from(self.index.len())
                .unwrap_or(u32::MAX)
                .to_le_bytes(),
        );
        for value in [self.last_seq, self.last_us, self.events] {
            out.extend_from_slice(&value.to_le_bytes());
        }
        out.extend_from_slice(&self.hash);
        for entry in &self.index {
            for value in [entry.seq, entry.arrival_us, entry.offset] {
                out.extend_from_slice(&value.to_le_bytes());
            }
        }
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (content, crc) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
        if crc32c::crc32c(content).to_le_bytes() != crc {
            return None;
        }
        let mut fields = Fields(content);
        if fields.take(4)? != FOOTER_MAGIC {
            return None;
        }
        let entries = fields.u32()?;
        let (last_seq, last_us, events) = (fields.u64()?, fields.u64()?, fields.u64()?);
        let hash = fields.take(32)?.try_into().ok()?;
        let index = (0..entries)
            .map(|_| {
                Some(IndexEntry {
                    seq: fields.u64()?,
                    arrival_us: fields.u64()?,
                    offset: fields.u64()?,
                })
            })
            .collect::<Option<Vec<_>>>()?;
        fields.0.is_empty().then_some(Self {
            last_seq,
            last_us,
            events,
            hash,
            index,
        })
    }
}

/// A cursor over fixed-size fields.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            seq: 7,
            arrival_us: 1_700_000_000_000_000,
            kind: Kind::Account,
            flags: flags::TAKEN_DOWN,
            host: 3,
            did: "did:plc:ewvi7nxzyoun6zhxrhs64oiz".to_owned(),
            frame: Bytes::from_static(b"frame bytes"),
        }
    }

    fn encoded(record: &Record) -> Bytes {
        let mut out = Vec::new();
        let Record {
            seq,
            arrival_us,
            kind,
            flags,
            host,
            did,
            frame,
        } = record;
        let head = RecordHead {
            seq: *seq,
            arrival_us: *arrival_us,
            kind: *kind,
            flags: *flags,
            host: *host,
            did,
        };
        encode_record(&head, frame, &mut out);
        Bytes::from(out)
    }

    #[test]
    fn record_reads_back_as_written() {
        let bytes = encoded(&record());
        assert_eq!(decode_record(&bytes), Parsed::Record(record(), bytes.len()));
    }

    #[test]
    fn record_cut_anywhere_is_short_and_never_whole() {
        let bytes = encoded(&record());
        for cut in 0..bytes.len() {
            assert!(
                matches!(decode_record(&bytes.slice(..cut)), Parsed::Short(_)),
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn any_flipped_bit_of_the_body_is_noticed() {
        let bytes = encoded(&record());
        for at in 4..bytes.len() {
            let mut damaged = bytes.to_vec();
            damaged[at] ^= 0x10;
            assert!(
                matches!(decode_record(&Bytes::from(damaged)), Parsed::Bad(_)),
                "byte {at}"
            );
        }
    }

    #[test]
    fn header_and_footer_read_back_as_written() {
        let header = Header {
            version: VERSION,
            first_seq: 9,
            created_us: 10,
            footer_offset: 11,
            previous: [7; 32],
        };
        assert_eq!(Header::decode(&header.encode()), Some(header));
        let index = vec![
            IndexEntry {
                seq: 1,
                arrival_us: 2,
                offset: 64,
            },
            IndexEntry {
                seq: 5,
                arrival_us: 6,
                offset: 99,
            },
        ];
        let footer = Footer {
            last_seq: 5,
            last_us: 6,
            events: 2,
            hash: [9; 32],
            index,
        };
        let bytes = footer.encode();
        assert_eq!(Footer::decode(&bytes), Some(footer));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert_eq!(Footer::decode(&damaged), None, "byte {at}");
        }
    }
}
