use super::*;
use proptest::prelude::*;
use rochdale_service::clock::ManualClock;
use std::time::Duration;

const START_MS: u64 = 1_790_000_000_000;

fn append(n: u64, expected_head: Option<i64>) -> Append {
    let bytes = n.to_be_bytes().to_vec();
    let mut did = [0; 15];
    did[7..].copy_from_slice(&bytes);
    Append {
        did: DidKey::from_bytes(&did).unwrap(),
        expected_head,
        cid: Cid::dag_cbor(&bytes),
        bytes,
        signer_key: 1,
        nullifies: Vec::new(),
        deadline_ms: None,
    }
}

struct World {
    store: Store,
    clock: ManualClock,
    _folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::TempDir::new().unwrap();
        let store = Store::open(&folder.path().join("identity.sqlite")).unwrap();
        let clock = ManualClock::at_us(START_MS * 1000);
        Self {
            store,
            clock,
            _folder: folder,
        }
    }

    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        self.store.append(append, self.clock.shared(), |_| ()).await
    }

    /// Time and CID of everything, in order of acceptance.
    async fn everything(&self) -> Vec<(i64, Cid)> {
        let visit = |all: &mut Vec<(i64, Cid)>, row: &Row<'_>| {
            all.push((row.created_at_ms, row.cid));
            Ok(true)
        };
        let all = self.store.by_seq(0, usize::MAX, Vec::new(), visit);
        all.await.unwrap()
    }
}

/// What a page must be, told from everything.
fn expected_page(
    all: &[(i64, Cid)],
    after_ms: Option<i64>,
    until_ms: i64,
    count: usize,
) -> Vec<(i64, Cid)> {
    let mut wanted: Vec<_> = all
        .iter()
        .copied()
        .filter(|(time, _)| after_ms.is_none_or(|after| *time > after) && *time <= until_ms)
        .collect();
    wanted.sort();
    let mut page = Vec::new();
    for time_group in wanted.chunk_by(|(a, _), (b, _)| a == b) {
        if !page.is_empty() && page.len() + time_group.len() > count {
            break;
        }
        page.extend_from_slice(time_group);
    }
    page
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn times_never_decrease_and_pages_by_time_are_those_of_a_naive_reading(
        steps in prop::collection::vec((prop_oneof![3 => Just(0_i64), 2 => 1_i64..4, 1 => -3_i64..0], 1_usize..6), 1..12),
        pages in prop::collection::vec((-2_i64..20, 0_i64..24, 1_usize..9), 12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let world = World::new();
            let (mut now_ms, mut n) = (START_MS, 0);
            for (wait_ms, appends) in steps {
                now_ms = now_ms.saturating_add_signed(wait_ms);
                world.clock.set_us(now_ms * 1000);
                for _ in 0..appends {
                    n += 1;
                    world.append(append(n, None)).await.unwrap();
                }
            }
            let all = world.everything().await;
            prop_assert_eq!(all.len() as u64, n);
            prop_assert!(all.is_sorted_by_key(|(time, _)| *time));
            let start = i64::try_from(START_MS).unwrap();
            for (after, until, count) in pages {
                let (after_ms, until_ms) = ((after >= 0).then_some(start + after - 2), start + until);
                let make = |row: &Row<'_>| Ok((row.created_at_ms, row.cid));
                let page = world.store.by_time(after_ms, until_ms, count, make).await.unwrap();
                prop_assert_eq!(page.items, expected_page(&all, after_ms, until_ms, count));
                let last_at = world.store.last_at(until_ms).await.unwrap();
                let naive = all.iter().filter(|(time, _)| *time <= until_ms).count();
                prop_assert_eq!(usize::try_from(last_at).unwrap(), naive);
            }
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn a_millisecond_holds_a_bounded_number_of_operations() {
    let world = World::new();
    for n in 0..600 {
        world.append(append(n, None)).await.unwrap();
    }
    let all = world.everything().await;
    let sizes: Vec<_> = all
        .chunk_by(|(a, _), (b, _)| a == b)
        .map(<[_]>::len)
        .collect();
    assert_eq!(sizes.iter().sum::<usize>(), 600);
    assert!(sizes.iter().all(|size| *size <= 256), "{sizes:?}");
}

#[tokio::test]
async fn a_time_that_has_passed_is_never_given_out_again() {
    let world = World::new();
    let at = |ms: u64| i64::try_from(START_MS + ms).unwrap();
    let times = |n: u64| {
        let world = &world;
        async move { world.append(append(n, None)).await.unwrap().created_at_ms }
    };
    assert_eq!((times(1).await, times(2).await), (at(0), at(0)));
    world.clock.advance(Duration::from_millis(2));
    assert_eq!((times(3).await, times(4).await), (at(2), at(2)));
    world.clock.set_us(START_MS * 1000);
    assert_eq!((times(5).await, times(6).await), (at(3), at(4)));
    // The clock catches up with a time that was made up meanwhile.
    world.clock.set_us((START_MS + 4) * 1000);
    assert_eq!(times(7).await, at(5));
}

#[tokio::test]
async fn an_append_applies_only_to_the_head_it_was_checked_against() {
    let world = World::new();
    let first = world.append(append(1, None)).await.unwrap();
    let again = world.append(append(1, None)).await;
    assert!(matches!(again, Err(AppendError::HeadMoved)));
    let unknown = world.append(append(2, Some(first.seq))).await;
    assert!(matches!(unknown, Err(AppendError::HeadMoved)));
    let next = Append {
        nullifies: vec![first.seq],
        ..append(1, Some(first.seq))
    };
    let did = next.did;
    let second = world.append(next).await.unwrap();
    assert!(second.created_at_ms > first.created_at_ms);
    let log = world.store.log(did).await.unwrap();
    let nullified: Vec<_> = log.iter().map(|operation| operation.nullified).collect();
    assert_eq!(nullified, [true, false]);
    assert_eq!(world.store.head(did).unwrap().unwrap().live, 1);
    let late = Append {
        deadline_ms: Some(second.created_at_ms),
        ..append(1, Some(second.seq))
    };
    let refused = world.append(late).await;
    assert!(matches!(refused, Err(AppendError::TooLate(1))));
    assert_eq!(world.everything().await.len(), 2);
}
