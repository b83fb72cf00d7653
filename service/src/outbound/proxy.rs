//! Passing a request on, body by body, without holding either in memory.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use http::{Request, Response};

use super::{Outbound, OutboundError, fault, host_of};

/// The limits of a request that is passed on.
#[derive(Debug, Clone, Copy)]
pub struct StreamLimits {
    /// How long the answer's head may take, in milliseconds, the sending of the body included.
    pub head_timeout_ms: u64,
    /// How long the answer's body may pause, in milliseconds.
    pub idle_timeout_ms: u64,
    /// Largest answer, in bytes.
    pub max_bytes: u64,
    /// The operator wrote the origin of this URL.
    pub trusted: bool,
}

impl Outbound {
    /// Sends `request` to the absolute URL it carries and streams the answer. Headers and bodies pass
    /// as they are; redirects are not followed, nothing is decompressed.
    ///
    /// # Errors
    /// As [`Outbound::get`]. An answer that does not say its size and grows too large breaks off.
    pub async fn send(
        &self,
        request: Request<Body>,
        limits: StreamLimits,
    ) -> Result<Response<Body>, OutboundError> {
        let (parts, body) = request.into_parts();
        let target = self.check_url(&parts.uri.to_string(), limits.trusted)?;
        let host = host_of(&target);
        let mut outgoing = self
            .client(limits.trusted)
            .request(parts.method, target)
            .headers(parts.headers);
        if !http_body::Body::is_end_stream(&body) {
            outgoing = outgoing.body(reqwest::Body::wrap_stream(body.into_data_stream()));
        }
        let limit = Duration::from_millis(limits.head_timeout_ms);
        let answer = match tokio::time::timeout(limit, outgoing.send()).await {
            Ok(sent) => sent.map_err(|cause| fault(&host, &cause))?,
            Err(_elapsed) => {
                return Err(OutboundError::Timeout {
                    host,
                    limit_ms: limits.head_timeout_ms,
                });
            }
        };
        if answer
            .content_length()
            .is_some_and(|bytes| bytes > limits.max_bytes)
        {
            return Err(too_large(host, limits.max_bytes));
        }
        let mut response = Response::builder().status(answer.status());
        if let Some(headers) = response.headers_mut() {
            headers.clone_from(answer.headers());
        }
        let body = Body::from_stream(bounded(answer.bytes_stream(), host.clone(), limits));
        response
            .body(body)
            .map_err(|cause| OutboundError::Unreachable {
                host,
                reason: cause.to_string(),
            })
    }
}

fn too_large(host: String, limit_bytes: u64) -> OutboundError {
    let limit_bytes = usize::try_from(limit_bytes).unwrap_or(usize::MAX);
    OutboundError::TooLarge { host, limit_bytes }
}

/// `bytes` until it pauses too long or grows too large.
fn bounded(
    bytes: impl Stream<Item = Result<Bytes, reqwest::Error>> + Send + 'static,
    host: String,
    limits: StreamLimits,
) -> impl Stream<Item = Result<Bytes, OutboundError>> + Send + 'static {
    let idle = Duration::from_millis(limits.idle_timeout_ms);
    stream::try_unfold(
        (Box::pin(bytes), 0_u64, host),
        move |(mut bytes, passed, host)| async move {
            let Ok(next) = tokio::time::timeout(idle, bytes.next()).await else {
                return Err(OutboundError::Timeout {
                    host,
                    limit_ms: limits.idle_timeout_ms,
                });
            };
            let Some(next) = next else { return Ok(None) };
            let chunk = next.map_err(|cause| fault(&host, &cause))?;
            let passed = passed.saturating_add(chunk.len() as u64);
            if passed > limits.max_bytes {
                return Err(too_large(host, limits.max_bytes));
            }
            Ok(Some((chunk, (bytes, passed, host))))
        },
    )
}
