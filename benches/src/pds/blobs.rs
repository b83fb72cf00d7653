//! One large blob up and down, with what it costs the server in memory.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};
use hyper::client::conn::http1::handshake;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::accounts::Account;
use super::{COLLECTION, Place};
use crate::Failure;
use crate::client::{Ask, Client};
use crate::report::{Outcome, Watch, WatchOptions, rounded};

/// Bytes handed to the socket at once.
const PIECE_BYTES: usize = 256 << 10;

/// Uploads `size` bytes to a new account, refers to them from a record and reads them back.
pub(super) async fn round_trip(
    place: &Place,
    size: u64,
    options: &WatchOptions,
) -> Result<(), Failure> {
    let mut client = Client::new(&place.url)?;
    let account = Account::sign_up(&mut client).await?;
    let watch = Watch::start(options)?;
    options.reset_peak()?; // of hashing a password
    let before_mib = options.resident_mib();

    let start = Instant::now();
    let blob = upload(place, &account, size).await?;
    let up_seconds = start.elapsed().as_secs_f64();
    refer(&mut client, &account, &blob).await?;

    let cid = blob.pointer("/ref/$link").and_then(Value::as_str);
    let cid = cid.ok_or("the answer names no blob")?;
    let did = &account.did;
    let path = format!("/xrpc/com.atproto.sync.getBlob?did={did}&cid={cid}");
    let back = Instant::now();
    let length = download(&mut client, &path).await?;
    let down_seconds = back.elapsed().as_secs_f64();
    if length != size {
        return Err(format!("{size} bytes went up and {length} came back").into());
    }

    let outcome = Outcome {
        count: 1,
        seconds: up_seconds + down_seconds,
        ..Outcome::default()
    };
    let megabytes = size as f64 / 1e6;
    let extra = json!({
        "bytes": size,
        "up_mb_per_second": rounded(megabytes / up_seconds),
        "down_mb_per_second": rounded(megabytes / down_seconds),
        "rss_before_mib": before_mib.map(rounded),
        "rss_most_mib": options.peak_mib().map(rounded),
    });
    watch.finish("pds.blob", &outcome, extra)
}

/// A body of random bytes, the same piece over and over.
struct Pieces {
    piece: Bytes,
    left: u64,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX);
        let piece = self.piece.slice(..wanted.min(self.piece.len()));
        if piece.is_empty() {
            return Poll::Ready(None);
        }
        self.left -= piece.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

async fn upload(place: &Place, account: &Account, size: u64) -> Result<Value, Failure> {
    let host = place.url.host_str().ok_or("the URL has no host")?;
    let port = place.url.port_or_known_default();
    let port = port.ok_or("the URL has no port")?;
    let stream = TcpStream::connect((host, port)).await?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut piece = vec![0; PIECE_BYTES];
    rand::fill(&mut piece[..]);
    let request = Request::builder()
        .method(Method::POST)
        .uri("/xrpc/com.atproto.repo.uploadBlob")
        .header("host", format!("{host}:{port}"))
        .header("authorization", format!("Bearer {}", account.token()))
        .header("content-type", "application/octet-stream")
        .body(Pieces {
            piece: piece.into(),
            left: size,
        })?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    if !status.is_success() {
        return Err(format!("{status}: {}", String::from_utf8_lossy(&body)).into());
    }
    let answer: Value = serde_json::from_slice(&body)?;
    answer.get("blob").cloned().ok_or_else(|| "no blob".into())
}

async fn refer(client: &mut Client, account: &Account, blob: &Value) -> Result<(), Failure> {
    let record = json!({
        "$type": COLLECTION,
        "text": "A film.",
        "createdAt": "2026-01-02T03:04:05.678Z",
        "file": blob,
    });
    let body = json!({ "repo": account.did, "collection": COLLECTION, "record": record });
    let path = "/xrpc/com.atproto.repo.createRecord";
    let answer = client.post(path, Some(account.token()), body.to_string());
    answer.await?.success()?;
    Ok(())
}

async fn download(client: &mut Client, path: &str) -> Result<u64, Failure> {
    let response = client.send(Ask::get(path)).await?;
    if !response.status().is_success() {
        return Err(format!("{} for {path}", response.status()).into());
    }
    let mut body = response.into_body();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        length += frame?.data_ref().map_or(0, Bytes::len) as u64;
    }
    Ok(length)
}
