//! Answers in gzip: large JSON and repositories, for clients that take it.
//!
//! Small answers would only grow. Bodies pass piece by piece and nothing waits for their end. What a
//! handler encoded itself, and what it only passes on, keeps its bytes. Follows RFC 9110, 12.5.3.

use async_compression::Level;
use async_compression::tokio::bufread::GzipEncoder;
use axum::body::{Body, HttpBody as _};
use axum::response::Response;
use futures::TryStreamExt as _;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio_util::io::{ReaderStream, StreamReader};

/// Answers below this size are sent as they are.
const LEAST_BYTES: u64 = 1_024;
/// Encoded bytes sent at once.
const PIECE_BYTES: usize = 32 << 10;
const KINDS: [&str; 2] = ["application/json", "application/vnd.ipld.car"];

/// Whether a client with these headers takes gzip.
pub(super) fn takes_gzip(request: &HeaderMap) -> bool {
    let values = request.get_all(ACCEPT_ENCODING).iter();
    let mut codings = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    codings.any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let is_gzip = parts
            .next()
            .is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let is_refused = parts
            .filter_map(|part| part.split_once('='))
            .any(|(name, value)| {
                name.trim().eq_ignore_ascii_case("q")
                    && value.trim().parse().is_ok_and(|weight: f32| weight <= 0.0)
            });
        is_gzip && !is_refused
    })
}

/// The same answer in gzip, where that is worth it.
pub(super) fn compress(response: Response) -> Response {
    if !is_worth_it(&response) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let pieces = body.into_data_stream().map_err(std::io::Error::other);
    let encoder = GzipEncoder::with_quality(StreamReader::new(pieces), Level::Fastest);
    let encoded = ReaderStream::with_capacity(encoder, PIECE_BYTES);
    parts.headers.remove(CONTENT_LENGTH);
    parts
        .headers
        .insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    parts
        .headers
        .append(VARY, HeaderValue::from_static("Accept-Encoding"));
    Response::from_parts(parts, Body::from_stream(encoded))
}

fn is_worth_it(response: &Response) -> bool {
    let headers = response.headers();
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next());
    let is_small = response
        .body()
        .size_hint()
        .upper()
        .is_some_and(|bytes| bytes < LEAST_BYTES);
    response.status() == StatusCode::OK
        && !is_small
        && kind.is_some_and(|kind| KINDS.contains(&kind.trim()))
        // A tag names bytes, and these would be others.
        && !headers.contains_key(ETAG)
        && !headers.contains_key(CONTENT_ENCODING)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(value: &'static str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(value));
        takes_gzip(&headers)
    }

    #[test]
    fn gzip_is_sent_only_to_those_who_name_it() {
        assert!(takes("gzip") && takes("br, GZIP;q=0.5") && takes("deflate,gzip , x"));
        assert!(!takes("gzip;q=0") && !takes("gzip; Q=0.0") && !takes("br") && !takes(""));
        assert!(!takes("identity") && !takes("*;q=0") && !takes_gzip(&HeaderMap::new()));
    }
}
