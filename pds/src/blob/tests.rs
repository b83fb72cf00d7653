use std::sync::Arc;

use bytes::Bytes;
use futures::stream;
use rochdale_protocol::data::Cid;
use rochdale_protocol::data::blob::BlobRef;
use tokio::io::AsyncReadExt;

use crate::account::Account;
use crate::blob::{Blobs, Parts, UploadError};
use crate::repo::testing::*;
use crate::repo::{Intent, Write, WriteError};
use crate::store::repo::ApplyError;

const LIMIT: u64 = 1_000;

fn blobs(rig: &Rig) -> Blobs {
    Blobs::open(Parts {
        database: rig.database.clone(),
        clock: rig.clock.shared(),
        tasks: rig.tasks.clone(),
        folder: rig.folder.path().join("blobs"),
        limit_bytes: LIMIT,
        due: rig.repos.blobs_gone(),
    })
    .unwrap()
}

async fn upload(blobs: &Blobs, who: &Account, bytes: &[u8]) -> BlobRef {
    let body = stream::iter([Ok::<_, String>(Bytes::copy_from_slice(bytes))]);
    let received = blobs.receive(Some("text/plain"), None, body).await.unwrap();
    blobs.settle(who.id, received).await.unwrap()
}

fn post(rkey: &str, blob: &BlobRef) -> Write {
    let path = note_path(rkey);
    let json = format!(
        r#"{{"file":{{"$type":"blob","ref":{{"$link":"{}"}},"mimeType":"{}","size":{}}}}}"#,
        blob.cid, blob.mime, blob.size
    );
    intent(&path, Intent::Put(record(&path, &json)))
}

async fn content(blobs: &Blobs, who: &Account, cid: &Cid) -> Option<Vec<u8>> {
    let mut found = blobs.read(who.id, cid).await.unwrap()?;
    let mut bytes = Vec::new();
    found.file.read_to_end(&mut bytes).await.unwrap();
    assert_eq!(bytes.len() as u64, found.size);
    Some(bytes)
}

fn files(rig: &Rig) -> usize {
    fn count(folder: &std::path::Path) -> usize {
        let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
        entries
            .map(|entry| match entry.file_type().unwrap().is_dir() {
                true => count(&entry.path()),
                false => 1,
            })
            .sum()
    }
    count(&rig.folder.path().join("blobs"))
}

#[tokio::test]
async fn a_blob_is_served_from_its_first_reference_to_its_last() {
    let rig = Rig::start().await;
    let blobs = blobs(&rig);
    let (ada, ben) = (rig.member("ada").await, rig.member("ben").await);
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

    rig.write(&ada, intent(&note_path("one"), Intent::Delete))
        .await
        .unwrap();
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
    assert_eq!(files(&rig), 1, "the other account's copy stays");
    assert_eq!(content(&blobs, &ben, &blob.cid).await.unwrap(), b"hello");
}

#[tokio::test]
async fn references_that_do_not_fit_the_stored_blob_are_refused_by_name() {
    let rig = Rig::start().await;
    let blobs = blobs(&rig);
    let (ada, ben) = (rig.member("ada").await, rig.member("ben").await);
    let blob = upload(&blobs, &ada, b"hello").await;
    let refused = |who: Arc<Account>, blob: BlobRef| {
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
    let large = blobs
        .receive(None, None, stream::iter([piece(), piece(), piece()]))
        .await;
    assert!(matches!(
        large,
        Err(UploadError::TooLarge { limit_bytes: LIMIT })
    ));
    let announced = blobs.receive(
        None,
        Some(LIMIT + 1),
        stream::pending::<Result<_, String>>(),
    );
    assert!(matches!(announced.await, Err(UploadError::TooLarge { .. })));
    let short = blobs
        .receive(None, Some(401), stream::iter([piece()]))
        .await;
    assert!(matches!(
        short,
        Err(UploadError::Length {
            received: 400,
            announced: 401
        })
    ));
    let broken = stream::iter([piece(), Err("reset".to_owned())]);
    assert!(matches!(
        blobs.receive(None, None, broken).await,
        Err(UploadError::Body(_))
    ));
    let exact = stream::iter([piece(), piece(), Ok(Bytes::from(vec![0; 200]))]);
    assert!(blobs.receive(None, Some(LIMIT), exact).await.is_ok());
    assert_eq!(files(&rig), 0);
}

#[tokio::test]
async fn uploads_nobody_refers_to_go_after_their_time_and_used_ones_stay() {
    let rig = Rig::start().await;
    let blobs = blobs(&rig);
    let ada = rig.member("ada").await;
    let used = upload(&blobs, &ada, b"used").await;
    let unused = upload(&blobs, &ada, b"unused").await;
    rig.write(&ada, post("one", &used)).await.unwrap();
    rig.clock.advance(std::time::Duration::from_secs(11 * 3600));
    blobs.sweep().await.unwrap();
    assert_eq!(files(&rig), 2);
    rig.clock.advance(std::time::Duration::from_secs(2 * 3600));
    blobs.sweep().await.unwrap();
    assert_eq!(files(&rig), 1);
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
async fn a_hidden_blob_is_not_served_not_referred_to_and_not_taken_again() {
    let rig = Rig::start().await;
    let blobs = blobs(&rig);
    let ada = rig.member("ada").await;
    let blob = upload(&blobs, &ada, b"hello").await;
    rig.write(&ada, post("one", &blob)).await.unwrap();
    blobs
        .set_takedown(ada.id, &blob.cid, Some("case 1".to_owned()))
        .await
        .unwrap();
    assert_eq!(content(&blobs, &ada, &blob.cid).await, None);
    let refused = rig.write(&ada, post("two", &blob)).await;
    assert!(matches!(
        refused,
        Err(WriteError::Refused(ApplyError::BlobNotFound { .. }))
    ));
    let body = stream::iter([Ok::<_, String>(Bytes::from_static(b"hello"))]);
    let received = blobs.receive(None, None, body).await.unwrap();
    assert!(matches!(
        blobs.settle(ada.id, received).await,
        Err(UploadError::TakenDown)
    ));
    blobs.set_takedown(ada.id, &blob.cid, None).await.unwrap();
    assert_eq!(content(&blobs, &ada, &blob.cid).await.unwrap(), b"hello");
}

#[tokio::test]
async fn a_file_whose_row_was_never_written_is_removed() {
    let rig = Rig::start().await;
    let blobs = blobs(&rig);
    let ada = rig.member("ada").await;
    let blob = upload(&blobs, &ada, b"hello").await;
    // As if the process had died between the file and the row.
    rig.database
        .write(move |tx| {
            tx.execute("DELETE FROM blob", [])?;
            crate::store::blob::expect_file(tx, ada.id, &blob.cid)
        })
        .await
        .unwrap();
    assert_eq!(files(&rig), 1);
    blobs.sweep().await.unwrap();
    assert_eq!(files(&rig), 0);
}
