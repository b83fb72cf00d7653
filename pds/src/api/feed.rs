//! `app.bsky.feed`: what an AppView answers, with the member's own newest posts or with a token for
//! the service behind a feed.

use axum::extract::{Request, State};
use axum::response::Response;
use rochdale_service::xrpc::Kind::Query;
use rochdale_service::xrpc::{Limits, Method, XrpcError, method};

use super::view;
use crate::app::Pds;
use crate::auth::Member;
use crate::proxy::feed;
use crate::proxy::read_after_write::View;

pub(super) fn rows() -> Vec<Method<Pds>> {
    vec![
        view::row(View::AuthorFeed),
        view::row(View::ActorLikes),
        view::row(View::Timeline),
        view::row(View::PostThread),
        method(feed::NSID, Query, "member", Limits::DEFAULT, get_feed),
    ]
}

async fn get_feed(
    State(pds): State<Pds>,
    caller: Member,
    request: Request,
) -> Result<Response, XrpcError> {
    feed::answer(&pds, &caller, request).await
}
