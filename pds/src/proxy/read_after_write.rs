//! Shows members what they have just written, also while the AppView has not read it yet.
//!
//! The AppView says in `atproto-repo-rev` up to which revision it has read the caller's repository.
//! Where the repository is further, the newest posts and the profile are added to the answer, one
//! file per view. Otherwise, and whenever anything goes wrong, the answer passes as it came. Only an
//! answer that is changed is held in memory, within the proxy's limit. Must not write.

mod actor_likes;
mod author_feed;
mod embed;
mod feed;
mod own;
mod post;
mod post_thread;
mod profile;
mod timeline;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use rochdale_protocol::syntax::Tid;
use rochdale_service::encoding::{Accepted, DecodeError, Encoding};
use rochdale_service::xrpc::XrpcError;
use serde_json::Value;
use tokio::sync::Semaphore;

use super::forward::{ANSWER_BYTES_MAX, REPO_REV, whole};
use super::{Call, ProxyError, service_for};
use crate::app::App;
use crate::auth::Member;
use own::{Own, OwnPost};

/// How far the AppView is behind, in milliseconds: the age of the oldest record that was added.
const LAG: HeaderName = HeaderName::from_static("atproto-upstream-lag");

/// An answer that shows the member's own records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// `app.bsky.actor.getProfile`
    Profile,
    /// `app.bsky.actor.getProfiles`
    Profiles,
    /// `app.bsky.feed.getAuthorFeed`
    AuthorFeed,
    /// `app.bsky.feed.getActorLikes`
    ActorLikes,
    /// `app.bsky.feed.getTimeline`
    Timeline,
    /// `app.bsky.feed.getPostThread`
    PostThread,
}

impl View {
    /// The method that answers it.
    #[must_use]
    pub const fn nsid(self) -> &'static str {
        match self {
            Self::Profile => "app.bsky.actor.getProfile",
            Self::Profiles => "app.bsky.actor.getProfiles",
            Self::AuthorFeed => "app.bsky.feed.getAuthorFeed",
            Self::ActorLikes => "app.bsky.feed.getActorLikes",
            Self::Timeline => "app.bsky.feed.getTimeline",
            Self::PostThread => "app.bsky.feed.getPostThread",
        }
    }
}

/// Why an answer stays as it is.
#[derive(Debug, thiserror::Error)]
enum Unchanged {
    #[error("the answer has an encoding that is not known here")]
    Encoding,
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error("the answer is not the JSON of its lexicon: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the answer has no {0}")]
    Shape(&'static str),
    #[error("an own record is not that of its lexicon: {0}")]
    Record(#[source] serde_json::Error),
    #[error("a service that was asked for more: {0}")]
    Asked(#[from] ProxyError),
    #[error("the answer cannot be encoded again: {0}")]
    Encode(#[from] std::io::Error),
}

/// Answers held in memory at most; past that they pass as they came.
static HELD: Semaphore = Semaphore::const_new(32);
/// Answers taken apart at the same time at most: what a service says may be many times as large then.
static TAKEN_APART: Semaphore = Semaphore::const_new(2);

/// What an answer is changed for: what the caller wrote, what they asked, and whom to ask for more.
struct Showing<'a> {
    own: &'a Own,
    call: &'a Call<'a>,
    /// The query of the request, undecoded.
    query: &'a str,
    /// How far the AppView is behind.
    lag_ms: i64,
}

/// Passes `view` on and adds to its answer what the AppView has not read yet.
///
/// # Errors
/// Whatever the AppView says.
pub async fn answer(
    pds: &App,
    caller: &Member,
    view: View,
    request: Request,
) -> Result<Response, XrpcError> {
    let (mut parts, _no_body) = request.into_parts();
    let service = service_for(pds, &parts, view.nsid())?;
    let accepted = Accepted::of(&parts.headers).map_err(ProxyError::Encoding)?;
    parts.headers.insert(ACCEPT_ENCODING, accepted.header());
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let is_head = parts.method == Method::HEAD;
    let call = Call::new(pds, caller, &service, view.nsid()).await?;
    let sent = call.send(parts, Body::empty()).await;
    let read = match &sent {
        Ok(answer) => read_up_to(answer.headers()),
        Err(ProxyError::Refused(refusal)) if view == View::PostThread => {
            read_up_to(&refusal.headers)
        }
        Err(_) => None,
    };
    let Some(own) = newer_records(pds, caller, read).await else {
        return Ok(sent?);
    };
    let showing = Showing {
        own: &own,
        call: &call,
        query: &query,
        lag_ms: own.lag_ms(pds.now_ms()),
    };
    match sent {
        Ok(answer) if is_head => Ok(answer),
        Ok(answer) => Ok(changed(view, answer, &showing).await?),
        Err(ProxyError::Refused(refusal)) if refusal.name == post_thread::NOT_FOUND => {
            let thread = local_thread(&showing, accepted.best(), &refusal.headers).await;
            thread.ok_or_else(|| (*refusal).into())
        }
        Err(error) => Err(error.into()),
    }
}

/// The revision of the caller's repository that the AppView has read.
fn read_up_to(headers: &HeaderMap) -> Option<Tid> {
    headers.get(REPO_REV)?.to_str().ok()?.parse().ok()
}

/// What the caller wrote after the revision that the AppView has read.
async fn newer_records(pds: &App, caller: &Member, read: Option<Tid>) -> Option<Own> {
    match Own::after(pds, caller, read?).await {
        Ok(own) => own,
        Err(error) => {
            tracing::warn!(%error, "a member's newest records cannot be read");
            None
        }
    }
}

/// The answer with the member's own records, or as it came.
async fn changed(
    view: View,
    answer: Response,
    showing: &Showing<'_>,
) -> Result<Response, ProxyError> {
    let is_json = answer
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|kind| kind.trim_start().starts_with("application/json"));
    let Ok(_held) = HELD.try_acquire() else {
        return Ok(answer);
    };
    if !is_json || answer.status() != StatusCode::OK {
        return Ok(answer);
    }
    let posts = match post::views(posts_for(view, showing), showing).await {
        Ok(posts) => posts,
        Err(unchanged) => {
            tracing::debug!(%unchanged, view = view.nsid(), "an answer passes as it came");
            return Ok(answer);
        }
    };
    let (parts, body) = answer.into_parts();
    let body = whole(body).await?;
    match shown(view, &parts.headers, &body, showing, posts).await {
        Ok(response) => Ok(response),
        Err(unchanged) => {
            tracing::debug!(%unchanged, view = view.nsid(), "an answer passes as it came");
            Ok(Response::from_parts(parts, Body::from(body)))
        }
    }
}

/// The caller's posts that `view` may show.
fn posts_for<'a>(view: View, showing: &Showing<'a>) -> Vec<&'a OwnPost> {
    match view {
        View::Profile | View::Profiles | View::ActorLikes => Vec::new(),
        View::AuthorFeed => author_feed::posts(showing.own, showing.query),
        View::Timeline => timeline::posts(showing.own, showing.query),
        View::PostThread => post_thread::posts(showing.own),
    }
}

async fn shown(
    view: View,
    headers: &HeaderMap,
    body: &Bytes,
    showing: &Showing<'_>,
    posts: Vec<Value>,
) -> Result<Response, Unchanged> {
    let _turn = TAKEN_APART.acquire().await;
    let encoding = Encoding::of(headers).ok_or(Unchanged::Encoding)?;
    let plain = encoding.decode(body, ANSWER_BYTES_MAX).await?;
    let mut value: Value = serde_json::from_slice(&plain)?;
    let own = showing.own;
    match view {
        View::Profile => profile::show(&mut value, own),
        View::Profiles => profile::show_all(&mut value, own)?,
        View::ActorLikes => actor_likes::show(&mut value, own)?,
        View::AuthorFeed => author_feed::show(&mut value, own, posts)?,
        View::Timeline => timeline::show(&mut value, own, posts)?,
        View::PostThread => post_thread::show(&mut value, own, &posts, showing.query)?,
    }
    rendered(&value, encoding, headers.clone(), showing.lag_ms).await
}

/// A thread from here alone, where the AppView knows none.
async fn local_thread(
    showing: &Showing<'_>,
    encoding: Encoding,
    headers: &HeaderMap,
) -> Option<Response> {
    let made = async {
        match post_thread::local(showing).await? {
            Some(thread) => rendered(&thread, encoding, headers.clone(), showing.lag_ms)
                .await
                .map(Some),
            None => Ok(None),
        }
    };
    made.await.unwrap_or_else(|unchanged: Unchanged| {
        tracing::debug!(%unchanged, "a thread is not shown from here");
        None
    })
}

/// `value` as an answer, with what the headers say besides the body.
async fn rendered(
    value: &Value,
    encoding: Encoding,
    mut headers: HeaderMap,
    lag_ms: i64,
) -> Result<Response, Unchanged> {
    let body = encoding.encode(serde_json::to_vec(value)?).await?;
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    headers.insert(CONTENT_TYPE, json);
    headers.insert(CONTENT_LENGTH, body.len().into());
    headers.insert(LAG, lag_ms.into());
    match encoding {
        Encoding::Identity => headers.remove(CONTENT_ENCODING),
        named => headers.insert(CONTENT_ENCODING, HeaderValue::from_static(named.name())),
    };
    let mut response = Response::new(Body::from(body));
    *response.headers_mut() = headers;
    Ok(response)
}
