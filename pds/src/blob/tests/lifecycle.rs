//! From upload to removal.

use std::time::Duration;

use super::*;
use crate::account::AccountId;
use crate::repo::{Batch, WriteError};
use crate::store::blob::admit::{self, NewBlob};
use crate::store::repo::ApplyError;

#[tokio::test]
async fn a_blob_is_served_from_its_first_reference_to_its_last() {
    let places = Places::start().await;
    for (n, (blobs, folder)) in places.each().into_iter().enumerate() {
        let rig = &places.rig;
        let name = |who: &str| format!("{who}{}", ["x", "y"][n]);
        let (ada, ben) = (
            rig.member(&name("ada")).await,
            rig.member(&name("ben")).await,
        );
        let blob = upload(&blobs, &ada, b"hello").await;
        assert_eq!(blob.cid, Cid::raw(b"hello"));
        upload(&blobs, &ben, b"hello").await;
        assert_eq!(
            content(&blobs, &ada, &blob.cid).await,
            None,
            "nobody refers to it yet"
        );

        rig.write(&ada, post("one", &blob)).await.unwrap();
        rig.write(&ada, post("two", &blob)).await.unwrap();
        rig.write(&ben, post("one", &blob)).await.unwrap();
        assert_eq!(content(&blobs, &ada, &blob.cid).await.unwrap(), b"hello");
        assert_eq!(
            blobs.list(ada.id, None, None, 10).await.unwrap(),
            [blob.cid]
        );

        rig.write(&ada, delete("one")).await.unwrap();
        blobs.sweep().await.unwrap();
        assert!(
            content(&blobs, &ada, &blob.cid).await.is_some(),
            "two still refers to it"
        );
        rig.write(&ada, put(&note_path("two"), "no file"))
            .await
            .unwrap();
        assert_eq!(content(&blobs, &ada, &blob.cid).await, None);
        blobs.sweep().await.unwrap();
        assert_eq!(files(&folder), 1, "the other account's copy stays");
        assert_eq!(content(&blobs, &ben, &blob.cid).await.unwrap(), b"hello");
    }
}

#[tokio::test]
async fn a_blob_stays_when_the_commit_that_drops_it_refers_to_it_again() {
    let rig = Rig::start().await;
    let blobs = blobs(&rig);
    let ada = rig.member("ada").await;
    let (kept, dropped) = (
        upload(&blobs, &ada, b"kept").await,
        upload(&blobs, &ada, b"dropped").await,
    );
    rig.write(&ada, post("one", &kept)).await.unwrap();
    rig.write(&ada, post("one", &kept)).await.unwrap();
    rig.write(&ada, post("gone", &dropped)).await.unwrap();
    let batch = Batch {
        writes: vec![delete("one"), post("two", &kept), delete("gone")],
        ..Batch::default()
    };
    rig.repos.write(&ada, batch).await.unwrap();
    blobs.sweep().await.unwrap();
    assert_eq!(content(&blobs, &ada, &kept.cid).await.unwrap(), b"kept");
    assert_eq!(content(&blobs, &ada, &dropped.cid).await, None);

    // The other way round: an update moves it from one record to another.
    let batch = Batch {
        writes: vec![put(&note_path("two"), "no file"), post("three", &kept)],
        ..Batch::default()
    };
    rig.repos.write(&ada, batch).await.unwrap();
    blobs.sweep().await.unwrap();
    assert_eq!(content(&blobs, &ada, &kept.cid).await.unwrap(), b"kept");
    assert_eq!(files(&rig.folder.path().join("blobs")), 1);
}

#[tokio::test]
async fn blobs_of_an_import_are_missing_until_they_come_and_no_sweep_takes_them() {
    let (old, new) = (Rig::start().await, Rig::start().await);
    let there_blobs = blobs(&old);
    let there = old.member("ada").await;
    let blob = upload(&there_blobs, &there, b"hello").await;
    old.write(&there, post("one", &blob)).await.unwrap();
    let file = collect(old.repos.export(there.id, None).await.unwrap())
        .await
        .unwrap();

    let (here, blobs) = (new.member("ada").await, blobs(&new));
    let early = upload(&blobs, &here, b"hello").await;
    assert_eq!(early, blob);
    new.clock.advance(Duration::from_secs(11 * 3600));
    let body = stream::iter([Ok::<_, String>(file)]);
    new.repos.import(&here, 1 << 20, body).await.unwrap();
    new.clock.advance(Duration::from_secs(2 * 3600));
    blobs.sweep().await.unwrap();
    assert_eq!(content(&blobs, &here, &blob.cid).await.unwrap(), b"hello");

    // One that comes after the records is there at once, and lasts.
    let late = new.member("ben").await;
    let there = old.member("ben").await;
    upload(&there_blobs, &there, b"hello").await;
    old.write(&there, post("one", &blob)).await.unwrap();
    let file = collect(old.repos.export(there.id, None).await.unwrap())
        .await
        .unwrap();
    let body = stream::iter([Ok::<_, String>(file)]);
    new.repos.import(&late, 1 << 20, body).await.unwrap();
    let missing = blobs.missing(late.id, None, 10).await.unwrap();
    assert_eq!(missing[0].cid, blob.cid);
    assert_eq!(missing[0].path, note_path("one"));
    upload(&blobs, &late, b"hello").await;
    assert_eq!(content(&blobs, &late, &blob.cid).await.unwrap(), b"hello");
    assert!(blobs.missing(late.id, None, 10).await.unwrap().is_empty());
    new.clock.advance(Duration::from_secs(24 * 3600));
    blobs.sweep().await.unwrap();
    assert_eq!(content(&blobs, &late, &blob.cid).await.unwrap(), b"hello");
}

#[tokio::test]
async fn missing_blobs_are_listed_page_by_page_with_a_record_that_needs_each() {
    let (old, new) = (Rig::start().await, Rig::start().await);
    let there_blobs = blobs(&old);
    let there = old.member("ada").await;
    for n in 0..5_u8 {
        let blob = upload(&there_blobs, &there, &[n]).await;
        old.write(&there, post(&format!("n{n}"), &blob))
            .await
            .unwrap();
        old.write(&there, post(&format!("z{n}"), &blob))
            .await
            .unwrap();
    }
    let file = collect(old.repos.export(there.id, None).await.unwrap())
        .await
        .unwrap();
    let (here, blobs) = (new.member("ada").await, blobs(&new));
    let body = stream::iter([Ok::<_, String>(file)]);
    new.repos.import(&here, 1 << 20, body).await.unwrap();
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = blobs.missing(here.id, after, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.cid);
        seen.extend(page);
    }
    assert_eq!(seen.len(), 5, "each once");
    assert!(seen.is_sorted_by(|a, b| a.cid < b.cid));
    for missing in seen {
        let n = missing.path.rkey.as_str().as_bytes()[1] - b'0';
        assert_eq!(missing.cid, Cid::raw(&[n]));
        upload(&blobs, &here, &[n]).await;
    }
    assert!(blobs.missing(here.id, None, 2).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_upload_that_comes_again_keeps_its_record_and_repairs_a_lost_file() {
    let places = Places::start().await;
    for (n, (blobs, folder)) in places.each().into_iter().enumerate() {
        let rig = &places.rig;
        let ada = rig.member(&format!("ada{}", ["x", "y"][n])).await;
        let blob = upload(&blobs, &ada, b"hello").await;
        rig.write(&ada, post("one", &blob)).await.unwrap();
        assert_eq!(upload(&blobs, &ada, b"hello").await, blob);
        assert_eq!(content(&blobs, &ada, &blob.cid).await.unwrap(), b"hello");
        remove_all(&folder);
        assert_eq!(content(&blobs, &ada, &blob.cid).await, None);
        upload(&blobs, &ada, b"hello").await;
        assert_eq!(content(&blobs, &ada, &blob.cid).await.unwrap(), b"hello");
    }
}

fn remove_all(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => remove_all(&entry.path()),
            false => std::fs::remove_file(entry.path()).unwrap(),
        }
    }
}

#[tokio::test]
async fn references_that_do_not_fit_the_stored_blob_are_refused_by_name() {
    let rig = Rig::start().await;
    let blobs = blobs(&rig);
    let (ada, ben) = (rig.member("ada").await, rig.member("ben").await);
    let blob = upload(&blobs, &ada, b"hello").await;
    let refused = |who: Member, blob: BlobRef| {
        let rig = &rig;
        async move {
            match rig.write(&who, post("one", &blob)).await {
                Err(WriteError::Refused(error)) => error,
                other => panic!("{other:?}"),
            }
        }
    };
    let size = BlobRef {
        size: 6,
        ..blob.clone()
    };
    assert!(matches!(
        refused(ada.clone(), size).await,
        ApplyError::BlobSize { .. }
    ));
    let mime = BlobRef {
        mime: "image/png".to_owned(),
        ..blob.clone()
    };
    assert!(matches!(
        refused(ada.clone(), mime).await,
        ApplyError::BlobMime { .. }
    ));
    let other = refused(ben.clone(), blob.clone()).await;
    assert!(matches!(other, ApplyError::BlobNotFound { .. }));
    assert!(rig.table(&ada).await.is_empty());
    rig.write(&ada, post("one", &blob)).await.unwrap();
}

#[tokio::test]
async fn uploads_that_break_a_rule_or_break_off_leave_no_file() {
    let rig = Rig::start().await;
    let blobs = blobs(&rig);
    let piece = || Ok::<_, String>(Bytes::from(vec![0; 400]));
    let ada = AccountId(1);
    let large = blobs
        .receive(ada, None, None, stream::iter([piece(), piece(), piece()]))
        .await;
    assert!(matches!(
        large,
        Err(BlobError::TooLarge { limit_bytes: LIMIT })
    ));
    let announced = blobs.receive(
        ada,
        None,
        Some(LIMIT + 1),
        stream::pending::<Result<_, String>>(),
    );
    assert!(matches!(announced.await, Err(BlobError::TooLarge { .. })));
    let short = blobs
        .receive(ada, None, Some(401), stream::iter([piece()]))
        .await;
    assert!(matches!(
        short,
        Err(BlobError::Length {
            received: 400,
            announced: 401
        })
    ));
    let broken = stream::iter([piece(), Err("reset".to_owned())]);
    assert!(matches!(
        blobs.receive(ada, None, None, broken).await,
        Err(BlobError::Body(_))
    ));
    let exact = stream::iter([piece(), piece(), Ok(Bytes::from(vec![0; 200]))]);
    assert!(blobs.receive(ada, None, Some(LIMIT), exact).await.is_ok());
    assert_eq!(files(&rig.folder.path().join("blobs")), 0);
}

#[tokio::test]
async fn uploads_nobody_refers_to_go_after_their_time_and_used_ones_stay() {
    let rig = Rig::start().await;
    let blobs = blobs(&rig);
    let ada = rig.member("ada").await;
    let used = upload(&blobs, &ada, b"used").await;
    let unused = upload(&blobs, &ada, b"unused").await;
    rig.write(&ada, post("one", &used)).await.unwrap();
    rig.clock.advance(Duration::from_secs(11 * 3600));
    blobs.sweep().await.unwrap();
    assert_eq!(files(&rig.folder.path().join("blobs")), 2);
    rig.clock.advance(Duration::from_secs(2 * 3600));
    blobs.sweep().await.unwrap();
    assert_eq!(files(&rig.folder.path().join("blobs")), 1);
    let refused = rig.write(&ada, post("two", &unused)).await;
    assert!(matches!(
        refused,
        Err(WriteError::Refused(ApplyError::BlobNotFound { .. }))
    ));
    upload(&blobs, &ada, b"unused").await;
    rig.write(&ada, post("two", &unused)).await.unwrap();
    assert_eq!(content(&blobs, &ada, &unused.cid).await.unwrap(), b"unused");
}

#[tokio::test]
async fn a_file_whose_row_was_never_written_is_removed() {
    let rig = Rig::start().await;
    let blobs = blobs(&rig);
    let ada = rig.member("ada").await;
    let blob = upload(&blobs, &ada, b"hello").await;
    let quota = blobs.quota();
    // As if the process had died between the file and the row.
    rig.database
        .write(move |tx| {
            tx.execute("DELETE FROM blob", [])?;
            let blob = NewBlob {
                account: ada.id,
                cid: blob.cid,
                mime: blob.mime,
                size: blob.size,
            };
            admit::expect_file(tx, &blob, &quota)
        })
        .await
        .unwrap();
    assert_eq!(files(&rig.folder.path().join("blobs")), 1);
    blobs.sweep().await.unwrap();
    assert_eq!(files(&rig.folder.path().join("blobs")), 0);
}

#[tokio::test]
async fn a_body_that_a_crash_cut_off_is_removed_at_the_next_start() {
    let rig = Rig::start().await;
    let first = blobs(&rig);
    let ada = rig.member("ada").await;
    let kept = upload(&first, &ada, b"kept").await;
    rig.write(&ada, post("one", &kept)).await.unwrap();
    let temp = rig.folder.path().join("blobs/temp");
    std::fs::write(temp.join("cut"), b"hel").unwrap();
    first.sweep().await.unwrap();
    assert_eq!(files(&temp), 1, "an upload may still write to it");
    let next = blobs(&rig);
    assert_eq!(files(&temp), 0);
    assert_eq!(content(&next, &ada, &kept.cid).await.unwrap(), b"kept");
}

#[tokio::test]
async fn one_account_sends_so_many_bodies_at_a_time_and_others_do_not_wait_for_it() {
    let rig = Rig::start().await;
    let blobs = blobs(&rig);
    let (ada, ben) = (rig.member("ada").await, rig.member("ben").await);
    let hang = || {
        let blobs = blobs.clone();
        let id = ada.id;
        tokio::spawn(async move {
            let body = stream::pending::<Result<Bytes, String>>();
            blobs.receive(id, None, None, body).await.map(drop)
        })
    };
    let hanging: Vec<_> = (0..20).map(|_| hang()).collect();
    upload(&blobs, &ben, b"hello").await;
    let temp = rig.folder.path().join("blobs/temp");
    let begun = std::time::Instant::now();
    while files(&temp) < 8 && begun.elapsed() < Duration::from_secs(5) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(files(&temp), 8);
    hanging.iter().for_each(tokio::task::JoinHandle::abort);
    upload(&blobs, &ada, b"hello").await;
    drop(futures::future::join_all(hanging).await);
    assert_eq!(files(&temp), 0, "bodies that broke off leave nothing");
}

#[tokio::test]
async fn a_blob_that_an_import_takes_from_one_record_and_gives_to_a_later_one_stays() {
    let (old, new) = (Rig::start().await, Rig::start().await);
    let (here, there) = (new.member("ada").await, old.member("ada").await);
    let blobs = blobs(&new);
    let blob = upload(&blobs, &here, b"picture").await;
    new.write(&here, post("0first", &blob)).await.unwrap();
    // There a later record has the picture, with hundreds of others between.
    upload(&super::blobs(&old), &there, b"picture").await;
    old.notes(&there, 450).await;
    old.write(&there, post("zlast", &blob)).await.unwrap();
    let file = collect(old.repos.export(there.id, None).await.unwrap());
    let body = stream::iter([Ok::<_, String>(file.await.unwrap())]);
    new.repos.import(&here, 1 << 20, body).await.unwrap();
    blobs.sweep().await.unwrap();
    assert_eq!(content(&blobs, &here, &blob.cid).await.unwrap(), b"picture");
    assert!(blobs.missing(here.id, None, 10).await.unwrap().is_empty());
}
