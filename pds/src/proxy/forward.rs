//! The call itself: headers through a list, bodies as they are, refusals as the protocol names them.

use axum::body::{Body, to_bytes};
use axum::response::Response;
use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, ACCEPT_LANGUAGE, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LANGUAGE,
    CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use rochdale_protocol::xrpc::names;
use rochdale_service::encoding::Encoding;
use rochdale_service::outbound::StreamLimits;
use serde::Deserialize;

use super::target::Origin;
use super::{ProxyError, Refusal};
use crate::app::App;

/// Largest answer, in bytes as they come.
pub(super) const ANSWER_BYTES_MAX: usize = 10 * 1024 * 1024;
const LIMITS: StreamLimits = StreamLimits {
    head_timeout_ms: 10_000,
    idle_timeout_ms: 30_000,
    max_bytes: ANSWER_BYTES_MAX as u64,
    trusted: false,
};
/// Sending a large body takes its time, and the head of the answer comes after it.
const UPLOAD_HEAD_TIMEOUT_MS: u64 = 120_000;
/// Bodies above this count as large.
const LARGE_BODY_BYTES: u64 = 1_000_000;
/// No reason for a refusal is longer, in bytes.
const REASON_BYTES_MAX: usize = 64 * 1024;

/// The revision that the service has read of the caller's repository.
pub(super) const REPO_REV: HeaderName = HeaderName::from_static("atproto-repo-rev");
const LABELERS: HeaderName = HeaderName::from_static("atproto-content-labelers");

const REQUEST_HEADERS: [HeaderName; 3] = [
    ACCEPT_LANGUAGE,
    HeaderName::from_static("atproto-accept-labelers"),
    HeaderName::from_static("x-bsky-topics"),
];
const BODY_HEADERS: [HeaderName; 3] = [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LENGTH];
/// What a client may see of an answer.
const ANSWER_HEADERS: [HeaderName; 3] = [RETRY_AFTER, REPO_REV, LABELERS];
const CONTENT_HEADERS: [HeaderName; 4] = [
    CONTENT_TYPE,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_LANGUAGE,
];

/// Sends the request to `origin`, under `token` if there is one, and streams the answer.
pub(super) async fn send(
    pds: &App,
    origin: &Origin,
    parts: Parts,
    body: Body,
    token: Option<&str>,
) -> Result<Response, ProxyError> {
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
    passed_back(pds.outbound.send(request, limits).await?).await
}

/// The whole of an answer's body.
pub(super) async fn whole(body: Body) -> Result<Bytes, ProxyError> {
    to_bytes(body, ANSWER_BYTES_MAX)
        .await
        .map_err(ProxyError::BrokeOff)
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn outgoing(
    origin: &str,
    parts: Parts,
    body: Body,
    token: Option<&str>,
) -> Result<Request<Body>, ProxyError> {
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut headers = HeaderMap::new();
    copy(&parts.headers, &mut headers, &REQUEST_HEADERS);
    let encoding = parts.headers.get(ACCEPT_ENCODING).cloned();
    headers.insert(
        ACCEPT_ENCODING,
        encoding.unwrap_or(HeaderValue::from_static("identity")),
    );
    // A token is base64url and dots: always a header value.
    let bearer = token.and_then(|token| HeaderValue::try_from(format!("Bearer {token}")).ok());
    if let Some(bearer) = bearer {
        headers.insert(AUTHORIZATION, bearer);
    }
    let has_body = parts.method == Method::POST;
    if has_body {
        copy(&parts.headers, &mut headers, &BODY_HEADERS);
    }
    let mut request = Request::builder()
        .method(parts.method)
        .uri(format!("{origin}{path}"))
        .body(if has_body { body } else { Body::empty() })
        .map_err(|_syntax| ProxyError::Endpoint(origin.chars().take(200).collect()))?;
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

/// The answer with the headers that a client may see, or the refusal.
async fn passed_back(answer: Response) -> Result<Response, ProxyError> {
    let (parts, body) = answer.into_parts();
    let mut headers = HeaderMap::new();
    copy(&parts.headers, &mut headers, &ANSWER_HEADERS);
    let status = parts.status;
    if status.is_client_error() || status.is_server_error() {
        let reason = reason(&parts.headers, body).await;
        return Err(ProxyError::Refused(Box::new(refusal(
            status, reason, headers,
        ))));
    }
    if !status.is_success() {
        return Err(ProxyError::Redirected);
    }
    copy(&parts.headers, &mut headers, &CONTENT_HEADERS);
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// The body of a refusal, as far as it is one.
#[derive(Debug, Default, Deserialize)]
struct Reason {
    error: Option<String>,
    message: Option<String>,
}

async fn reason(headers: &HeaderMap, body: Body) -> Reason {
    let read = async {
        let encoding = Encoding::of(headers)?;
        let body = to_bytes(body, REASON_BYTES_MAX).await.ok()?;
        let plain = encoding.decode(&body, REASON_BYTES_MAX).await.ok()?;
        serde_json::from_slice(&plain).ok()
    };
    // A refusal without a reason is one all the same.
    read.await.unwrap_or_default()
}

/// A failure inside the service is not ours: 500 becomes 502.
fn refusal(status: StatusCode, reason: Reason, headers: HeaderMap) -> Refusal {
    let status = if status == StatusCode::INTERNAL_SERVER_ERROR {
        StatusCode::BAD_GATEWAY
    } else {
        status
    };
    let unnamed = || name_of(status).to_owned();
    let silent = || "the service refused and gave no reason".to_owned();
    Refusal {
        status,
        name: reason.error.unwrap_or_else(unnamed),
        message: reason.message.unwrap_or_else(silent),
        headers,
    }
}

fn name_of(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => names::AUTHENTICATION_REQUIRED,
        StatusCode::FORBIDDEN => names::FORBIDDEN,
        StatusCode::NOT_FOUND => names::XRPC_NOT_SUPPORTED,
        StatusCode::NOT_ACCEPTABLE => names::NOT_ACCEPTABLE,
        StatusCode::PAYLOAD_TOO_LARGE => names::PAYLOAD_TOO_LARGE,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => names::UNSUPPORTED_MEDIA_TYPE,
        StatusCode::TOO_MANY_REQUESTS => names::RATE_LIMIT_EXCEEDED,
        StatusCode::NOT_IMPLEMENTED => names::METHOD_NOT_IMPLEMENTED,
        StatusCode::SERVICE_UNAVAILABLE => names::NOT_ENOUGH_RESOURCES,
        StatusCode::GATEWAY_TIMEOUT => names::UPSTREAM_TIMEOUT,
        status if status.is_server_error() => names::UPSTREAM_FAILURE,
        _ => names::INVALID_REQUEST,
    }
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
            Some("tok"),
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
            Some("tok"),
        )
        .unwrap();
        assert!(!query.headers().contains_key("content-type"));
    }

    async fn answered(status: u16, kind: &'static str, body: &'static str) -> Refusal {
        let answer = Response::builder()
            .status(status)
            .header("content-type", kind)
            .header("retry-after", "7")
            .header("set-cookie", "a=b")
            .body(Body::from(body))
            .unwrap();
        match passed_back(answer).await.unwrap_err() {
            ProxyError::Refused(refusal) => *refusal,
            other => panic!("{other}"),
        }
    }

    #[tokio::test]
    async fn a_services_refusal_is_raised_again_and_its_failure_becomes_502() {
        let json = "application/json; charset=utf-8";
        let body = r#"{"error":"ActorNotFound","message":"who?","secret":1}"#;
        let refusal = answered(400, json, body).await;
        assert_eq!(refusal.to_string(), "400 Bad Request ActorNotFound: who?");
        assert_eq!(refusal.headers["retry-after"], "7");
        assert!(!refusal.headers.contains_key("set-cookie"));
        let failed = answered(500, json, r#"{"error":"Boom"}"#).await;
        assert_eq!(
            (failed.status.as_u16(), failed.name.as_str()),
            (502, "Boom")
        );
        for (status, body, name) in [
            (502, "<html>", names::UPSTREAM_FAILURE),
            (429, "", names::RATE_LIMIT_EXCEEDED),
            (404, "[]", names::XRPC_NOT_SUPPORTED),
            (422, r#"{"error":7}"#, names::INVALID_REQUEST),
        ] {
            let refusal = answered(status, "text/html", body).await;
            assert_eq!(
                (refusal.status.as_u16(), refusal.name.as_str()),
                (status, name)
            );
        }
    }

    #[tokio::test]
    async fn a_redirect_is_not_followed_and_not_shown() {
        let answer = Response::builder().status(302).body(Body::empty()).unwrap();
        let error = passed_back(answer).await.unwrap_err();
        assert!(matches!(error, ProxyError::Redirected));
    }
}
