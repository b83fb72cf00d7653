//! What an account may have.

use super::*;
use crate::store::StoreError;
use crate::store::blob::admit::{AdmitError, Usage};

fn few(rig: &Rig, count: u64, bytes: u64) -> Blobs {
    let quota = Quota { count, bytes };
    blobs_with(
        rig,
        BlobConfig {
            quota,
            ..config(BlobBackend::Disk)
        },
    )
}

async fn counted(rig: &Rig, who: &Account) -> Usage {
    let id = who.id.0;
    rig.database
        .read(move |conn| {
            let sql = "SELECT count(*), coalesce(sum(size), 0) FROM blob WHERE account = ?1";
            Ok::<_, StoreError>(conn.query_row(sql, [id], |row| {
                Ok(Usage {
                    count: row.get::<_, i64>(0)? as u64,
                    bytes: row.get::<_, i64>(1)? as u64,
                })
            })?)
        })
        .await
        .unwrap()
}

#[tokio::test]
async fn an_account_has_so_many_blobs_and_so_many_bytes_and_no_more() {
    let rig = Rig::start().await;
    let blobs = few(&rig, 3, 20);
    let (ada, ben) = (rig.member("ada").await, rig.member("ben").await);
    let first = upload(&blobs, &ada, b"0123456789").await;
    let refused = try_upload(&blobs, &ada, b"0123456789a").await;
    assert!(matches!(
        refused,
        Err(BlobError::Admit(AdmitError::TooMuch {
            used_bytes: 10,
            size_bytes: 11,
            quota_bytes: 20
        }))
    ));
    upload(&blobs, &ada, b"012345678").await;
    upload(&blobs, &ada, b"0").await;
    let refused = try_upload(&blobs, &ada, b"").await;
    assert!(matches!(
        refused,
        Err(BlobError::Admit(AdmitError::TooMany { count: 3 }))
    ));
    assert_eq!(
        upload(&blobs, &ada, b"0123456789").await,
        first,
        "no new one"
    );
    upload(&blobs, &ben, b"0123456789a").await;
    blobs.sweep().await.unwrap();
    assert_eq!(files(rig.folder.path().join("blobs").as_path()), 4);

    // A deleted record makes room.
    rig.write(&ada, post("one", &first)).await.unwrap();
    rig.write(&ada, delete("one")).await.unwrap();
    upload(&blobs, &ada, b"abc").await;
    let used = blobs.usage(ada.id).await.unwrap();
    assert_eq!(
        used,
        Usage {
            count: 3,
            bytes: 13
        }
    );
    assert_eq!(used, counted(&rig, &ada).await);
}

#[tokio::test]
async fn uploads_at_the_same_time_do_not_pass_the_quota_together() {
    let rig = Rig::start().await;
    let blobs = few(&rig, 3, 1_000);
    let ada = rig.member("ada").await;
    let bodies: Vec<[u8; 1]> = (0..16).map(|n| [n]).collect();
    let tries = bodies.iter().map(|body| try_upload(&blobs, &ada, body));
    let results = futures::future::join_all(tries).await;
    let taken = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(taken, 3);
    blobs.sweep().await.unwrap();
    assert_eq!(files(rig.folder.path().join("blobs").as_path()), 3);
    assert_eq!(counted(&rig, &ada).await.count, 3);
}

#[tokio::test]
async fn usage_follows_the_rows_also_when_a_whole_account_goes() {
    let rig = Rig::start().await;
    let blobs = blobs(&rig);
    let ada = rig.member("ada").await;
    for n in 0..10_u8 {
        let blob = upload(&blobs, &ada, &vec![n; usize::from(n)]).await;
        rig.write(&ada, post(&format!("n{n}"), &blob))
            .await
            .unwrap();
    }
    let used = blobs.usage(ada.id).await.unwrap();
    assert_eq!(
        used,
        Usage {
            count: 10,
            bytes: 45
        }
    );
    let id = ada.id;
    rig.database
        .write(move |tx| crate::store::purge::mark(tx, id))
        .await
        .unwrap();
    rig.repos.purge().await.unwrap();
    blobs.sweep().await.unwrap();
    assert_eq!(blobs.usage(ada.id).await.unwrap(), Usage::default());
    assert_eq!(files(rig.folder.path().join("blobs").as_path()), 0);
}
