//! The call itself: headers through a list, bodies as they are, failures as the protocol names them.

use axum::body::Body;
use axum::response::Response;
use http::header::{
    ACCEPT_ENCODING, ACCEPT_LANGUAGE, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LANGUAGE,
    CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use rochdale_protocol::xrpc::names;
use rochdale_service::outbound::{OutboundError, StreamLimits};
use rochdale_service::xrpc::XrpcError;

use super::ProxyError;
use super::target::Origin;
use crate::app::App;

const LIMITS: StreamLimits = StreamLimits {
    head_timeout_ms: 10_000,
    idle_timeout_ms: 30_000,
    max_bytes: 10 * 1024 * 1024,
    trusted: false,
};
/// Sending a large body takes its time, and the head of the answer comes after it.
const UPLOAD_HEAD_TIMEOUT_MS: u64 = 120_000;
/// Bodies above this count as large.
const LARGE_BODY_BYTES: u64 = 1_000_000;

const REQUEST_HEADERS: [HeaderName; 3] = [
    ACCEPT_LANGUAGE,
    HeaderName::from_static("atproto-accept-labelers"),
    HeaderName::from_static("x-bsky-topics"),
];
const BODY_HEADERS: [HeaderName; 3] = [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LENGTH];
const RESPONSE_HEADERS: [HeaderName; 7] = [
    CONTENT_TYPE,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_LANGUAGE,
    RETRY_AFTER,
    HeaderName::from_static("atproto-repo-rev"),
    HeaderName::from_static("atproto-content-labelers"),
];

/// Sends the request to `origin` under `token`, and streams the answer.
pub(super) async fn send(
    pds: &App,
    origin: &Origin,
    parts: Parts,
    body: Body,
    token: &str,
) -> Result<Response, XrpcError> {
    let request = outgoing(&origin.url, parts, body, token)?;
    let large = content_length(request.headers()).is_none_or(|bytes| bytes > LARGE_BODY_BYTES);
    let is_upload = request.method() == Method::POST && large;
    let head_timeout_ms = if is_upload {
        UPLOAD_HEAD_TIMEOUT_MS
    } else {
        LIMITS.head_timeout_ms
    };
    let limits = StreamLimits {
        head_timeout_ms,
        trusted: origin.trusted,
        ..LIMITS
    };
    let answer = pds.outbound.send(request, limits).await.map_err(failure)?;
    passed_back(answer)
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn failure(error: OutboundError) -> ProxyError {
    match error {
        OutboundError::Timeout { .. } => ProxyError::Timeout,
        OutboundError::Refused { .. }
        | OutboundError::NoSuchHost { .. }
        | OutboundError::PrivateAddress { .. }
        | OutboundError::Unreachable { .. }
        | OutboundError::TooLarge { .. }
        | OutboundError::Redirect { .. } => ProxyError::Unreachable(error),
    }
}

fn outgoing(
    origin: &str,
    parts: Parts,
    body: Body,
    token: &str,
) -> Result<Request<Body>, XrpcError> {
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut headers = HeaderMap::new();
    copy(&parts.headers, &mut headers, &REQUEST_HEADERS);
    let encoding = parts.headers.get(ACCEPT_ENCODING).cloned();
    headers.insert(
        ACCEPT_ENCODING,
        encoding.unwrap_or(HeaderValue::from_static("identity")),
    );
    let bearer = HeaderValue::try_from(format!("Bearer {token}")).map_err(XrpcError::internal)?;
    headers.insert(AUTHORIZATION, bearer);
    let has_body = parts.method == Method::POST;
    if has_body {
        copy(&parts.headers, &mut headers, &BODY_HEADERS);
    }
    let mut request = Request::builder()
        .method(parts.method)
        .uri(format!("{origin}{path}"))
        .body(if has_body { body } else { Body::empty() })
        .map_err(XrpcError::internal)?;
    *request.headers_mut() = headers;
    Ok(request)
}

fn copy(from: &HeaderMap, to: &mut HeaderMap, names: &[HeaderName]) {
    for name in names {
        for value in from.get_all(name) {
            to.append(name, value.clone());
        }
    }
}

/// The answer with the headers that a client may see. A failure inside the service is not ours.
fn passed_back(answer: Response) -> Result<Response, XrpcError> {
    let (parts, body) = answer.into_parts();
    let status = parts.status;
    if status == StatusCode::INTERNAL_SERVER_ERROR || status.is_redirection() {
        return Err(XrpcError::upstream_failure("the service failed"));
    }
    if (status.is_client_error() || status.is_server_error()) && !is_json(&parts.headers) {
        let name = match status {
            StatusCode::TOO_MANY_REQUESTS => names::RATE_LIMIT_EXCEEDED,
            StatusCode::NOT_FOUND => names::XRPC_NOT_SUPPORTED,
            _ if status.is_server_error() => names::UPSTREAM_FAILURE,
            _ => names::INVALID_REQUEST,
        };
        return Err(XrpcError::new(
            status,
            name,
            "the service refused and gave no reason",
        ));
    }
    let mut response = Response::new(body);
    *response.status_mut() = status;
    copy(&parts.headers, response.headers_mut(), &RESPONSE_HEADERS);
    Ok(response)
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    value.is_some_and(|text| {
        text.trim_start()
            .to_ascii_lowercase()
            .starts_with("application/json")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(method: Method, headers: &[(&'static str, &'static str)]) -> Parts {
        let mut request = Request::builder().method(method).uri("/xrpc/a.b.c?x=1&x=2");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn only_listed_headers_go_out_and_never_the_callers_own_credentials() {
        let sent = [
            ("authorization", "Bearer session"),
            ("cookie", "a=b"),
            ("x-forwarded-for", "1.2.3.4"),
            ("atproto-proxy", "did:web:x.y#z"),
            ("accept-language", "de"),
            ("atproto-accept-labelers", "did:web:l.x"),
            ("content-type", "application/json"),
        ];
        let request = outgoing(
            "https://x.y",
            parts(Method::POST, &sent),
            Body::empty(),
            "tok",
        )
        .unwrap();
        assert_eq!(request.uri(), "https://x.y/xrpc/a.b.c?x=1&x=2");
        let headers = request.headers();
        assert_eq!(headers["authorization"], "Bearer tok");
        assert_eq!(headers["accept-language"], "de");
        assert_eq!(headers["content-type"], "application/json");
        assert_eq!(headers["accept-encoding"], "identity");
        for gone in ["cookie", "x-forwarded-for", "atproto-proxy"] {
            assert!(!headers.contains_key(gone), "{gone}");
        }
        let query = outgoing(
            "https://x.y",
            parts(Method::GET, &sent),
            Body::empty(),
            "tok",
        )
        .unwrap();
        assert!(!query.headers().contains_key("content-type"));
    }

    #[test]
    fn a_services_refusal_passes_and_its_failure_becomes_502() {
        let answer = |status: u16, kind: &'static str| {
            let builder = Response::builder()
                .status(status)
                .header("content-type", kind);
            passed_back(
                builder
                    .header("set-cookie", "a=b")
                    .body(Body::empty())
                    .unwrap(),
            )
        };
        let passed = answer(400, "application/json; charset=utf-8").unwrap();
        assert_eq!(passed.status(), 400);
        assert!(!passed.headers().contains_key("set-cookie"));
        assert_eq!(answer(500, "application/json").unwrap_err().status(), 502);
        assert_eq!(
            answer(502, "text/html").unwrap_err().name(),
            names::UPSTREAM_FAILURE
        );
        assert_eq!(answer(302, "text/html").unwrap_err().status(), 502);
    }
}
