//! An object store that is down, silent, cut off or refuses.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, copy};
use tokio::net::{TcpListener, TcpStream};

use super::contract::Suite;
use super::s3::Server;
use super::*;
use crate::account::AccountId;
use crate::blob::backend::{Backend, BackendError, Place};
use crate::blob::objects::Objects;
use crate::config::S3;

#[tokio::test]
async fn a_store_that_is_down_is_told_as_such_and_nothing_is_half_done() {
    let rig = Rig::start().await;
    let mut server = Server::start().await;
    let blobs = blobs_with(&rig, config(BlobBackend::S3(server.config())));
    let ada = rig.member("ada").await;
    let kept = upload(&blobs, &ada, b"kept").await;
    rig.write(&ada, post("one", &kept)).await.unwrap();

    server.stop();
    let refused = try_upload(&blobs, &ada, b"lost").await;
    assert!(matches!(
        refused,
        Err(BlobError::Backend(BackendError::Unreachable(_)))
    ));
    assert_eq!(blobs.usage(ada.id).await.unwrap().count, 1);
    let found = blobs.find(ada.id, &kept.cid).unwrap().unwrap();
    let read = blobs.read(&found, 0..4).await;
    assert!(matches!(read, Err(BackendError::Unreachable(_))));
    rig.write(&ada, delete("one")).await.unwrap();
    assert!(blobs.sweep().await.is_err(), "what is to go waits");

    server.start_again().await;
    assert_eq!(files(&server.bucket()), 1);
    blobs.sweep().await.unwrap();
    assert_eq!(files(&server.bucket()), 0);
    let again = upload(&blobs, &ada, b"lost").await;
    rig.write(&ada, post("two", &again)).await.unwrap();
    assert_eq!(content(&blobs, &ada, &again.cid).await.unwrap(), b"lost");
    assert_eq!(
        files(&rig.folder.path().join("blobs")),
        0,
        "the spool is empty"
    );
}

#[tokio::test]
async fn a_takedown_hides_at_once_also_when_the_store_is_down() {
    let rig = Rig::start().await;
    let mut server = Server::start().await;
    let blobs = blobs_with(&rig, config(BlobBackend::S3(server.config())));
    let ada = rig.member("ada").await;
    let blob = upload(&blobs, &ada, b"hello").await;
    rig.write(&ada, post("one", &blob)).await.unwrap();
    server.stop();
    let hide = || blobs.set_takedown(ada.id, &blob.cid, Some("case 1".to_owned()));
    assert!(hide().await.is_err());
    assert!(blobs.find(ada.id, &blob.cid).unwrap().is_none());
    server.start_again().await;
    hide().await.unwrap();
    assert_eq!(files(&server.bucket().join("members/files/quarantine")), 1);
}

fn at(port: u16, server: &Server) -> S3 {
    S3 {
        endpoint: format!("http://127.0.0.1:{port}"),
        timeout: Duration::from_millis(300),
        ..server.config()
    }
}

fn somewhere() -> Place {
    Place::of(AccountId(1), &Cid::raw(b"some blob"))
}

#[tokio::test]
async fn a_store_that_says_nothing_is_a_timeout_and_soon() {
    let server = Server::start().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let objects = Objects::s3(&at(silent.local_addr().unwrap().port(), &server)).unwrap();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = silent.accept().await {
            held.push(stream);
        }
    });
    let begun = Instant::now();
    let suite = Suite::new(&objects);
    let file = suite.file(b"hello").await;
    let put = objects.put(file, &somewhere()).await;
    assert!(matches!(put, Err(BackendError::Timeout(_))), "{put:?}");
    let read = objects.read(&somewhere(), 0..1).await.map(|_| ());
    assert!(matches!(read, Err(BackendError::Timeout(_))), "{read:?}");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_store_that_refuses_the_credentials_is_told_apart() {
    let server = Server::start().await;
    let mut config = server.config();
    config.secret_access_key = rochdale_service::config::Secret::new("another");
    let objects = Objects::s3(&config).unwrap();
    let suite = Suite::new(&objects);
    let file = suite.file(b"hello").await;
    let put = objects.put(file, &somewhere()).await;
    assert!(matches!(put, Err(BackendError::Refused(_))), "{put:?}");
    assert!(objects.probe().await.is_err());
    assert_eq!(files(&server.bucket()), 0);
}

/// Passes bytes on to `port` until `limit` of them came, then to nobody.
async fn cut_after(limit: u64, port: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut left = limit;
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let (from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            let back = tokio::spawn(async move { copy(&mut from_server, &mut to_client).await });
            let mut part = from_client.take(left);
            left -= copy(&mut part, &mut to_server).await.unwrap_or(0);
            if left == 0 {
                // Nothing that the server says to the cut request comes through.
                back.abort();
                return;
            }
        }
    });
    own
}

#[tokio::test]
async fn an_upload_cut_between_its_parts_leaves_nothing_to_read() {
    let server = Server::start().await;
    let port = cut_after(12 << 20, server.port()).await;
    let cut = Objects::s3(&at(port, &server)).unwrap();
    let suite = Suite::new(&cut);
    let file = suite.file(&vec![7; 20 << 20]).await;
    let put = cut.put(file, &somewhere()).await;
    assert!(
        matches!(
            put,
            Err(BackendError::Unreachable(_) | BackendError::Timeout(_))
        ),
        "{put:?}"
    );
    let whole = Objects::s3(&server.config()).unwrap();
    let read = Suite::new(&whole).read(&somewhere(), 0..1).await;
    assert!(read.is_none());
    assert_eq!(files(&server.bucket()), 0);
}
