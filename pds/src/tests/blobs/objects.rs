//! Blobs in an object store, as members see it.

use rochdale_service::config::Secret;

use super::*;
use crate::blob::tests::s3;
use crate::config::blobs::RawS3;

#[tokio::test]
async fn members_see_no_difference_until_the_store_is_down_and_then_a_named_error() {
    let mut store = s3::Server::start().await;
    let config = store.config();
    let server = Server::start_with(|raw| {
        raw.blobs.backend = "s3".to_owned();
        raw.blobs.s3 = Some(RawS3 {
            endpoint: config.endpoint,
            bucket: config.bucket,
            access_key_id: config.access_key_id,
            secret_access_key: Some(Secret::new(config.secret_access_key.expose())),
            ..RawS3::default()
        });
    })
    .await;
    let ada = server.member("ada").await;
    let bytes: Vec<u8> = (0..9_000_000_u32).map(|n| (n / 5) as u8).collect();
    let cid = publish(&server, &ada, "video/x-plain", &bytes).await;
    let path = path(&ada, &cid);
    let (status, headers, whole) = get(&server, Method::GET, &path, &[]).await;
    assert_eq!((status, whole.len()), (200, bytes.len()));
    assert!(whole == bytes);
    assert_eq!(headers["content-type"], "video/x-plain");
    let range = [("range", "bytes=8388600-8388619")];
    let (status, headers, part) = get(&server, Method::GET, &path, &range).await;
    assert_eq!((status, &part[..]), (206, &bytes[8_388_600..8_388_620]));
    assert_eq!(headers["content-range"], "bytes 8388600-8388619/9000000");
    assert_eq!(get(&server, Method::HEAD, &path, &[]).await.0, 200);
    assert_eq!(take_down(&server, &ada, &cid, true).await.0, 200);
    assert_eq!(server.get(&path, &[]).await.0, 400);
    assert_eq!(take_down(&server, &ada, &cid, false).await.0, 200);
    assert_eq!(get(&server, Method::GET, &path, &range).await.0, 206);

    store.stop();
    let (status, refused) = server.get(&path, &[]).await;
    assert_eq!(
        (status, &refused["error"]),
        (503, &json!("NotEnoughResources"))
    );
    assert_eq!(refused["message"], "the blob store cannot be reached");
    let (status, refused) = upload(&server, &ada, "text/plain", b"hello".to_vec()).await;
    assert_eq!(
        (status, &refused["error"]),
        (503, &json!("NotEnoughResources"))
    );
    store.start_again().await;
    let (status, _) = upload(&server, &ada, "text/plain", b"hello".to_vec()).await;
    assert_eq!(status, 200);
    assert_eq!(get(&server, Method::GET, &path, &range).await.0, 206);
}
