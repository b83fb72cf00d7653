//! Hidden blobs: out of every reader's way, kept as evidence, and shown again.

use super::*;
use crate::repo::WriteError;
use crate::store::blob::admit::AdmitError;
use crate::store::repo::ApplyError;

async fn hide(blobs: &Blobs, who: &Account, blob: &BlobRef) {
    let case = Some("case 1".to_owned());
    blobs.set_takedown(who.id, &blob.cid, case).await.unwrap();
}

async fn show(blobs: &Blobs, who: &Account, blob: &BlobRef) {
    blobs.set_takedown(who.id, &blob.cid, None).await.unwrap();
}

/// Hidden files and all files.
fn hidden_and_all(folder: &Path) -> (usize, usize) {
    fn quarantine(folder: &Path) -> usize {
        let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
        let folders = entries.filter(|entry| entry.file_type().unwrap().is_dir());
        folders
            .map(|entry| match entry.file_name() == "quarantine" {
                true => files(&entry.path()),
                false => quarantine(&entry.path()),
            })
            .sum()
    }
    (quarantine(folder), files(folder))
}

#[tokio::test]
async fn a_hidden_blob_is_moved_away_not_served_not_referred_to_and_not_taken_again() {
    let places = Places::start().await;
    for (n, (blobs, folder)) in places.each().into_iter().enumerate() {
        let rig = &places.rig;
        let ada = rig.member(&format!("ada{}", ["x", "y"][n])).await;
        let blob = upload(&blobs, &ada, b"hello").await;
        rig.write(&ada, post("one", &blob)).await.unwrap();
        hide(&blobs, &ada, &blob).await;
        assert_eq!(content(&blobs, &ada, &blob.cid).await, None);
        assert_eq!(hidden_and_all(&folder), (1, 1));
        let refused = rig.write(&ada, post("two", &blob)).await;
        assert!(matches!(
            refused,
            Err(WriteError::Refused(ApplyError::BlobNotFound { .. }))
        ));
        assert!(matches!(
            try_upload(&blobs, &ada, b"hello").await,
            Err(BlobError::Admit(AdmitError::TakenDown))
        ));
        blobs.sweep().await.unwrap();
        assert_eq!(hidden_and_all(&folder), (1, 1));
        hide(&blobs, &ada, &blob).await;
        show(&blobs, &ada, &blob).await;
        assert_eq!(content(&blobs, &ada, &blob.cid).await.unwrap(), b"hello");
        assert_eq!(hidden_and_all(&folder), (0, 1));
        show(&blobs, &ada, &blob).await;
        rig.write(&ada, post("two", &blob)).await.unwrap();
    }
}

#[tokio::test]
async fn a_hidden_blob_is_kept_when_its_record_goes_and_removed_when_it_is_shown_again() {
    let places = Places::start().await;
    for (n, (blobs, folder)) in places.each().into_iter().enumerate() {
        let rig = &places.rig;
        let ada = rig.member(&format!("ada{}", ["x", "y"][n])).await;
        let blob = upload(&blobs, &ada, b"hello").await;
        rig.write(&ada, post("one", &blob)).await.unwrap();
        hide(&blobs, &ada, &blob).await;
        rig.write(&ada, delete("one")).await.unwrap();
        blobs.sweep().await.unwrap();
        assert_eq!(hidden_and_all(&folder), (1, 1), "the evidence stays");
        show(&blobs, &ada, &blob).await;
        assert_eq!(hidden_and_all(&folder), (0, 0));
        upload(&blobs, &ada, b"hello").await;
    }
}

#[tokio::test]
async fn a_blob_can_be_hidden_before_it_comes() {
    let rig = Rig::start().await;
    let blobs = blobs(&rig);
    let (ada, ben) = (rig.member("ada").await, rig.member("ben").await);
    let blob = BlobRef {
        cid: Cid::raw(b"hello"),
        mime: "text/plain".to_owned(),
        size: 5,
    };
    hide(&blobs, &ada, &blob).await;
    assert!(try_upload(&blobs, &ada, b"hello").await.is_err());
    assert_eq!(
        blobs.takedown(ada.id, &blob.cid).await.unwrap().unwrap(),
        "case 1"
    );
    upload(&blobs, &ben, b"hello").await;
    show(&blobs, &ada, &blob).await;
    upload(&blobs, &ada, b"hello").await;
}

#[tokio::test]
async fn a_deleted_account_takes_its_hidden_blobs_with_it() {
    let rig = Rig::start().await;
    let blobs = blobs(&rig);
    let ada = rig.member("ada").await;
    let (one, two) = (
        upload(&blobs, &ada, b"one").await,
        upload(&blobs, &ada, b"two").await,
    );
    rig.write(&ada, post("one", &one)).await.unwrap();
    rig.write(&ada, post("two", &two)).await.unwrap();
    hide(&blobs, &ada, &one).await;
    hide(&blobs, &ada, &two).await;
    rig.write(&ada, delete("two")).await.unwrap();
    blobs.sweep().await.unwrap();
    let id = ada.id;
    rig.database
        .write(move |tx| crate::store::purge::mark(tx, id))
        .await
        .unwrap();
    rig.repos.purge().await.unwrap();
    blobs.sweep().await.unwrap();
    let folder = rig.folder.path().join("blobs");
    assert_eq!(hidden_and_all(&folder), (0, 0));
}
