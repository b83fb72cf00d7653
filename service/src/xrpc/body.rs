//! Request bodies: decoded, bounded, and read with patience that ends.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder, ZlibDecoder};
use axum::body::{Body, HttpBody};
use axum::extract::{FromRequest, Request};
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http_body_util::BodyExt as _;
use hyper::body::Frame;
use tokio::io::AsyncRead;
use tokio_util::io::{ReaderStream, StreamReader};

use super::error::XrpcError;

/// How long a client may send nothing in the middle of a body.
const IDLE: Duration = Duration::from_secs(30);

/// Why a body ended early.
#[derive(Debug, thiserror::Error)]
enum BodyError {
    #[error("the body is larger than {limit_bytes} bytes")]
    TooLarge { limit_bytes: u64 },
    #[error("the body cannot be decoded: {0}")]
    Encoding(std::io::Error),
    #[error("the body ended early: {0}")]
    Broken(axum::Error),
}

/// Prepares a request's body: refuses what its length already forbids, decodes it unless `raw`, and
/// stops it at `limit_bytes`.
pub(super) fn prepare(request: Request, limit_bytes: u64, raw: bool) -> Result<Request, XrpcError> {
    let (mut parts, body) = request.into_parts();
    let length = content_length(&parts.headers);
    if length.is_some_and(|length| length > limit_bytes) {
        return Err(XrpcError::payload_too_large(limit_bytes));
    }
    let encoding = if raw {
        None
    } else {
        parts.headers.remove(CONTENT_ENCODING)
    };
    let body = match encoding.as_ref().map(http::HeaderValue::as_bytes) {
        None | Some(b"identity") if length.is_some() => body,
        None | Some(b"identity") => limited(body, limit_bytes),
        Some(b"gzip" | b"x-gzip") => decoded(body, limit_bytes, GzipDecoder::new),
        Some(b"deflate") => decoded(body, limit_bytes, ZlibDecoder::new),
        Some(b"br") => decoded(body, limit_bytes, BrotliDecoder::new),
        Some(_) => {
            return Err(XrpcError::unsupported_media_type(
                "unsupported Content-Encoding; use gzip, deflate, br or identity",
            ));
        }
    };
    if encoding.is_some() {
        // It tells of the encoded bytes.
        parts.headers.remove(CONTENT_LENGTH);
    }
    Ok(Request::from_parts(parts, body))
}

pub(super) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn limited(body: Body, limit_bytes: u64) -> Body {
    let body = body.map_err(BodyError::Broken).boxed_unsync();
    Body::new(Limited {
        body,
        left: limit_bytes,
        limit_bytes,
    })
}

type Source =
    StreamReader<Pin<Box<dyn futures::Stream<Item = std::io::Result<Bytes>> + Send>>, Bytes>;

fn decoded<D: AsyncRead + Send + 'static>(
    body: Body,
    limit_bytes: u64,
    decoder: impl FnOnce(Source) -> D,
) -> Body {
    let source = body
        .into_data_stream()
        .map(|piece| piece.map_err(std::io::Error::other))
        .boxed();
    let stream = ReaderStream::with_capacity(decoder(StreamReader::new(source)), 16 << 10);
    let stream = stream.map(|piece| piece.map_err(BodyError::Encoding));
    let body = Body::from_stream(stream);
    let body = body
        .map_err(|error| match error.into_inner().downcast::<BodyError>() {
            Ok(error) => *error,
            Err(error) => BodyError::Broken(axum::Error::new(error)),
        })
        .boxed_unsync();
    Body::new(Limited {
        body,
        left: limit_bytes,
        limit_bytes,
    })
}

type Inner = http_body_util::combinators::UnsyncBoxBody<Bytes, BodyError>;

struct Limited {
    body: Inner,
    left: u64,
    limit_bytes: u64,
}

impl HttpBody for Limited {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            let Some(left) = self.left.checked_sub(data.len() as u64) else {
                let limit_bytes = self.limit_bytes;
                return Poll::Ready(Some(Err(BodyError::TooLarge { limit_bytes })));
            };
            self.left = left;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}

/// A request's body as it comes, decoded and within the method's limit. An extractor for methods that
/// take something else than JSON.
pub struct RawBody {
    /// The `Content-Type`, if there is one that is text.
    pub content_type: Option<String>,
    /// The `Content-Length`, unless the body came encoded or in chunks.
    pub content_length: Option<u64>,
    body: Body,
}

impl std::fmt::Debug for RawBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawBody")
            .field("content_type", &self.content_type)
            .field("content_length", &self.content_length)
            .finish_non_exhaustive()
    }
}

impl RawBody {
    /// The next piece, `None` at the end.
    ///
    /// # Errors
    /// 413 above the limit, 400 when the body is broken, cannot be decoded or stops coming.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, XrpcError> {
        loop {
            let frame = tokio::time::timeout(IDLE, self.body.frame());
            match frame
                .await
                .map_err(|_| XrpcError::invalid_request("the body stopped coming"))?
            {
                None => return Ok(None),
                Some(Err(error)) => return Err(refuse(error)),
                Some(Ok(frame)) => {
                    // Trailers are of no use here.
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// The whole body.
    ///
    /// # Errors
    /// As [`RawBody::chunk`].
    pub async fn bytes(mut self) -> Result<Bytes, XrpcError> {
        let Some(first) = self.chunk().await? else {
            return Ok(Bytes::new());
        };
        let Some(second) = self.chunk().await? else {
            return Ok(first);
        };
        let mut all = BytesMut::with_capacity(2 * (first.len() + second.len()));
        all.extend_from_slice(&first);
        all.extend_from_slice(&second);
        while let Some(more) = self.chunk().await? {
            all.extend_from_slice(&more);
        }
        Ok(all.freeze())
    }

    /// The rest of the body, for handing on.
    pub fn into_body(self) -> Body {
        self.body
    }

    /// Whether it is known already that nothing comes.
    pub fn is_empty(&self) -> bool {
        self.body.is_end_stream()
    }
}

impl<S: Send + Sync> FromRequest<S> for RawBody {
    type Rejection = XrpcError;

    async fn from_request(request: Request, _: &S) -> Result<Self, XrpcError> {
        let (parts, body) = request.into_parts();
        let content_type = parts.headers.get(CONTENT_TYPE);
        let content_type = content_type
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let content_length = content_length(&parts.headers);
        Ok(Self {
            content_type,
            content_length,
            body,
        })
    }
}

fn refuse(error: axum::Error) -> XrpcError {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(error) = next {
        match error.downcast_ref::<BodyError>() {
            Some(BodyError::TooLarge { limit_bytes }) => {
                return XrpcError::payload_too_large(*limit_bytes);
            }
            Some(BodyError::Encoding(_)) => {
                return XrpcError::invalid_request(
                    "the body is not what its Content-Encoding says",
                );
            }
            Some(BodyError::Broken(_)) | None => next = error.source(),
        }
    }
    XrpcError::invalid_request("the body ended early")
}
