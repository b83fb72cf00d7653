//! Where the records of a repository lie, by CID: so that single blocks are found without a scan.
//!
//! An index on disk would cost every write a page, for a method that hardly anybody calls, and the
//! tree is ordered by key. So the first search reads keys and CIDs of a repository once and keeps
//! eight bytes of each record, within a limit over all repositories. Pure memory: must not read
//! storage. What it says may be outdated and is proven by the row that is found.

use std::sync::Arc;

use moka::sync::Cache;
use rochdale_protocol::data::Cid;

use crate::account::AccountId;

/// Memory of the places of all repositories together, in bytes.
const BYTES_MAX: usize = 32 << 20;
/// Records that share the note of where they begin; so many rows are read to find one.
const STRETCH: usize = 32;
/// Stretches one block may lie in; more only if equal records were deleted since.
const CANDIDATES_MAX: usize = 16;
/// Bits of a mark that number the stretch; the others are the beginning of the digest.
const STRETCH_BITS: u32 = 24;
/// Rough memory of a stretch: its row, and its key on the heap.
const STRETCH_BYTES: usize = 80;

/// Records of one collection that follow each other.
#[derive(Debug)]
pub(super) struct Stretch {
    /// Number of the collection.
    pub(super) collection: i64,
    /// Key of the first.
    pub(super) from: Box<str>,
}

/// Where the records of one repository lay when they were read.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// The commit whose records are all here; `None` when more was written during the reading.
    pub(super) head: Option<Cid>,
    stretches: Vec<Stretch>,
    marks: Vec<u64>,
}

impl Places {
    /// Where the block `cid` may lie.
    pub(super) fn of(&self, cid: &Cid) -> impl Iterator<Item = &Stretch> {
        let mark = mark(cid, 0);
        let from = self.marks.partition_point(|other| *other < mark);
        self.marks
            .iter()
            .skip(from)
            .take_while(move |other| **other >> STRETCH_BITS == mark >> STRETCH_BITS)
            .take(CANDIDATES_MAX)
            .filter_map(|found| self.stretches.get((found & number_mask()) as usize))
    }

    fn bytes(&self) -> usize {
        self.stretches.len() * STRETCH_BYTES + self.marks.len() * size_of::<u64>()
    }
}

const fn number_mask() -> u64 {
    (1 << STRETCH_BITS) - 1
}

fn mark(cid: &Cid, stretch: u64) -> u64 {
    let [a, b, c, d, e, ..] = *cid.digest();
    u64::from_be_bytes([a, b, c, d, e, 0, 0, 0]) | stretch
}

/// Places while a repository is read.
#[derive(Debug)]
pub(super) struct Survey {
    places: Places,
    in_stretch: usize,
    bytes_max: usize,
    too_large: bool,
}

impl Survey {
    /// At the first record of a repository.
    pub(super) fn new() -> Self {
        Self::within(BYTES_MAX)
    }

    fn within(bytes_max: usize) -> Self {
        Self {
            places: Places::default(),
            in_stretch: 0,
            bytes_max,
            too_large: false,
        }
    }

    /// Takes in the next record of the reading.
    pub(super) fn push(&mut self, collection: i64, rkey: &str, cid: &Cid) {
        if self.too_large {
            return;
        }
        let places = &mut self.places;
        let goes_on = places
            .stretches
            .last()
            .is_some_and(|last| last.collection == collection && self.in_stretch < STRETCH);
        if !goes_on {
            self.in_stretch = 0;
            places.stretches.push(Stretch {
                collection,
                from: rkey.into(),
            });
        }
        self.in_stretch += 1;
        places
            .marks
            .push(mark(cid, places.stretches.len() as u64 - 1));
        if places.bytes() > self.bytes_max {
            self.places = Places::default();
            self.too_large = true;
        }
    }

    /// The places, unless they would pass the limit; `head`: the commit they are complete for.
    pub(super) fn finish(self, head: Option<Cid>) -> Option<Places> {
        let Places {
            stretches,
            mut marks,
            ..
        } = self.places;
        marks.sort_unstable();
        marks.dedup();
        marks.shrink_to_fit();
        (!self.too_large).then_some(Places {
            head,
            stretches,
            marks,
        })
    }
}

/// The places of the repositories that were searched last.
#[derive(Debug)]
pub(super) struct Atlas {
    places: Cache<AccountId, Arc<Places>>,
}

impl Atlas {
    /// Knows nothing yet.
    pub(super) fn new() -> Self {
        let places = Cache::builder()
            .weigher(|_, places: &Arc<Places>| {
                u32::try_from(places.bytes()).unwrap_or(u32::MAX).max(1)
            })
            .max_capacity(BYTES_MAX as u64)
            .build();
        Self { places }
    }

    /// What is known of a repository.
    pub(super) fn get(&self, account: AccountId) -> Option<Arc<Places>> {
        self.places.get(&account)
    }

    /// Keeps what was read of a repository.
    pub(super) fn put(&self, account: AccountId, places: Places) {
        self.places.insert(account, Arc::new(places));
    }

    /// Forgets a repository: its rows changed without a commit.
    pub(super) fn forget(&self, account: AccountId) {
        self.places.invalidate(&account);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cid(n: usize) -> Cid {
        Cid::dag_cbor(&n.to_le_bytes())
    }

    #[test]
    fn every_record_lies_in_the_stretch_that_is_answered_and_nothing_else_lies_anywhere() {
        let mut survey = Survey::new();
        for n in 0..1_000 {
            let collection = if n < 333 { 1 } else { 2 };
            survey.push(collection, &format!("{n:04}"), &cid(n));
        }
        let places = survey.finish(None).unwrap();
        for n in 0..1_000 {
            let found: Vec<_> = places.of(&cid(n)).collect();
            let key = format!("{n:04}");
            assert_eq!(found.len(), 1, "{n}");
            assert_eq!(found[0].collection, if n < 333 { 1 } else { 2 });
            let from: usize = found[0].from.parse().unwrap();
            assert!(from <= n && n < from + STRETCH, "{key} from {from}");
        }
        assert_eq!(places.of(&cid(1_000)).count(), 0);
    }

    #[test]
    fn equal_records_have_a_bounded_number_of_places_and_share_those_of_a_stretch() {
        let mut survey = Survey::new();
        for n in 0..STRETCH * 2 {
            survey.push(1, &format!("{n:04}"), &cid(7));
        }
        assert_eq!(survey.finish(None).unwrap().of(&cid(7)).count(), 2);
        let mut survey = Survey::new();
        for n in 0..STRETCH * (CANDIDATES_MAX + 1) {
            survey.push(1, &format!("{n:04}"), &cid(7));
        }
        let places = survey.finish(None).unwrap();
        assert_eq!(places.of(&cid(7)).count(), CANDIDATES_MAX);
    }

    #[test]
    fn a_repository_beyond_the_limit_is_read_to_its_end_and_not_kept() {
        let mut survey = Survey::within(1_000);
        for n in 0..1_000 {
            survey.push(1, "key", &cid(n));
        }
        assert!(survey.places.marks.is_empty(), "the memory is given back");
        assert!(survey.finish(None).is_none());
    }
}
