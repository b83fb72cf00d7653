//! The log as a whole: what was stored is read back, in order, once, whatever happened in between.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rochdale_protocol::sync::{AccountEvent, IdentityEvent};
use rochdale_protocol::syntax::{Datetime, Did};
use tempfile::TempDir;

use super::*;

const NOW_US: u64 = 1_700_000_000_000_000;
const ADA: &str = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";

fn did(text: &str) -> Did {
    text.parse().expect("a DID")
}

fn draft(did: &Did, number: u64) -> Draft {
    let time = Datetime::from_unix_ms(1_700_000_000_000 + number as i64);
    let frame = IdentityEvent {
        did: did.clone(),
        handle: None,
        time,
    }
    .template();
    Draft {
        arrival_us: NOW_US + number,
        kind: Kind::Identity,
        flags: 0,
        host: 1,
        did: did.clone(),
        frame,
    }
}

fn drafts(count: u64) -> Vec<Draft> {
    (0..count).map(|number| draft(&did(ADA), number)).collect()
}

fn open(folder: &Path, options: LogOptions) -> (Arc<Log>, Arc<Hidden>) {
    let hidden = Arc::new(Hidden::default());
    (
        Log::open(folder, options, Arc::clone(&hidden)).expect("log opens"),
        hidden,
    )
}

fn small_segments() -> LogOptions {
    LogOptions {
        segment_bytes: 2_000,
        ..LogOptions::default()
    }
}

fn all_after(log: &Log, mut after: u64, limit_bytes: usize) -> Vec<u64> {
    let mut seqs = Vec::new();
    loop {
        let records = log.read(after, limit_bytes).expect("reads");
        let Some(last) = records.last() else {
            return seqs;
        };
        after = last.seq;
        seqs.extend(records.iter().map(|record| record.seq));
    }
}

fn segment_files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .expect("folder")
        .map(|entry| entry.expect("entry").path())
        .collect();
    paths.sort();
    paths
}

#[test]
fn events_come_back_in_order_whatever_the_read_size() {
    let folder = TempDir::new().expect("folder");
    let (log, _) = open(folder.path(), small_segments());
    let mut appender = Appender::new(Arc::clone(&log), 1);
    for number in 0..100 {
        let stored = appender
            .append(&drafts(1 + number % 3), NOW_US)
            .expect("stored");
        assert!(
            stored
                .iter()
                .all(|(seq, frame)| log.read(seq - 1, 1).expect("reads")[0].frame == frame)
        );
    }
    let last = log.head();
    assert!(segment_files(folder.path()).len() > 5);
    for limit in [1, 100, 5_000, 1 << 20] {
        for after in [0, 1, 7, last - 1, last] {
            let want: Vec<u64> = (after + 1..=last).collect();
            assert_eq!(
                all_after(&log, after, limit),
                want,
                "limit {limit}, after {after}"
            );
        }
    }
    assert_eq!((log.oldest(), log.last_stored()), (Some(1), Some(last)));
}

// Relay checklist 43: a cursor inside a segment that a restart has closed sees what came after the restart too.
#[test]
fn cursor_inside_a_segment_closed_by_a_restart_has_no_gap() {
    let folder = TempDir::new().expect("folder");
    for clean in [true, false, true] {
        let (log, _) = open(folder.path(), LogOptions::default());
        let mut appender = Appender::new(Arc::clone(&log), log.head() + 1);
        appender.append(&drafts(10), NOW_US).expect("stored");
        if clean {
            appender.close().expect("sealed");
        }
    }
    let (log, _) = open(folder.path(), LogOptions::default());
    assert_eq!(all_after(&log, 5, 1), (6..=30).collect::<Vec<_>>());
    assert_eq!(segment_files(folder.path()).len(), 3);
}

// Relay checklist 47 and the failure list: a tail torn at any byte costs only what was not whole.
#[test]
fn tail_torn_at_every_byte_is_cut_and_the_log_goes_on() {
    let origin = TempDir::new().expect("folder");
    let (log, _) = open(origin.path(), LogOptions::default());
    let mut appender = Appender::new(Arc::clone(&log), 1);
    let mut ends = vec![format::HEADER_BYTES];
    for _ in 0..3 {
        appender.append(&drafts(1), NOW_US).expect("stored");
        ends.push(usize::try_from(log.size_bytes()).expect("small"));
    }
    drop(appender);
    let path = segment_files(origin.path())[0].clone();
    let whole = std::fs::read(&path).expect("segment");
    for cut in 0..=whole.len() {
        let garbage = [&[][..], &[0; 9][..], &[0xff; 40][..]][if cut < format::HEADER_BYTES {
            0
        } else {
            cut % 3
        }];
        let folder = TempDir::new().expect("folder");
        let bytes = [&whole[..cut], garbage].concat();
        std::fs::write(folder.path().join(path.file_name().expect("name")), bytes)
            .expect("written");
        let kept = ends
            .iter()
            .filter(|end| **end <= cut)
            .count()
            .saturating_sub(1) as u64;
        let (log, _) = open(folder.path(), LogOptions::default());
        assert_eq!(
            all_after(&log, 0, 1 << 20),
            (1..=kept).collect::<Vec<_>>(),
            "cut at {cut}"
        );
        if cut % 7 == 0 {
            let mut appender = Appender::new(Arc::clone(&log), 10);
            appender
                .append(&drafts(1), NOW_US)
                .expect("stored after recovery");
            assert_eq!(log.read(kept, 1).expect("reads")[0].seq, 10);
        }
    }
}

#[test]
fn damage_inside_a_sealed_segment_is_reported_and_never_skipped() {
    let folder = TempDir::new().expect("folder");
    let (log, _) = open(folder.path(), LogOptions::default());
    let mut appender = Appender::new(Arc::clone(&log), 1);
    appender.append(&drafts(10), NOW_US).expect("stored");
    appender.close().expect("sealed");
    drop(log);
    let path = segment_files(folder.path())[0].clone();
    let mut bytes = std::fs::read(&path).expect("segment");
    bytes[200] ^= 1;
    std::fs::write(&path, bytes).expect("written");
    let (log, _) = open(folder.path(), LogOptions::default());
    assert!(matches!(
        log.read(0, 1 << 20),
        Err(LogError::Damaged { .. })
    ));
}

#[test]
fn sealed_segments_form_a_chain_of_hashes() {
    let folder = TempDir::new().expect("folder");
    let (log, _) = open(folder.path(), small_segments());
    let mut appender = Appender::new(Arc::clone(&log), 1);
    for _ in 0..40 {
        appender.append(&drafts(1), NOW_US).expect("stored");
    }
    // One segment is recovered instead of sealed by its writer; its hash must come out the same.
    drop(appender);
    drop(open(folder.path(), small_segments()));
    let mut previous = [0; 32];
    for path in segment_files(folder.path()) {
        use sha2::Digest;
        let bytes = std::fs::read(&path).expect("segment");
        let header = format::Header::decode(&bytes).expect("header");
        assert_eq!(header.previous, previous, "{}", path.display());
        let footer_at = usize::try_from(header.footer_offset).expect("small");
        let unsealed = format::Header {
            footer_offset: 0,
            ..header
        }
        .encode();
        let hash: [u8; 32] = sha2::Sha256::new()
            .chain_update(unsealed)
            .chain_update(&bytes[64..footer_at])
            .finalize()
            .into();
        let footer = format::Footer::decode(&bytes[footer_at..]).expect("footer");
        assert_eq!(footer.hash, hash);
        previous = hash;
    }
    assert_ne!(previous, [0; 32]);
}

#[test]
fn old_and_surplus_segments_go_and_the_open_one_stays() {
    let folder = TempDir::new().expect("folder");
    let options = LogOptions {
        retain_age: Duration::from_secs(100),
        ..small_segments()
    };
    let (log, _) = open(folder.path(), options);
    let mut appender = Appender::new(Arc::clone(&log), 1);
    for _ in 0..40 {
        appender.append(&drafts(1), NOW_US).expect("stored");
    }
    assert_eq!(log.trim(NOW_US + 1_000_000).expect("trims"), 0);
    let removed = log.trim(NOW_US + 101_000_000).expect("trims");
    assert!(removed > 2);
    assert_eq!(segment_files(folder.path()).len(), 1, "the open one stays");
    let oldest = log.oldest().expect("some");
    assert!(oldest > 1);
    assert_eq!(
        all_after(&log, 0, 100),
        (oldest..=log.head()).collect::<Vec<_>>()
    );

    let folder = TempDir::new().expect("folder");
    let (log, _) = open(
        folder.path(),
        LogOptions {
            retain_bytes: 5_000,
            ..small_segments()
        },
    );
    let mut appender = Appender::new(Arc::clone(&log), 1);
    for _ in 0..200 {
        appender.append(&drafts(1), NOW_US).expect("stored");
    }
    assert!(log.size_bytes() > 20_000);
    log.trim(NOW_US).expect("trims");
    assert!(log.size_bytes() <= 5_000, "{}", log.size_bytes());
}

#[test]
fn segment_is_sealed_when_it_is_old_enough() {
    let folder = TempDir::new().expect("folder");
    let (log, _) = open(
        folder.path(),
        LogOptions {
            segment_age: Duration::from_secs(10),
            ..LogOptions::default()
        },
    );
    let mut appender = Appender::new(Arc::clone(&log), 1);
    appender.append(&drafts(1), NOW_US).expect("stored");
    appender
        .append(&drafts(1), NOW_US + 9_000_000)
        .expect("stored");
    assert_eq!(segment_files(folder.path()).len(), 1);
    appender
        .append(&drafts(1), NOW_US + 10_000_000)
        .expect("stored");
    assert_eq!(segment_files(folder.path()).len(), 2);
}

// Relay checklist 37: what was taken down cannot be read from the past; the event that says so can.
#[test]
fn hidden_accounts_are_left_out_when_reading() {
    let folder = TempDir::new().expect("folder");
    let (log, hidden) = open(folder.path(), LogOptions::default());
    let mut appender = Appender::new(Arc::clone(&log), 1);
    let (ada, bob) = (did(ADA), did("did:web:bob.example.com"));
    for number in 0..50 {
        appender
            .append(&[draft(&ada, number)], NOW_US)
            .expect("stored");
    }
    appender.append(&[draft(&bob, 51)], NOW_US).expect("stored");
    let time = Datetime::from_unix_ms(0);
    let event = AccountEvent {
        did: ada.clone(),
        active: false,
        status: Some("takendown".to_owned()),
        time,
    };
    let said = Draft {
        kind: Kind::Account,
        flags: flags::TAKEN_DOWN,
        frame: event.template(),
        ..draft(&ada, 52)
    };
    appender.append(&[said], NOW_US).expect("stored");
    hidden.hide(ADA, u64::MAX);
    assert_eq!(all_after(&log, 0, 1), [51, 52]);
    assert_eq!(log.read_all(0, 1 << 20).expect("reads").len(), 52);
    hidden.show(ADA);
    assert_eq!(all_after(&log, 0, 1).len(), 52);
}

#[test]
fn number_given_out_is_never_given_out_again() {
    let folder = TempDir::new().expect("folder");
    let (log, _) = open(folder.path(), LogOptions::default());
    let mut appender = Appender::new(Arc::clone(&log), 1_000);
    appender.append(&drafts(3), NOW_US).expect("stored");
    assert_eq!(log.head(), 1_002);
    drop(appender);
    let (log, _) = open(folder.path(), LogOptions::default());
    assert_eq!(
        Appender::new(Arc::clone(&log), 5).next_seq(),
        1_003,
        "a lower start is raised"
    );
    assert_eq!(Appender::new(log, 9_000).next_seq(), 9_000);
}

#[test]
fn program_refuses_a_log_of_a_newer_format() {
    let folder = TempDir::new().expect("folder");
    let header = format::Header {
        version: 9,
        first_seq: 1,
        created_us: 1,
        footer_offset: 0,
        previous: [0; 32],
    };
    std::fs::write(
        folder.path().join("seg-00000000000000000001.log"),
        header.encode(),
    )
    .expect("written");
    let opened = Log::open(
        folder.path(),
        LogOptions::default(),
        Arc::new(Hidden::default()),
    );
    assert!(matches!(
        opened,
        Err(LogError::Version {
            found: 9,
            known: 1,
            ..
        })
    ));
}
