//! The relay's methods: the XRPC table, and the operator's methods below `/admin/`.

pub(crate) mod admin;
mod error;
mod sync;

use http::StatusCode;
use rochdale_protocol::xrpc::names;
use rochdale_service::xrpc::{Budget, Kind, Limits, Method, XrpcError, fallback, method};

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
    vec![
        method(
            "com.atproto.sync.subscribeRepos",
            Kind::Subscription,
            "none",
            stream,
            sync::subscribe_repos::handle,
        ),
        method(
            "com.atproto.sync.listRepos",
            Kind::Query,
            "none",
            plain,
            sync::list_repos::handle,
        ),
        method(
            "com.atproto.sync.getRepo",
            Kind::Query,
            "none",
            plain,
            sync::get_repo::handle,
        ),
        method(
            "com.atproto.sync.getRepoStatus",
            Kind::Query,
            "none",
            plain,
            sync::get_repo_status::handle,
        ),
        method(
            "com.atproto.sync.getLatestCommit",
            Kind::Query,
            "none",
            plain,
            sync::get_latest_commit::handle,
        ),
        method(
            "com.atproto.sync.listHosts",
            Kind::Query,
            "none",
            plain,
            sync::list_hosts::handle,
        ),
        method(
            "com.atproto.sync.getHostStatus",
            Kind::Query,
            "none",
            plain,
            sync::get_host_status::handle,
        ),
        method(
            "com.atproto.sync.requestCrawl",
            Kind::Procedure,
            "none",
            crawl,
            sync::request_crawl::handle,
        ),
        method(
            "com.atproto.sync.notifyOfUpdate",
            Kind::Procedure,
            "none",
            crawl,
            sync::request_crawl::handle,
        ),
        method(
            "_health",
            Kind::Query,
            "none",
            plain.outside_global(),
            web::health,
        ),
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
