//! What a refusal left unread of a body.
//!
//! A client that is still sending when the connection closes sees a reset instead of the answer that
//! says why. So after a refusal what it sends is read and thrown away, within a size and a time.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use bytes::Bytes;
use http::header::EXPECT;
use http_body_util::BodyExt as _;
use hyper::body::Frame;
use parking_lot::Mutex;

use super::body::content_length;

/// Bodies up to this size are in the socket's buffers before anybody could refuse them.
const SMALL_BYTES: u64 = 64 << 10;
/// So much is thrown away at most.
const DRAIN_BYTES: usize = 16 << 20;
/// So long at most.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);

/// A hold on a request's body.
#[derive(Debug)]
pub(super) struct Unread(Arc<Mutex<Body>>);

/// The request with a body that can be drained later, and the hold on it. Small bodies, and those
/// whose client waits to be asked for them, are left alone.
pub(super) fn hold(request: Request) -> (Request, Option<Unread>) {
    let waits = request.headers().contains_key(EXPECT);
    let small = content_length(request.headers()).is_some_and(|length| length <= SMALL_BYTES);
    if waits || small || request.body().is_end_stream() {
        return (request, None);
    }
    let (parts, body) = request.into_parts();
    let shared = Arc::new(Mutex::new(body));
    let unread = Unread(Arc::clone(&shared));
    (
        Request::from_parts(parts, Body::new(Held(shared))),
        Some(unread),
    )
}

impl Unread {
    /// Reads to the end, or as far as the limits allow.
    pub(super) async fn drain(self) {
        let mut body = Held(self.0);
        let reading = async {
            let mut left = DRAIN_BYTES;
            while let Some(Ok(frame)) = body.frame().await {
                let read = frame.data_ref().map_or(0, Bytes::len);
                match left.checked_sub(read) {
                    Some(still) => left = still,
                    None => return,
                }
            }
        };
        // Running out of time only means that the client sees a reset.
        let _in_time = tokio::time::timeout(DRAIN_TIMEOUT, reading).await;
    }
}

/// The body, for whoever reads it first.
struct Held(Arc<Mutex<Body>>);

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut *self.0.lock()).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.0.lock().size_hint()
    }
}
