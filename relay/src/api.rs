//! The relay's methods: the XRPC table, and the operator's methods below `/admin/`.

pub(crate) mod admin;
mod error;
mod sync;

use http::StatusCode;
use rochdale_protocol::xrpc::names;
use rochdale_service::xrpc::Kind::{Procedure, Query, Subscription};
use rochdale_service::xrpc::{Budget, Limits, Method, XrpcError, fallback, method};

use sync::{
    get_host_status, get_latest_commit, get_repo, get_repo_status, list_hosts, list_repos,
    request_crawl, subscribe_repos,
};

use crate::app::Shared;
use crate::web;

const CRAWL_REQUESTS: &[Budget] = &[
    Budget {
        name: "request-crawl-minute",
        points: 60,
        seconds: 60,
    },
    Budget {
        name: "request-crawl-hour",
        points: 600,
        seconds: 3_600,
    },
];

/// The whole XRPC interface.
pub(crate) fn table() -> Vec<Method<Shared>> {
    let crawl = Limits::body(4 << 10).per_ip(CRAWL_REQUESTS);
    let stream = Limits::DEFAULT.outside_global();
    let plain = Limits::DEFAULT;
    let health = Limits::DEFAULT.outside_global();
    vec![
        method(
            "com.atproto.sync.subscribeRepos",
            Subscription,
            "none",
            stream,
            subscribe_repos::handle,
        ),
        method(
            "com.atproto.sync.listRepos",
            Query,
            "none",
            plain,
            list_repos::handle,
        ),
        method(
            "com.atproto.sync.getRepo",
            Query,
            "none",
            plain,
            get_repo::handle,
        ),
        method(
            "com.atproto.sync.getRepoStatus",
            Query,
            "none",
            plain,
            get_repo_status::handle,
        ),
        method(
            "com.atproto.sync.getLatestCommit",
            Query,
            "none",
            plain,
            get_latest_commit::handle,
        ),
        method(
            "com.atproto.sync.listHosts",
            Query,
            "none",
            plain,
            list_hosts::handle,
        ),
        method(
            "com.atproto.sync.getHostStatus",
            Query,
            "none",
            plain,
            get_host_status::handle,
        ),
        method(
            "com.atproto.sync.requestCrawl",
            Procedure,
            "none",
            crawl,
            request_crawl::handle,
        ),
        method(
            "com.atproto.sync.notifyOfUpdate",
            Procedure,
            "none",
            crawl,
            request_crawl::handle,
        ),
        method("_health", Query, "none", health, web::health),
    ]
}

/// Everything that is not in the table.
pub(crate) fn rest() -> Method<Shared> {
    fallback("none", Limits::body(0), || async {
        XrpcError::new(
            StatusCode::NOT_IMPLEMENTED,
            names::METHOD_NOT_IMPLEMENTED,
            "this relay has no such method",
        )
    })
}
